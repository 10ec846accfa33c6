"""What reads a request (`requires=`, `size=`) let its own mistakes out as bare errors.

A content part that is text, a `response_format` in words or a message that is no object ended the
call with an AttributeError of `chat_requires`; a hook that returned None, one with a TypeError.
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
    ("request_", "needs"),
    [
        ({"messages": ["hi"]}, set()),
        ({"messages": [None, PLAIN], "response_format": "json"}, set()),
        ({"messages": [{"content": ["text", None, {"type": ["image"]}]}]}, set()),
        ({"messages": [{"content": ["look", {"type": "image_url"}]}]}, {"vision"}),
        ({"messages": (PLAIN, {"role": "assistant"}), "tools": [1]}, {"tools", "prefill"}),
    ],
)
def test_a_request_as_users_write_them(request_: Any, needs: set[str]) -> None:
    """What cannot be read needs nothing: the provider itself will say what is wrong."""
    assert chat_requires(request_) == needs


def fails(_: object) -> Any:
    """A hook with a mistake."""
    raise KeyError("tier")


@pytest.mark.parametrize(
    "hook", [lambda _: 5, lambda _: [5], fails], ids=["number", "list", "raises"]
)
def test_requires_that_cannot_be(hook: Any) -> None:
    """The caller learns which hook it is."""
    with pytest.raises(UsageError, match="requires= "):
        unfit(Route("picky", ["a"], requires=hook))


def test_requires_that_says_nothing() -> None:
    """None needs nothing."""
    assert unfit(Route("picky", ["a"], requires=lambda _: None)) == set()  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("told", [None, "7", math.nan, -1, (1, 2, 3), (1, -2), ()])
def test_sizes_that_cannot_be(told: Any) -> None:
    """Tokens are one whole number or two, none below 0."""
    with pytest.raises(UsageError, match="size= must return tokens"):
        unfit(Route("sized", ["a"], size=lambda _: told))


@pytest.mark.parametrize("told", [None, "many", math.nan, math.inf])
def test_sizes_of_limits_that_cannot_be(told: Any) -> None:
    """So it is where tokens are limited."""
    limits = LimitPolicy(tokens_per_minute=100, size=lambda _: told)
    world = World([provider("a", limits=limits)])
    with pytest.raises(UsageError, match="size= must return tokens"):
        world.roster.route(None).size_of("hi")


def unfit(route: Route) -> frozenset[str]:
    """Who cannot serve a request on this route of one small provider."""
    world = World([provider("a", context_window=10)], [route])
    fit = world.roster.route(route.name).fit
    assert fit is not None
    return fit.unfit("hi")
