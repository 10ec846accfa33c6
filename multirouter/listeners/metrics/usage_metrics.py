"""Counts money and tokens, and times streams: what an attempt has beyond its outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from multirouter.core.events import BudgetReached
from multirouter.listeners.metrics.families import Families
from multirouter.model import AttemptRecord, CallOutcome, Usage

Add = Callable[[float], None]


class Spending:
    """The part of a router's metrics that only priced attempts and streams reach.

    Args:
        router: the `router` label.
        families: where it is counted.
    """

    __slots__ = ("_bound", "_families", "_router")

    def __init__(self, router: str, families: Families) -> None:
        self._router = router
        self._families = families
        self._bound: dict[tuple[str, str], tuple[Add, Add, Add, Add, Add]] = {}

    def paid(self, record: AttemptRecord, usage: Usage) -> None:
        """Books an attempt's cost and tokens, each token once: see docs/cost.md."""
        key = (record.route, record.provider)
        add = self._bound.get(key)
        if add is None:
            add = self._bound[key] = self._bind(*key)
        cost, taken, given, cached, reasoned = add
        cost(record.cost)
        whole, said, read, _, thought, estimated = usage
        taken(max(whole - read, 0) if read else whole)
        given(max(said - thought, 0) if thought else said)
        if read:
            cached(read)
        if thought:
            reasoned(thought)
        if estimated:
            labels = (self._router, record.provider)
            self._families.estimated_cost.labels(*labels).inc(record.cost)

    def streamed(self, record: AttemptRecord, first_content: float) -> None:
        """Times a stream: to its first content, and a whole one to its end."""
        labels = (self._router, record.provider)
        families = self._families
        families.first_content.labels(*labels).observe(first_content)
        if not record.ok:
            return
        families.stream_seconds.labels(*labels).observe(record.elapsed)
        flowed, usage = record.elapsed - first_content, record.usage
        if usage is not None and not usage.estimated and flowed > 0:
            families.token_rate.labels(*labels).observe(usage.output / flowed)

    def failed_over(self, outcome: CallOutcome[Any], extra: float) -> None:
        """Books what a call cost above its first choice, or saved against it."""
        families = self._families
        family = families.failover_extra if extra > 0 else families.failover_saved
        family.labels(self._router, outcome.route).inc(abs(extra))

    def reached(self, news: BudgetReached) -> None:
        """Counts a budget's warning, or its end."""
        mark = "used_up" if news.used_up else "warning"
        self._families.budgets_reached.labels(self._router, news.owner, mark).inc()

    def _bind(self, route: str, provider: str) -> tuple[Add, Add, Add, Add, Add]:
        families, me = self._families, (self._router, provider)
        return (
            families.cost.labels(self._router, route, provider).inc,
            families.tokens.labels(*me, "input").inc,
            families.tokens.labels(*me, "output").inc,
            families.tokens.labels(*me, "cached").inc,
            families.tokens.labels(*me, "reasoning").inc,
        )
