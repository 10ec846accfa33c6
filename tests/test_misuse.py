"""Misuse by the user, and the errors it raises."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any
from unittest import mock

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import (
    CircuitPolicy,
    ConfigurationError,
    HedgePolicy,
    MultiProviderRouter,
    Provider,
    Route,
    Shadow,
    UsageError,
    by_length,
)
from tests.scenarios.harness import TRIPS_AT_ONCE, Logger, harness, scripted


async def answer(request: object) -> object:
    return request


class Client:
    """A client with methods, and callable itself."""

    async def call(self, request: object) -> object:
        return request

    async def __call__(self, request: object) -> object:
        return request

    @staticmethod
    async def static(request: object) -> object:
        return request

    @classmethod
    async def class_method(cls, request: object) -> object:
        return request


def returns_awaitable(request: object) -> Awaitable[object]:
    """A plain function that returns an awaitable."""
    return answer(request)


async def with_options(option: int, request: object) -> object:
    return request


VALID: dict[str, Callable[..., Any]] = {
    "coroutine function": answer,
    "bound method": Client().call,
    "object": Client(),
    "static method": Client.static,
    "class method": Client.class_method,
    "partial": functools.partial(with_options, 7),
    "partial of a partial": functools.partial(functools.partial(with_options), 7),
    "plain function that returns an awaitable": returns_awaitable,
    "lambda": lambda request: with_options(7, request),
}


@pytest.mark.parametrize("call", VALID.values(), ids=VALID.keys())
async def test_any_callable_that_returns_an_awaitable(call: Callable[..., Any]) -> None:
    """Functions, methods, partials and objects alike."""
    async with harness() as env:
        env.router.add(Provider("a", call))
        assert await env.call() == "q"


def plain(request: str) -> str:
    return request


def plain_as_text(request: str) -> dict[str, str]:
    return {}


async def generator(request: str) -> Any:
    yield request


INVALID: list[tuple[Any, str]] = [
    (plain, r"got the plain function plain\(\)"),
    (plain_as_text, "got the plain function"),
    (functools.partial(plain), "got the plain function"),
    (generator, "pass it as stream="),
    (Client, r"must take \(request\), got Client\(\)"),
    (functools.partial(answer, "q"), r"must take \(request\), got answer\(\)"),
    ("gpt", "must be an async function, got 'gpt'"),
    (7, "must be an async function, got 7"),
]


@pytest.mark.parametrize(("call", "why"), INVALID)
def test_invalid_call_raises_at_once(call: Any, why: str) -> None:
    """The error names the provider and says what is wrong."""
    with pytest.raises(ConfigurationError, match=why) as caught:
        Provider("a", call)
    assert caught.value.what == "Provider('a').call"


class PlainClient:
    """A client that is called and not awaited."""

    def __call__(self, request):
        return "text"


NOT_AWAITABLE: dict[str, Callable[..., Any]] = {
    "lambda": lambda request: "text",
    "object": PlainClient(),
    "mock": mock.MagicMock(return_value="text"),
    "builtin": len,
}


@pytest.mark.parametrize("call", NOT_AWAITABLE.values(), ids=NOT_AWAITABLE.keys())
async def test_non_awaitable_raises_at_the_first_call(call: Callable[..., Any]) -> None:
    """A UsageError names the provider; there is no failover, and no circuit changes."""
    async with harness("b", circuit=TRIPS_AT_ONCE) as env:
        env.router.add(Provider("a", call))
        with pytest.raises(UsageError, match="'a'"):
            await env.call("a", "b")
        assert (env.state("a"), env["b"].count) == ("closed", 0)
        assert env.router.in_flight("a") == 0


async def forgets_await(request: object) -> object:
    return answer(request)


async def forgets_a_future(request: object) -> object:
    return asyncio.get_running_loop().create_future()


class Lazy:
    """An answer of another library that must be awaited."""

    def __await__(self) -> Any:
        yield


async def forgets_an_object(request: object) -> object:
    return Lazy()


@pytest.mark.parametrize("call", [forgets_await, forgets_an_object])
@pytest.mark.parametrize("hedge", [None, HedgePolicy(after=1.0)], ids=["", "hedged"])
async def test_an_answer_that_nothing_awaits(call: Any, hedge: HedgePolicy | None) -> None:
    """A missing `await` in the provider's function is named, and blamed on no provider."""
    async with harness("b", circuit=TRIPS_AT_ONCE, hedge=hedge) as env:
        env.router.add(Provider("a", call))
        with pytest.raises(UsageError, match=r"^Provider\('a'\) answered with a .* an `await` is"):
            await env.call("a", "b")
        assert (env.state("a"), env["b"].count) == ("closed", 0)
        assert env.router.in_flight("a") == 0


@pytest.mark.backends("asyncio", "uvloop")
async def test_a_future_that_nothing_awaits() -> None:
    """The same for a future, as of `run_in_executor`."""
    async with harness() as env:
        env.router.add(Provider("a", forgets_a_future))
        with pytest.raises(UsageError, match=r"answered with a _?(Future|asyncio)"):
            await env.call()


async def test_a_shadow_copy_that_nothing_awaits_is_recorded() -> None:
    """It fails no call, and counts against no provider."""
    async with harness("a", routes=[Route("default", ["a"])]) as env:
        env.router.add(Provider("b", forgets_await))
        env.router.reconfigure(
            env.router.providers, [Route("default", ["a"], shadow=Shadow(["b"], share=1.0))]
        )
        await env.call()
        await anyio.sleep(1)
        (record,) = env.records("b")
        assert (record.role, record.outcome, record.verdict.reason) == (
            "shadow",
            "cancelled",
            "misuse",
        )
        assert "an `await` is missing" in str(record.error)


async def test_an_accept_that_hides_its_async() -> None:
    """A coroutine is never false, so it would accept every answer; it is named instead."""

    async def judge(answer: object) -> bool:
        return False

    hidden = Route("hidden", ["a"], accept=lambda answer: judge(answer))  # noqa: PLW0108
    async with harness("a", circuit=TRIPS_AT_ONCE, routes=[hidden]) as env:
        with pytest.raises(UsageError, match=r"^accept= must be a plain function"):
            await env.router.call("q", route="hidden")
        assert env.state("a") == "closed"


async def test_type_error_in_the_providers_code_is_its_failure() -> None:
    """A TypeError raised in the provider's own code is no misuse."""

    async def failing(request: Any) -> Any:
        return request + 1

    async with harness("b", circuit=TRIPS_AT_ONCE) as env:
        env.router.add(Provider("a", failing))
        assert await env.call("a", "b") == "b: q"
        assert env.state("a") == "open"


def create_router(*providers: Any, **settings: Any) -> MultiProviderRouter[Any, Any, Any]:
    settings = {"registry": CollectorRegistry(), "logger": Logger()} | settings
    return MultiProviderRouter(providers, **settings)


INVALID_SETTINGS: dict[str, Callable[[], object]] = {
    "a name": lambda: create_router(name=""),
    "a name with blanks": lambda: create_router(name=" x "),
    "a timeout": lambda: create_router(timeout="1"),
    "a panic": lambda: create_router(panic=2),
    "a route": lambda: create_router(scripted("a"), routes=["a"]),
    "a route twice": lambda: create_router(
        scripted("a"), routes=[Route("r", ["a"]), Route("r", ["a"])]
    ),
    "a reserved route": lambda: create_router(scripted("a"), routes=[Route("adhoc", ["a"])]),
    "a rule": lambda: create_router(rules={"no_such": 1}),
    "a registry": lambda: create_router(registry=object()),
    "weights of a route": lambda: create_router(
        scripted("a"), routes=[Route("r", ["a"], weights={"b": 1.0})]
    ),
    "lengths": lambda: by_length(5),  # type: ignore[arg-type]
    "no call": lambda: Provider("a"),  # type: ignore[call-overload]
    "names": lambda: Provider("", answer),
    "tags": lambda: scripted("a", tags="cheap"),
    "a window": lambda: scripted("a", context_window=0),
    "failures": lambda: CircuitPolicy(failures=0),
    "trials": lambda: CircuitPolicy(half_open_max_calls=1.5),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("make", INVALID_SETTINGS.values(), ids=INVALID_SETTINGS.keys())
def test_invalid_settings_raise_at_construction(make: Callable[[], object]) -> None:
    """Every setting that can be checked before the first call is."""
    with pytest.raises(ConfigurationError):
        make()


@pytest.mark.parametrize("name", [None, 5, ["a"], scripted("a")], ids=type)
async def test_what_is_no_name_is_no_provider(name: Any) -> None:
    """Such as a `Provider` in the place of its name, or a list, which cannot be looked up."""
    async with harness("a") as env:
        router = env.router
        for method in (
            router.remove,
            router.update,
            functools.partial(router.hold, how="open"),
            router.unhold,
            router.in_flight,
            router.circuit_state,
            router.available,
        ):
            with pytest.raises(UsageError, match=r"unknown provider .*; a name must be a string"):
                method(name)


async def test_what_is_no_list_changes_nothing() -> None:
    """A list of providers or routes that is none is rejected before anything is changed."""
    async with harness("a") as env:
        for arguments in ((None,), (env.router.providers, None), ("a",)):
            with pytest.raises(ConfigurationError, match="must be a list of"):
                env.router.reconfigure(*arguments)
        assert await env.call() == "a: q"


async def test_invalid_routes_of_a_call() -> None:
    """An unknown name, an empty list or a wrong type raise."""
    async with harness("a") as env:
        for route, why in [
            (Route("x", ["b"]), "unknown provider 'b'"),
            ([], "must not be empty"),
            ([7], "must be a non-empty printable string"),
        ]:
            with pytest.raises(UsageError, match=why):
                await env.router.call("q", route=route)


async def test_stream_only_provider_cannot_be_called() -> None:
    """A route without `call=` raises; in a mixed one only those with `call=` are attempted."""
    async with harness(Provider("s", stream=generator)) as env:  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="none of its providers has call="):
            await env.call()
        with pytest.raises(UsageError, match="none of its providers has call="):
            await env.call("s")
        env.router.add(scripted("a"))
        assert await env.call() == "a: q"


async def test_classify_cancelled_ends_the_call() -> None:
    """A verdict of `cancelled` on an error is neutral, and the error is raised."""
    error = ConnectionResetError("gone")
    async with harness(
        scripted("a", error),
        "b",
        circuit=TRIPS_AT_ONCE,
        classify=lambda e, v: "cancelled" if e else None,
    ) as env:
        with pytest.raises(ConnectionResetError):
            await env.call("a", "b")
        assert (env.state("a"), env["b"].count) == ("closed", 0)


async def test_classify_with_an_invalid_kind() -> None:
    """An invalid kind makes the attempt a failure, and is logged once."""
    async with harness("a", circuit=TRIPS_AT_ONCE, classify=lambda e, v: "unheard-of") as env:
        assert await env.call() == "a: q"
        assert env.state("a") == "open"
        assert len(env.logger.of("classifier failed")) == 1
