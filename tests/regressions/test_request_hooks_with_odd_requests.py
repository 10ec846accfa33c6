"""Hooks that read a request (`requires=`, `size=`) raise UsageError, not bare errors.

A content part that is a string, a `response_format` that is a string or a message that is not an
object ended the call with an AttributeError of `chat_requires`; a hook that returned None, with a
TypeError.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from multirouter.core.routes.route import Route
from multirouter.core.selection.eligibility import chat_requires
from multirouter.core.settings.policies import LimitPolicy
from multirouter.errors import UsageError
from tests.core.kit import World, provider

PLAIN = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("request_", "capabilities"),
    [
        ({"messages": ["hi"]}, set()),
        ({"messages": [None, PLAIN], "response_format": "json"}, set()),
        ({"messages": [{"content": ["text", None, {"type": ["image"]}]}]}, set()),
        ({"messages": [{"content": ["look", {"type": "image_url"}]}]}, {"vision"}),
        ({"messages": (PLAIN, {"role": "assistant"}), "tools": [1]}, {"tools", "prefill"}),
    ],
)
def test_chat_requires_reads_odd_requests(request_: Any, capabilities: set[str]) -> None:
    """What cannot be read requires nothing: the provider itself reports what is wrong."""
    assert chat_requires(request_) == capabilities


def raises(_: object) -> Any:
    """A hook with a bug."""
    raise KeyError("tier")


@pytest.mark.parametrize(
    "hook", [lambda _: 5, lambda _: [5], raises], ids=["number", "list", "raises"]
)
def test_an_invalid_requires_hook_is_named(hook: Any) -> None:
    """The UsageError names the hook."""
    with pytest.raises(UsageError, match="requires= "):
        ineligible(Route("tools-only", ["a"], requires=hook))


def test_a_requires_hook_may_return_none() -> None:
    """None requires nothing."""
    assert ineligible(Route("tools-only", ["a"], requires=lambda _: None)) == set()  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("size", [None, "7", math.nan, -1, (1, 2, 3), (1, -2), ()])
def test_an_invalid_size_is_named(size: Any) -> None:
    """Sizes are one or two whole numbers of tokens, >= 0."""
    with pytest.raises(UsageError, match="size= must return tokens"):
        ineligible(Route("sized", ["a"], size=lambda _: size))


@pytest.mark.parametrize("size", [None, "many", math.nan, math.inf])
def test_an_invalid_size_of_limits_is_named(size: Any) -> None:
    """The same for the `size=` of limits."""
    limits = LimitPolicy(tokens_per_minute=100, size=lambda _: size)
    world = World([provider("a", limits=limits)])
    with pytest.raises(UsageError, match="size= must return tokens"):
        world.registry.route(None).size_of("hi")


def ineligible(route: Route) -> frozenset[str]:
    """The providers that cannot serve a request, on this route of one small provider."""
    world = World([provider("a", context_window=10)], [route])
    eligibility = world.registry.route(route.name).eligibility
    assert eligibility is not None
    return eligibility.ineligible("hi")
