"""The last calls, kept in memory for the admin API: who asked for what, and how it went."""

from __future__ import annotations

from collections import deque
from typing import Any

from multirouter.gateway.exchange import Exchange

KEPT = 200
"""How many are kept."""


class Recent:
    """The last requests that were routed; never what was said in them."""

    def __init__(self, kept: int = KEPT) -> None:
        self._calls: deque[dict[str, Any]] = deque(maxlen=kept)

    def note(self, exchange: Exchange, status: int, seconds: float) -> None:
        """Keeps a request that has ended."""
        self._calls.append(
            {
                "request_id": exchange.id,
                "door": exchange.door,
                "status": status,
                "ms": round(seconds * 1000, 1),
                "key": exchange.key,
                "asked": exchange.asked,
                "route": exchange.route,
                "provider": exchange.provider,
                "model": exchange.model,
                "tokens": exchange.tokens,
                "cost_usd": exchange.cost,
                "why": exchange.why,
                "trail": exchange.told(),
            }
        )

    def newest(self, most: int) -> list[dict[str, Any]]:
        """The newest first, at most that many."""
        return list(reversed(self._calls))[:most]
