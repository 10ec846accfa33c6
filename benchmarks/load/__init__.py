"""How does the router perform under load: throughput, latency, memory of 10,000 calls in flight?"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

from benchmarks.harness import loops, report
from benchmarks.harness.percentiles import SHARES, percentiles
from benchmarks.harness.progress import Progress
from benchmarks.harness.rounds import Call
from benchmarks.harness.tables import table
from benchmarks.load.drivers import LoadResult, closed_loop, open_loop
from benchmarks.load.memory import in_flight
from benchmarks.load.providers import SPEEDS, Speed, by_hand, routed

ROUNDS = (
    "lognormal, median:sigma:weight in seconds; {rounds} interleaved rounds of {seconds:g} s; "
    "processor time is that of loop, provider and router together"
)

AIMS = "aim: less than 4,096 bytes a call in flight beyond the bare coroutine's own"


def main(argv: list[str]) -> int:
    """Runs the benchmark; see `--help`."""
    options = _options(argv)
    found = [_measured(loop, options) for loop in options.loop or loops.installed()]
    result = {
        "latency": [str(speed) for speed in options.latency],
        "callers": options.callers,
        "rate": options.rate,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "aims": AIMS,
        "loops": found,
    }
    report.show("load", result, lambda: _text(result), as_json=options.json)
    return 0


def _options(argv: list[str]) -> argparse.Namespace:
    parser = report.parser("load", __doc__ or "")
    parser.add_argument(
        "--latency",
        type=Speed.parse,
        action="append",
        metavar="MEDIAN:SIGMA:WEIGHT",
        help="one provider, lognormal, seconds; once for each",
    )
    parser.add_argument("--callers", type=int, default=200, help="of the closed loop")
    parser.add_argument(
        "--rate", type=float, default=2_000, help="of the open loop, calls a second"
    )
    parser.add_argument("--rounds", type=int, help="of each load (5; quick: 1)")
    parser.add_argument("--seconds", type=float, help="of each round (2; quick: 0.1)")
    parser.add_argument("--in-flight", type=int, help="calls at once (10,000; quick: 1,000)")
    parser.add_argument("--loop", choices=loops.installed(), action="append", help="this one only")
    options = parser.parse_args(argv)
    quick = options.quick
    options.latency = options.latency or list(SPEEDS)
    options.rounds = options.rounds or (1 if quick else 5)
    options.seconds = options.seconds or (0.1 if quick else 2.0)
    options.in_flight = options.in_flight or (1_000 if quick else 10_000)
    return options


def _measured(loop: loops.Loop, options: argparse.Namespace) -> dict[str, Any]:
    """Everything measured on one event loop."""

    async def run() -> dict[str, Any]:
        progress = Progress(f"load on {loop}", 4 * options.rounds + 1)
        async with routed(options.latency) as router:
            contestants: dict[str, Call] = {
                "by hand": by_hand(options.latency),
                "router": router.call,
            }

            async def in_closed_loop(call: Call, _: int) -> LoadResult:
                return await closed_loop(call, callers=options.callers, seconds=options.seconds)

            async def in_open_loop(call: Call, number: int) -> LoadResult:
                rate, seconds = options.rate, options.seconds
                return await open_loop(call, rate=rate, seconds=seconds, seed=number)

            loads = {"closed": in_closed_loop, "open": in_open_loop}
            result = {
                name: await _interleaved(contestants, load, options.rounds, progress)
                for name, load in loads.items()
            }
        memory = await in_flight(options.in_flight)
        progress.step()
        return {"loop": loop, **result, "in_flight": memory}

    return loops.run(loop, run)


async def _interleaved(
    contestants: dict[str, Call],
    load: Callable[[Call, int], Awaitable[LoadResult]],
    rounds: int,
    progress: Progress,
) -> dict[str, dict[str, Any]]:
    """Drives the contestants in turns, and summarizes the results of each."""
    result: dict[str, list[LoadResult]] = {name: [] for name in contestants}
    for number in range(rounds):
        names = list(contestants)
        for name in names[::-1] if number % 2 else names:
            result[name].append(await load(contestants[name], number))
            progress.step()
    return {name: _summary(results) for name, results in result.items()}


def _summary(results: list[LoadResult]) -> dict[str, Any]:
    latencies = [latency for result in results for latency in result.latencies]
    if not latencies:
        raise SystemExit("load: no call was answered; see the router's log")
    return {
        "calls": len(latencies),
        "failed": sum(result.failed for result in results),
        "calls_per_second": median(len(result.latencies) / result.seconds for result in results),
        "processor_us_per_call": median(
            result.processor / len(result.latencies) * 1e6 for result in results
        ),
        "latency": percentiles(latencies),
    }


def _text(result: dict[str, Any]) -> str:
    parts = [f"{', '.join(result['latency'])}; {ROUNDS.format_map(result)}"]
    loads = {
        "closed": f"closed loop of {result['callers']:,} callers",
        "open": f"open loop, {result['rate']:,.0f} calls a second on average",
    }
    for found in result["loops"]:
        parts += [
            f"{text}, on {found['loop']}\n\n{_table(found[load])}" for load, text in loads.items()
        ]
        parts.append(_flight_text(found["in_flight"], found["loop"]))
    return "\n\n".join([*parts, AIMS])


def _table(result: dict[str, dict[str, Any]]) -> str:
    head = ("", "calls/s", "failed", "µs processor", *(f"{name} ms" for name in SHARES))
    rows = [
        (
            name,
            f"{found['calls_per_second']:,.0f}",
            f"{found['failed']:,}",
            f"{found['processor_us_per_call']:.1f}",
            *(f"{found['latency'][share] * 1e3:.1f}" for share in SHARES),
        )
        for name, found in result.items()
    ]
    return table(head, rows)


def _flight_text(memory: dict[str, Any], loop: loops.Loop) -> str:
    rows = [
        (
            name,
            f"{memory['bytes_per_call'][name]:,.0f}",
            f"{memory['seconds'][name]:.3f}",
        )
        for name in ("bare", "router")
    ]
    return (
        f"{memory['calls']:,} calls in flight at once, on {loop} ({memory['method']})\n\n"
        f"{table(('', 'bytes a call', 'seconds for all'), rows)}\n\n"
        f"beyond the bare coroutine: {memory['bytes_beyond_bare']:,.0f} bytes a call"
    )
