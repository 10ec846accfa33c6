"""Requests are released when their call ends: no reference cycle keeps them for the collector."""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import (
    CircuitPolicy,
    HedgePolicy,
    MultiProviderRouter,
    Price,
    Provider,
    RetryPolicy,
    Route,
    Shadow,
    StreamPolicy,
    UsageError,
)
from tests.scenarios.harness import NO_RETRIES, TICK, TRIPS_AT_ONCE, Logger


class Request(dict[str, Any]):
    """A request that can be weakly referenced."""


class Refused(Exception):
    status_code = 400


async def good(request: Any) -> str:
    return "answer"


async def down(request: Any) -> str:
    raise ConnectionError("down")


async def hangs(request: Any) -> str:
    await anyio.sleep_forever()
    raise AssertionError


async def refuses(request: Any) -> str:
    raise Refused("no")


async def words(request: Any) -> AsyncIterator[str]:
    yield "one"
    yield "two"


async def broken(request: Any) -> AsyncIterator[str]:
    yield "one"
    raise ConnectionError("gone")


async def never_begins(request: Any) -> AsyncIterator[str]:
    raise ConnectionError("down")
    yield "never"


async def refuses_stream(request: Any) -> AsyncIterator[str]:
    raise Refused("no")
    yield "never"


async def stalls(request: Any) -> AsyncIterator[str]:
    yield "one"
    await anyio.sleep_forever()


def fails(*args: Any) -> Any:
    raise LookupError("no")


AnyRouter = MultiProviderRouter[Any, Any, Any]
CHAIN = [Route("default", ["a", "b"])]
STEADY = CircuitPolicy(failures=1000)


def router(a: Any, b: Any = good, **settings: Any) -> AnyRouter:
    """A router of two providers in a chain, whose circuits stay closed."""
    settings = {"circuit": STEADY, "routes": CHAIN, "retry": NO_RETRIES} | settings
    settings |= {"registry": CollectorRegistry(), "logger": Logger()}
    return MultiProviderRouter([Provider("a", a), Provider("b", b)], **settings)


def streams(a: Any, b: Any = words, **settings: Any) -> AnyRouter:
    """The same with providers that stream."""
    settings = {"circuit": STEADY, "routes": CHAIN, "retry": NO_RETRIES} | settings
    settings |= {"registry": CollectorRegistry(), "logger": Logger()}
    return MultiProviderRouter([Provider("a", stream=a), Provider("b", stream=b)], **settings)


def held(r: AnyRouter) -> AnyRouter:
    r.hold("a", "open")
    r.hold("b", "open")
    return r


CALLS: dict[str, Callable[[], AnyRouter]] = {
    "answered": lambda: router(good),
    "failover": lambda: router(down),
    "all fail": lambda: router(down, down),
    "request at fault": lambda: router(refuses),
    "attempt timeout": lambda: router(hangs, attempt_timeout=0.1),
    "call timeout": lambda: router(hangs, timeout=0.1),
    "retries": lambda: router(down, down, retry=RetryPolicy(attempts=3, base=0.01)),
    "no provider": lambda: held(router(good)),
    "fallback": lambda: router(down, down, fallback="sorry"),
    "fallback that raises": lambda: router(down, down, fallback=fails),
    "accept": lambda: router(good, accept=lambda answer: False),
    "transform": lambda: router(good, routes=[Route("default", ["a"], transform=fails)]),
    "misuse": lambda: router(lambda request: "plain"),
    "hedge wins": lambda: router(hangs, hedge=HedgePolicy(after=0.01), retry=RetryPolicy()),
    "hedge fails": lambda: router(down, down, hedge=HedgePolicy(after=0.01)),
    "shadow": lambda: router(
        good, down, routes=[Route("default", ["a"], shadow=Shadow(["b"], share=1.0))]
    ),
    "trial": lambda: router(down, circuit=TRIPS_AT_ONCE),
    "failing health check": lambda: with_health_check(router(down, circuit=TRIPS_AT_ONCE)),
    "priced": lambda: MultiProviderRouter(
        [Provider("a", good, price=Price(1, 1))], registry=CollectorRegistry(), logger=Logger()
    ),
}

STREAMS: dict[str, Callable[[], AnyRouter]] = {
    "read to the end": lambda: streams(words),
    "failover": lambda: streams(never_begins),
    "all fail": lambda: streams(never_begins, never_begins),
    "request at fault": lambda: streams(refuses_stream),
    "broken": lambda: streams(broken),
    "idle": lambda: streams(stalls, stream=StreamPolicy(idle=0.1)),
    "too slow": lambda: streams(stalls, stream=StreamPolicy(min_rate=100, rate_window=0.1)),
    "continued": lambda: streams(broken, stream=StreamPolicy(on_interrupt="continue")),
    "restarted": lambda: streams(broken, stream=StreamPolicy(on_interrupt="restart")),
    "not continued": lambda: streams(
        broken, never_begins, stream=StreamPolicy(on_interrupt="restart")
    ),
    "hook that raises": lambda: streams(words, stream=StreamPolicy(content=fails)),
    "hedged": lambda: streams(stalls_at_once, hedge=HedgePolicy(after=0.01), retry=RetryPolicy()),
    "trial": lambda: streams(never_begins, circuit=TRIPS_AT_ONCE),
    "trial that breaks": lambda: streams(broken, circuit=TRIPS_AT_ONCE),
}


async def stalls_at_once(request: Any) -> AsyncIterator[str]:
    await anyio.sleep_forever()
    yield "never"


def with_health_check(r: AnyRouter) -> AnyRouter:
    async def check() -> None:
        raise ConnectionError("still down")

    r.update("a", health_check=check)
    return r


@pytest.fixture
def without_collector() -> Iterator[None]:
    """Disables the collector of reference cycles."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def left_after(r: AnyRouter, one: Callable[[AnyRouter, Request], Any]) -> int:
    """How many of ten requests are alive after their calls, some of which are trials."""
    alive: list[weakref.ref[Request]] = []

    async def task() -> None:
        request = Request(n=1)
        alive.append(weakref.ref(request))
        await one(r, request)

    async with r:
        for _ in range(10):
            async with anyio.create_task_group() as group:
                group.start_soon(task)
            await anyio.sleep(6)
        await anyio.sleep(1)
        return sum(ref() is not None for ref in alive)


async def call(r: AnyRouter, request: Request) -> None:
    with suppress(Exception):
        await r.call(request)


async def outcome(r: AnyRouter, request: Request) -> None:
    with suppress(UsageError):
        await r.call_outcome(request)


async def read(r: AnyRouter, request: Request) -> None:
    with suppress(Exception):
        async for _ in r.stream(request):
            await anyio.sleep(0)


async def cancelled(r: AnyRouter, request: Request) -> None:
    with anyio.move_on_after(TICK):
        await r.call(request, wait=60)


async def cancelled_stream(r: AnyRouter, request: Request) -> None:
    with anyio.move_on_after(TICK):
        async with r.stream(request) as stream:
            async for _ in stream:
                await anyio.sleep(0)


@pytest.mark.parametrize("make", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("how", [call, outcome], ids=["call", "call_outcome"])
async def test_a_call_releases_its_request(
    make: Callable[[], AnyRouter], how: Any, without_collector: None
) -> None:
    """Whatever the outcome: a failed attempt's traceback holds the frames of the call."""
    assert await left_after(make(), how) == 0


@pytest.mark.parametrize("make", STREAMS.values(), ids=STREAMS)
async def test_a_stream_releases_its_request(
    make: Callable[[], AnyRouter], without_collector: None
) -> None:
    """However it ends; a consumer with a name for a failed stream holds its error itself."""
    assert await left_after(make(), read) == 0


@pytest.mark.parametrize(
    ("make", "how"),
    [
        (lambda: router(hangs), cancelled),
        (lambda: router(hangs, hangs, hedge=HedgePolicy(after=0.001)), cancelled),
        (lambda: held(router(good)), cancelled),
        (lambda: streams(stalls), cancelled_stream),
        (lambda: streams(stalls_at_once), cancelled_stream),
    ],
    ids=["call", "hedged", "waiting", "stream", "opening stream"],
)
async def test_a_cancelled_call_releases_its_request(
    make: Callable[[], AnyRouter], how: Any, without_collector: None
) -> None:
    """Its CancelledError is in the trail, too."""
    assert await left_after(make(), how) == 0
