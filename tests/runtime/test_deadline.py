"""Deadline blocks: on time, never early, and exact about which cancellation was whose."""

from __future__ import annotations

import asyncio
import math

import anyio
import pytest

from multirouter.runtime.event_loops.asyncio_deadlines import AsyncioDeadlines
from multirouter.runtime.event_loops.deadline import Bound
from multirouter.runtime.event_loops.trio_deadlines import TrioDeadlines


def deadlines() -> AsyncioDeadlines | TrioDeadlines:
    """New deadlines for the running loop."""
    try:
        return AsyncioDeadlines(asyncio.get_running_loop())
    except RuntimeError:
        return TrioDeadlines()


def verdict(bound: Bound) -> tuple[bool, bool]:
    return bound.expired, bound.stray


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
