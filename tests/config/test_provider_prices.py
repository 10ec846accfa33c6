"""Prices of configured providers: by model, for one provider, published, and missing ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from multirouter import Price
from multirouter.config.commands.check import describe
from multirouter.config.provider_prices import ListedOrKnown
from multirouter.core.cost.model_prices import ModelPrices
from multirouter.published_prices import known_prices
from tests.config.files import KEY, config_error, load_config

FULL, NANO, OWN = Price(1.25, 10), Price(0.05, 0.4), Price(2, 3)
PRICES = """
prices:
  gpt-5: {input: 1.25, output: 10}
  gpt-5-nano: {input: 0.05, output: 0.4}
"""


def prices(tmp_path: Path, provider: str, more: str = PRICES) -> Any:
    """The prices of the only provider, `a`, of a configuration."""
    text = f"providers:\n  a: {{kind: openai, api_key: {KEY}, {provider}}}\n{more}"
    return load_config(tmp_path, text).build(registry=CollectorRegistry()).providers[0].price


def test_each_model_has_its_price(tmp_path: Path) -> None:
    """Of the model that answers, not of the provider's default model."""
    found = ModelPrices(prices(tmp_path, 'model: gpt-5, models: ["gpt-*"]'))
    assert found.price_of("gpt-5-nano", None) == NANO
    assert found.price_of("gpt-5-2025-08-07", "gpt-5") == FULL
    assert found.price_of("gpt-4.1", None) is None


def test_only_prices_of_its_models_count(tmp_path: Path) -> None:
    """A provider none of whose models has a price has no price; one that takes any has all."""
    assert prices(tmp_path, "model: gpt-5-nano") == {"gpt-5-nano": NANO}
    assert prices(tmp_path, "model: gpt-5-nano-latest") == {"gpt-5-nano": NANO}
    assert prices(tmp_path, "model: other") is None
    assert prices(tmp_path, "tags: [x]") == {"gpt-5": FULL, "gpt-5-nano": NANO}


def test_a_price_for_one_provider(tmp_path: Path) -> None:
    """`provider/model` takes precedence; a price of the provider itself is for all its models."""
    more = PRICES + "  a/gpt-5: {input: 2, output: 3}\n  b/gpt-5: {input: 9, output: 9}\n"
    assert prices(tmp_path, "model: gpt-5", more) == {"gpt-5": OWN}
    assert prices(tmp_path, "model: gpt-5, price: {input: 2, output: 3}", more) == OWN


def test_prices_of_long_requests(tmp_path: Path) -> None:
    """`above` has prices by the number of input tokens; its keys are checked."""
    text = 'prices: {gpt-5: {input: 1, output: 2, above: {"200": {input: 3, output: 4}}}}'
    assert prices(tmp_path, "model: gpt-5", text) == {
        "gpt-5": Price(1, 2, above={200: Price(3, 4)})
    }
    wrong = text.replace('"200"', '"0"').replace("prices", "providers: {echo: {}}\nprices")
    assert "Price.above" in config_error(tmp_path, wrong) or "above" in config_error(
        tmp_path, wrong
    )


def test_published_prices(tmp_path: Path) -> None:
    """Models without a price have the published one; a local server has none."""
    more = PRICES + "known_prices: true\n"
    found = ModelPrices(prices(tmp_path, 'models: ["gpt-*"]', more))
    assert found.price_of("gpt-5-nano-2025-08-07", None) == NANO
    assert found.price_of("gpt-4o", None) == known_prices("openai")("gpt-4o")
    local = "base_url: http://localhost:8000/v1, model: gpt-4o"
    assert prices(tmp_path, local, "known_prices: true") is None
    assert prices(tmp_path, "model: gpt-4o", "known_prices: false") is None


@pytest.mark.parametrize("kind", ["anthropic", "gemini", "deepseek", "mistral"])
def test_every_kind_has_published_prices(tmp_path: Path, kind: str) -> None:
    """The vendor is found by the base URL of the kind."""
    text = f"providers: {{a: {{kind: {kind}, api_key: {KEY}, model: x}}}}\nknown_prices: true"
    router = load_config(tmp_path, text).build(registry=CollectorRegistry())
    assert isinstance(router.providers[0].price, ListedOrKnown)


def test_equal_prices_are_equal(tmp_path: Path) -> None:
    """So a reload keeps a provider whose prices did not change."""
    more = PRICES + "known_prices: true\n"
    one, same = (prices(tmp_path, "model: gpt-5", more) for _ in range(2))
    assert one == same
    assert one != prices(tmp_path, "model: gpt-5", "known_prices: true")
    assert one != prices(tmp_path, "base_url: https://api.x.ai/v1, model: gpt-5", more)


def test_check_prints_warnings(tmp_path: Path) -> None:
    """Strategies without what they compare, routes of one vendor, models without a price."""
    text = f"""
providers:
  one: {{kind: openai, api_key: {KEY}, model: gpt-5, models: [gpt-4.1]}}
  two: {{kind: openai, api_key: {KEY}, model: gpt-5-nano}}
routes:
  chain: {{tiers: [one, two]}}
{PRICES}"""
    settings = load_config(tmp_path, text)
    warnings = describe(settings).partition("warnings")[2]
    assert "chain" in warnings
    assert "all providers share the domain 'openai'" in warnings
    assert (
        "route auto-best: highest quality: no provider has quality=, so weights decide" in warnings
    )
    assert "provider one: no price for gpt-4.1" in warnings
    assert "auto-cheap: cheapest" not in warnings
    assert "\nwarnings" not in describe(load_config(tmp_path, "providers: {echo: {}}"))
