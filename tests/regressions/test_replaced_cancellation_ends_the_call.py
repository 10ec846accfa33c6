"""A provider that replaces its caller's cancellation by an error does not cause a failover.

`asyncio.timeout` and `task.cancel()` cancel once. A provider that turned the cancellation into an
exception of its own kept the call going: the failure counted, the next provider was attempted, and
the caller waited for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import anyio
import pytest

from multirouter import AllProvidersFailed, Provider
from tests.scenarios.harness import TRIPS_AT_ONCE, harness, scripted

pytestmark = pytest.mark.backends("asyncio", "uvloop")

Limiter = Callable[[Awaitable[object]], Awaitable[object]]


async def replaces_cancellation(request: object) -> str:
    """Treats its cancellation as a broken connection."""
    try:
        await anyio.sleep(10)
    except BaseException as error:
        raise ConnectionResetError("gone") from error
    raise AssertionError


async def by_timeout(call: Awaitable[object]) -> object:
    async with asyncio.timeout(1):
        return await call


async def by_wait_for(call: Awaitable[object]) -> object:
    return await asyncio.wait_for(call, 1)


async def by_scope(call: Awaitable[object]) -> object:
    with anyio.fail_after(1):
        return await call


@pytest.mark.parametrize("limiter", [by_timeout, by_wait_for, by_scope])
async def test_a_call_ends_with_its_caller(limiter: Limiter) -> None:
    """Cases 29 and 75: no failover, no failure counts, and the caller gets its timeout."""
    async with harness("b", circuit=TRIPS_AT_ONCE) as env:
        env.router.add(Provider("a", replaces_cancellation))
        before = anyio.current_time()
        with pytest.raises(TimeoutError):
            await limiter(env.call("a", "b"))
        assert anyio.current_time() == before + 1
        assert (env.state("a"), env["b"].count) == ("closed", 0)
        assert [record.verdict.kind for record in env.records("a")] == ["cancelled"]
        assert env.recorder.calls[-1].result == "cancelled"


async def test_a_stream_ends_with_its_reader() -> None:
    """Case 75: the same before the first content of a stream."""

    async def replaces_cancellation_stream(request: object):  # type: ignore[no-untyped-def] # an async generator
        yield await replaces_cancellation(request)

    async with harness("b", circuit=TRIPS_AT_ONCE) as env:
        env.router.add(Provider("a", stream=replaces_cancellation_stream))
        env.router.add(Provider("c", stream=replaces_cancellation_stream))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1), env.router.stream("q", route=["a", "c"]):
                raise AssertionError
        assert env.records("c") == []
        assert [record.verdict.kind for record in env.records("a")] == ["cancelled"]


async def test_a_failed_task_group_is_a_failure() -> None:
    """Case 35: an error of the provider's TaskGroup is a failure, whatever the cancel count."""

    async def failing() -> None:
        await anyio.sleep(0.1)
        raise ConnectionResetError("gone")

    async def grouped(request: object) -> str:
        async with asyncio.TaskGroup() as group:
            group.create_task(failing())
        raise AssertionError

    async with harness(scripted("b"), circuit=TRIPS_AT_ONCE) as env:
        env.router.add(Provider("a", grouped))
        assert await env.call("a", "b") == "b: q"
        assert env.state("a") == "open"


async def test_a_replaced_attempt_timeout_is_a_timeout() -> None:
    """Case 69: an attempt's timeout that becomes another error still counts as a timeout."""
    async with harness("b", circuit=TRIPS_AT_ONCE, attempt_timeout=2) as env:
        env.router.add(Provider("a", replaces_cancellation))
        outcome = await env.outcome("a")
        assert isinstance(outcome.error, AllProvidersFailed)
        assert (outcome.attempts[0].verdict.kind, env.state("a")) == ("timeout", "open")
