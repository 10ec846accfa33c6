"""A cancel scope that ends a call during the cleanup after a deadline gets its cancellation."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio

from multirouter import Provider, StreamPolicy
from tests.scenarios.harness import harness


async def slow_to_end(*_: object) -> str:
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
    raise AssertionError("always cancelled")


class OneWord:
    """Yields one word, and is slow to end after it."""

    def __init__(self) -> None:
        self.yielded = False

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        if self.yielded:
            await slow_to_end()
        self.yielded = True
        return "word"


async def fails(_: object) -> str:
    raise ConnectionResetError


async def test_a_call_in_cleanup_is_cancelled() -> None:
    """The caller's scope ends the call during the cleanup after its deadline, and goes on."""
    async with harness(Provider("a", slow_to_end)) as env:
        with anyio.move_on_after(11) as scope:
            await env.router.call("q", timeout=10)
        assert scope.cancelled_caught
        assert [call.result for call in env.recorder.calls] == ["cancelled"]


async def test_a_fallback_in_cleanup_is_cancelled() -> None:
    """The caller's scope ends the fallback's cleanup as well."""
    async with harness(Provider("a", fails), fallback=slow_to_end) as env:
        with anyio.move_on_after(1.5) as scope:
            await env.router.call("q", timeout=1)
        assert scope.cancelled_caught
        assert [call.result for call in env.recorder.calls] == ["cancelled"]


async def test_a_stream_in_cleanup_is_cancelled() -> None:
    """The consumer's scope ends the cleanup after a stream's own limit."""
    provider = Provider[object, object, str]("a", stream=lambda _: OneWord())
    async with harness(provider, stream=StreamPolicy(idle=5)) as env:
        with anyio.move_on_after(6) as scope:
            _ = [chunk async for chunk in env.router.stream("q")]
        assert scope.cancelled_caught
        assert [call.result for call in env.recorder.calls] == ["cancelled"]
