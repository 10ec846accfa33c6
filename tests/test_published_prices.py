"""Published prices: converted from genai-prices, kept for an hour, unknown models have none."""

from __future__ import annotations

import sys
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from genai_prices import Usage as PublishedUsage
from genai_prices import calc_price
from genai_prices.types import Tier, TieredPrices

from multirouter import ConfigurationError, MultiProviderRouter, Price, Provider, Usage
from multirouter.core.cost.model_prices import MAX_KNOWN
from multirouter.published_prices import REFRESH, known_prices, price_from


@pytest.mark.parametrize(
    ("vendor", "model"),
    [
        ("openai", "gpt-5-nano"),
        ("openai", "gpt-5-nano-2025-08-07"),
        ("openai", "text-embedding-3-small"),
        ("anthropic", "claude-sonnet-4-5"),
        ("google", "gemini-2.5-pro"),
        ("openrouter", "openai/gpt-5"),
        ("deepseek", "deepseek-chat"),
    ],
)
@pytest.mark.parametrize("tokens", [1_000, 200_000, 200_001, 900_000])
def test_costs_are_those_of_genai_prices(vendor: str, model: str, tokens: int) -> None:
    """Below and above the thresholds of long requests, with cached tokens."""
    price = known_prices(vendor)(model)
    assert price is not None
    for cached, written in ((0, 0), (tokens // 2, 0), (tokens // 2, tokens // 4)):
        usage = {"cache_read_tokens": cached, "cache_write_tokens": written}
        theirs = PublishedUsage(input_tokens=tokens, output_tokens=500, **usage)
        ours = Usage(tokens, 500, cached, written)
        expected = calc_price(theirs, model, provider_id=vendor).total_price
        assert price.of(ours) == pytest.approx(float(expected), rel=1e-9)


def test_vendor_by_url() -> None:
    """The base URL of a service tells the vendor."""
    prices = known_prices(url="https://api.openai.com/v1")
    assert prices("gpt-5") == known_prices("openai")("gpt-5")
    assert repr(prices) == "<known prices of https://api.openai.com/v1>"


def test_an_unknown_model_has_no_price() -> None:
    """None, not the price of another model."""
    assert known_prices("openai")("no-such-model") is None


def test_a_price_is_looked_up_again_after_an_hour() -> None:
    """Some prices change on a date; names are untrusted, so few are kept."""
    now = 0.0
    prices: Any = known_prices("openai", wall=lambda: now)
    first = prices("gpt-5")
    assert prices("gpt-5") is first
    now = REFRESH
    assert prices("gpt-5") is not first
    for number in range(MAX_KNOWN + 1):
        prices(f"unknown-{number}")
    assert len(prices._kept) <= MAX_KNOWN


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "requires a vendor or a url"),
        ({"vendor": "openai", "url": "https://api.openai.com"}, "and not both"),
        ({"vendor": "no-such-vendor"}, "unknown vendor 'no-such-vendor'"),
        ({"url": "http://localhost:11434/v1"}, "unknown vendor 'http://localhost:11434/v1'"),
    ],
)
def test_invalid_arguments(arguments: dict[str, Any], message: str) -> None:
    """An unknown vendor is an error when the router is set up, not at each call."""
    with pytest.raises(ConfigurationError, match=message):
        known_prices(**arguments)


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra to install."""
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    with pytest.raises(ConfigurationError, match=r"install multirouter\[prices\]"):
        known_prices("openai")


def test_prices_that_are_not_of_tokens() -> None:
    """A model priced by the hour has none; one priced by the request has that, too."""
    assert price_from(SimpleNamespace(audio_hours=Decimal(1))) is None
    tiered = TieredPrices(Decimal(1), [Tier(100, Decimal(2)), Tier(200, Decimal(3))])
    mixed = SimpleNamespace(
        input_mtok=tiered,
        output_mtok=TieredPrices(Decimal(5), [Tier(200, Decimal(6))]),
        requests_kcount=Decimal(5),
    )
    assert price_from(mixed) == Price(
        1,
        5,
        per_request=0.005,
        above={100: Price(2, 5, per_request=0.005), 200: Price(3, 6, per_request=0.005)},
    )


async def test_in_a_router() -> None:
    """An attempt costs what the model that answered is published to cost."""

    async def call(_: dict[str, str]) -> dict[str, Any]:
        usage = {"prompt_tokens": 1000, "completion_tokens": 500}
        return {"choices": [], "model": "gpt-5-nano-2025-08-07", "usage": usage}

    provider = Provider("openai", call, price=known_prices("openai"))
    async with MultiProviderRouter([provider]) as router:
        outcome = await router.call_outcome({"model": "gpt-5"})
    assert outcome.cost == pytest.approx(0.00025)
