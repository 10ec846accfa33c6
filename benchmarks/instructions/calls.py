"""The program whose instructions are counted: healthy calls, of the floor and of a router.

It prepares both, and then forks three processes, one after the other: one without calls, one with
calls of the floor, one with calls of the router. What the latter have counted beyond the first is
their calls.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from random import Random

from prometheus_client import CollectorRegistry

from benchmarks.harness.floor import make_floor
from benchmarks.harness.rounds import Call
from multirouter import MultiProviderRouter, Provider

WARM_UP_CALLS = 100
"""Calls of each contestant before the first process: what is done once has been done by then."""

TURN = 20
"""Calls between two iterations of the event loop: it must not seem stalled where it is slow."""


async def answer(request: str) -> str:
    """A provider that answers at once."""
    return request


def main(calls: int) -> None:
    """Prepares both; then makes `calls` calls of each in a process of its own."""
    with asyncio.Runner() as runner:
        floor, router = runner.run(_prepared())
        _in_process(runner, floor, 0)
        _in_process(runner, floor, calls)
        _in_process(runner, router.call, calls)
        runner.run(router.aclose())


async def _prepared() -> tuple[Call, MultiProviderRouter[str, str]]:
    providers = [Provider(f"provider-{number}", answer) for number in range(3)]
    router = MultiProviderRouter(providers, registry=CollectorRegistry(), rng=Random(1))
    floor = make_floor([answer] * 3)
    for call in (floor, router.call):
        await _make(call, WARM_UP_CALLS)
    gc.collect()
    gc.freeze()
    return floor, router


def _in_process(runner: asyncio.Runner, call: Call, calls: int) -> None:
    child = os.fork()
    if not child:
        runner.run(_make(call, calls))
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit("a process of calls failed")


async def _make(call: Call, calls: int) -> None:
    for number in range(calls):
        if number % TURN == 0:
            await asyncio.sleep(0)
        await call("question")


if __name__ == "__main__":
    main(int(sys.argv[1]))
