"""What one gateway key has used of its limits."""

from __future__ import annotations

import math
import time

from multirouter.core.cost.account import Account
from multirouter.core.cost.budget import as_budgets
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.limits.rate_limits import Limits
from multirouter.core.settings.policies import LimitPolicy
from multirouter.gateway.auth.key_protocol import Key

BURST = 1.0
"""Minutes' worth of a key's rate that may be used at once."""


class KeyUsage:
    """What one key has used.

    Args:
        name: the name of the key.

    Attributes:
        name: see Args.
        limits: its rates, and its requests under way.
        account: what it has spent of its budget.
        used_at: when its last request started or ended, loop time, seconds.
    """

    __slots__ = ("_key", "account", "limits", "name", "used_at")

    def __init__(self, name: str) -> None:
        self.name: str = name
        self.limits: Limits = Limits(LimitPolicy())
        dispatcher = EventDispatcher((), _ignore)
        self.account: Account = Account("gateway", f"key {name}", time.time, dispatcher)
        self.used_at: float = -math.inf
        self._key: Key | None = None

    def apply(self, key: Key) -> None:
        """Applies the key's limits if a reload has changed them; what was used stays counted."""
        if key is self._key or key == self._key:  # equal ones come from other processes
            return
        self._key = key
        self.account.apply(as_budgets(f"key {key.name!r}", key.budget))
        policy = LimitPolicy(
            in_flight=key.concurrent,
            requests_per_minute=_finite(key.requests_per_minute),
            tokens_per_minute=_finite(key.tokens_per_minute),
            burst=BURST,
            size=_unknown,
        )
        if policy != self.limits.policy:
            self.limits.apply(policy)


def _finite(rate: float | None) -> float | None:
    return None if rate is None or math.isinf(rate) else rate


def _unknown(_: object) -> int:
    """The tokens of a request are counted when it has ended."""
    return 0


def _ignore(*_: object) -> None:
    """Budget events of a key have no listener: its rejected requests are in the access log."""
