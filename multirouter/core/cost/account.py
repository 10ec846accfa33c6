"""Accounts: what providers, routes and the router have spent against their budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from multirouter.core.cost.budget import Budget, WallClock
from multirouter.core.cost.budget_period import BudgetPeriod
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import BudgetReached

if TYPE_CHECKING:
    from multirouter.core.change_counter import ChangeCounter


class Account:
    """Spending of one owner against all of its budgets.

    It is used like the limits of a route (`AdmissionLimit`), but starting an attempt uses nothing:
    its cost is known at its end.

    Args:
        router: the router's name.
        owner: the owner: `provider NAME`, `route NAME` or `router`.
        wall: the wall clock.
        dispatcher: receives `BudgetReached`.

    Attributes:
        owner: see Args.
        periods: the spending against each budget.
        revision: rises when a budget of a provider is used up, as with every change of its
            availability; None for the other owners.
    """

    __slots__ = ("_dispatcher", "_router", "_wall", "owner", "periods", "revision")

    def __init__(
        self, router: str, owner: str, wall: WallClock, dispatcher: EventDispatcher
    ) -> None:
        self._router = router
        self.owner: str = owner
        self._wall = wall
        self._dispatcher = dispatcher
        self.periods: tuple[BudgetPeriod, ...] = ()
        self.revision: ChangeCounter | None = None

    def apply(self, budgets: tuple[Budget, ...]) -> None:
        """Changes the budgets; the spending in a period of the same kind is kept."""
        old = {period.budget.per: period for period in self.periods}
        for budget in budgets:
            if budget.per in old:
                old[budget.per].apply(budget, self._wall())
        self.periods = tuple(old.get(budget.per) or BudgetPeriod(budget) for budget in budgets)

    def charge(self, usd: float) -> None:
        """Adds an amount; queues `BudgetReached` when a budget is reached by it."""
        wall = self._wall()
        for period in self.periods:
            if not period.earliest <= wall < period.ends_at:
                period.settle(wall)
            period.spent += usd
            period.demand += usd
            if period.is_shared or period.has_reached(period.budget.warn_at):
                self._report_reached(period)

    def restore(self, usd: float, at: float) -> None:
        """Adds an amount spent earlier (by another process, say), without an event.

        Args:
            usd: the amount, USD.
            at: when it was spent, seconds since 1970; an amount of a past period is ignored.
        """
        wall = self._wall()
        for period in self.periods:
            period.settle(wall)
            if period.budget.ends_after(at) == period.ends_at:
                period.restore(usd)

    def renew(self, period: BudgetPeriod, share: float, allowance: float, others: float) -> None:
        """Renews the allowance of this process in a budget; see `BudgetPeriod.renew`."""
        period.settle(self._wall())
        before = period.used_up
        period.renew(share, allowance, others)
        if before and not period.used_up and self.revision is not None:
            self.revision.value += 1
        if period.has_reached(period.budget.warn_at):
            self._report_reached(period)

    def ends_in(self, period: BudgetPeriod) -> float:
        """Seconds until a period ends; a period that is over begins anew."""
        wall = self._wall()
        period.settle(wall)
        return period.ends_at - wall

    def rejection(self, size: int = 0, now: float = 0.0) -> str:
        """Why no attempt may start, or ""."""
        for period in self.periods:
            if period.used_up:
                period.settle(self._wall())
                if period.used_up:
                    return period.used_up
        return ""

    def admits(self, size: int, now: float) -> bool:
        """Whether an attempt may start."""
        return not self.rejection()

    @property
    def exhausted(self) -> bool:
        """Whether a whole budget is used up, and not only the share of this process."""
        return any(period.has_reached(1.0) for period in self.periods)

    def ready_in(self, size: int = 0, now: float = 0.0) -> float:
        """Seconds until no budget is used up; 0 when none is."""
        wall = self._wall()
        for period in self.periods:
            if period.used_up:
                period.settle(wall)
        return max((period.ready_in(wall) for period in self.periods), default=0.0)

    def acquire(self, size: int, now: float) -> None:
        """Does nothing: the cost of an attempt is known at its end."""

    def release(self) -> None:
        """Does nothing, as `acquire`."""

    def snapshot(self) -> list[dict[str, Any]]:
        """For each budget a dict of `per`, `usd`, `spent` (USD) and `ends_in` (seconds).

        One of a fleet has `shared` too: its `spent` is that of all processes.
        """
        wall = self._wall()
        for period in self.periods:
            period.settle(wall)
        return [
            {
                "per": period.budget.per,
                "usd": period.budget.usd,
                "spent": period.spent + period.others,
                "ends_in": period.ends_at - wall,
                **({"shared": True} if period.is_shared else {}),
            }
            for period in self.periods
        ]

    def _report_reached(self, period: BudgetPeriod) -> None:
        """Reports once per period the warning mark, and once that the budget is used up."""
        budget, was_used_up = period.budget, period.used_up
        if not period.exhausted:
            period.update_used_up()
        if period.used_up and not was_used_up and self.revision is not None:
            self.revision.value += 1
        used_up = period.has_reached(1.0)
        reported = period.warned and (period.exhausted or not used_up)
        period.exhausted = used_up
        if reported or not period.has_reached(budget.warn_at):
            return
        period.warned = True
        event = BudgetReached(
            self._router,
            self.owner,
            budget.usd,
            budget.per,
            period.spent + period.others,
            used_up=used_up,
        )
        self._dispatcher.post("budget_reached", event)

    def __repr__(self) -> str:
        spent = ", ".join(f"{p.spent + p.others:g} of {p.budget}" for p in self.periods)
        return f"<Account {self.owner} {spent}>"
