"""Metrics of cost, tokens and streams of one router."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from multirouter.core.events import BudgetReached
from multirouter.listeners.metrics.families import Families
from multirouter.model import AttemptRecord, CallOutcome, Usage

Add = Callable[[float], None]


class UsageMetrics:
    """Counts cost and tokens of priced attempts, and measures streams.

    Args:
        router: value of the `router` label.
        families: the metric families.
    """

    __slots__ = ("_bound", "_families", "_router")

    def __init__(self, router: str, families: Families) -> None:
        self._router = router
        self._families = families
        self._bound: dict[tuple[str, str], tuple[Add, Add, Add, Add, Add]] = {}

    def count_usage(self, record: AttemptRecord, usage: Usage) -> None:
        """Counts an attempt's cost and tokens, each token under one kind; see docs/cost.md."""
        key = (record.route, record.provider)
        bound = self._bound.get(key)
        if bound is None:
            bound = self._bound[key] = self._bind(*key)
        add_cost, add_input, add_output, add_cached, add_reasoning = bound
        add_cost(record.cost)
        input_tokens, output_tokens, cached, _, reasoning, estimated = usage
        add_input(max(input_tokens - cached, 0) if cached else input_tokens)
        add_output(max(output_tokens - reasoning, 0) if reasoning else output_tokens)
        if cached:
            add_cached(cached)
        if reasoning:
            add_reasoning(reasoning)
        if estimated:
            labels = (self._router, record.provider)
            self._families.estimated_cost.labels(*labels).inc(record.cost)

    def observe_stream(self, record: AttemptRecord, first_content: float) -> None:
        """Observes the time to first content, and duration and token rate of a complete stream."""
        labels = (self._router, record.provider)
        families = self._families
        families.first_content.labels(*labels).observe(first_content)
        if not record.ok:
            return
        families.stream_seconds.labels(*labels).observe(record.elapsed)
        seconds, usage = record.elapsed - first_content, record.usage
        if usage is not None and not usage.estimated and seconds > 0:
            families.token_rate.labels(*labels).observe(usage.output / seconds)

    def count_failover_cost(self, outcome: CallOutcome[Any], extra: float) -> None:
        """Counts what a call cost above its first choice, or saved against it (`extra` < 0)."""
        families = self._families
        family = families.failover_extra if extra > 0 else families.failover_saved
        family.labels(self._router, outcome.route).inc(abs(extra))

    def count_budget(self, event: BudgetReached) -> None:
        """Counts a budget that reached its warning threshold or its limit."""
        threshold = "limit" if event.used_up else "warning"
        self._families.budgets_reached.labels(self._router, event.owner, threshold).inc()

    def _bind(self, route: str, provider: str) -> tuple[Add, Add, Add, Add, Add]:
        families, labels = self._families, (self._router, provider)
        return (
            families.cost.labels(self._router, route, provider).inc,
            families.tokens.labels(*labels, "input").inc,
            families.tokens.labels(*labels, "output").inc,
            families.tokens.labels(*labels, "cached").inc,
            families.tokens.labels(*labels, "reasoning").inc,
        )
