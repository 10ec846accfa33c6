"""What users do wrong, and what they hear of it."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from multirouter import (
    CircuitPolicy,
    ConfigurationError,
    MultiProviderRouter,
    Provider,
    Route,
    UsageError,
)
from tests.scenarios.kit import BRITTLE, Logger, house, play


async def answer(request: object) -> object:
    return request


class Client:
    """A client with a method, and callable itself."""

    async def ask(self, request: object) -> object:
        return request

    async def __call__(self, request: object) -> object:
        return request

    @staticmethod
    async def static(request: object) -> object:
        return request

    @classmethod
    async def of_class(cls, request: object) -> object:
        return request


def handing_on(request: object) -> Awaitable[object]:
    """A plain function, but it returns something to await."""
    return answer(request)


async def with_options(option: int, request: object) -> object:
    return request


GOOD: dict[str, Callable[..., Any]] = {
    "coroutine function": answer,
    "bound method": Client().ask,
    "object": Client(),
    "static method": Client.static,
    "class method": Client.of_class,
    "partial": functools.partial(with_options, 7),
    "partial of a partial": functools.partial(functools.partial(with_options), 7),
    "plain function that returns an awaitable": handing_on,
    "lambda": lambda request: with_options(7, request),
}


@pytest.mark.parametrize("call", GOOD.values(), ids=GOOD.keys())
async def test_whatever_returns_an_awaitable_is_a_provider(call: Callable[..., Any]) -> None:
    """Functions, methods, partials and objects alike."""
    async with house() as home:
        home.router.add(Provider("a", call))
        assert await home.call() == "q"


def plain(request: str) -> str:
    return request


def plain_as_text(request: str) -> dict[str, str]:
    return {}


async def generator(request: str) -> Any:
    yield request


REFUSED: list[tuple[Any, str]] = [
    (plain, r"plain\(\) is a plain one"),
    (plain_as_text, "is a plain one"),
    (functools.partial(plain), "is a plain one"),
    (generator, "give it as stream="),
    ("gpt", "must be an async function, not 'gpt'"),
    (7, "must be an async function, not 7"),
]


@pytest.mark.parametrize(("call", "why"), REFUSED)
def test_what_is_surely_no_provider_is_refused_at_once(call: Any, why: str) -> None:
    """The error names the provider and says what is wrong."""
    with pytest.raises(ConfigurationError, match=why) as caught:
        Provider("a", call)
    assert caught.value.what == "Provider('a').call"


NOT_AWAITABLE: dict[str, Callable[..., Any]] = {
    "plain function": lambda request: "text",
    "class instead of an instance": Client,
    "no parameter": functools.partial(answer, "q"),
    "builtin": len,
}


@pytest.mark.parametrize("call", NOT_AWAITABLE.values(), ids=NOT_AWAITABLE.keys())
async def test_what_only_a_call_can_tell_is_told_at_the_first(call: Callable[..., Any]) -> None:
    """A UsageError names the provider; nobody else is asked, and no circuit moves."""
    async with house("b", circuit=BRITTLE) as home:
        home.router.add(Provider("a", call))
        with pytest.raises(UsageError, match="'a'"):
            await home.call("a", "b")
        assert (home.state("a"), home["b"].count) == ("closed", 0)
        assert home.router.in_flight("a") == 0


async def test_a_type_error_of_the_providers_own_code_is_its_failure() -> None:
    """One that is raised by a line of the provider's is no misuse."""

    async def broken(request: Any) -> Any:
        return request + 1

    async with house("b", circuit=BRITTLE) as home:
        home.router.add(Provider("a", broken))
        assert await home.call("a", "b") == "b: q"
        assert home.state("a") == "open"


def made(*providers: Any, **settings: Any) -> MultiProviderRouter[Any, Any, Any]:
    settings = {"registry": CollectorRegistry(), "logger": Logger()} | settings
    return MultiProviderRouter(providers, **settings)


BAD_ROUTERS: dict[str, Callable[[], object]] = {
    "a name": lambda: made(name=""),
    "a name with blanks": lambda: made(name=" x "),
    "a timeout": lambda: made(timeout="1"),
    "a panic": lambda: made(panic=2),
    "a route": lambda: made(play("a"), routes=["a"]),
    "a route twice": lambda: made(play("a"), routes=[Route("r", ["a"]), Route("r", ["a"])]),
    "a reserved route": lambda: made(play("a"), routes=[Route("adhoc", ["a"])]),
    "a rule": lambda: made(rules={"no_such": 1}),
    "a registry": lambda: made(registry=object()),
    "weights of a route": lambda: made(play("a"), routes=[Route("r", ["a"], weights={"b": 1.0})]),
    "no call": lambda: Provider("a"),  # type: ignore[call-overload]
    "names": lambda: Provider("", answer),
    "tags": lambda: play("a", tags="cheap"),
    "a window": lambda: play("a", context_window=0),
    "failures": lambda: CircuitPolicy(failures=0),
    "probes": lambda: CircuitPolicy(half_open_max_calls=1.5),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("make", BAD_ROUTERS.values(), ids=BAD_ROUTERS.keys())
def test_bad_settings_are_refused_at_construction(make: Callable[[], object]) -> None:
    """Nothing waits for the first call that can be known before."""
    with pytest.raises(ConfigurationError):
        make()


async def test_routes_that_cannot_be_served() -> None:
    """A name that nobody has, a single string's letters, or nothing at all are said so."""
    async with house("a") as home:
        for route, why in [
            (Route("x", ["b"]), "unknown provider 'b'"),
            ([], "is empty"),
            ([7], "must be a string"),
        ]:
            with pytest.raises(UsageError, match=why):
                await home.router.call("q", route=route)


async def test_a_stream_only_provider_cannot_be_called() -> None:
    """A route none of whose providers has `call=` says so, and a mixed one leaves it out."""
    async with house(Provider("s", stream=generator)) as home:  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="none of its providers has call="):
            await home.call()
        with pytest.raises(UsageError, match="none of its providers has call="):
            await home.call("s")
        home.router.add(play("a"))
        assert await home.call() == "a: q"


async def test_classify_that_says_cancelled_ends_the_call() -> None:
    """A verdict of `cancelled` on an error is neutral, and the error reaches the caller."""
    error = ConnectionResetError("gone")
    async with house(
        play("a", error), "b", circuit=BRITTLE, classify=lambda e, v: "cancelled" if e else None
    ) as home:
        with pytest.raises(ConnectionResetError):
            await home.call("a", "b")
        assert (home.state("a"), home["b"].count) == ("closed", 0)


async def test_classify_that_says_nonsense_is_told_once() -> None:
    """What is no kind makes the attempt a failure, and is logged."""
    async with house("a", circuit=BRITTLE, classify=lambda e, v: "splendid") as home:
        assert await home.call() == "a: q"
        assert home.state("a") == "open"
        assert len(home.logger.of("classifier broken")) == 1
