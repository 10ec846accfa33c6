"""The last calls, kept in memory for the admin API: who asked for what, and how it went."""

from __future__ import annotations

from collections import deque
from typing import Any

from multirouter.gateway.http.exchange import Exchange

KEPT = 200
"""How many are kept."""


class Recent:
    """The last requests that were routed; never what was said in them."""

    def __init__(self, kept: int = KEPT) -> None:
        self._calls: deque[dict[str, Any]] = deque(maxlen=kept)

    def note(self, exchange: Exchange, status: int, seconds: float) -> None:
        """Keeps a request that has ended."""
        call = exchange.summary(status, seconds)
        call["trail"] = exchange.told()
        self._calls.append(call)

    def newest(self, most: int) -> list[dict[str, Any]]:
        """The newest first, at most that many."""
        return list(reversed(self._calls))[:most]
