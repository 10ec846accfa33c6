"""Prompt caches: what each provider holds of a conversation, bounded in time and number."""

from __future__ import annotations

import pytest

from multirouter.core.cost import prompt_caches
from multirouter.core.cost.price import Price
from multirouter.core.cost.prompt_caches import CachedPrompt, PromptCaches
from multirouter.model import Usage


def prompt(provider: str, tokens: int, used: float) -> CachedPrompt:
    return CachedPrompt(provider, Usage(tokens, 10), used)


def test_the_latest_place_and_what_each_holds() -> None:
    """The latest use is found until it is too old; the others keep their own."""
    caches = PromptCaches()
    caches.record("k", "a", prompt("a", 100, 10.0))
    caches.record("k", "b", prompt("b", 200, 20.0))
    assert caches.latest("k", since=15.0) == ("b", prompt("b", 200, 20.0))
    assert caches.latest("k", since=20.0) is None
    assert caches.latest("other", since=0.0) is None
    caches.record("k", "a", prompt("a", 300, 30.0))
    assert caches.latest("k", since=0.0) == ("a", prompt("a", 300, 30.0))
    assert caches.tokens("k", "b", since=15.0) == 200
    assert caches.tokens("k", "b", since=20.0) == 0
    assert caches.tokens("k", "c", since=0.0) == caches.tokens("x", "b", since=0.0) == 0


def test_conversations_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was unused for longest is forgotten."""
    monkeypatch.setattr(prompt_caches, "MAX_CONVERSATIONS", 2)
    caches = PromptCaches()
    for key in ("a", "b", "a", "c"):
        caches.record(key, "p", prompt("p", 1, 1.0))
    assert [caches.tokens(key, "p", 0.0) for key in "abc"] == [1, 0, 1]
    assert len(caches) == 2


def test_places_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one conversation the provider that was unused for longest is forgotten."""
    monkeypatch.setattr(prompt_caches, "MAX_PLACES", 2)
    caches = PromptCaches()
    for place in ("p", "q", "p", "r"):
        caches.record("k", place, prompt(place, 1, 1.0))
    assert [caches.tokens("k", place, 0.0) for place in "pqr"] == [1, 0, 1]


def test_usage_of_a_prompt() -> None:
    """What is not cached is written, where that has a price; no more is cached than was sent."""
    assert Price(1, 2).prompt_usage(100, 5, 30) == Usage(100, 5, 30)
    assert Price(1, 2, cache_write=3).prompt_usage(100, 5, 30) == Usage(100, 5, 30, 70)
    assert Price(1, 2, cache_write=3).prompt_usage(100, 5, 130) == Usage(100, 5, 100)
