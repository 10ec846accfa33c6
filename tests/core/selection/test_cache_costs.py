"""Costs of a conversation at two providers, with the prompt that each of them holds."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.cost.price import Price
from multirouter.core.cost.prompt_caches import CachedPrompt, PromptCaches
from multirouter.core.selection.cache_costs import CacheCosts
from multirouter.core.selection.sticky import HORIZON, Sticky
from multirouter.model import Usage
from tests.core.kit import World, provider

TOKENS, OUTPUT = 1_000_000, 10_000
NOW = 100.0


def world(**prices: Any) -> World:
    """Providers with these prices."""
    return World([provider(name, price=price) for name, price in prices.items()])


def costs(request: Any = None, **held: int) -> CacheCosts:
    """The costs of a conversation, of whose prompt each provider holds so many tokens."""
    caches = PromptCaches()
    for name, tokens in held.items():
        caches.record("k", name, CachedPrompt(name, Usage(tokens, OUTPUT), NOW))
    prompt = CachedPrompt("a", Usage(TOKENS, OUTPUT), NOW)
    return CacheCosts(caches, Sticky(), "k", prompt, request, NOW)


@pytest.mark.parametrize(("saved", "cheaper"), [(0.091, True), (0.089, False)])
def test_ten_calls_decide(saved: float, cheaper: bool) -> None:
    """A prompt that is read anew costs 0.9 USD more: each of ten calls must save a tenth of it."""
    assert HORIZON == 10
    tested = world(
        a=Price(1.0, 1.0 + saved * 1e6 / OUTPUT, cached_input=0.1),
        b=Price(1.0, 1.0, cached_input=0.1),
    )
    assert costs(a=TOKENS).cheaper(tested.member("a"), tested.member("b")) is cheaper


def test_equal_costs() -> None:
    """They count as cheaper for a return; to leave a provider, another must cost less."""
    price = Price(1.0, 1.0)
    tested = world(a=price, b=price)
    a, b = tested.member("a"), tested.member("b")
    assert costs().cheaper(a, b)
    assert costs().cheapest(a, [b]) is a
    dear = world(a=Price(2.0, 1.0), b=price, c=None, d=Price(1.0, 0.5))
    members = [dear.member(name) for name in "bcd"]
    assert costs().cheapest(dear.member("a"), members) is members[2]
    assert costs().cheapest(members[1], members) is members[1], "without a price it stays"


@pytest.mark.parametrize(("held", "cheaper"), [(TOKENS - 1, True), (TOKENS, False)])
def test_without_prices_the_missing_tokens_decide(held: int, cheaper: bool) -> None:
    """One token less that is missing is enough; what is held beyond the prompt does not count."""
    tested = world(a=None, b=None)
    a, b = tested.member("a"), tested.member("b")
    assert costs(a=held, b=TOKENS - 1).cheaper(a, b) is cheaper
    assert costs(a=2 * TOKENS, b=TOKENS).cheaper(a, b)


def test_the_price_of_the_requests_model_counts() -> None:
    """Providers with prices by model have several."""
    by_model = {"small": Price(1.0, 1.0), "large": Price(9.0, 9.0)}
    tested = world(a=by_model, b=Price(5.0, 5.0))
    a, b = tested.member("a"), tested.member("b")
    assert not costs({"model": "small"}).cheaper(a, b)
    assert costs({"model": "large"}).cheaper(a, b)


def test_the_later_calls_read_the_prompt_from_the_cache() -> None:
    """Their input and their output are those of the latest call."""
    a = Price(1.0, 1.0, cached_input=0.5)
    b = Price(1.0, 1.0, cached_input=0.1)
    tested = world(a=a, b=b)
    assert costs().cheaper(tested.member("a"), tested.member("b"))
    assert not costs().cheaper(tested.member("b"), tested.member("a"))
    long = world(a=Price(1.0, 1.0, cached_input=1.0), b=Price(0.5, 60.0, cached_input=0.5))
    assert not costs().cheaper(long.member("a"), long.member("b"))
    short = world(a=Price(1.0, 1.0, cached_input=1.0), b=Price(0.5, 40.0, cached_input=0.5))
    assert costs().cheaper(short.member("a"), short.member("b"))
