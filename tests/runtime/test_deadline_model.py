"""Deadline blocks of many concurrent tasks on asyncio, compared with a model."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from multirouter.runtime.event_loops.asyncio_deadlines import AsyncioDeadlines
from multirouter.runtime.event_loops.deadline import AsyncioBound
from multirouter.testing import VirtualLoop

GRACE = 1.0


@dataclass(frozen=True)
class Script:
    """Script of one task, seconds. Different fractions keep its events at different instants.

    Attributes:
        start: when it enters its block.
        lasts: how long the block waits when it is not cancelled (ends at a quarter).
        limit: its deadline, from the start (at a half), or `math.inf`.
        cancelled_at: when the caller cancels, from the start (at three quarters), or `math.inf`.
        swallows: how many cancellations it swallows before one ends it.
        raises: whether it then raises another exception.
    """

    start: int
    lasts: int
    limit: float
    cancelled_at: float
    swallows: int
    raises: bool

    def outcome(self) -> tuple[str, bool, float]:
        """The expected result: how the task ends, whether its deadline expired, and when."""
        end = self.start + self.lasts + 0.25
        cancels_at = [self.start + self.limit + 0.5 + GRACE * n for n in range(20)]
        cancelled_at = self.start + self.cancelled_at + 0.75
        cancels = sorted(t for t in [*cancels_at, cancelled_at] if t < end)
        if len(cancels) <= self.swallows:
            return "value", False, end
        at = cancels[self.swallows]
        expired, by_caller = cancels_at[0] <= at, cancelled_at <= at
        if by_caller:
            return "cancelled", False, at
        return "error" if self.raises else "expired", expired, at


def at_second(maximum: int) -> st.SearchStrategy[float]:
    return st.one_of(st.just(math.inf), st.integers(0, maximum).map(float))


scripts = st.builds(
    Script,
    start=st.integers(0, 6),
    lasts=st.integers(0, 12),
    limit=at_second(10),
    cancelled_at=at_second(10),
    swallows=st.integers(0, 4),
    raises=st.booleans(),
)


async def wait_swallowing(until: float, swallows: int) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            return await asyncio.sleep(until - loop.time())
        except asyncio.CancelledError:
            swallows -= 1
            if swallows < 0:
                raise


async def run_script(script: Script, bound: AsyncioBound) -> str:
    try:
        with bound:
            try:
                await wait_swallowing(script.start + script.lasts + 0.25, script.swallows)
            except asyncio.CancelledError:
                if script.raises:
                    raise ValueError from None
                raise
            return "value"
    except ValueError:
        return "error"
    except asyncio.CancelledError:
        return "cancelled"
    return "expired"


async def run_task(script: Script, all_deadlines: AsyncioDeadlines) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(script.start)
    task = asyncio.current_task()
    assert task is not None
    cancel_handle = loop.call_at(script.start + script.cancelled_at + 0.75, task.cancel)
    bound = all_deadlines.bound(script.start + script.limit + 0.5)
    ended = await run_script(script, bound)
    assert (ended, bound.expired, loop.time()) == script.outcome()
    assert not bound.stray
    caller_cancelled = script.start + script.cancelled_at + 0.75 <= loop.time()
    assert task.cancelling() == int(caller_cancelled)
    cancel_handle.cancel()
    # A cancellation that leaked out of the block would end this wait.
    await asyncio.sleep(0)


@given(st.lists(scripts, max_size=12))
def test_many_tasks_end_as_the_model_predicts(task_scripts: list[Script]) -> None:
    """Durations, deadlines and cancellations in any mixture end as predicted and leave nothing."""

    async def main() -> None:
        all_deadlines = AsyncioDeadlines(asyncio.get_running_loop(), grace=GRACE)
        await asyncio.gather(*(run_task(script, all_deadlines) for script in task_scripts))
        assert all_deadlines.open == 0
        assert all_deadlines._heap == []
        all_deadlines.close()
        assert (all_deadlines.earliest, all_deadlines.overdue_at) == (math.inf, math.inf)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())
