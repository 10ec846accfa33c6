"""Deadline blocks: on time, never early, and exact about which cancellation was whose."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import math
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.errors import ConfigurationError, UsageError
from multirouter.runtime.deadline import AsyncioBound, AsyncioDeadlines, Bound, TrioDeadlines
from multirouter.testing import VirtualLoop

asyncio_only = pytest.mark.backends("asyncio", "uvloop")


def deadlines() -> AsyncioDeadlines | TrioDeadlines:
    """New deadlines for the running loop."""
    try:
        return AsyncioDeadlines(asyncio.get_running_loop())
    except RuntimeError:
        return TrioDeadlines()


def verdict(bound: Bound) -> tuple[bool, bool]:
    return bound.expired, bound.stray


# ── on every backend ────────────────────────────────────────────────────────────────────────────


async def test_a_block_ends_exactly_at_its_deadline() -> None:
    """Case 72: the deadline ends the block at that instant; its cancellation is swallowed."""
    began = anyio.current_time()
    with deadlines().bound(began + 1.5) as bound:
        await anyio.sleep(100)
    assert verdict(bound) == (True, False)
    assert anyio.current_time() == pytest.approx(began + 1.5, abs=1e-9)


async def test_a_block_that_ends_in_time_is_not_cancelled() -> None:
    """A block that returned before its deadline is not affected by it, then or later."""
    all_deadlines = deadlines()
    with all_deadlines.bound(anyio.current_time() + 2) as bound:
        await anyio.sleep(1)
    await anyio.sleep(5)
    assert verdict(bound) == (False, False)
    all_deadlines.close()


async def test_an_infinite_deadline_never_fires() -> None:
    """`math.inf` sets no limit."""
    with deadlines().bound(math.inf) as bound:
        await anyio.sleep(1e6)
    assert verdict(bound) == (False, False)


async def test_an_exception_of_the_blocks_own_propagates() -> None:
    """Case 70: an exception raised before the deadline is not an expiry."""
    bound = deadlines().bound(anyio.current_time() + 2)
    with pytest.raises(TimeoutError, match="own"), bound:
        raise TimeoutError("own")
    assert verdict(bound) == (False, False)


async def test_an_exception_that_replaces_the_cancellation_propagates_as_expired() -> None:
    """What a block raises when its deadline cancels it propagates, and `expired` is True."""
    bound = deadlines().bound(anyio.current_time() + 2)
    with pytest.raises(ValueError, match="cut"), bound:
        try:
            await anyio.sleep(100)
        except anyio.get_cancelled_exc_class():
            raise ValueError("cut") from None
    assert verdict(bound) == (True, False)
    await anyio.sleep(1)


async def test_a_block_that_swallows_the_cancellation_and_returns_is_not_expired() -> None:
    """A block that returns a value in spite of the cancellation succeeded; nothing leaks."""
    began = anyio.current_time()
    with deadlines().bound(began + 2) as bound:
        try:
            await anyio.sleep(100)
        except anyio.get_cancelled_exc_class():
            answer = "late"
    assert (answer, *verdict(bound)) == ("late", False, False)
    await anyio.sleep(1)
    assert anyio.current_time() == pytest.approx(began + 3)


async def test_a_deadline_that_has_passed_cancels_at_the_first_wait() -> None:
    """The block is entered, and cancelled where it first waits."""
    await anyio.sleep(3)
    now = anyio.current_time()
    entered = []
    for deadline in (now - 1, now, -math.inf):
        with deadlines().bound(deadline) as bound:
            entered.append(deadline)
            await anyio.sleep(0)
            entered.append("never")
        assert bound.expired
    with deadlines().bound(now) as bound:
        pass
    assert not bound.expired
    assert (entered, anyio.current_time()) == ([now - 1, now, -math.inf], now)


async def test_the_callers_cancellation_wins_in_the_same_tick() -> None:
    """Case 71: both at one instant: the caller's cancellation propagates, always."""
    bound = deadlines().bound(anyio.current_time() + 2)
    with anyio.CancelScope(deadline=anyio.current_time() + 2) as caller:
        with bound:
            await anyio.sleep(100)
        raise AssertionError("the caller's cancellation was swallowed")
    assert caller.cancelled_caught
    assert verdict(bound) == (False, False)


async def test_nested_deadlines_end_their_own_blocks() -> None:
    """Each deadline ends its own block; the outer one passes through the inner block."""
    all_deadlines = deadlines()
    began = anyio.current_time()
    with all_deadlines.bound(began + 3) as outer:
        with all_deadlines.bound(began + 1) as first:
            await anyio.sleep(100)
        assert anyio.current_time() == pytest.approx(began + 1)
        with all_deadlines.bound(began + 9) as second:
            await anyio.sleep(100)
        raise AssertionError("the inner block swallowed the outer deadline")
    assert [b.expired for b in (first, second, outer)] == [True, False, True]
    assert anyio.current_time() == pytest.approx(began + 3)


async def test_the_outer_of_two_deadlines_at_one_instant_expires() -> None:
    """It ends the outer block, whichever deadline fires first."""
    all_deadlines = deadlines()
    when = anyio.current_time() + 1
    with all_deadlines.bound(when) as outer, all_deadlines.bound(when) as inner:
        await anyio.sleep(100)
    assert (outer.expired, inner.expired) == (True, False)
    await anyio.sleep(1)


async def test_blocks_of_many_tasks_end_each_at_its_own_time() -> None:
    """Tasks that enter in one order and leave in another do not disturb each other."""
    all_deadlines = deadlines()
    began = anyio.current_time()
    ends: dict[int, float] = {}

    async def one(number: int) -> None:
        with all_deadlines.bound(began + number) as bound:
            await anyio.sleep(50)
        assert bound.expired == (number <= 50)
        ends[number] = anyio.current_time() - began

    async with anyio.create_task_group() as group:
        for number in [70, 3, 40, 1, 99, 2, 60, 5]:
            group.start_soon(one, number)
    assert ends == {n: pytest.approx(min(n, 50)) for n in ends}
    assert list(ends)[:5] == [1, 2, 3, 5, 40]


# ── asyncio alone ───────────────────────────────────────────────────────────────────────────────


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
async def test_many_calls_share_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand calls in sequence set one timer; it is set again after it fired."""
    loop = asyncio.get_running_loop()
    all_deadlines = AsyncioDeadlines(loop)
    timers: list[float] = []
    arm = AsyncioDeadlines.arm

    def recording(self: AsyncioDeadlines, timer_due: float) -> None:
        timers.append(timer_due)
        arm(self, timer_due)

    monkeypatch.setattr(AsyncioDeadlines, "arm", recording)
    for _ in range(1000):
        with all_deadlines.bound(loop.time() + 30):
            await asyncio.sleep(0.0078125)
    assert timers == [30.0]
    with all_deadlines.bound(loop.time() + 60):
        await asyncio.sleep(40)
        assert timers == [30.0, 67.8125]
    await asyncio.sleep(100)
    assert timers == [30.0, 67.8125, math.inf]
    now = loop.time()
    with all_deadlines.bound(now + 10), all_deadlines.bound(now + 5), all_deadlines.bound(now + 5):
        pass
    assert timers[3:] == [now + 10, now + 5]


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
    assert repr(all_deadlines) == "<AsyncioDeadlines open=3 timer_due=20>"
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
    for deadline in (30.0, 20.0, 10.0):
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
    assert repr(all_deadlines) == "<AsyncioDeadlines open=0 timer_due=inf>"


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


# ── any number of tasks, against a model ────────────────────────────────────────────────────────

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
        assert all_deadlines.timer_due == math.inf

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())
