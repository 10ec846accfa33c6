"""Prices: cost of a usage, and validation."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.cost.budgets import Budget
from multirouter.core.cost.price import Price
from multirouter.core.settings.provider import Provider
from multirouter.errors import ConfigurationError
from multirouter.model import Usage
from tests.core.cost.billing_kit import CHEAP
from tests.core.kit import provider


@pytest.mark.parametrize(
    ("price", "usage", "usd"),
    [
        (Price(10, 30), Usage(1000, 100), 0.013),
        (Price(10, 30, per_request=0.5), Usage(), 0.5),
        (Price(10, 30), Usage(1000, 0, cached=400, written=100), 0.01),
        (Price(10, 30, 1), Usage(1000, 0, cached=400), 0.0064),
        (Price(10, 30, cached_input=0, cache_write=12.5), Usage(1000, 0, 400, 100), 0.00625),
        (Price(0, 30), Usage(1000, 100, reasoning=60), 0.003),
    ],
)
def test_cost_of_a_usage(price: Price, usage: Usage, usd: float) -> None:
    """Prices are per million tokens; cached tokens have their own price, or that of the input."""
    assert price.of(usage) == pytest.approx(usd, rel=1e-12)


@pytest.mark.parametrize("wrong", [(-1, 1), (1, float("inf")), (1, 1, -1), ("1", 1), (1, 1, 1, -1)])
def test_invalid_prices(wrong: Any) -> None:
    """A negative or infinite price, or one that is no number, is invalid."""
    with pytest.raises(ConfigurationError, match=r"Price\.(input|output|cached_input|per_request)"):
        Price(*wrong)


@pytest.mark.parametrize(
    "wrong", [{"price": 3.0}, {"usage": "tokens"}, {"budget": Budget(1)}, {"budget": 10}]
)
def test_invalid_price_usage_or_budget_of_a_provider(wrong: dict[str, Any]) -> None:
    """Price, usage reader and budget are validated; a budget requires a price."""
    with pytest.raises(ConfigurationError, match=r"Provider\('a'\)\.(price|usage|budget)"):
        provider("a", **wrong)


def test_replace_keeps_price_usage_and_budget() -> None:
    """A changed copy of a provider keeps its price, its usage reader and its budgets."""
    old: Provider[Any, Any, Any] = provider("a", price=CHEAP, budget=[Budget(1)], usage=len)
    new = old.replace(weight=3)
    assert (new.price, new.budget, new.usage) == (CHEAP, (Budget(1),), len)
