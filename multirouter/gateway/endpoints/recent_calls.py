"""The last calls and the traffic of the last hour, kept in memory for the admin API."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

from multirouter.console.call_list import CAPACITY, CallList
from multirouter.console.traffic import Ending, Traffic
from multirouter.console.trail import details_of, entry_of, has_failed
from multirouter.gateway.http.exchange import Exchange
from multirouter.model import AttemptRecord


class LastCalls(Protocol):
    """The last calls, and the traffic of the last hour."""

    def newest(self, limit: int) -> list[dict[str, Any]]:
        """At most `limit` calls, newest first."""
        ...

    def shown(self, limit: int) -> list[dict[str, Any]]:
        """The calls that the console shows; see `CallList.shown`."""
        ...

    def traffic(self) -> list[dict[str, Any]]:
        """The last hour by the minute; see `Traffic.read`."""
        ...


class RecentCalls:
    """The last requests that were routed, without their content.

    Args:
        capacity: calls that are kept; older ones are dropped.
        wall: seconds since 1970.
    """

    def __init__(self, capacity: int = CAPACITY, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._calls = CallList(capacity)
        self._traffic = Traffic()

    def record(self, exchange: Exchange, summary: Mapping[str, Any], seconds: float) -> None:
        """Records a request that has ended now.

        Args:
            exchange: the request.
            summary: see `Exchange.summary`.
            seconds: from arrival to end.
        """
        now = self._wall()
        trail = exchange.trail
        if summary["status"] < 400 and _all_answered(trail):
            ending: Ending = "answered"
            read = partial(_call, now, summary, ending, trail, exchange.started)
            self._calls.add_answered(read)
        else:
            ending = _ending(summary["status"], trail)
            self._calls.add(_call(now, summary, ending, trail, exchange.started))
        self._traffic.add(now, ending, seconds, exchange.provider, exchange.tokens, exchange.cost)

    def newest(self, limit: int) -> list[dict[str, Any]]:
        """At most `limit` calls, newest first."""
        return self._calls.newest(limit)

    def shown(self, limit: int) -> list[dict[str, Any]]:
        """The calls that the console shows; see `CallList.shown`."""
        return self._calls.shown(limit)

    def traffic(self) -> list[dict[str, Any]]:
        """The last hour by the minute; see `Traffic.read`."""
        return self._traffic.read(self._wall())


def _call(
    at: float,
    summary: Mapping[str, Any],
    ending: Ending,
    trail: Sequence[AttemptRecord],
    started: float,
) -> dict[str, Any]:
    """A call as plain data."""
    return {
        "time": datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds"),
        **summary,
        "ending": ending,
        "trail": [{**entry_of(record), **details_of(record, started)} for record in trail],
    }


def _all_answered(trail: Iterable[AttemptRecord]) -> bool:
    """Whether no attempt has an error, whose traceback must not be kept."""
    for record in trail:  # noqa: SIM110 - nearly always one: no generator for it
        if record.error is not None or not record.ok:
            return False
    return True


def _ending(status: int, trail: Iterable[AttemptRecord]) -> Ending:
    if status < 400:
        return "failed_over" if has_failed(trail) else "answered"
    if status == 499:
        return "cancelled"
    return "failed" if status >= 500 or status == 429 else "rejected"
