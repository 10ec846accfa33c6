"""One outage in several real processes: how many calls are wasted on the dead provider."""

from __future__ import annotations

import asyncio
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection

from benchmarks.fleet.contestants import CONTESTANTS
from multirouter.testing import StatusError

PROCESSES = 4
CONCURRENT = 2
"""Callers of each process."""

LATENCY = 0.1
"""Seconds of an answer, and of a failure."""

WARM_UP = 3.0
"""Seconds of healthy calls before the outage."""

_CONTEXT = get_context("spawn")


def outage(
    name: str, url: str | None, seconds: float, warm_up: float = WARM_UP
) -> tuple[int, int, float, int]:
    """Runs one outage.

    Args:
        name: the contestant.
        url: the Redis that its processes share; None for none.
        seconds: length of the outage.
        warm_up: seconds before it.

    Returns:
        Wasted calls of all processes, all calls, the seconds until the last failure of the first
        two seconds, and the wasted calls after these, which are trials.
    """
    children = []
    for number in range(PROCESSES):
        ours, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=_child, args=(theirs, name, url, number), daemon=True)
        process.start()
        theirs.close()  # the end of a process that fails is then the end of its pipe
        children.append((process, ours))
    for _, pipe in children:
        pipe.recv()  # it is ready
    start = time.monotonic() + warm_up  # the monotonic clock is that of the machine
    for _, pipe in children:
        pipe.send((start, seconds))
    results = [pipe.recv() for _, pipe in children]
    for process, _ in children:
        process.join()
    failed = [at for result in results for at in result[0]]
    early = [at for at in failed if at < 2.0]
    calls = sum(result[1] for result in results)
    return len(failed), calls, max(early, default=0.0), len(failed) - len(early)


def _child(pipe: Connection, name: str, url: str | None, number: int) -> None:
    asyncio.run(_run_child(pipe, name, url, number))


async def _run_child(pipe: Connection, name: str, url: str | None, number: int) -> None:
    failing_from, calls = float("inf"), 0
    failed: list[float] = []

    async def first() -> str:
        failing = time.monotonic() >= failing_from
        await asyncio.sleep(LATENCY)
        if not failing:
            return "a"
        failed.append(time.monotonic() - failing_from)
        raise StatusError("overloaded", status=503, headers={})

    async def second() -> str:
        await asyncio.sleep(LATENCY)
        return "b"

    async with CONTESTANTS[name](url, first, second) as call:
        pipe.send("ready")
        failing_from, length = await asyncio.to_thread(pipe.recv)
        until = failing_from + length

        async def caller(offset: float) -> None:
            nonlocal calls
            await asyncio.sleep(offset)
            while time.monotonic() < until:
                await call()
                calls += 1

        # Callers of all processes are spread over the time of a call.
        step = LATENCY / CONCURRENT
        offsets = [(place + number / PROCESSES) * step for place in range(CONCURRENT)]
        await asyncio.gather(*map(caller, offsets))
        pipe.send((failed, calls))
