"""Prices: cost of a usage, and validation."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.cost.budget import Budget
from multirouter.core.cost.model_prices import MAX_KNOWN, ModelPrices
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
        # An input that is reported without the cached tokens.
        (Price(10, 30, 1), Usage(100, 0, cached=400), 0.0014),
    ],
)
def test_cost_of_a_usage(price: Price, usage: Usage, usd: float) -> None:
    """Prices are per million tokens; cached tokens have their own price, or that of the input."""
    assert price.of(usage) == pytest.approx(usd, rel=1e-12)


def test_long_requests_may_cost_more() -> None:
    """Above a number of input tokens the whole request has another price."""
    price = Price(1, 10, above={200: Price(2, 20), 500: Price(4, 40)})
    tokens = (200, 201, 500, 501)
    costs = [price.of(Usage(n, 0)) * 1e6 / n for n in tokens]
    assert costs == pytest.approx([1, 2, 2, 4])
    assert price == Price(1, 10, above={200: Price(2, 20), 500: Price(4, 40)})
    assert hash(price) == hash(Price(1, 10))


@pytest.mark.parametrize(
    ("above", "message"),
    [
        (7, "Price.above: must be a mapping of tokens to Price, got 7"),
        ({0: CHEAP}, "Price.above: must be an integer >= 1, got 0"),
        ({1.5: CHEAP}, "Price.above: must be an integer >= 1, got 1.5"),
        ({9: 3.0}, "Price.above[9]: must be a Price, got 3.0"),
        (
            {9: Price(1, 1, above={10: CHEAP})},
            "Price.above[9]: must have no `above` of its own",
        ),
    ],
)
def test_invalid_prices_above(above: Any, message: str) -> None:
    """A threshold is a number of tokens, and its price has no thresholds of its own."""
    with pytest.raises(ConfigurationError) as caught:
        Price(1, 1, above=above)
    assert str(caught.value) == message


# ── prices by model ───────────────────────────────────────────────────────────────────────────────

NANO, FULL, OTHER, WILD = Price(0.05, 0.4), Price(1.25, 10), Price(2, 2), Price(3, 3)
BY_MODEL = {"gpt-5": FULL, "gpt-5-nano": NANO, "small-latest": OTHER, "*/*": WILD, "gpt-*": CHEAP}


@pytest.mark.parametrize(
    ("answered", "requested", "price"),
    [
        ("gpt-5-nano", "gpt-5", NANO),  # the model that answered decides
        ("gpt-5-nano-2025-08-07", "gpt-5-nano", NANO),
        ("gpt-5-2025-08-07", None, FULL),
        (None, "gpt-5-nano", NANO),
        (None, "gpt-5-nano-latest", NANO),
        ("small-2506", "small-latest", OTHER),  # the answer's own name is not known
        ("gpt-9", "gpt-5", FULL),  # an exact name comes before a wildcard
        ("gpt-9", "unheard-of", CHEAP),
        ("openai/gpt-9", "openrouter/auto", WILD),
        ("unknown", "gpt-5", FULL),
        ("unknown", "unheard-of", None),
        (None, None, None),
    ],
)
def test_the_price_of_the_model_that_answered(
    answered: str | None, requested: str | None, price: Price | None
) -> None:
    """Its name, its name without a version, the requested name, then the longest wildcard."""
    prices = ModelPrices(BY_MODEL)
    for _ in range(2):  # the second time it is known
        assert prices.price_of(answered, requested) == price


@pytest.mark.parametrize("order", [1, -1])
def test_the_longest_wildcard_decides(order: int) -> None:
    """In whatever order they are given."""
    wildcards = [("*", WILD), ("gpt-*", OTHER), ("gpt-5-*", NANO)]
    prices = ModelPrices(dict(wildcards[::order]))
    found = [prices.price_of(model, None) for model in ("claude", "gpt-4", "gpt-5-nano")]
    assert found == [WILD, OTHER, NANO]


def test_prices_by_a_function() -> None:
    """It is called with the name in the answer, without its version, then with the request's."""
    names: list[str] = []

    def price(model: str) -> Price | None:
        names.append(model)
        return NANO if model == "requested" else None

    prices = ModelPrices(price)
    assert prices.price_of("answered-2025-08-07", "requested") == NANO
    assert names == ["answered-2025-08-07", "answered", "requested"]
    assert prices.price_of(None, None) is None


def test_one_price_for_all_models() -> None:
    """A `Price` applies whatever the model."""
    assert ModelPrices(FULL).price_of("gpt-5-nano", None) == FULL


def test_the_prices_found_are_bounded() -> None:
    """Names in answers are untrusted: no more than `MAX_KNOWN` are kept."""
    prices = ModelPrices(BY_MODEL)
    for number in range(MAX_KNOWN + 5):
        assert prices.price_of(f"gpt-{number}x", None) == CHEAP
    assert len(prices._found) <= MAX_KNOWN


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (3.0, "must be a Price, a mapping"),
        (Price, "must be a Price, a mapping"),
        ({}, r"^Provider\('a'\).price: must have the price of at least one model, got {}$"),
        ({"gpt-5": 3.0}, r"price\['gpt-5'\]: must be a Price, got 3.0"),
        ({7: FULL}, r"^Provider\('a'\).price: must be a non-empty printable string"),
        (lambda: FULL, r"^Provider\('a'\).price: must take \(model\), got"),
    ],
)
def test_invalid_prices_of_a_provider(wrong: Any, message: str) -> None:
    """The error says what is allowed."""
    with pytest.raises(ConfigurationError, match=message):
        provider("a", price=wrong)


@pytest.mark.parametrize("wrong", [7, "", " x", lambda: "x"])
def test_invalid_model_of_a_provider(wrong: Any) -> None:
    """A model is a name, or a plain function of the request."""
    with pytest.raises(ConfigurationError, match=r"Provider\('a'\)\.model"):
        provider("a", model=wrong)


@pytest.mark.parametrize(
    "wrong", [(-1, 1), (1, float("inf")), (1e9 + 1, 1), (1, 1, -1), ("1", 1), (1, 1, 1, -1)]
)
def test_invalid_prices(wrong: Any) -> None:
    """A negative or infinite price, or one that is no number, is invalid."""
    with pytest.raises(ConfigurationError, match=r"Price\.(input|output|cached_input|per_request)"):
        Price(*wrong)
    assert Price(1e9, 0).input == 1e9


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
