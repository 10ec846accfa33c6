"""Deadline blocks on asyncio: whose cancellation it was, and odd tasks, futures and loops."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from multirouter.errors import ConfigurationError, UsageError
from multirouter.runtime.event_loops.asyncio_deadlines import AsyncioDeadlines
from multirouter.runtime.event_loops.deadline import AsyncioBound
from multirouter.testing import VirtualLoop
from tests.runtime.test_deadline import verdict

asyncio_only = pytest.mark.backends("asyncio", "uvloop")


@pytest.mark.parametrize("caller_first", [True, False])
@asyncio_only
async def test_a_deadline_in_the_callers_tick_keeps_the_callers_cancellation(
    caller_first: bool,
) -> None:
    """Case 71: in either order CancelledError propagates and `cancelling()` is the caller's."""
    loop = asyncio.get_running_loop()
    all_deadlines = AsyncioDeadlines(loop)
    bounds: list[AsyncioBound] = []

    async def call() -> None:
        with all_deadlines.bound(2.0) as bound:
            bounds.append(bound)
            await asyncio.sleep(100)

    task = asyncio.create_task(call())
    if caller_first:
        loop.call_at(2.0, task.cancel)
        await asyncio.sleep(0)
    else:
        await asyncio.sleep(0)
        loop.call_at(2.0, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (loop.time(), task.cancelling(), verdict(bounds[0])) == (2.0, 1, (False, False))


@asyncio_only
async def test_the_callers_cancellation_alone_propagates() -> None:
    """Case 69: the caller's cancellation is neither expiry nor stray."""
    bound = AsyncioDeadlines(asyncio.get_running_loop()).bound(9.0)

    async def call() -> None:
        with bound:
            await asyncio.sleep(100)

    task = asyncio.create_task(call())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert verdict(bound) == (False, False)


@asyncio_only
async def test_a_deadline_works_in_a_task_that_swallowed_a_cancellation_before() -> None:
    """A cancellation before the entry is not taken for a new one (as Python 3.11.2 does)."""
    all_deadlines = AsyncioDeadlines(asyncio.get_running_loop())

    async def call() -> tuple[bool, int]:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            with all_deadlines.bound(5.0) as bound:
                await asyncio.sleep(100)
        return bound.expired, asyncio.current_task().cancelling()

    task = asyncio.create_task(call())
    await asyncio.sleep(1)
    task.cancel()
    assert await task == (True, 1)


@pytest.mark.parametrize("deadline", [5.0, math.inf])
@asyncio_only
async def test_a_stray_cancellation_is_swallowed(deadline: float) -> None:
    """Case 33: a CancelledError without a cancelled task is swallowed and reported as stray."""
    with AsyncioDeadlines(asyncio.get_running_loop()).bound(deadline) as bound:
        raise asyncio.CancelledError
    assert verdict(bound) == (False, True)
    with AsyncioDeadlines(asyncio.get_running_loop()).bound(deadline) as bound:
        orphan = asyncio.get_running_loop().create_future()
        orphan.cancel()
        await orphan
    assert verdict(bound) == (False, True)
    await asyncio.sleep(1)


@pytest.mark.parametrize("swallowed", [1, 2, 5])
@asyncio_only
async def test_a_block_that_swallows_its_cancellation_is_cancelled_again(swallowed: int) -> None:
    """Case 34: once more after each `grace`; at the end the task's cancellation count is 0."""
    loop = asyncio.get_running_loop()
    all_deadlines = AsyncioDeadlines(loop, grace=0.5)
    with all_deadlines.bound(2.0) as bound:
        for _ in range(swallowed):
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(100)
        await asyncio.sleep(100)
    assert bound.expired
    assert (loop.time(), asyncio.current_task().cancelling()) == (2.0 + 0.5 * swallowed, 0)
    assert all_deadlines.open == 0
    await asyncio.sleep(5)


@asyncio_only
async def test_entering_outside_a_task_raises() -> None:
    """A callback of the loop is not a task: entering there raises UsageError."""
    loop = asyncio.get_running_loop()
    reported = loop.create_future()

    def callback() -> None:
        try:
            AsyncioDeadlines(loop).bound(1.0).__enter__()
        except UsageError as error:
            reported.set_result(str(error))

    loop.call_soon(callback)
    assert "needs a running task" in await reported


@pytest.mark.parametrize("grace", [0, -1, math.nan, math.inf, "1", True])
@asyncio_only
async def test_grace_must_be_a_finite_number_above_0(grace: Any) -> None:
    """Anything else raises ConfigurationError."""
    with pytest.raises(ConfigurationError, match="grace"):
        AsyncioDeadlines(asyncio.get_running_loop(), grace=grace)


@asyncio_only
async def test_a_block_whose_task_ended_without_leaving_it_is_dropped_once() -> None:
    """A block left open in an abandoned generator is dropped at its deadline, and only once."""
    all_deadlines = AsyncioDeadlines(asyncio.get_running_loop())

    async def generator() -> Any:
        with all_deadlines.bound(2.0):
            yield

    abandoned = generator()
    await asyncio.create_task(anext(abandoned))
    with ExitStack() as others:
        for _ in range(3):
            others.enter_context(all_deadlines.bound(30.0))
        assert all_deadlines.open == 4
        await asyncio.sleep(5)
        assert all_deadlines.open == 3
        await abandoned.aclose()
        assert all_deadlines.open == 3
    assert all_deadlines.open == 0


@asyncio_only
async def test_a_future_that_fails_to_cancel_does_not_stop_the_deadlines() -> None:
    """When one block's future raises from `cancel`, the others still end, one `grace` later."""
    loop = asyncio.get_running_loop()
    reported: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: reported.append(context))

    class Stubborn(asyncio.Future[None]):
        def cancel(self, msg: object = None) -> bool:
            if reported:
                return super().cancel(msg)
            raise ValueError("no")

    all_deadlines = AsyncioDeadlines(loop, grace=1.0)

    async def one(awaited: Callable[[], Any]) -> tuple[bool, float]:
        with all_deadlines.bound(2.0) as bound:
            await awaited()
        return bound.expired, loop.time()

    first = asyncio.create_task(one(lambda: Stubborn(loop=loop)))
    second = asyncio.create_task(one(lambda: asyncio.sleep(100)))
    assert await second == (True, 3.0)
    with pytest.raises(asyncio.CancelledError):
        await first
    assert str(reported[0]["exception"]) == "no"


class CoarseLoop(VirtualLoop):
    """Rounds each timer to the nearest millisecond, as uvloop does."""

    def call_at(self, when: float, *args: Any, **options: Any) -> asyncio.TimerHandle:
        delay = round((when - self.time()) * 1000) / 1000
        return super().call_at(self.time() + delay, *args, **options)


@pytest.mark.parametrize("deadline", [0.0304, 0.0309, 0.03, 0.00049])
def test_a_coarse_timer_makes_a_deadline_late_but_never_early(deadline: float) -> None:
    """On a loop of whole milliseconds a block ends at most 1 ms after its deadline."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        with AsyncioDeadlines(loop).bound(deadline) as bound:
            await asyncio.sleep(100)
        assert bound.expired
        return loop.time()

    with asyncio.Runner(loop_factory=CoarseLoop) as runner:
        assert deadline <= runner.run(main()) <= deadline + 0.001
