"""A cancel scope that cancelled a call while a deadline unwound it did not know the result."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio

from multirouter import Provider, StreamPolicy
from tests.scenarios.kit import house


async def slow_to_leave(*_: object) -> str:
    """Its task group waits for a child, and hides a second cancellation behind the first."""

    async def child() -> None:
        try:
            await anyio.sleep(100)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(2)

    async with anyio.create_task_group() as group:
        group.start_soon(child)
        await anyio.sleep(100)
    raise AssertionError("it is always cancelled")


class Talker:
    """Says one word, and is slow to leave the next."""

    def __init__(self) -> None:
        self.silent = False

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        if self.silent:
            await slow_to_leave()
        self.silent = True
        return "word"


async def dead(_: object) -> str:
    raise ConnectionResetError


async def test_the_caller_is_cancelled_and_nothing_else() -> None:
    """The caller's scope ends the call during the cleanup after its deadline, and goes on."""
    async with house(Provider("a", slow_to_leave)) as home:
        with anyio.move_on_after(11) as scope:
            await home.router.call("q", timeout=10)
        assert scope.cancelled_caught
        assert [call.result for call in home.news.calls] == ["cancelled"]


async def test_a_fallback_that_is_slow_to_leave() -> None:
    """The caller's scope ends the substitute's cleanup as well."""
    async with house(Provider("a", dead), fallback=slow_to_leave) as home:
        with anyio.move_on_after(1.5) as scope:
            await home.router.call("q", timeout=1)
        assert scope.cancelled_caught
        assert [call.result for call in home.news.calls] == ["cancelled"]


async def test_a_stream_that_is_slow_to_leave() -> None:
    """The consumer's scope ends the cleanup after a stream's own limit."""
    provider = Provider[object, object, str]("a", stream=lambda _: Talker())
    async with house(provider, stream=StreamPolicy(idle=5)) as home:
        with anyio.move_on_after(6) as scope:
            _ = [chunk async for chunk in home.router.stream("q")]
        assert scope.cancelled_caught
        assert [call.result for call in home.news.calls] == ["cancelled"]
