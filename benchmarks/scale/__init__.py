"""What do many providers, routes and streams cost: a call, the start, a reload, a chunk?

Times are those of `ProcessorTimeLoop`, so that other work of the machine does not count. The
garbage collector has the gateway's settings.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.harness import report
from benchmarks.harness.processor_clock import ProcessorTimeLoop
from benchmarks.harness.tables import table
from benchmarks.scale import calls, reload, start, streams
from multirouter.gateway.memory import freeze_startup_objects

AIMS = (
    "aims: a call with 1,000 providers at most 1.3 times one with 3; a start with 10,000 providers "
    "and 1,000 routes in seconds; a reload delays calls by at most 20 ms; chunks of 5,000 streams "
    "are delivered within 5 ms (p99)"
)

QUICK = 50
"""What the sizes are divided by with `--quick`."""

PARTS: dict[str, Callable[[int], Awaitable[dict[str, float]]]] = {
    "calls": calls.measured,
    "start": start.measured,
    "reload": reload.measured,
    "streams": streams.measured,
}
"""The parts by name; each gets by what its sizes are divided, and returns figures by name."""


def main(argv: list[str]) -> int:
    """Measures; see `--help`."""
    parser = report.parser("scale", __doc__ or "")
    parser.add_argument("--part", choices=PARTS, action="append", help="this one only")
    options = parser.parse_args(argv)
    found = {name: _run(name, QUICK if options.quick else 1) for name in options.part or PARTS}
    result = {"aims": AIMS, "parts": found}
    report.show("scale", result, lambda: _text(result), as_json=options.json)
    return 0


def _run(name: str, divisor: int) -> dict[str, float]:
    with asyncio.Runner(loop_factory=ProcessorTimeLoop) as runner:
        return runner.run(_measured(name, divisor))


async def _measured(name: str, divisor: int) -> dict[str, float]:
    threshold = gc.get_threshold()
    freeze_startup_objects()
    try:
        return await PARTS[name](divisor)
    finally:
        gc.set_threshold(*threshold)
        gc.unfreeze()


def _text(result: dict[str, Any]) -> str:
    rows = [
        (f"{part}: {name.replace('_', ' ')}", f"{figure:,.2f}")
        for part, figures in result["parts"].items()
        for name, figure in figures.items()
    ]
    return f"{result['aims']}\n\n{table(('', 'measured'), rows)}"
