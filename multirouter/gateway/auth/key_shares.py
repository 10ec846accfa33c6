"""Shares of one gateway in the limits of its keys, where several gateways share their state."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterator

from multirouter.core.cost.account import Account
from multirouter.core.limits.rate_limits import Limits
from multirouter.core.sharing.shares import FIRST_SHARE, LASTS
from multirouter.gateway.auth.key_usage import KeyUsage
from multirouter.runtime.fleet.limit_shares import LimitShares, budget_name
from multirouter.sharing.transport import Demands, Grants

APART = 0.75
"""Intervals between two reports, unless a key has come into use: each worker of a gateway offers to
report."""


class KeyShares:
    """The shares of one gateway in the limits of its keys.

    Only keys in use have shares, so that a report is small. A key that comes into use has an equal
    part of its limits, by the number of machines, until it was reported.

    Args:
        on_new: called when a key has come into use, which is to be reported soon.
    """

    def __init__(self, on_new: Callable[[], object]) -> None:
        self._holder = secrets.token_hex(8)
        self._in_use: dict[str, KeyUsage] = {}
        self._on_new = on_new
        self._new = False
        self._reported_at = -math.inf
        self._shares = LimitShares(self, _nothing)

    def use(self, usage: KeyUsage) -> None:
        """A request of a key starts; its limits are shared from here on."""
        if usage.name in self._in_use or not (usage.limits.is_shared or usage.account.periods):
            return
        self._in_use[usage.name] = usage
        self._shares.begin(_limit_name(usage), usage.limits)
        for period in usage.account.periods:
            usage.account.ends_in(period)
            self._shares.begin(budget_name(usage.account, period), period)
        self._new = True
        self._on_new()

    def report(self, interval: float, now: float) -> Demands | None:
        """The demands on the limits of keys in use; None when there are none to report now.

        Args:
            interval: seconds between two reports.
            now: loop time, seconds.
        """
        if now < self._reported_at + APART * interval and not self._new:
            return None
        self._reported_at, self._new = now, False
        idle = now - LASTS * interval
        self._in_use = {
            name: usage
            for name, usage in self._in_use.items()
            if usage.limits.in_flight or usage.used_at > idle
        }
        if not self._in_use:
            self._shares.pause()
            return None
        return self._shares.report(self._holder, interval, now)

    def apply(self, grants: Grants, hosts: int) -> None:
        """Applies what was granted.

        Args:
            grants: the answer to the last report.
            hosts: the machines of the fleet.
        """
        self._shares.first_share = max(FIRST_SHARE, 1.0 / hosts)
        self._shares.apply(grants)

    def shared_limits(self) -> Iterator[tuple[str, Limits]]:
        """The rates and concurrency of keys in use; see `ShareSource`."""
        for usage in self._in_use.values():
            if usage.limits.is_shared:
                yield _limit_name(usage), usage.limits

    def budget_accounts(self) -> Iterator[Account]:
        """The budgets of keys in use; see `ShareSource`."""
        for usage in self._in_use.values():
            yield usage.account


def _limit_name(usage: KeyUsage) -> str:
    return f"key {usage.name}"


def _nothing() -> None:
    """No request of a key waits for its limits."""
