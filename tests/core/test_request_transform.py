"""Requests of attempts: transforms, and copies for attempts in the background."""

from __future__ import annotations

import copy
from collections import namedtuple
from typing import Any

import pytest

from multirouter.core.request_transform import TransformFailed, own_copy, with_transforms


def test_transforms_apply_in_order() -> None:
    """The route's first; without any, the provider's function is used as it is."""
    call = with_transforms(list, [str.upper, str.strip])
    assert call(" ab ") == ["A", "B"]
    assert with_transforms(list, []) is list
    assert with_transforms(None, [str.upper]) is None


def test_a_transform_that_raises() -> None:
    """Its exception is passed on, unchanged."""
    error = KeyError("system")

    def failing(request: Any) -> Any:
        raise error

    with pytest.raises(TransformFailed) as caught:
        with_transforms(list, [failing])("q")
    assert caught.value.error is error
    assert vars(error) == {}


def test_a_transform_that_returns_a_coroutine() -> None:
    """The coroutine is not sent as the request."""

    async def lazily(request: Any) -> Any:
        raise AssertionError

    with pytest.raises(TransformFailed, match="must be a plain function") as caught:
        with_transforms(list, [lambda request: lazily(request)])("q")  # noqa: PLW0108
    assert isinstance(caught.value.error, TypeError)


def test_a_copy_shares_no_list_and_no_dict() -> None:
    """At every depth, and inside of tuples."""
    request = {"messages": [{"content": ["a", ({"b": [1]},)]}], "n": 1}
    twin = own_copy(request)
    assert twin == request
    twin["messages"][0]["content"][1][0]["b"].append(2)
    twin["messages"][0]["content"].append("c")
    twin["messages"].append({})
    twin["n"] = 2
    assert request == {"messages": [{"content": ["a", ({"b": [1]},)]}], "n": 1}


Point = namedtuple("Point", "x y")  # noqa: PYI024 - the kind without types is meant


@pytest.mark.parametrize(
    "value",
    ["text", b"bytes", 7, None, bytearray(2), Point(1, [2]), object(), {1, 2}],
    ids=lambda value: type(value).__name__,
)
def test_other_objects_are_shared(value: Any) -> None:
    """What a copy of an object would mean is not known: it may have a lock or a connection."""
    assert own_copy(value) is value
    assert own_copy([value])[0] is value


def test_data_that_contains_itself_is_shared() -> None:
    """It cannot be copied like this, and no call fails for it."""
    endless: list[Any] = []
    endless.append(endless)
    assert own_copy(endless) is endless


def test_a_copy_costs_no_more_than_a_deep_copy() -> None:
    """The same result as `deepcopy` for plain data."""
    request = {"messages": [{"role": "user", "content": "x"}] * 3, "tools": []}
    assert own_copy(request) == copy.deepcopy(request)
