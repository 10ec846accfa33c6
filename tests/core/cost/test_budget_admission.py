"""Budgets of providers, routes and the router reject attempts."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.cost.budget import Budget
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import LimitPolicy
from multirouter.errors import ConfigurationError, NoProviderAvailable, UsageError
from multirouter.model import CallOutcome
from tests.core.cost.billing_kit import ANSWER, CHEAP, EXPENSIVE
from tests.core.kit import World, provider


def spend(world: World, route: Any = None) -> CallOutcome[Any]:
    """One call that uses 1,000 input and 100 output tokens, if a provider is available."""
    plan = world.plan(route)
    step = world.step(plan)
    if isinstance(step, CallOutcome):
        return step
    world.succeed(plan, step, ANSWER)  # type: ignore[arg-type] # never a WaitStep here
    return world.next_outcome(plan)


def test_a_provider_over_budget_is_skipped_until_the_period_ends() -> None:
    """Its state names the budget; after the period it is chosen as before."""
    world = World(
        [provider("a", price=EXPENSIVE, budget=Budget(0.02, "hour")), provider("b", price=CHEAP)],
        [Route("chain", ["a", "b"])],
    )
    assert [spend(world, "chain").provider for _ in range(4)] == ["a", "a", "b", "b"]
    gate = world.member("a").gate
    assert gate.describe(world.now).startswith("budget of 0.02 USD per hour used up until")
    assert not gate.selectable(world.now)
    assert gate.ready_in(world.now) == gate.changes_at(world.now) - world.now > 0
    world.wall += 3600.0
    world.now += 3600.0
    assert spend(world, "chain").provider == "a"


def test_shares_of_a_tier_without_the_provider_over_budget() -> None:
    """The other providers of the tier share its part at once."""
    world = World([provider("a", price=EXPENSIVE, budget=Budget(0.01)), provider("b", price=CHEAP)])
    while spend(world).provider != "a":
        pass
    tier = world.route().tiers[0]
    shares = [tier.table(world.now).share(member) for member in tier.members]
    assert shares == [0.0, 1.0]


def test_limits_and_budget_of_one_provider() -> None:
    """Both reject attempts; a removed budget rejects none any more."""
    limits = LimitPolicy(in_flight=1)
    with_budget = provider("a", price=EXPENSIVE, budget=Budget(0.01), limits=limits)
    world = World([with_budget])
    spend(world)
    assert isinstance(spend(world).error, NoProviderAvailable)
    world.configure([with_budget.replace(budget=None)])
    assert spend(world).ok
    assert world.states.accounts is not None
    assert world.states.accounts.by_owner == {}


@pytest.mark.parametrize("owner", ["route chain", "router"])
def test_a_route_or_router_over_budget_rejects_calls(owner: str) -> None:
    """All calls fail at once with the budget as the reason, until the period ends."""
    budget = Budget(0.02)
    world = World(
        [provider("a", price=EXPENSIVE), provider("b", price=EXPENSIVE)],
        [Route("chain", ["a", "b"], budget=budget if owner == "route chain" else None)],
        budget=(budget,) if owner == "router" else (),
    )
    assert spend(world, "chain").ok
    assert spend(world, "chain").ok
    error = spend(world, "chain").error
    assert isinstance(error, NoProviderAvailable)
    assert set(error.states) == {"a", "b"}
    assert all("0.02 USD per day used up" in state for state in error.states.values())
    assert error.retry_after == pytest.approx(86400 - world.wall % 86400)
    assert spend(world, ["a"]).ok is (owner != "router")
    assert [event.owner for event in world.recorder.of("budget_reached")] == [owner]
    world.wall += 86400.0
    assert spend(world, "chain").ok


def test_budgets_that_cannot_be_counted_are_invalid() -> None:
    """A route with a budget needs a priced provider, and must be known to the router."""
    with pytest.raises(ConfigurationError, match=r"Route\('r'\)\.budget"):
        World([provider("a")], [Route("r", ["a"], budget=Budget(1))])
    world = World([provider("a", price=CHEAP)])
    with pytest.raises(UsageError, match="allowed only on the router's routes"):
        world.plan(Route("r", ["a"], budget=Budget(1)))


def test_accounts_outlive_a_change_of_the_configuration() -> None:
    """The spending is kept when providers change; a removed provider's account is closed."""
    paid = provider("a", price=EXPENSIVE, budget=Budget(0.02))
    world = World([paid])
    spend(world)
    world.configure([paid.replace(weight=2)])
    spend(world)
    assert isinstance(spend(world).error, NoProviderAvailable)
    world.states.remove_provider("a")
    assert world.states.accounts is not None
    assert world.states.accounts.by_owner == {}
