"""Does memory stay flat over very many calls with faults? The exit code is 1 when it grows."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterable
from time import perf_counter
from typing import Any

from prometheus_client import CollectorRegistry

from benchmarks.harness import loops, report
from benchmarks.harness.memory import CHECKPOINTS, Footprint, footprint, growth
from benchmarks.harness.progress import Progress
from benchmarks.harness.tables import table
from benchmarks.soak.callers import Callers
from benchmarks.soak.world import make_router, reconfigure
from multirouter import Listener

REAL_TIME_SCALE = 0.005
"""Scale of all durations by the real clock: answers take 5 ms instead of 1 s."""

SETTLE_TIME = 10.0
"""Seconds, times the scale, in which most background attempts of ended calls end too."""


def main(argv: list[str]) -> int:
    """Runs the benchmark; see `--help`."""
    options = _options(argv)
    result = loops.run(
        options.loop,
        lambda: soak(options.calls, 1.0 if options.virtual else REAL_TIME_SCALE),
        virtual=options.virtual,
    )
    result = {"loop": options.loop, "virtual": options.virtual, **result}
    report.show("soak", result, lambda: _text(result), as_json=options.json)
    return 1 if result["problems"] else 0


def _options(argv: list[str]) -> argparse.Namespace:
    parser = report.parser("soak", __doc__ or "")
    parser.add_argument("--virtual", action="store_true", help="in virtual time")
    parser.add_argument(
        "--calls", type=int, help="300,000; virtual: 1,000,000; quick: 5,000 and 10,000"
    )
    parser.add_argument("--loop", choices=loops.installed(), default="asyncio")
    options = parser.parse_args(argv)
    if options.calls is None:
        quick, whole = (10_000, 1_000_000) if options.virtual else (5_000, 300_000)
        options.calls = quick if options.quick else whole
    return options


async def soak(calls: int, scale: float, listeners: Iterable[Listener] = ()) -> dict[str, Any]:
    """Makes `calls` calls in a scenario scaled by `scale`, and measures memory in between.

    Returns:
        Among others `ended` (calls by result), `footprints` and `problems`: sentences, none when
        everything is well.
    """
    registry = CollectorRegistry()
    footprints: list[Footprint] = []
    start, began = perf_counter(), asyncio.get_running_loop().time()
    async with make_router(scale, registry, listeners) as router:
        callers = Callers(router, scale, Progress("soak", calls))
        reconfiguring = asyncio.create_task(reconfigure(router, scale))
        for part in range(CHECKPOINTS):
            done = sum(callers.ended.values())
            await callers.make(calls * (part + 1) // CHECKPOINTS - done)
            await asyncio.sleep(SETTLE_TIME * scale)
            footprints.append(footprint())
        reconfiguring.cancel()
    in_flight = sum(router.in_flight(name) for name in router.names())
    return {
        "calls": calls,
        "seconds": perf_counter() - start,
        "loop_seconds": asyncio.get_running_loop().time() - began,
        "ended": dict(callers.ended),
        "failovers": _total(registry, "multirouter_failovers"),
        "circuits_opened": _total(registry, "multirouter_circuit_transitions", to="open"),
        "attempts_in_flight": in_flight,
        "footprints": [found._asdict() for found in footprints],
        "problems": [
            *growth(footprints),
            *([f"{in_flight} attempts never ended"] if in_flight else []),
        ],
    }


def _total(registry: CollectorRegistry, family: str, **labels: str) -> int:
    """The sum of a counter over all series with these labels."""
    return int(
        sum(
            sample.value
            for metric in registry.collect()
            if metric.name == family
            for sample in metric.samples
            if sample.name.endswith("_total") and labels.items() <= sample.labels.items()
        )
    )


def _text(result: dict[str, Any]) -> str:
    rows = [
        (f"{number}/{CHECKPOINTS}", f"{found['blocks']:,}", f"{found['resident'] / 2**20:,.1f}")
        for number, found in enumerate(result["footprints"], 1)
    ]
    samples = table(("calls made", "blocks", "resident MiB"), rows)
    verdict = "; ".join(result["problems"]) or "memory is flat"
    return f"{_story(result)}\n\n{samples}\n\n{verdict}"


def _story(result: dict[str, Any]) -> str:
    clock = "virtual" if result["virtual"] else "real"
    ended = ", ".join(f"{number:,} {how}" for how, number in sorted(result["ended"].items()))
    return (
        f"{result['calls']:,} calls on {result['loop']} in {result['loop_seconds']:,.0f} s of "
        f"{clock} time, which took {result['seconds']:.1f} s: {ended}; {result['failovers']:,} "
        f"failovers, circuits opened {result['circuits_opened']:,} times, "
        f"{result['attempts_in_flight']} attempts in flight at the end"
    )
