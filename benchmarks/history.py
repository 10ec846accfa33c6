"""What do history and prices cost the caller of a healthy call, and what does the writer cost?"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping
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
from multirouter import Budget, History, MultiProviderRouter, Price, Provider

Router = MultiProviderRouter[str, dict[str, Any]]

AIMS = "aim of history: at most 5 µs a call on the caller's path"

BLOCK = 1_000
"""Calls in one block: two rows each, far fewer than the queue may hold."""

BATCH_INTERVAL = 3_600.0
"""Seconds between batches: the writer sleeps while the caller is timed, and is timed separately."""

ANSWER: dict[str, Any] = {
    "choices": [{"message": {"role": "assistant", "content": "42"}, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 1_000,
        "completion_tokens": 500,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    },
}
"""The providers' answer, in OpenAI's format, so that its usage can be read."""

PRICE = Price(5.0, 25.0)
BUDGET = Budget(1e9)


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
            history_ = History(Path(directory) / "history.db", batch_interval=BATCH_INTERVAL)
            routers = {
                "without": await _router(alive),
                "history": await _router(alive, history=history_),
                "prices": await _router(alive, price=PRICE),
                "budgets": await _router(alive, price=PRICE, budget=BUDGET),
            }
            return await _rounds(routers, history_, rounds)

    return loops.run("asyncio", run)


async def _rounds(routers: Mapping[str, Router], history_: History, rounds: int) -> dict[str, Any]:
    progress = Progress("history", rounds)
    took: list[dict[str, float]] = []
    written: list[float] = []
    turns = list(routers)
    gc.collect()
    gc.freeze()
    for _ in range(rounds):
        turns.append(turns.pop(0))
        took.append({name: await _block(routers[name]) for name in turns})
        start = process_time()
        assert history_.flush(), "history was not written"
        written.append((process_time() - start) / BLOCK)
        progress.step()
    gc.unfreeze()

    def added(name: str) -> float:
        return microseconds([block[name] - block["without"] for block in took])

    return {
        "us_without": microseconds([block["without"] for block in took]),
        "us_added": added("history"),
        "us_writer": microseconds(written),
        "us_prices": added("prices"),
        "us_budgets": added("budgets"),
    }


async def _block(router: Router) -> float:
    """Seconds of the caller's thread per call."""
    start = thread_time()
    for _ in range(BLOCK):
        await router.call("question")
    took = (thread_time() - start) / BLOCK
    await asyncio.sleep(0)
    return took


async def _router(alive: AsyncExitStack, history: History | None = None, **settings: Any) -> Router:
    async def answer(_: str) -> dict[str, Any]:
        return ANSWER

    providers = [Provider(name, answer, **settings) for name in "abc"]
    router = MultiProviderRouter(
        providers, history=history, registry=CollectorRegistry(), rng=Random(1)
    )
    await alive.enter_async_context(router)
    await _block(router)
    return router


def _text(result: dict[str, Any]) -> str:
    rows = [
        ("a healthy call without history", f"{result['us_without']:.2f}"),
        ("added by history, on the caller's path", f"{result['us_added']:.2f}"),
        ("the writer, in its own thread", f"{result['us_writer']:.2f}"),
        ("added by prices: usage read, cost charged and counted", f"{result['us_prices']:.2f}"),
        ("added by prices with a budget for each provider", f"{result['us_budgets']:.2f}"),
    ]
    head = f"processor time, medians of {result['rounds']} interleaved rounds; {result['gc']}"
    return "\n\n".join((head, result["aims"], table(("", "µs a call"), rows)))
