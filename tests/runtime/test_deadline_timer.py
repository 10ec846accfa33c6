"""The shared timer of the deadlines on asyncio: moved, stopped, and bounded in memory."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import math
import weakref
from typing import Any

import pytest

from multirouter.runtime.event_loops.asyncio_deadlines import AsyncioDeadlines
from multirouter.runtime.event_loops.stalls import BEAT
from multirouter.testing import VirtualClock

asyncio_only = pytest.mark.backends("asyncio", "uvloop")


@asyncio_only
async def test_many_calls_share_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand calls in sequence set one timer a beat; without open blocks there is none."""
    loop = asyncio.get_running_loop()
    all_deadlines = AsyncioDeadlines(loop)
    timers: list[float] = []
    expect = AsyncioDeadlines.expect

    def recording(self: AsyncioDeadlines, now: float, due: float) -> None:
        timers.append(due)
        expect(self, now, due)

    monkeypatch.setattr(AsyncioDeadlines, "expect", recording)
    for _ in range(1000):
        with all_deadlines.bound(loop.time() + 30):
            await asyncio.sleep(0.0078125)
    beats = round(1000 * 0.0078125 / BEAT)
    assert timers[:beats] == [BEAT * number for number in range(1, beats + 1)]
    assert len(timers) <= beats + 1
    del timers[:]
    await asyncio.sleep(100)
    assert (timers, all_deadlines.overdue_at) == ([], math.inf)
    now = loop.time()
    with (
        all_deadlines.bound(now + 10),
        all_deadlines.bound(now + 0.2),
        all_deadlines.bound(now + 1),
    ):
        pass
    assert timers == [now + BEAT, now + 0.2]


@asyncio_only
async def test_a_cleanup_gets_the_time_of_a_stall_back() -> None:
    """A block that swallowed its cancellation is cancelled again after its own time."""
    all_deadlines = AsyncioDeadlines(asyncio.get_running_loop(), grace=1.0)
    cleaned = False

    async def slow_cleanup() -> None:
        nonlocal cleaned
        with all_deadlines.bound(1.0) as bound:
            try:
                await asyncio.sleep(100)
            finally:
                await asyncio.sleep(0.9)
                cleaned = True
        assert bound.expired

    task = asyncio.create_task(slow_cleanup())
    await asyncio.sleep(1.2)
    VirtualClock.stall(5.0)
    await task
    assert cleaned


@asyncio_only
async def test_a_block_entered_just_after_a_stall_gets_no_time_back() -> None:
    """It was not open during the stall, although the timer has not run since."""
    loop = asyncio.get_running_loop()
    all_deadlines = AsyncioDeadlines(loop)
    with all_deadlines.bound(30.0) as before:
        await asyncio.sleep(1.0)
        VirtualClock.stall(10.0)
        with all_deadlines.bound(loop.time() + 1.0) as after:
            await asyncio.sleep(100)
        assert (after.expired, loop.time()) == (True, 12.0)
        assert 40.0 <= before.deadline <= 40.0 + BEAT


@asyncio_only
async def test_a_stall_removes_stale_entries() -> None:
    """Blocks that have ended get no time back; those that are open keep their order."""
    loop = asyncio.get_running_loop()
    all_deadlines = AsyncioDeadlines(loop)

    async def one(seconds: float, deadline: float) -> float:
        with all_deadlines.bound(deadline):
            await asyncio.sleep(seconds)
        return loop.time()

    deadlines = (10.0, 20.0, 30.0)
    tasks = [asyncio.create_task(one(100.0, deadline)) for deadline in deadlines]
    ended = asyncio.create_task(one(1.5, 40.0))
    with all_deadlines.bound(1.0):
        await asyncio.sleep(100)
    await ended
    assert (all_deadlines.open, len(all_deadlines._heap)) == (3, 5)
    VirtualClock.stall(50.0)
    assert await asyncio.gather(*tasks) == [pytest.approx(50 + at, abs=BEAT) for at in deadlines]
    assert (all_deadlines.open, all_deadlines._heap) == (0, [])


@asyncio_only
async def test_blocks_without_a_deadline_need_no_timer() -> None:
    """A program that waits in such blocks alone does not wake up."""
    all_deadlines = AsyncioDeadlines(asyncio.get_running_loop())
    with all_deadlines.bound(math.inf):
        assert all_deadlines.overdue_at == math.inf


@asyncio_only
async def test_memory_is_bounded_by_the_blocks_that_are_open() -> None:
    """However many blocks came and went, at least half of the kept entries are open blocks."""
    loop = asyncio.get_running_loop()
    all_deadlines = AsyncioDeadlines(loop)

    async def one(seconds: float, deadline: float) -> None:
        with all_deadlines.bound(deadline):
            await asyncio.sleep(seconds)

    tasks = [asyncio.create_task(one(n % 97 + 0.5, 1000.0 - n)) for n in range(500)]
    with all_deadlines.bound(0.25):
        await asyncio.sleep(100)
    for second in range(100):
        await asyncio.sleep(1)
        kept = len(all_deadlines.entered) + len(all_deadlines._heap)
        assert kept <= 2 * all_deadlines.open, f"at {second} s"
    await asyncio.gather(*tasks)
    assert (all_deadlines.open, all_deadlines._heap) == (0, [])


@asyncio_only
async def test_stale_heap_entries_do_not_delay_open_blocks() -> None:
    """Stale entries on top of the heap are removed when the timer fires, and never cancelled."""
    loop = asyncio.get_running_loop()
    all_deadlines = AsyncioDeadlines(loop)

    async def one(seconds: float, deadline: float) -> bool:
        with all_deadlines.bound(deadline) as bound:
            await asyncio.sleep(seconds)
        return bound.expired

    staying = [asyncio.create_task(one(90, when)) for when in (20.0, 30.0, 40.0)]
    ending = [asyncio.create_task(one(2, when)) for when in (10.0, 11.0)]
    with all_deadlines.bound(1.0):
        await asyncio.sleep(100)
    assert await asyncio.gather(*ending) == [False, False]
    assert (all_deadlines.open, len(all_deadlines._heap)) == (3, 5)
    with all_deadlines.bound(5.0):
        await asyncio.sleep(100)
    with all_deadlines.bound(math.inf):
        await asyncio.sleep(2)
    assert repr(all_deadlines) == "<AsyncioDeadlines open=3 earliest=20>"
    assert await asyncio.gather(*staying) == [True, True, True]
    assert loop.time() == 40.0


@asyncio_only
async def test_removing_stale_entries_keeps_the_heap_order() -> None:
    """After most entries became stale, the rest still end in time.

    The remaining entries lie in the list as 30, 20, 40, which is not a heap.
    """
    loop = asyncio.get_running_loop()
    all_deadlines = AsyncioDeadlines(loop)
    stay = (20.0, 30.0, 40.0)

    async def one(deadline: float) -> float:
        with all_deadlines.bound(deadline):
            await asyncio.sleep(1000 if deadline in stay else 2)
        return loop.time()

    entered = (10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0)
    tasks = [asyncio.create_task(one(deadline)) for deadline in entered]
    with all_deadlines.bound(0.25):
        await asyncio.sleep(100)
    await asyncio.sleep(5)
    assert len(all_deadlines._heap) == 3
    assert await asyncio.gather(*tasks) == [d if d in stay else 2.0 for d in entered]


@asyncio_only
async def test_a_timer_that_was_moved_or_stopped_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However often the timer is moved, the loop holds one; after close, none."""
    loop = asyncio.get_running_loop()
    all_deadlines = AsyncioDeadlines(loop)
    handles: list[asyncio.TimerHandle] = []
    call_at = loop.call_at

    def recording(*args: Any, **options: Any) -> asyncio.TimerHandle:
        handles.append(call_at(*args, **options))
        return handles[-1]

    monkeypatch.setattr(loop, "call_at", recording)
    for deadline in (0.2, 0.1, 0.05):
        with all_deadlines.bound(deadline):
            pass
    assert [handle.cancelled() for handle in handles] == [True, True, False]
    all_deadlines.close()
    assert handles[-1].cancelled()


@asyncio_only
async def test_close_stops_the_timer_unless_blocks_are_open() -> None:
    """Without an open block it stops the timer; open blocks stay bounded; it may be repeated."""
    loop = asyncio.get_running_loop()
    all_deadlines = AsyncioDeadlines(loop)
    with all_deadlines.bound(5.0) as bound:
        all_deadlines.close()
        await asyncio.sleep(100)
    assert (bound.expired, loop.time()) == (True, 5.0)
    all_deadlines.close()
    all_deadlines.close()
    assert repr(all_deadlines) == "<AsyncioDeadlines open=0 earliest=inf>"


@asyncio_only
async def test_the_timer_keeps_no_context_alive() -> None:
    """The context of the call that set the timer is freed with the call, not with the timer."""

    class Request:
        pass

    variable: contextvars.ContextVar[Any] = contextvars.ContextVar("variable")
    all_deadlines = AsyncioDeadlines(asyncio.get_running_loop())

    async def call() -> weakref.ref[Request]:
        request = Request()
        variable.set(request)
        with all_deadlines.bound(30.0):
            await asyncio.sleep(1)
        return weakref.ref(request)

    request = await asyncio.create_task(call())
    await asyncio.sleep(1)
    gc.collect()
    assert request() is None
