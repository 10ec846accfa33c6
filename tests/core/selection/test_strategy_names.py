"""The names of strategies: in a route's setting, and in the trail."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.cost.price import Price
from multirouter.core.routes.route import Route
from multirouter.core.selection.strategies import STRATEGIES, Balanced
from multirouter.errors import ConfigurationError
from tests.core.kit import World, provider

DESCRIPTIONS = {
    "weighted": "chosen by weight",
    "in_order": "first in order",
    "least_in_flight": "least in flight",
    "fastest": "fastest",
    "cheapest": "cheapest",
    "highest_quality": "highest quality",
    "balanced": "best balance",
    "sticky": "sticky",
}


def test_every_strategy_is_described_in_the_trail() -> None:
    """With the number of providers among which it chose."""
    assert set(STRATEGIES) == set(DESCRIPTIONS)
    providers = [provider(name, price=Price(1, 1), quality=1) for name in ("a", "b")]
    for name, description in DESCRIPTIONS.items():
        world = World(providers, [Route("r", [["a", "b"]], strategy=name)])
        assert world.next_attempt(world.plan("r")).why == f"{description} among 2"


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ("cheapst", "unknown strategy 'cheapst'; did you mean 'cheapest'?"),
        (5, "must be the name of a strategy, or an object with prepare(), got 5"),
    ],
)
def test_an_unknown_strategy(strategy: Any, message: str) -> None:
    """The error names the route's setting, and a name that is near."""
    with pytest.raises(ConfigurationError) as caught:
        Route("r", ["a"], strategy=strategy)
    assert str(caught.value) == f"Route('r').strategy: {message}"


def test_the_powers_of_balanced_have_a_range() -> None:
    """From 0 to 100; the error names the setting."""
    for name in ("speed", "price", "health"):
        Balanced(**{name: 100.0})
        for wrong in (-0.1, 100.1):
            with pytest.raises(ConfigurationError) as caught:
                Balanced(**{name: wrong})
            allowed = "must be a finite number >= 0 and <= 100"
            assert str(caught.value) == f"Balanced.{name}: {allowed}, got {wrong}"
