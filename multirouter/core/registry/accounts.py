"""Whose money it is: the accounts of one router, and which route's attempts they are charged with.

Accounts outlive changes of the configuration, as doors and limits do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from multirouter.core.cost.billing import Billing
from multirouter.core.cost.budgets import Account, Budget, Wall
from multirouter.core.cost.metering import Broken, ProviderPricing, guarded
from multirouter.core.cost.price import FREE
from multirouter.core.cost.usage import ReadUsage
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from multirouter.core.routes.resolved_route import ResolvedRoute
    from multirouter.core.routes.route import Route
    from multirouter.core.selection.candidate import Candidate

ROUTER = "router"
"""The owner of the account that every attempt of the router is charged to."""


class Accounts:
    """All accounts of one router, by owner.

    Args:
        router: the router's name.
        wire: where the news of reached budgets goes.
        wall: the wall clock.
        budget: what the whole router may spend.
        usage: reads usage where a provider names no reader of its own; None for what is known.
        broken: told when such a reader raises.
    """

    def __init__(
        self,
        router: str,
        dispatcher: EventDispatcher,
        *,
        wall: Wall,
        broken: Broken,
        budget: tuple[Budget, ...] = (),
        usage: ReadUsage | None = None,
    ) -> None:
        self._router = router
        self._dispatcher = dispatcher
        self._wall = wall
        self._broken = broken
        self._budget = budget
        self._usage = usage
        self.accounts: dict[str, Account] = {}

    def charge(self, compiled: ResolvedRoute, route: Route, *, known: bool) -> None:
        """Lets a route's attempts be paid: by its providers' prices, from its accounts.

        Args:
            compiled: the route; it gets its `billing`, and its budgets among its limits.
            route: as it was described.
            known: whether the router knows it; one that is given with a call has no account.

        Raises:
            ConfigurationError: for a budget of a route none of whose providers has a price.
            UsageError: for a budget of a route that is given with a call.
        """
        if route.budget and not known:
            me = f"Route({route.name!r}).budget"
            raise UsageError(f"the call's route: {me} needs a router that knows the route")
        priced = any(member.provider.price is not None for member in compiled.members)
        if route.budget and not priced:
            raise ConfigurationError(
                f"Route({route.name!r}).budget", "needs a provider with price=, and it has none"
            )
        tariffs = {member.name: self._tariff(member) for member in compiled.members}
        named = {name: tariff for name, tariff in tariffs.items() if tariff is not None}
        own = self._account(f"route {route.name}", route.budget) if known else None
        accounts = [a for a in (own, self._account(ROUTER, self._budget)) if a is not None]
        compiled.limits = (*compiled.limits, *accounts)
        if named:
            first = {member.name: member.weight for member in compiled.tiers[0].members}
            compiled.billing = Billing(named, accounts, first)

    def adopt(self, budget: tuple[Budget, ...]) -> None:
        """Puts the whole router under other budgets, from the next routes on."""
        self._budget = budget

    def forget(self, provider: str) -> None:
        """Closes the account of a provider that has left."""
        self.accounts.pop(f"provider {provider}", None)

    def _tariff(self, member: Candidate) -> ProviderPricing | None:
        """A provider's terms, None when it has none; its door learns of its account."""
        provider = member.provider
        account = self._account(f"provider {member.name}", provider.budget)
        member.gate.charge(account)
        if provider.price is None and provider.usage is None:
            return None
        read = guarded(provider.usage or self._usage, self._broken)
        return ProviderPricing(provider.price or FREE, read, account)

    def _account(self, owner: str, budgets: Iterable[Budget]) -> Account | None:
        found = tuple(budgets)
        if not found:
            self.accounts.pop(owner, None)
            return None
        account = self.accounts.get(owner)
        if account is None:
            account = Account(self._router, owner, self._wall, self._dispatcher)
            self.accounts[owner] = account
        account.adopt(found)
        return account
