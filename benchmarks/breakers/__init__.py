"""Does a circuit breaker pass nine basic probes, and what does a call through it cost?"""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks.breakers.guards import GUARDS, MISSING, Guard
from benchmarks.breakers.probes import PROBES
from benchmarks.harness import report
from benchmarks.harness.progress import Progress
from benchmarks.harness.rounds import Call, interleave, microseconds
from benchmarks.harness.tables import table


def main(argv: list[str]) -> int:
    """Runs the benchmark; see `--help`. It fails when this library fails a probe."""
    parser = report.parser("breakers", __doc__ or "")
    parser.add_argument("--rounds", type=int, help="rounds of the cost measurement (40; quick: 3)")
    options = parser.parse_args(argv)
    rounds = options.rounds or (3 if options.quick else 40)
    passed = asyncio.run(_probe_all())
    costs = asyncio.run(_costs(rounds, 0.001 if options.quick else 0.01))
    result = {"passed": passed, "us_per_call": costs, "not_installed": list(MISSING)}
    report.show("breakers", result, lambda: _text(result), as_json=options.json)
    return 0 if all(passed["multirouter"].values()) else 1


async def _probe_all() -> dict[str, dict[str, bool]]:
    """By breaker and probe, whether the breaker passed."""
    progress = Progress("breakers", len(GUARDS) * len(PROBES))
    passed: dict[str, dict[str, bool]] = {}
    for name, make in GUARDS.items():
        passed[name] = {}
        for question, probe in PROBES.items():
            async with make() as guard:
                passed[name][question] = await _passes(probe, guard)
            progress.step()
    return passed


async def _passes(probe: Any, guard: Guard) -> bool:
    try:
        async with asyncio.timeout(10.0):
            return bool(await probe(guard))
    except Exception:  # noqa: BLE001 - each package has its own
        return False  # a breaker that raises something unexpected does not pass


async def _costs(rounds: int, block: float) -> dict[str, float]:
    """Microseconds of processor time for one healthy call, by breaker."""

    async def answer(request: str) -> str:
        return request

    calls: dict[str, Call] = {"bare coroutine": answer}
    guards = [make() for make in GUARDS.values()]
    try:
        for name, guard in zip(GUARDS, guards, strict=True):
            await guard.__aenter__()
            calls[name] = guard.guarded(answer)
            for _ in range(100):
                await calls[name]("question")
        progress = Progress("breakers, cost", rounds)
        times = await interleave(calls, rounds=rounds, block=block, progress=progress)
    finally:
        for guard in guards:
            await guard.__aexit__(None, None, None)
    return {name: microseconds(seconds) for name, seconds in times.items()}


def _text(result: dict[str, Any]) -> str:
    passed = result["passed"]
    rows = [
        [question, *("yes" if passed[name][question] else "NO" for name in passed)]
        for question in PROBES
    ]
    rows.append(["passed", *(f"{sum(p.values())} of {len(p)}" for p in passed.values())])
    parts = [table(["probe", *passed], rows)]
    costs = [[name, f"{value:.2f}"] for name, value in result["us_per_call"].items()]
    parts.append(table(["one healthy call", "µs"], costs))
    if result["not_installed"]:
        parts.append(f"not installed: {', '.join(result['not_installed'])}")
    return "\n\n".join(parts)
