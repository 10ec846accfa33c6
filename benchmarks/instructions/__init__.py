"""How many instructions does a healthy call take, beside the floor, and is it as many as expected?

Instructions are the same on a busy machine, where times are not. They depend on how the interpreter
was built, so that only their ratio to the floor of the same run is compared with the expected one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.harness import report
from benchmarks.instructions.counting import CannotCount, counts

EXPECTED = Path(__file__).with_name("expected.json")
"""The expected ratio of each CPython version, as `{"3.11": 1.2}`."""

TOLERANCE = 0.05
"""The share by which a ratio may differ from the expected one."""

ROUNDS = 3
"""Times that `--check` counts at most: timers that fire meanwhile add a few per cent to some."""

CALLS = 500
"""Calls that are counted of each contestant."""


def measured(calls: int = CALLS) -> dict[str, float]:
    """Instructions of a call of the floor and of the router, and the ratio of the two."""
    base, floor, router, *_ = counts(calls)
    return {
        "floor": (floor - base) / calls,
        "router": (router - base) / calls,
        "router_to_floor": (router - base) / (floor - base),
    }


def checked(calls: int, version: str, expected: dict[str, float]) -> tuple[dict[str, float], str]:
    """What is measured, again as long as it is not as expected, and what is wrong with the last."""
    for _ in range(ROUNDS):
        result = measured(calls)
        wrong = problem(result["router_to_floor"], version, expected)
        if not wrong:
            break
    return result, wrong


def problem(ratio: float, version: str, expected: dict[str, float]) -> str:
    """What is wrong with a ratio, as text; "" when it is as expected."""
    if version not in expected:
        return f"{EXPECTED.name} has no ratio for CPython {version}, which must be {ratio:.3f}"
    wanted = expected[version]
    if abs(ratio / wanted - 1) <= TOLERANCE:
        return ""
    return (
        f"a healthy call takes {ratio:.3f} times the instructions of the floor, but must take "
        f"{wanted:.3f} times as many on CPython {version}, within {TOLERANCE:.0%} "
        "(after a change that is meant, run with --write)"
    )


def main(argv: list[str]) -> int:
    """Counts; see `--help`.

    Returns:
        With `--check`: 1 when the ratio is not the expected one; 0 otherwise, also where
        instructions cannot be counted, which it prints.
    """
    parser = report.parser("instructions", __doc__ or "")
    parser.add_argument("--check", action="store_true", help="fail unless it is as expected")
    parser.add_argument("--write", action="store_true", help="make what is counted the expected")
    options = parser.parse_args(argv)
    version = "{}.{}".format(*sys.version_info)
    expected: dict[str, float] = json.loads(EXPECTED.read_text())
    calls, wrong = 50 if options.quick else CALLS, ""
    try:
        if options.check:
            result, wrong = checked(calls, version, expected)
        else:
            result = measured(calls)
    except CannotCount as error:
        print(f"instructions are not counted: {error}")
        return 0
    if options.write:
        expected[version] = round(result["router_to_floor"], 3)
        EXPECTED.write_text(json.dumps(dict(sorted(expected.items())), indent=2) + "\n")
    report.show("instructions", result, lambda: _text(result), as_json=options.json)
    if wrong:
        print(wrong, file=sys.stderr)
    return 1 if wrong else 0


def _text(result: dict[str, Any]) -> str:
    return (
        f"instructions of one healthy call, counted by valgrind: router "
        f"{result['router']:,.0f}, floor {result['floor']:,.0f}, "
        f"ratio {result['router_to_floor']:.3f}"
    )
