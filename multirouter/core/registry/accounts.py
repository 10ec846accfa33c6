"""Accounts of one router: which attempts are charged to which budgets.

Accounts outlive changes of the configuration, as gates and limits do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from multirouter.core.cost.account import Account
from multirouter.core.cost.billing import Billing
from multirouter.core.cost.budget import Budget, WallClock
from multirouter.core.cost.metering import ProviderPricing
from multirouter.core.cost.usage import ReadUsage
from multirouter.core.event_dispatcher import EventDispatcher, OnHookError
from multirouter.core.events import PriceMissing
from multirouter.core.registry.state_changes import StateChanges
from multirouter.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from multirouter.core.circuit.gate import Gate
    from multirouter.core.routes.resolved_route import ResolvedRoute
    from multirouter.core.routes.route import Route
    from multirouter.core.settings.provider import Provider

ROUTER = "router"
"""Owner of the account that every attempt of the router is charged to."""


class Accounts:
    """All accounts of one router.

    Args:
        router: the router's name.
        dispatcher: receives the event of a reached budget.
        wall: the wall clock, seconds since 1970.
        on_hook_error: called with a usage reader that raised, and its exception.
        usage: reads usage for providers without a reader of their own; None for the formats that
            are known.

    Attributes:
        by_owner: the accounts by owner: `provider NAME`, `route NAME` or `router`.
        changes: makes the changes of a new configuration.
    """

    def __init__(
        self,
        router: str,
        dispatcher: EventDispatcher,
        *,
        wall: WallClock,
        on_hook_error: OnHookError,
        usage: ReadUsage | None = None,
    ) -> None:
        self._router = router
        self._dispatcher = dispatcher
        self._wall = wall
        self._on_hook_error = on_hook_error
        self._usage = usage
        self.changes: StateChanges = StateChanges()
        self.by_owner: dict[str, Account] = {}

    def attach_billing(
        self,
        resolved: ResolvedRoute,
        route: Route,
        budget: tuple[Budget, ...],
        *,
        known: bool,
        operation: bool = False,
    ) -> None:
        """Sets up the billing of a route: its providers' prices and the accounts to charge.

        Args:
            resolved: the resolved route; its `billing` is set and its accounts join its `limits`.
            route: the route's settings.
            budget: the budgets of the whole router.
            known: whether the router has the route; a route passed with a call has no account.
            operation: whether it is the route of an operation, which none of the providers with a
                price may have.

        Raises:
            ConfigurationError: the route has a budget, and none of its providers has a price.
            UsageError: a route passed with a call has a budget.
        """
        setting = f"Route({route.name!r}).budget"
        if route.budget and not known:
            raise UsageError(f"the call's route: {setting} is allowed only on the router's routes")
        priced = any(member.provider.price is not None for member in resolved.members)
        if route.budget and not (priced or operation):
            raise ConfigurationError(setting, "requires a provider with price=, and there is none")
        own = self._account(f"route {route.name}", route.budget) if known else None
        accounts = [a for a in (own, self._account(ROUTER, budget)) if a is not None]
        resolved.add_limits(accounts)
        pricings = {member.name: member.pricing for member in resolved.members}
        first = {m.name: m.weight for m in resolved.members if m.name in resolved.first_choice}
        resolved.billing = Billing(pricings, accounts, first)

    def remove_provider(self, provider: str) -> None:
        """Removes the account of a provider that left the router."""
        self.by_owner.pop(f"provider {provider}", None)

    def keep_routes(self, routes: Collection[str]) -> None:
        """Removes the accounts of all routes but these, which left the router."""
        kept = {f"route {name}" for name in routes}
        for owner in [owner for owner in self.by_owner if owner.startswith("route ")]:
            if owner not in kept:
                del self.by_owner[owner]

    def pricing(self, provider: Provider[Any, Any, Any], gate: Gate) -> ProviderPricing:
        """Returns a provider's models, prices and usage reader; sets its gate's account."""
        account = self._account(f"provider {provider.name}", provider.budget)
        if account is not None or gate.account is not None:
            self.changes.make(gate.set_account, account)
        return ProviderPricing(
            provider.name,
            provider.model,
            provider.price,
            provider.usage or self._usage,
            account,
            on_hook_error=self._on_hook_error,
            on_missing_price=self._report_missing_price,
        )

    def _report_missing_price(self, provider: str, model: str) -> None:
        self._dispatcher.post("price_missing", PriceMissing(self._router, provider, model))

    def _account(self, owner: str, budgets: Iterable[Budget]) -> Account | None:
        """Returns the owner's account with these budgets; without budgets, removes it."""
        found = tuple(budgets)
        account = self.by_owner.get(owner)
        if not found:
            if account is not None:
                self.changes.make(self.by_owner.pop, owner, None)
            return None
        if account is None:
            account = Account(self._router, owner, self._wall, self._dispatcher)
            account.apply(found)
            self.changes.add(self.by_owner, owner, account)
        else:
            self.changes.make(account.apply, found)
        return account
