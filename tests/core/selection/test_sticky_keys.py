"""Sticky choices that must not change from one version to the next, and keys of any kind."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from multirouter.core.selection.sticky import Sticky
from tests.core.kit import World, provider
from tests.core.strategy_bench import chosen, one_tier

WEIGHTS = {"a": 1, "b": 2, "c": 5, "spare": 0}


PINNED = "bcbbbcccccbccccccccbbccbcbcaccaccbcccccabccccbbccccccbccbcca"


def weighted(key: Any = lambda request: request) -> World:
    """Providers of different weights."""
    return one_tier(Sticky(key=key), *(provider(name, weight=w) for name, w in WEIGHTS.items()))


def test_every_version_makes_the_same_choice() -> None:
    """Processes of two versions serve one conversation while a new version is rolled out."""
    world = weighted()
    assert "".join(chosen(world, f"key {number}") for number in range(60)) == PINNED


def test_texts_bytes_and_numbers_are_one_key() -> None:
    """Also a text that is no valid Unicode."""
    world = weighted()
    for number in range(20):
        assert chosen(world, number) == chosen(world, str(number)) == chosen(world, b"%d" % number)
    assert chosen(world, "\ud800") == chosen(world, "\ud800")


def test_reserves_are_no_ones_choice() -> None:
    """Only when nothing else is left; keys follow the weights."""
    world = weighted()
    counts = Counter(chosen(world, number) for number in range(2000))
    assert set(counts) == {"a", "b", "c"}
    assert [counts[name] / 2000 for name in "abc"] == pytest.approx([1 / 8, 2 / 8, 5 / 8], abs=0.05)


def test_requests_without_a_key_follow_the_weights() -> None:
    """Each is chosen by chance."""
    world = weighted(key=lambda request: None)
    counts = Counter(chosen(world) for _ in range(2000))
    assert [counts[name] / 2000 for name in "abc"] == pytest.approx([1 / 8, 2 / 8, 5 / 8], abs=0.05)


def test_keys_of_200_characters_are_kept() -> None:
    """Longer ones are hashed; a key of another type is an error that names it."""
    sticky = Sticky(key=lambda request: request)
    assert sticky.key_of("x" * 200) == "x" * 200
    assert sticky.key_of("x" * 201) != "x" * 201
    with pytest.raises(TypeError) as caught:
        sticky.key_of(("a", 1))
    assert str(caught.value) == "Sticky.key must return str, bytes, int or None, got tuple"
