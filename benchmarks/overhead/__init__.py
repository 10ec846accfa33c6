"""What does a healthy call through the router cost beyond its coroutine, beside floor and peers?"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from benchmarks.harness import loops, report
from benchmarks.harness.progress import Progress
from benchmarks.harness.rounds import (
    GC_POLICY,
    Times,
    interleave,
    microseconds,
    over,
    ratio,
)
from benchmarks.harness.tables import table
from benchmarks.overhead import contestants

SIZES = (3, 10, 100, 1_000)
SMALL, LARGE = f"router, {SIZES[0]:,} providers", f"router, {SIZES[-1]:,} providers"
LARGE_FLOOR = f"floor, {SIZES[-1]:,} providers"

AIMS = (
    "aims: at most 1.2 times the floor; less than tenacity; litellm.Router at least 200 times as "
    "much; at 1,000 providers at most 1.3 times the cost at 3"
)


def main(argv: list[str]) -> int:
    """Runs the benchmark; see `--help`."""
    parser = report.parser("overhead", __doc__ or "")
    parser.add_argument("--rounds", type=int, help="rounds per loop (60; quick: 3)")
    parser.add_argument("--block", type=float, help="seconds a contestant is timed per round")
    parser.add_argument("--loop", choices=loops.installed(), action="append", help="this one only")
    options = parser.parse_args(argv)
    rounds = options.rounds or (3 if options.quick else 60)
    block = options.block or (0.001 if options.quick else 0.01)
    warmed_up = not options.quick
    found = [
        _measured(loop, rounds, block, warmed_up=warmed_up)
        for loop in options.loop or loops.installed()
    ]
    result = {"rounds": rounds, "block": block, "gc": GC_POLICY, "aims": AIMS, "loops": found}
    report.show("overhead", result, lambda: _text(result), as_json=options.json)
    return 0


def _measured(loop: loops.Loop, rounds: int, block: float, *, warmed_up: bool) -> dict[str, Any]:
    """Everything measured on one event loop."""

    async def run() -> dict[str, Any]:
        progress = Progress(f"overhead on {loop}", 2 * rounds)
        async with AsyncExitStack() as alive:
            timed = await contestants.healthy(SIZES, alive, warmed_up=warmed_up)
            healthy = await interleave(timed, rounds=rounds, block=block, progress=progress)
            timed = await contestants.failing_over(alive)
            failing = await interleave(timed, rounds=rounds, block=block, progress=progress)
        return {
            "loop": loop,
            "healthy": _costs(healthy, "bare", "floor"),
            "held_against_aims": _against_aims(healthy),
            "failing_over": _costs(failing, "by hand", None),
        }

    return loops.run(loop, run)


def _costs(times: Times, bare: str, floor: str | None) -> dict[str, dict[str, Any]]:
    """Per contestant: microseconds a call, beyond the bare one, and as multiples of the floor."""
    costs: dict[str, dict[str, Any]] = {}
    for name, seconds in times.items():
        cost: dict[str, Any] = {"us_per_call": microseconds(seconds)}
        if name != bare:
            cost["us_over_bare"] = microseconds(over(times, name, bare))
        if floor and name not in {bare, floor}:
            cost["times_floor"] = ratio(over(times, name, bare), over(times, floor, bare))
        costs[name] = cost
    return costs


def _against_aims(times: Times) -> dict[str, float]:
    """The ratios that the aims refer to, each the median of the ratios within the rounds."""
    ours, floor = over(times, SMALL, "bare"), over(times, "floor", "bare")
    ratios = {
        "router_to_floor": ratio(ours, floor),
        "router_at_1000_to_at_3": ratio(over(times, LARGE, "bare"), ours),
        "floor_at_1000_to_at_3": ratio(over(times, LARGE_FLOOR, "bare"), floor),
    }
    if "tenacity" in times:
        ratios["router_to_tenacity"] = ratio(ours, over(times, "tenacity", "bare"))
    if "litellm" in times:
        ratios["litellm_to_router"] = ratio(over(times, "litellm", "bare"), ours)
    return {name: found["median"] for name, found in ratios.items()}


def _text(result: dict[str, Any]) -> str:
    parts = [
        f"processor time, medians of {result['rounds']} interleaved rounds; {result['gc']}",
        result["aims"],
    ]
    for found in result["loops"]:
        parts.append(f"one healthy call on {found['loop']}\n\n{_table(found['healthy'])}")
        against = ", ".join(f"{k} {v:.2f}" for k, v in found["held_against_aims"].items())
        parts.append(against.replace("_", " "))
        parts.append(
            f"a call that fails over once, on {found['loop']}\n\n{_table(found['failing_over'])}"
        )
    return "\n\n".join(parts)


def _table(costs: dict[str, dict[str, Any]]) -> str:
    head = ("", "µs a call", "over bare", "times the floor", "(quartiles)")
    return table(head, [_row(name, cost) for name, cost in costs.items()])


def _row(name: str, cost: dict[str, Any]) -> tuple[str, ...]:
    over_bare = f"{cost['us_over_bare']:.2f}" if "us_over_bare" in cost else ""
    floors = cost.get("times_floor")
    if floors is None:
        return (name, f"{cost['us_per_call']:.2f}", over_bare, "", "")
    spread = f"{floors['lower_quartile']:.2f}-{floors['upper_quartile']:.2f}"
    return (name, f"{cost['us_per_call']:.2f}", over_bare, f"{floors['median']:.2f}", spread)
