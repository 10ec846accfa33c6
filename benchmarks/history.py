"""What a history costs the caller of a healthy call, and what its writer pays behind his back."""

from __future__ import annotations

import asyncio
import gc
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import process_time, thread_time
from typing import Any

from prometheus_client import CollectorRegistry

from benchmarks.harness import loops, report
from benchmarks.harness.progress import Progress
from benchmarks.harness.rounds import GC_POLICY, microseconds
from benchmarks.harness.tables import table
from multirouter import MultiProviderRouter, Provider
from multirouter.listeners.history import History

AIMS = "aim: at most 5 µs a call on the caller's path"

BLOCK = 1_000
"""Calls in one block: two rows each, far less than may wait."""

NEVER = 3_600.0
"""Seconds that rows gather: the writer sleeps while the caller is timed, and is timed apart."""


def main(argv: list[str]) -> int:
    """Runs the benchmark; see `--help`."""
    parser = report.parser("history", __doc__ or "")
    parser.add_argument("--rounds", type=int, help="rounds (60; quick: 3)")
    options = parser.parse_args(argv)
    rounds = options.rounds or (3 if options.quick else 60)
    result = {"rounds": rounds, "gc": GC_POLICY, "aims": AIMS, **_measured(rounds)}
    report.show("history", result, lambda: _text(result), as_json=options.json)
    return 0


def _measured(rounds: int) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        async with AsyncExitStack() as alive:
            directory = alive.enter_context(TemporaryDirectory())
            kept = History(Path(directory) / "history.db", gather=NEVER)
            plain, keeping = await _router(None, alive), await _router(kept, alive)
            return await _rounds(plain, keeping, kept, rounds)

    return loops.run("asyncio", run)


async def _rounds(
    plain: MultiProviderRouter[str, str],
    keeping: MultiProviderRouter[str, str],
    kept: History,
    rounds: int,
) -> dict[str, Any]:
    progress = Progress("history", rounds)
    without: list[float] = []
    added: list[float] = []
    written: list[float] = []
    gc.collect()
    gc.freeze()
    for number in range(rounds):
        routers = [plain, keeping] if number % 2 else [keeping, plain]
        took = {router: await _block(router) for router in routers}
        start = process_time()
        assert kept.flush(), "the disk took it"
        written.append((process_time() - start) / BLOCK)
        without.append(took[plain])
        added.append(took[keeping] - took[plain])
        progress.step()
    gc.unfreeze()
    return {
        "us_without": microseconds(without),
        "us_added": microseconds(added),
        "us_writer": microseconds(written),
    }


async def _block(router: MultiProviderRouter[str, str]) -> float:
    """Seconds of the caller's thread that a call takes."""
    start = thread_time()
    for _ in range(BLOCK):
        await router.call("question")
    took = (thread_time() - start) / BLOCK
    await asyncio.sleep(0)
    return took


async def _router(kept: History | None, alive: AsyncExitStack) -> MultiProviderRouter[str, str]:
    async def answer(request: str) -> str:
        return request

    providers = [Provider(name, answer) for name in "abc"]
    router = MultiProviderRouter(
        providers, history=kept, registry=CollectorRegistry(), rng=Random(1)
    )
    await alive.enter_async_context(router)
    await _block(router)
    return router


def _text(result: dict[str, Any]) -> str:
    rows = [
        ("a healthy call without history", f"{result['us_without']:.2f}"),
        ("added by history, on the caller's path", f"{result['us_added']:.2f}"),
        ("the writer's part, in its own thread", f"{result['us_writer']:.2f}"),
    ]
    head = f"processor time, medians of {result['rounds']} interleaved rounds; {result['gc']}"
    return "\n\n".join((head, result["aims"], table(("", "µs a call"), rows)))
