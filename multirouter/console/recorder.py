"""Listener that keeps the last calls of a router, and its traffic of the last hour."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import Any

from typing_extensions import override

from multirouter.console.call_list import CallList
from multirouter.console.traffic import Traffic
from multirouter.console.trail import details_of, ending_of, entry_of
from multirouter.core.listener import Listener
from multirouter.model import CallOutcome


class CallRecorder(Listener):
    """Keeps what the console shows of the calls of a router, without their content."""

    def __init__(self) -> None:
        self._calls = CallList()
        self._traffic = Traffic()
        self._ids = count(1)

    @override
    def call_ended(self, outcome: CallOutcome[Any]) -> None:
        now = datetime.now(UTC)
        trail, cost = outcome.attempts, outcome.cost
        ending = ending_of(outcome.result, trail)
        last = trail[-1] if trail else None
        usages = [record.usage for record in trail if record.usage is not None]
        tokens = sum(usage.input + usage.output for usage in usages)
        self._calls.add(
            {
                "time": now.isoformat(timespec="microseconds"),
                "request_id": f"call-{next(self._ids)}",
                "ms": round(outcome.elapsed * 1000, 1),
                "route": outcome.route,
                "provider": outcome.provider,
                "model": last.model if last is not None and last.ok else None,
                "tokens": tokens,
                "cost_usd": round(cost, 8),
                "error_code": "" if outcome.error is None else type(outcome.error).__qualname__,
                "ending": ending,
                "trail": [{**entry_of(r), **details_of(r, outcome.started)} for r in trail],
            }
        )
        self._traffic.add(now.timestamp(), ending, outcome.elapsed, outcome.provider, tokens, cost)

    def newest(self, limit: int) -> list[dict[str, Any]]:
        """At most `limit` calls, newest first."""
        return self._calls.newest(limit)

    def shown(self, limit: int) -> list[dict[str, Any]]:
        """The calls that the console shows; see `CallList.shown`."""
        return self._calls.shown(limit)

    def traffic(self) -> list[dict[str, Any]]:
        """The last hour by the minute; see `Traffic.read`."""
        return self._traffic.read(datetime.now(UTC).timestamp())
