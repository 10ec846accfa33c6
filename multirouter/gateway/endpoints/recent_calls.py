"""The last calls, kept in memory for the admin API."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from multirouter.gateway.http.exchange import Exchange

CAPACITY = 200
"""Calls that are kept."""


class RecentCalls:
    """The last requests that were routed, without their content.

    Args:
        capacity: calls that are kept; older ones are dropped.
        wall: the time now.
    """

    def __init__(
        self, capacity: int = CAPACITY, wall: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._wall = wall
        self._calls: deque[dict[str, Any]] = deque(maxlen=capacity)

    def record(self, exchange: Exchange, status: int, seconds: float) -> None:
        """Records a request that has ended now; see `Exchange.summary`."""
        at = self._wall().isoformat(timespec="microseconds")
        call = {"time": at, **exchange.summary(status, seconds)}
        call["trail"] = exchange.trail_data()
        self._calls.append(call)

    def newest(self, limit: int) -> list[dict[str, Any]]:
        """At most `limit` calls, newest first."""
        return list(reversed(self._calls))[:limit]
