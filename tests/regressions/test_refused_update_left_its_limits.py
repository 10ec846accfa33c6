"""An update that was refused for a route's budget had changed the provider's limits already."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from multirouter import ConfigurationError, LimitPolicy, MultiProviderRouter, Provider, Route
from multirouter.core.cost.budgets import Budget
from multirouter.core.cost.price import Price


async def answer(request: str) -> str:
    return request


def test_a_refused_update_changes_nothing() -> None:
    """What is refused halfway through building a configuration leaves every door as it was."""
    router = MultiProviderRouter(
        [Provider("a", answer, price=Price(1, 1), limits=LimitPolicy(in_flight=1))],
        routes=[Route("r", ["a"], budget=Budget(1))],
        registry=CollectorRegistry(),
    )
    with pytest.raises(ConfigurationError, match="budget"):
        router.update("a", price=None, limits=LimitPolicy(in_flight=5))
    assert router._engine.memory.gates["a"]._limits.policy.in_flight == 1
