"""What a retry state charges: hedges, retries of a provider's own, and denials."""

from __future__ import annotations

import pytest

from multirouter.core.events import RetryDenied
from multirouter.core.limits.retry_budget import RetryBudget
from multirouter.core.planning.retrying import RetryState
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import RetryPolicy
from multirouter.model import Role
from tests.core.kit import NEVER_TRIPS, World, provider


@pytest.mark.parametrize(("role", "allowed"), [("hedge", 5), ("call", 10)])
def test_hedges_may_spend_half_of_the_budget(role: Role, allowed: int) -> None:
    """The rest is left for retries."""
    policy = RetryPolicy(budget_floor=10, attempts=100)
    member = World([provider("a")]).member("a")
    budget, state = RetryBudget(policy), RetryState(policy)
    state.record_attempt("a")
    for _ in range(allowed):
        assert state.can_afford(member, role, budget, 0.0)
        budget.spend(0.0)
    assert not state.can_afford(member, role, budget, 0.0)
    assert state.denial == "budget"
    assert state.may_retry(budget, 0.0) is (role == "hedge")


def test_a_denial_is_reported() -> None:
    """With the router, the route and the reason."""
    world = World([provider("a"), provider("b")], [Route("r", ["a", "b"])], circuit=NEVER_TRIPS)
    world.context.budget = RetryBudget(RetryPolicy(budget_floor=0))
    plan = world.plan("r")
    world.run_attempts(plan, "server", "server")
    assert not world.next_outcome(plan).ok
    assert world.recorder.of("retry_denied") == [RetryDenied("tested", "r", "budget")]


@pytest.mark.parametrize("retries", [None, 2])
def test_retries_of_a_providers_own(retries: int | None) -> None:
    """They do not count as attempts of the policy, and wait for the provider's own backoff."""
    world = World(
        [provider("a", retries=retries, backoff=0.25)],
        [Route("r", ["a"], retries_per_provider=2)],
        circuit=NEVER_TRIPS,
        retry=RetryPolicy(attempts=2, base=30.0, cap=60.0),
    )
    plan = world.plan("r")
    attempts = world.run_attempts(plan, *["server"] * (3 if retries else 2))
    assert attempts == ["a"] * (3 if retries else 2)
    assert world.now - 100.0 < 30.0
