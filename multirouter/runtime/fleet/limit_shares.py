"""Shares of the fleet's limits: reports the demand of one holder, applies what it is granted.

The limits of a `LimitPolicy` and the budgets are those of the whole fleet. Each holder (a router,
or a gateway for its keys) has a share of them, which is renewed in the background; no attempt waits
for it. The share of a limit is one of its rates and of its attempts in flight, the share of a
budget one of what is left of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from multirouter.core.cost.account import Account
from multirouter.core.cost.budget_period import BudgetPeriod
from multirouter.core.sharing.shares import FIRST_SHARE, LASTS
from multirouter.sharing.transport import Demands, Grants, Spending

FADE = 0.5
"""Weight of the newest interval in the demand that is reported."""

PROBE = 0.25
"""Part of the whole use by which a holder raises its demand when its share is used up: calls that
queue do not show how much more they would use. Holders that all want more come to equal parts."""


class Shared(Protocol):
    """What is shared.

    Attributes:
        demand: rises with what this process uses and would use, in any unit that all use.
        limited: rises when its share is used up.
        share: its share.
    """

    demand: float
    limited: int
    share: float

    def set_share(self, share: float) -> None:
        """Changes the share of this process."""
        ...


class ShareSource(Protocol):
    """What one holder has shares of."""

    def shared_limits(self) -> Iterable[tuple[str, Shared]]:
        """The limits, by names that all holders use."""
        ...

    def budget_accounts(self) -> Iterable[Account]:
        """The accounts whose budgets are shared."""
        ...


class LimitShares:
    """The shares of one holder.

    Args:
        source: the limits and the budgets.
        on_change: called when shares have changed.

    Attributes:
        first_share: share that a limit has until it was reported.
    """

    def __init__(self, source: ShareSource, on_change: Callable[[], None]) -> None:
        self._source = source
        self._on_change = on_change
        self._seen: dict[str, tuple[Shared, float, int, float]] = {}
        self._reported: dict[str, tuple[str, Account, BudgetPeriod]] = {}
        self._at = math.nan
        self.first_share: float = FIRST_SHARE
        self._begin_new()

    def begin(self, name: str, shared: Shared) -> None:
        """Shares a limit or budget from here on."""
        shared.set_share(self.first_share)
        self._seen[name] = shared, shared.demand, shared.limited, 0.0

    def report(self, holder: str, interval: float, now: float) -> Demands:
        """The demands on each limit and budget.

        A demand is per second, averaged over about the last two intervals. A limit that is new
        gets its first share.

        Args:
            holder: the id of the holder.
            interval: seconds between two reports.
            now: loop time, seconds.
        """
        self._begin_new()
        passed = interval if math.isnan(self._at) else max(now - self._at, 1e-3 * interval)
        self._at, weight = now, 1.0 - (1.0 - FADE) ** (passed / interval)
        found: dict[str, tuple[Shared, float, int, float]] = {}
        for name, shared in self._shared():
            _, counted, limited, average = self._seen[name]
            demand = shared.demand - counted
            if shared.limited > limited:
                demand *= 1.0 + PROBE / shared.share
            average += weight * (demand / passed - average)
            found[name] = shared, shared.demand, shared.limited, average
        self._seen = found
        limits = {name: known[-1] for name, known in found.items()}
        return Demands(holder, limits, self._spending(), interval * LASTS)

    def apply(self, grants: Grants) -> None:
        """Applies what was granted; a limit without a share keeps its last."""
        for name, share in grants.shares.items():
            known = self._seen.get(name)
            if known is not None and not isinstance(known[0], BudgetPeriod):
                known[0].set_share(share)
        for label, (allowance, others) in grants.budgets.items():
            if label in self._reported:
                name, account, period = self._reported[label]
                account.ends_in(period)
                if label == _label(name, period):  # else it ended while the answer was under way
                    account.renew(period, grants.shares[name], allowance, others)
        if grants.shares:
            self._on_change()

    def pause(self) -> None:
        """Nothing is shared now: demands of later count from the interval before their report."""
        self._at = math.nan

    def shift(self, by: float) -> None:
        """Moves by `by` seconds, to the clock of another event loop."""
        self._at += by

    def _begin_new(self) -> None:
        for name, shared in self._shared():
            known = self._seen.get(name)
            if known is None or known[0] is not shared:
                self.begin(name, shared)

    def _spending(self) -> Mapping[str, Spending]:
        """What this holder has spent of each budget, by its name with the end of the period."""
        found: dict[str, Spending] = {}
        self._reported = {}
        for name, account, period in self._budgets():
            left = account.ends_in(period)
            label = _label(name, period)
            found[label] = Spending(period.own, period.budget.usd, name, left)
            self._reported[label] = name, account, period
        return found

    def _shared(self) -> Iterator[tuple[str, Shared]]:
        yield from self._source.shared_limits()
        for name, _, period in self._budgets():
            yield name, period

    def _budgets(self) -> Iterator[tuple[str, Account, BudgetPeriod]]:
        for account in self._source.budget_accounts():
            for period in account.periods:
                yield budget_name(account, period), account, period


def budget_name(account: Account, period: BudgetPeriod) -> str:
    """The name of a budget, which all holders use."""
    return f"budget of {account.owner} per {period.budget.per}"


def _label(name: str, period: BudgetPeriod) -> str:
    return f"{name} until {period.ends_at:.0f}"
