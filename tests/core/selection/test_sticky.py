"""Sticky: each key keeps its provider."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from multirouter.core.selection.sticky import SLOTS, Sticky
from multirouter.errors import ConfigurationError
from tests.core.kit import World, provider
from tests.core.strategy_bench import one_tier, served


def provider_by_key(world: World, keys: int = 300) -> dict[str, str]:
    """The provider that each key gets."""
    found = {}
    for key in map(str, range(keys)):
        plan = world.plan("work", request=key)
        step = world.next_attempt(plan)
        found[key] = step.member.name
        plan.abandon(step)
    return found


def test_a_key_keeps_its_provider() -> None:
    """In every process and with every seed."""
    many = [provider(f"p{i}") for i in range(10)]
    one = provider_by_key(one_tier(Sticky(key=str), *many))
    assert provider_by_key(one_tier(Sticky(key=str), *reversed(many), seed=2)) == one
    assert provider_by_key(one_tier(Sticky(key=str.encode), *many)) == one
    assert len(set(one.values())) == 10


def test_only_keys_of_an_unavailable_provider_move() -> None:
    """They return with it."""
    world = one_tier(Sticky(key=str), *(provider(f"p{i}") for i in range(10)))
    before = provider_by_key(world)
    world.states.gates["p3"].set_hold("open", world.now)
    without = provider_by_key(world)
    moved = {key for key in before if without[key] != before[key]}
    assert moved == {key for key, name in before.items() if name == "p3"}
    assert len({without[key] for key in moved}) > 3
    world.states.gates["p3"].set_hold("closed", world.now)
    assert provider_by_key(world) == before


def test_keys_follow_the_weights() -> None:
    """Of 3,000 keys weights 3 and 1 get their shares within 4 sigma."""
    world = one_tier(Sticky(key=str), provider("a", weight=3), provider("b"))
    share = Counter(provider_by_key(world, 3000).values())["a"] / 3000
    assert share == pytest.approx(0.75, abs=0.04)


def test_sticky_when_all_remembered_providers_are_unavailable() -> None:
    """The other candidates are ranked, with the same result each time."""
    world = one_tier(Sticky(key=str), *(provider(f"p{i}") for i in range(30)))
    for i in range(25):
        world.states.gates[f"p{i}"].set_hold("open", world.now)
    assert provider_by_key(world) == provider_by_key(world)
    assert set(provider_by_key(world).values()) == {f"p{i}" for i in range(25, 30)}


def test_failover_of_a_key_is_deterministic() -> None:
    """A failed call goes on to the key's second choice."""
    world = one_tier(Sticky(key=str), *(provider(f"p{i}") for i in range(5)))
    orders = {
        tuple(world.run_attempts(world.plan("work", request="k"), "server", "ok"))
        for _ in range(4)  # one less than makes the first one degraded
    }
    assert len(orders) == 1


def test_a_request_without_a_key_is_chosen_by_weight() -> None:
    """A request without a key goes where chance sends it."""
    world = one_tier(Sticky(key=lambda request: None), provider("a"), provider("b"))
    assert set(served(world, 50)) == {"a", "b"}


def test_sticky_key_must_be_a_function() -> None:
    """Anything else is invalid; and the number of slots is a power of two."""
    with pytest.raises(ConfigurationError, match="must be a plain function"):
        Sticky(key="user")  # type: ignore[arg-type]
    assert SLOTS & (SLOTS - 1) == 0


@pytest.mark.parametrize("long", ["x" * 10_000, b"x" * 10_000, "\ud800" * 10_000])
def test_a_long_key_is_hashed(long: str | bytes) -> None:
    """Keys are remembered, so a client's text of any length must not be; equal keys stay equal."""
    key = Sticky(key=lambda request: request).key_of(long)
    assert isinstance(key, bytes)
    assert len(key) == 16
    assert key == Sticky(key=lambda _: long + long[:0]).key_of(None)
    assert key != Sticky(key=lambda _: long + long[:1]).key_of(None)  # type: ignore[operator]


async def lazy_key() -> str:
    raise AssertionError


@pytest.mark.parametrize("key", [object, lambda: ("user", 7), lambda: 1.5, list, lazy_key])
def test_a_key_of_another_type_is_reported(key: Callable[[], Any]) -> None:
    """As text, it might differ from call to call: it is an error, and the weights decide."""
    reported: list[Exception] = []
    world = one_tier(Sticky(key=lambda _: key()), *(provider(f"p{i}") for i in range(4)))
    world.states.on_hook_error = lambda hook, error: reported.append(error)
    world.configure(world.providers, world.routes)
    assert len(set(served(world, 40))) == 4
    assert len(reported) == 40
    assert "Sticky.key must return str, bytes, int or None, got " in str(reported[0])


def test_key_is_required() -> None:
    """A strategy without its function is rejected when it is made."""
    with pytest.raises(ConfigurationError, match=r"Sticky\.key: must be a function, got None"):
        Sticky(key=None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"key": 5}, r"^Sticky\.key: must be a plain function, got 5$"),
        ({"key": lambda: "x"}, r"^Sticky\.key: must take \(request\), got "),
        ({"returns": "x"}, r"^Sticky\.returns: must be "),
        ({"leaves": "x"}, r"^Sticky\.leaves: must be "),
        ({"cache_ttl": 0}, r"^Sticky\.cache_ttl: must be "),
    ],
)
def test_an_invalid_setting_is_named(settings: dict[str, Any], message: str) -> None:
    """The error says what it must be."""
    with pytest.raises(ConfigurationError, match=message):
        Sticky(**{"key": str, **settings})
