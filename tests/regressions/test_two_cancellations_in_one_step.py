"""A deadline that fires just after another cancellation hides neither of them."""

from __future__ import annotations

import asyncio
import math

import anyio
import pytest

from multirouter.runtime.event_loops.asyncio_deadlines import AsyncioDeadlines


@pytest.mark.backends("asyncio", "uvloop")
async def test_a_scope_recognises_its_own_cancellation() -> None:
    """A task that is about to run keeps the scope's cancellation, and the scope ends with it."""
    bound = AsyncioDeadlines(asyncio.get_running_loop()).bound(math.inf)
    scope = anyio.CancelScope()

    async def bounded() -> str:
        with scope, bound:
            await asyncio.sleep(0)  # no future: its task is about to run again
        return "cancelled by the scope"

    task = asyncio.create_task(bounded())
    await asyncio.sleep(0)
    scope.cancel()
    assert bound.expire()
    assert await task == "cancelled by the scope"
    assert scope.cancelled_caught
    assert (bound.expired, bound.stray) == (False, False)


@pytest.mark.backends("asyncio", "uvloop")
async def test_both_of_two_nested_deadlines_count() -> None:
    """When both fire before one step of the task, the outer one ends its block at once."""
    loop = asyncio.get_running_loop()
    outer, inner = (AsyncioDeadlines(loop).bound(math.inf) for _ in range(2))
    began = loop.time()

    async def bounded() -> None:
        with outer:
            with inner:
                await asyncio.sleep(0)
            await asyncio.sleep(60)

    task = asyncio.create_task(bounded())
    await asyncio.sleep(0)
    assert inner.expire()
    assert outer.expire()
    await task
    assert loop.time() == began
    assert outer.expired
    assert not task.cancelling()
