"""Checks of the user's functions: their kind, their arguments, and what they return."""

from __future__ import annotations

import functools
import inspect
import operator
import warnings
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any
from unittest import mock

import pytest

from multirouter.core import function_checks as hooks
from multirouter.core.routes.route import Route
from multirouter.core.selection.sticky import Sticky
from multirouter.core.settings.policies import LimitPolicy
from multirouter.core.settings.shadow import Shadow
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.errors import ConfigurationError


def plain(request: str) -> str:
    return request


def unannotated(request):
    return coroutine(request)


async def coroutine(request: str) -> str:
    return request


def generator(request: str) -> Iterator[str]:
    yield request


async def async_generator(request: str) -> AsyncIterator[str]:
    yield request


def promised(request: str) -> Awaitable[str]:
    return coroutine(request)


@functools.wraps(coroutine)
def wrapper(*args):
    return coroutine(*args)


class Plain:
    def __call__(self, request):
        return request

    def method(self, request):
        return request


class Async:
    async def __call__(self, request: str) -> str:
        return request


PLAIN = {
    "function": plain,
    "lambda": lambda request: request,
    "object": Plain(),
    "method": Plain().method,
    "partial": functools.partial(plain),
    "builtin": len,
    "without a signature": operator.itemgetter(0),
    "class": str,
    "mock": mock.Mock(),
    "wrapper of an async function": wrapper,
}
ASYNC = {
    "function": coroutine,
    "object": Async(),
    "method": Async().__call__,
    "partial": functools.partial(functools.partial(coroutine)),
    "mock": mock.AsyncMock(),
}


def reason(check: Any, *args: Any, **options: Any) -> str:
    """Why a check finds the value invalid."""
    with pytest.raises(ConfigurationError) as caught:
        check("setting", *args, **options)
    assert caught.value.what == "setting"
    return caught.value.why


# ── kinds ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("hook", PLAIN.values(), ids=PLAIN)
def test_plain_functions(hook: Any) -> None:
    """They are valid where a function is called, and where either kind is."""
    assert hooks.plain_function("setting", hook, "request") is hook
    assert hooks.either_function("setting", hook, "request") is hook
    assert not hooks.is_async(hook)


@pytest.mark.parametrize("hook", ASYNC.values(), ids=ASYNC)
def test_async_functions(hook: Any) -> None:
    """They are invalid where a function is called, and valid where its result is awaited."""
    assert "got the async function" in reason(hooks.plain_function, hook, "request")
    assert hooks.either_function("setting", hook, "request") is hook
    assert hooks.async_function("setting", hook, "request") is hook
    assert hooks.is_async(hook)


@pytest.mark.parametrize("hook", [generator, async_generator, functools.partial(generator)])
def test_generators(hook: Any) -> None:
    """Their call runs no code and returns nothing that is false, so they are invalid everywhere."""
    for check in (
        hooks.plain_function,
        hooks.either_function,
        hooks.async_function,
    ):
        assert "generator function" in reason(check, hook, "request")


def test_a_generator_where_the_result_is_iterated() -> None:
    """There it is valid; an async one is not."""
    assert hooks.plain_function("setting", generator, "request", iterable=True) is generator
    why = reason(hooks.plain_function, async_generator, "request", iterable=True)
    assert why == "must be a plain function, got the async generator function async_generator()"


@pytest.mark.parametrize(
    "hook",
    [plain, unannotated, Plain().method, functools.partial(unannotated)],
    ids=["annotated", "unannotated", "method", "partial"],
)
def test_a_plain_function_whose_result_is_awaited(hook: Any) -> None:
    """It is invalid, also without annotations: an async function does the same and says so."""
    why = reason(hooks.async_function, hook, "request")
    assert "got the plain function" in why
    assert why.endswith("make it `async def`, or annotate its result as an Awaitable")


@pytest.mark.parametrize(
    "hook",
    [promised, wrapper, lambda request: coroutine(request), Plain(), mock.Mock(), len, str],  # noqa: PLW0108
    ids=["annotated", "wrapper", "lambda", "object", "mock", "builtin", "class"],
)
def test_a_function_that_may_return_an_awaitable(hook: Any) -> None:
    """Where that cannot be known it is valid; the first call shows it."""
    assert hooks.async_function("setting", hook, "request") is hook


def test_streams() -> None:
    """A stream is an async generator function, or one that returns an async iterator."""
    for hook in (async_generator, lambda request: async_generator(request), mock.Mock()):  # noqa: PLW0108
        assert hooks.stream_function("setting", hook, "request") is hook
    assert "the async function coroutine()" in reason(hooks.stream_function, coroutine, "request")
    assert "the generator function" in reason(hooks.stream_function, generator, "request")
    assert "got 3" in reason(hooks.stream_function, 3, "request")


def test_none_is_no_hook() -> None:
    """Every check passes None on."""
    for check in (
        hooks.plain_function,
        hooks.either_function,
        hooks.async_function,
        hooks.stream_function,
        hooks.accept_function,
        hooks.fallback_function,
    ):
        assert check("setting", None) is None


@pytest.mark.parametrize("value", ["gpt", 7])
def test_a_value_that_is_no_function(value: Any) -> None:
    """The error shows it."""
    for check in (
        hooks.plain_function,
        hooks.either_function,
        hooks.async_function,
    ):
        assert reason(check, value, "request").endswith(f"got {value!r}")
    assert reason(hooks.accept_function, value).startswith("must be a function or a JSON Schema")


def test_accept_and_fallback() -> None:
    """`accept=` may be a schema, `fallback=` any value."""
    schema = {"type": "object"}
    assert hooks.accept_function("setting", schema) is schema
    assert hooks.accept_function("setting", plain) is plain
    assert "the async function" in reason(hooks.accept_function, coroutine)
    assert hooks.fallback_function("setting", "sorry") == "sorry"
    assert "must take (request, error)" in reason(hooks.fallback_function, plain)
    assert "the generator function" in reason(hooks.fallback_function, generator)


# ── arguments ───────────────────────────────────────────────────────────────────────────────────


def test_other_arguments_are_invalid() -> None:
    """The error shows the expected and the given ones."""
    assert reason(hooks.plain_function, plain) == "must take no arguments, got plain(request)"
    assert reason(hooks.plain_function, plain, "a", "b").startswith("must take (a, b), got plain(")
    assert reason(hooks.async_function, coroutine).startswith(
        "must take no arguments, got coroutine("
    )
    assert reason(hooks.stream_function, async_generator).startswith("must take no arguments, got ")


def test_a_decorators_own_arguments_count() -> None:
    """Not those of the function that it wraps: it may add or take away some."""

    @functools.wraps(plain)
    def without(*, unused: int = 0) -> str:
        return plain("always the same")

    assert hooks.plain_function("setting", without) is without
    assert reason(hooks.plain_function, without, "request").startswith("must take (request), got ")


# ── results ─────────────────────────────────────────────────────────────────────────────────────


def test_an_awaitable_result_is_an_error() -> None:
    """It is named and closed, so that Python does not warn of it too."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TypeError, match=r"^accept= must be a plain function, but it returned"):
            hooks.checked_result("accept=", coroutine(""))

    class Lazy:
        def __await__(self) -> Any:
            yield

    with pytest.raises(TypeError, match=r"returned a Lazy$"):
        hooks.checked_result("accept=", Lazy())
    assert hooks.checked_result("accept=", False) is False


def test_only_the_type_is_asked() -> None:
    """A proxy that has every attribute is no awaitable."""

    class Proxy:
        def __getattr__(self, name: str) -> str:
            return name

    proxy = Proxy()
    assert hooks.checked_result("accept=", proxy) is proxy


# ── every class with hooks ──────────────────────────────────────────────────────────────────────

SETTINGS: dict[str, Any] = {
    "Route('r').accept": lambda hook: Route("r", ["a"], accept=hook),
    "Route('r').requires": lambda hook: Route("r", ["a"], requires=hook),
    "Route('r').size": lambda hook: Route("r", ["a"], size=hook),
    "Route('r').transform": lambda hook: Route("r", ["a"], transform=hook),
    "LimitPolicy.size": lambda hook: LimitPolicy(in_flight=1, size=hook),
    "Sticky.key": Sticky,
    "StreamPolicy.content": lambda hook: StreamPolicy(content=hook),
    "StreamPolicy.text": lambda hook: StreamPolicy(text=hook),
    "StreamPolicy.complete": lambda hook: StreamPolicy(complete=hook),
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("hook", [coroutine, Async(), async_generator], ids=lambda h: str(h)[:9])
def test_each_plain_hook_refuses_async_functions(setting: str, hook: Any) -> None:
    """An async hook would always be true, and never run."""
    with pytest.raises(
        ConfigurationError, match="must be a plain function, got the async"
    ) as error:
        SETTINGS[setting](hook)
    assert error.value.what == setting


def test_hooks_with_two_and_three_arguments() -> None:
    """`resume` takes the request and the text, `compare` may be async."""

    async def compare(request: Any, answer: Any, shadow: Any) -> None: ...

    assert Shadow(["a"], compare=compare).compare is compare
    with pytest.raises(ConfigurationError, match=r"must take \(request, answer, shadow\)"):
        Shadow(["a"], compare=coroutine)
    with pytest.raises(ConfigurationError, match=r"must take \(request, text\)"):
        StreamPolicy(resume=plain)
    with pytest.raises(ConfigurationError, match="got the async function"):
        StreamPolicy(resume=compare)


def test_accept_may_take_the_request() -> None:
    """A check of one argument gets the answer; one that needs two gets the request, too."""
    assert not hooks.takes_request(lambda answer: answer)
    assert not hooks.takes_request(lambda answer, more=1: answer)
    assert hooks.takes_request(lambda answer, request: answer)
    assert not hooks.takes_request(lambda: 1)
    assert not hooks.takes_request(lambda a, b, c: a)
    assert not hooks.takes_request(max)  # without a signature
    with pytest.raises(ConfigurationError, match="accept"):
        hooks.accept_function("accept", lambda a, b, c: a)


def test_functions_that_share_their_code_are_each_checked() -> None:
    """What one of them takes says nothing of another with other defaults or another signature."""

    def make(**defaults: Any) -> Any:
        def function(first: object, second: object, *, named: object) -> None:
            del first, second, named

        function.__defaults__ = defaults.get("positional")
        function.__kwdefaults__ = defaults.get("named")
        return function

    both = {"positional": (None,), "named": {"named": None}}
    assert hooks.plain_function("f", make(**both), "one")
    assert hooks.plain_function("f", make(**both), "one")
    other = make(**both)
    other.__signature__ = inspect.signature(lambda: None)
    methods = type("Methods", (), {"function": make(**both)})
    for wrong in (make(), make(positional=(None,)), make(named={"named": None}), other):
        with pytest.raises(ConfigurationError, match="must take"):
            hooks.plain_function("f", wrong, "one")
    with pytest.raises(ConfigurationError, match="must take"):
        hooks.plain_function("f", methods().function, "one", "two")
