"""A provider that made an error of its caller's cancellation was blamed, and others were asked.

`asyncio.timeout` and `task.cancel()` ask once. Who turned that into an exception of its own kept
the call going: the failure counted, the next provider was asked, and the caller waited for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import anyio
import pytest

from multirouter import AllProvidersFailed, Provider
from tests.scenarios.kit import BRITTLE, house, play

pytestmark = pytest.mark.backends("asyncio", "uvloop")

Limited = Callable[[Awaitable[object]], Awaitable[object]]


async def torn(request: object) -> str:
    """Takes its cancellation for a broken connection."""
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


@pytest.mark.parametrize("limited", [by_timeout, by_wait_for, by_scope])
async def test_the_call_ends_with_its_caller(limited: Limited) -> None:
    """Cases 29 and 75: nobody else is asked, nobody is blamed, and the caller gets its timeout."""
    async with house("b", circuit=BRITTLE) as home:
        home.router.add(Provider("a", torn))
        before = anyio.current_time()
        with pytest.raises(TimeoutError):
            await limited(home.call("a", "b"))
        assert anyio.current_time() == before + 1
        assert (home.state("a"), home["b"].count) == ("closed", 0)
        assert [record.verdict.kind for record in home.records("a")] == ["cancelled"]
        assert home.news.calls[-1].result == "cancelled"


async def test_a_stream_ends_with_its_reader() -> None:
    """Case 75: the same before the first content of a stream."""

    async def torn_stream(request: object):  # type: ignore[no-untyped-def] # an async generator
        yield await torn(request)

    async with house("b", circuit=BRITTLE) as home:
        home.router.add(Provider("a", stream=torn_stream))
        home.router.add(Provider("c", stream=torn_stream))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1), home.router.stream("q", route=["a", "c"]):
                raise AssertionError
        assert home.records("c") == []
        assert [record.verdict.kind for record in home.records("a")] == ["cancelled"]


async def test_a_failed_group_of_tasks_is_no_caller_who_left() -> None:
    """Case 35: what a TaskGroup of the provider's raises is its failure, however it counts."""

    async def failing() -> None:
        await anyio.sleep(0.1)
        raise ConnectionResetError("gone")

    async def grouped(request: object) -> str:
        async with asyncio.TaskGroup() as group:
            group.create_task(failing())
        raise AssertionError

    async with house(play("b"), circuit=BRITTLE) as home:
        home.router.add(Provider("a", grouped))
        assert await home.call("a", "b") == "b: q"
        assert home.state("a") == "open"


async def test_our_own_deadline_is_still_the_providers_failure() -> None:
    """Case 69: an attempt's timeout that becomes an error is a timeout, as ever."""
    async with house("b", circuit=BRITTLE, attempt_timeout=2) as home:
        home.router.add(Provider("a", torn))
        outcome = await home.outcome("a")
        assert isinstance(outcome.error, AllProvidersFailed)
        assert (outcome.attempts[0].verdict.kind, home.state("a")) == ("timeout", "open")
