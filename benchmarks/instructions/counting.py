"""Counts the instructions of calls with valgrind, whose counts are the same on a busy machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]

PROGRAM = "benchmarks.instructions.calls"


class CannotCount(Exception):
    """Nothing was counted; says why."""


def counts(calls: int) -> list[int]:
    """The instructions of the processes of `PROGRAM`, in its order.

    Args:
        calls: how many calls each of them makes.

    Raises:
        CannotCount: valgrind is missing.
    """
    tool = shutil.which("valgrind")
    if tool is None:
        raise CannotCount("valgrind is not installed")
    valgrind = (tool, "--tool=callgrind", f"--callgrind-out-file={os.devnull}")
    with TemporaryDirectory() as bytecode:
        _errors_of((), 0, bytecode)  # compiles it
        return collected(_errors_of(valgrind, calls, bytecode))


def collected(errors: str) -> list[int]:
    """The totals in what valgrind writes to standard error, one for each process, in order."""
    return [int(found) for found in re.findall(r"Collected *: *(\d+)", errors)]


def _errors_of(tool: Sequence[str], calls: int, bytecode: str) -> str:
    """Standard error of the program, run by a tool."""
    quiet = ("PYTHONDONTWRITEBYTECODE", "COVERAGE_")
    environ = {k: v for k, v in os.environ.items() if not k.startswith(quiet)}
    environ |= {"PYTHONHASHSEED": "0", "PYTHONPYCACHEPREFIX": bytecode}
    done = subprocess.run(  # noqa: S603 - this Python, under a tool of the system
        [*tool, sys.executable, "-m", PROGRAM, str(calls)],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    return done.stderr
