"""An update that is invalid for a route's budget does not change the provider's limits."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from multirouter import ConfigurationError, LimitPolicy, MultiProviderRouter, Provider, Route
from multirouter.core.cost.budget import Budget
from multirouter.core.cost.price import Price


async def answer(request: str) -> str:
    return request


def test_an_invalid_update_changes_nothing() -> None:
    """An error halfway through building a configuration leaves every gate unchanged."""
    router = MultiProviderRouter(
        [Provider("a", answer, price=Price(1, 1), limits=LimitPolicy(in_flight=1))],
        routes=[Route("r", ["a"], budget=Budget(1))],
        registry=CollectorRegistry(),
    )
    with pytest.raises(ConfigurationError, match="budget"):
        router.update("a", price=None, limits=LimitPolicy(in_flight=5))
    assert router._engine.states.gates["a"]._limits.policy.in_flight == 1
