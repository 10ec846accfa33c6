"""Nine probes of a circuit breaker; each sees only which calls reach their work."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress

from benchmarks.breakers.guards import OPEN_DURATION, THRESHOLD, Guard

HERD = 50
"""Calls that arrive at once when the open duration has passed."""

REJECTIONS = 300
"""Rejected calls after which an error's traceback must be as short as that of the first."""

Probe = Callable[[Guard], Awaitable[bool]]


class Upstream:
    """Work that counts its runs, fails on request, or waits for `release`."""

    def __init__(self) -> None:
        self.runs = 0
        self.release = asyncio.Event()

    async def succeed(self) -> str:
        """Answers."""
        self.runs += 1
        return "answer"

    async def fail(self) -> str:
        """Fails as a service that is down."""
        self.runs += 1
        raise ConnectionError("down")

    async def wait(self) -> str:
        """Answers after `release`."""
        self.runs += 1
        await self.release.wait()
        return "answer"

    async def wait_and_fail(self) -> str:
        """Fails after `release`."""
        self.runs += 1
        await self.release.wait()
        raise ConnectionError("down")


async def _try(guard: Guard, work: Callable[[], Awaitable[object]]) -> None:
    with suppress(Exception):
        await guard.call(work)


async def _open(guard: Guard) -> None:
    """Opens the circuit."""
    for _ in range(THRESHOLD):
        await _try(guard, Upstream().fail)


async def _admits(guard: Guard) -> bool:
    """Whether a call reaches its work."""
    upstream = Upstream()
    await _try(guard, upstream.succeed)
    return upstream.runs == 1


async def _start(guard: Guard, work: Callable[[], Awaitable[object]]) -> asyncio.Task[None]:
    """Starts a call and lets it reach its work."""
    task = asyncio.create_task(_try(guard, work))
    await asyncio.sleep(0.002)
    return task


async def _elapse() -> None:
    await asyncio.sleep(1.5 * OPEN_DURATION)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def one_trial(guard: Guard) -> bool:
    """Of a herd at a half-open circuit one call reaches the service."""
    await _open(guard)
    await _elapse()
    upstream = Upstream()
    calls = [asyncio.create_task(_try(guard, upstream.wait)) for _ in range(HERD)]
    await asyncio.sleep(0.01)
    reached = upstream.runs
    upstream.release.set()
    await asyncio.gather(*calls)
    return reached == 1


async def cancelled_trial(guard: Guard) -> bool:
    """A cancelled trial decides nothing: the next call is the trial, alone, and decides."""
    await _open(guard)
    await _elapse()
    upstream = Upstream()
    await _cancel(await _start(guard, upstream.wait))
    second = await _start(guard, upstream.wait)
    herd_kept_out = not await _admits(guard)
    reached = upstream.runs == 2
    upstream.release.set()
    await second
    return reached and herd_kept_out and await _admits(guard)


async def late_success_while_open(guard: Guard) -> bool:
    """A call from before the outage that succeeds does not close an open circuit."""
    upstream = Upstream()
    early = await _start(guard, upstream.wait)
    await _open(guard)
    upstream.release.set()
    await early
    return not await _admits(guard)


async def late_success_while_half_open(guard: Guard) -> bool:
    """A call from before the outage that succeeds does not decide for the trial."""
    upstream, trial = Upstream(), Upstream()
    early = await _start(guard, upstream.wait)
    await _open(guard)
    await _elapse()
    deciding = await _start(guard, trial.wait)
    upstream.release.set()
    await early
    kept_out = not await _admits(guard)
    trial.release.set()
    await deciding
    return trial.runs == 1 and kept_out


async def late_failure_after_recovery(guard: Guard) -> bool:
    """A call from before the outage that fails does not count against a recovered service."""
    upstream = Upstream()
    early = await _start(guard, upstream.wait_and_fail)
    await _open(guard)
    await _elapse()
    await _try(guard, upstream.succeed)
    upstream.release.set()
    await early
    for _ in range(THRESHOLD - 1):
        await _try(guard, upstream.fail)
    return await _admits(guard)


async def cancellation_is_no_failure(guard: Guard) -> bool:
    """Calls that their callers cancel do not open the circuit."""
    for _ in range(THRESHOLD):
        await _cancel(await _start(guard, Upstream().wait))
    return await _admits(guard)


async def cancellation_is_no_success(guard: Guard) -> bool:
    """A cancelled call between failures does not reset their count."""
    for _ in range(THRESHOLD - 1):
        await _try(guard, Upstream().fail)
    await _cancel(await _start(guard, Upstream().wait))
    await _try(guard, Upstream().fail)
    return not await _admits(guard)


async def rejections_take_no_memory(guard: Guard) -> bool:
    """Each rejection is an error of its own, whose traceback does not grow."""
    lengths = []
    for _ in range(REJECTIONS):
        await _open(guard)
        try:
            await guard.call(Upstream().succeed)
        except Exception as error:  # noqa: BLE001 - each package has its own
            if not guard.is_rejection(error):
                return False
            lengths.append(len(traceback.extract_tb(error.__traceback__)))
    return len(lengths) > REJECTIONS / 2 and len(set(lengths)) == 1


async def wall_clock_moves(guard: Guard) -> bool:
    """Moving the wall clock by an hour, forwards or back, does not change the open duration."""
    with guard.movable_clock() as move:
        await _open(guard)
        move(3600.0)
        kept_open = not await _admits(guard)
        move(-3600.0)
        await _elapse()
        return kept_open and await _admits(guard)


PROBES: dict[str, Probe] = {
    "half-open admits one trial of 50 calls": one_trial,
    "a cancelled trial decides nothing": cancelled_trial,
    "late success leaves it open": late_success_while_open,
    "late success leaves it half-open": late_success_while_half_open,
    "late failure after recovery is ignored": late_failure_after_recovery,
    "cancellation is no failure": cancellation_is_no_failure,
    "cancellation is no success": cancellation_is_no_success,
    "errors of rejections do not grow": rejections_take_no_memory,
    "the wall clock does not matter": wall_clock_moves,
}
"""The probes, by what they demand."""
