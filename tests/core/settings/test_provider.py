"""Provider: valid functions and settings, and errors for invalid ones."""

from __future__ import annotations

import functools
import math
from collections.abc import AsyncIterator, Awaitable

import pytest

from multirouter.core.settings.policies import CircuitPolicy, LimitPolicy
from multirouter.core.settings.provider import Provider
from multirouter.errors import ConfigurationError


async def answer(request: str) -> str:
    return request


async def chunks(request: str) -> AsyncIterator[str]:
    yield request


def plain(request: str) -> str:
    return request


def plain_by_name(request: str) -> list[str]:
    return [request]


def returns_awaitable(request: str) -> Awaitable[str]:
    return answer(request)


def unannotated(request):
    return answer(request)


class Caller:
    async def __call__(self, request: str) -> str:
        return request

    async def method(self, request: str) -> str:
        return request

    def streamed(self, request: str) -> AsyncIterator[str]:
        return chunks(request)


class PlainCaller:
    def __call__(self, request: str) -> str:
        return request


def invalid(**settings) -> ConfigurationError:
    """The error of a provider with these settings."""
    with pytest.raises(ConfigurationError) as caught:
        Provider("a", **settings)
    return caught.value


CALLS = {
    "function": answer,
    "method": Caller().method,
    "object": Caller(),
    "partial": functools.partial(functools.partial(answer)),
    "returns an awaitable": returns_awaitable,
    "unannotated": unannotated,
    "lambda": lambda request: answer(request + "!"),
    "class": Caller,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_callables_that_may_return_an_awaitable_are_valid(call) -> None:
    """Functions, methods, partials, objects, and callables whose result is unknown."""
    assert Provider("a", call).call is call
    assert Provider("a", answer, health_check=call).health_check is call


PLAIN = {
    "function": plain,
    "annotated as text": plain_by_name,
    "partial": functools.partial(plain),
    "object": PlainCaller(),
}


@pytest.mark.parametrize("call", PLAIN.values(), ids=PLAIN)
def test_plain_functions_are_invalid(call) -> None:
    """The error names the plain function, for `call` and for `health_check`."""
    assert invalid(call=call).what == "Provider('a').call"
    assert "got the plain function" in invalid(call=call).why
    assert invalid(call=answer, health_check=call).what == "Provider('a').health_check"


@pytest.mark.parametrize(
    "returned", ["str", "None", "dict[str, int]", str, None, list[int], tuple, bytes]
)
def test_return_annotations_of_plain_types_are_invalid(returned) -> None:
    """Annotations count as strings, as types and as generic types."""

    def call(request): ...

    call.__annotations__["return"] = returned
    assert "got the plain function" in invalid(call=call).why
    call.__annotations__["return"] = "Awaitable[str]"
    Provider("a", call)


def test_calls_and_streams_are_distinguished() -> None:
    """An async generator function is no call, a coroutine function is no stream."""
    assert "pass it as stream=" in invalid(call=chunks).why
    assert "got a coroutine function" in invalid(stream=answer).why
    assert "got 3" in invalid(call=3).why
    assert "got 3" in invalid(stream=3).why
    assert invalid().why == "must have call= or stream=, or both"
    for stream in (chunks, Caller().streamed, functools.partial(chunks)):
        provider = Provider("a", stream=stream)
        assert (provider.call, provider.stream) == (None, stream)


def test_defaults() -> None:
    """A provider without settings has weight 1 and inherits the rest."""
    provider = Provider("a", answer)
    assert (provider.name, provider.weight, provider.attempt_timeout) == ("a", 1.0, None)
    assert (provider.circuit, provider.limits, provider.stream) == (None, None, None)
    assert (provider.domains, provider.tags, provider.context_window) == ((), (), None)
    assert (provider.health_check, provider.aclose) == (None, None)
    assert repr(Provider("a", answer, weight=0.5)) == "Provider('a', weight=0.5)"


@pytest.mark.parametrize("weight", [-1, math.nan, math.inf, True, "3", None])
def test_an_invalid_weight_names_its_provider(weight) -> None:
    """Case 53 (providers): a negative, infinite, NaN, boolean or string weight is invalid."""
    assert invalid(call=answer, weight=weight).what == "Provider('a').weight"
    assert Provider("a", answer, weight=0).weight == 0.0


def test_an_invalid_setting_is_named() -> None:
    """Errors of names, durations, counts and lists of names have the setting's name."""
    with pytest.raises(ConfigurationError, match=r"^Provider\.name: "):
        Provider("", answer)
    for settings in (
        {"attempt_timeout": 0},
        {"first_token": 0},
        {"idle": 0},
        {"capabilities": "vision"},
        {"context_window": 0},
        {"domains": "openai"},
        {"domains": ["a", ""]},
        {"tags": "cheap"},
        {"tags": [3]},
    ):
        (name,) = settings
        assert invalid(call=answer, **settings).what == f"Provider('a').{name}"
    provider = Provider(
        "a", answer, attempt_timeout=math.inf, context_window=1, tags=iter(["x"]), domains=["d"]
    )
    assert (provider.attempt_timeout, provider.context_window) == (math.inf, 1)
    assert (provider.tags, provider.domains) == (("x",), ("d",))


def test_replace_changes_a_copy() -> None:
    """`replace` changes and validates the given settings, and leaves the original as it is."""
    provider = Provider(
        "a",
        answer,
        stream=chunks,
        weight=2,
        circuit=CircuitPolicy(failures=1),
        limits=LimitPolicy(in_flight=1),
        tags=["x"],
        aclose=answer,
    )
    copy = provider.replace(weight=5)
    assert (copy.weight, provider.weight) == (5.0, 2.0)
    others = set(Provider.__slots__) - {"weight"}
    assert all(getattr(copy, name) == getattr(provider, name) for name in others)
    with pytest.raises(ConfigurationError, match=r"^Provider\('a'\)\.wait: unknown setting$"):
        provider.replace(wait=5)
    with pytest.raises(ConfigurationError, match=r"weight"):
        provider.replace(weight=-5)
