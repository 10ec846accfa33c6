"""What does `import multirouter` cost, beside its dependencies?

Each import is made by a fresh interpreter, in turns; the measure is processor time, from compiled
bytecode as in an installed package.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.harness import report
from benchmarks.harness.progress import Progress
from benchmarks.harness.tables import table

CONTESTANTS = {
    "anyio, prometheus-client": "import anyio, prometheus_client",
    "and asyncio": "import anyio, prometheus_client, asyncio",
    "multirouter": "import multirouter",
    "and asyncio too": "import asyncio, multirouter",
    "aiohttp": "import aiohttp",
}
"""A program on asyncio has loaded asyncio anyway; `multirouter` itself does not load it."""

TIMED = "import time\nbegan = time.process_time()\n{}\nprint(time.process_time() - began)"


def measured(rounds: int) -> dict[str, dict[str, float]]:
    """Medians in milliseconds, and as multiples of the first contestant within each round."""
    seen: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    progress = Progress("imports", (rounds + 1) * len(CONTESTANTS))
    with TemporaryDirectory() as bytecode:
        for _ in range(rounds + 1):
            for name, statement in CONTESTANTS.items():
                seen[name].append(_seconds(statement, bytecode))
                progress.step()
    first, *_ = seen
    counted = {name: took[1:] for name, took in seen.items()}  # the first round only compiles
    return {
        name: {
            "ms": 1e3 * median(took),
            "times_the_first": median(
                mine / base for mine, base in zip(took, counted[first], strict=True)
            ),
        }
        for name, took in counted.items()
    }


def _seconds(statement: str, bytecode: str) -> float:
    quiet = ("PYTHONDONTWRITEBYTECODE", "COVERAGE_")
    environ = {k: v for k, v in os.environ.items() if not k.startswith(quiet)}
    environ["PYTHONPYCACHEPREFIX"] = bytecode
    done = subprocess.run(  # noqa: S603 - this Python, with a statement of this module
        [sys.executable, "-c", TIMED.format(statement)],
        cwd=Path(__file__).parents[1],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def _text(found: dict[str, dict[str, float]]) -> str:
    rows = [
        [name, f"{figures['ms']:.1f}", f"{figures['times_the_first']:.2f}"]
        for name, figures in found.items()
    ]
    return table(["import", "ms", "times the first"], rows)


def main(argv: list[str]) -> int:
    """Measures; see `--help`."""
    options = report.parser("imports", __doc__ or "").parse_args(argv)
    found = measured(1 if options.quick else 20)
    report.show("imports", {"imports": found}, lambda: _text(found), as_json=options.json)
    return 0
