"""Provider: valid functions and settings, and errors for invalid ones."""

from __future__ import annotations

import functools
import math
from collections.abc import AsyncIterator, Awaitable, Iterator
from unittest import mock

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


def plain_chunks(request: str) -> Iterator[str]:
    yield request


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


class Awaited:
    def __init__(self, request: str) -> None:
        self.request = request

    def __await__(self):
        return answer(self.request).__await__()


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
    "lambda": lambda request: answer(request + "!"),
    "class": Awaited,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_callables_that_may_return_an_awaitable_are_valid(call) -> None:
    """Functions, methods, partials, objects, and callables whose result is unknown."""
    assert Provider("a", call).call is call
    check = functools.partial(call, "ping")
    assert Provider("a", answer, health_check=check).health_check is check


PLAIN = {
    "function": plain,
    "annotated as text": plain_by_name,
    "unannotated": unannotated,
    "partial": functools.partial(plain),
    "object": PlainCaller(),
}


@pytest.mark.parametrize("call", PLAIN.values(), ids=PLAIN)
def test_plain_functions_are_invalid(call) -> None:
    """The error names the plain function, for `call`, `health_check` and `aclose`."""
    assert invalid(call=call).what == "Provider('a').call"
    assert "got the plain function" in invalid(call=call).why
    hook = functools.partial(call, "ping")
    assert invalid(call=answer, health_check=hook).what == "Provider('a').health_check"
    assert invalid(call=answer, aclose=hook).what == "Provider('a').aclose"


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


GENERATOR_HOOKS = [
    ("call", plain_chunks, "got the generator function plain_chunks()"),
    ("stream", plain_chunks, "got the generator function plain_chunks()"),
    ("health_check", chunks, "got the async generator function chunks()"),
    ("transform", answer, "got the async function answer()"),
    ("transform", Caller(), "got the async function Caller.__call__()"),
    ("usage", functools.partial(answer), "got the async function answer()"),
    ("usage", mock.AsyncMock(), "got the async function"),
]


@pytest.mark.parametrize(("name", "hook", "message"), GENERATOR_HOOKS)
def test_hooks_of_the_wrong_kind_are_invalid(name, hook, message) -> None:
    """An async function where a plain one is called, and the reverse, is an error at once."""
    error = invalid(**{"call": answer, name: hook})
    assert error.what == f"Provider('a').{name}"
    assert message in error.why


@pytest.mark.parametrize(
    ("name", "hook", "expected"),
    [
        ("call", lambda: answer(""), "must take (request), got "),
        ("stream", lambda a, b: chunks(a), "must take (request), got "),
        ("transform", lambda a, b: a, "must take (request), got "),
        ("health_check", answer, "must take no arguments, got answer(request)"),
        ("aclose", answer, "must take no arguments, got answer(request)"),
    ],
)
def test_hooks_with_other_arguments_are_invalid(name, hook, expected) -> None:
    """One that would fail at its first call, which may be in an outage, is an error at once."""
    error = invalid(**{"call": answer, name: hook})
    assert error.what == f"Provider('a').{name}"
    assert expected in error.why


@pytest.mark.parametrize(
    "wrong",
    [{"retries": -1}, {"retries": 1.5}, {"retries": True}, {"backoff": -1.0}, {"backoff": "1"}],
)
def test_invalid_retries_and_backoff(wrong) -> None:
    """Retries are a count from 0, the backoff is in seconds."""
    (name,) = wrong
    with pytest.raises(ConfigurationError, match=rf"Provider\('a'\)\.{name}"):
        Provider("a", mock.AsyncMock(), **wrong)


def test_calls_and_streams_are_distinguished() -> None:
    """An async generator function is no call, a coroutine function is no stream."""
    assert "pass it as stream=" in invalid(call=chunks).why
    assert "got the async function answer()" in invalid(stream=answer).why
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
        aclose=functools.partial(answer, "close"),
    )
    copy = provider.replace(weight=5)
    assert (copy.weight, provider.weight) == (5.0, 2.0)
    others = set(Provider.__slots__) - {"weight"}
    assert all(getattr(copy, name) == getattr(provider, name) for name in others)
    with pytest.raises(ConfigurationError, match=r"^Provider\('a'\): unknown setting 'wait'"):
        provider.replace(wait=5)
    with pytest.raises(ConfigurationError, match=r"weight"):
        provider.replace(weight=-5)
