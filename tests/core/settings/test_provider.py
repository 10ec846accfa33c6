"""What a provider may be made of, and what is refused where it is made."""

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


def hands_on(request: str) -> Awaitable[str]:
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


def refusal(**settings) -> ConfigurationError:
    """How a provider with these settings is refused."""
    with pytest.raises(ConfigurationError) as caught:
        Provider("a", **settings)
    return caught.value


CALLS = {
    "function": answer,
    "method": Caller().method,
    "object": Caller(),
    "partial": functools.partial(functools.partial(answer)),
    "returns an awaitable": hands_on,
    "says nothing": unannotated,
    "lambda": lambda request: answer(request + "!"),
    "class": Caller,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_whatever_may_return_an_awaitable_is_taken(call) -> None:
    """Functions, methods, partials, objects, and what only a call can tell."""
    assert Provider("a", call).call is call
    assert Provider("a", answer, health_check=call).health_check is call


PLAIN = {
    "function": plain,
    "annotated as text": plain_by_name,
    "partial": functools.partial(plain),
    "object": PlainCaller(),
}


@pytest.mark.parametrize("call", PLAIN.values(), ids=PLAIN)
def test_what_surely_returns_no_awaitable_is_refused(call) -> None:
    """A plain function is named in words, as call and as probe."""
    assert refusal(call=call).what == "Provider('a').call"
    assert "is a plain one" in refusal(call=call).why
    assert refusal(call=answer, health_check=call).what == "Provider('a').health_check"


@pytest.mark.parametrize(
    "returned", ["str", "None", "dict[str, int]", str, None, list[int], tuple, bytes]
)
def test_plain_types_are_known_as_text_and_as_types(returned) -> None:
    """Annotations count whether they are text, types or generic ones."""

    def call(request): ...

    call.__annotations__["return"] = returned
    assert "is a plain one" in refusal(call=call).why
    call.__annotations__["return"] = "Awaitable[str]"
    Provider("a", call)


def test_calls_and_streams_are_not_mixed_up() -> None:
    """An async generator is no call, a coroutine function no stream; each error says where to."""
    assert "give it as stream=" in refusal(call=chunks).why
    assert "returns a coroutine" in refusal(stream=answer).why
    assert "not 3" in refusal(call=3).why
    assert "not 3" in refusal(stream=3).why
    assert refusal().why == "needs call= or stream=, or both"
    for stream in (chunks, Caller().streamed, functools.partial(chunks)):
        provider = Provider("a", stream=stream)
        assert (provider.call, provider.stream) == (None, stream)


def test_left_out_means_inherited() -> None:
    """A provider that says nothing has weight 1 and inherits the rest."""
    provider = Provider("a", answer)
    assert (provider.name, provider.weight, provider.attempt_timeout) == ("a", 1.0, None)
    assert (provider.circuit, provider.limits, provider.stream) == (None, None, None)
    assert (provider.domains, provider.tags, provider.context_window) == ((), (), None)
    assert (provider.health_check, provider.aclose) == (None, None)
    assert repr(Provider("a", answer, weight=0.5)) == "Provider('a', weight=0.5)"


@pytest.mark.parametrize("weight", [-1, math.nan, math.inf, True, "3", None])
def test_a_bad_weight_names_its_provider(weight) -> None:
    """Case 53 (a provider's half): negative, endless, NaN, bool and text are refused by name."""
    assert refusal(call=answer, weight=weight).what == "Provider('a').weight"
    assert Provider("a", answer, weight=0).weight == 0.0


def test_each_setting_is_checked_under_its_name() -> None:
    """Names, spans, windows and lists of names are refused where they are wrong."""
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
        assert refusal(call=answer, **settings).what == f"Provider('a').{name}"
    provider = Provider(
        "a", answer, attempt_timeout=math.inf, context_window=1, tags=iter(["x"]), domains=["d"]
    )
    assert (provider.attempt_timeout, provider.context_window) == (math.inf, 1)
    assert (provider.tags, provider.domains) == (("x",), ("d",))


def test_a_changed_copy_keeps_the_rest() -> None:
    """`replace` changes what it names, checks it, and leaves the original."""
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
    with pytest.raises(ConfigurationError, match=r"^Provider\('a'\)\.wait: is no setting$"):
        provider.replace(wait=5)
    with pytest.raises(ConfigurationError, match=r"weight"):
        provider.replace(weight=-5)
