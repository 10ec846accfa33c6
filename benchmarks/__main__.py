"""Runs one benchmark by its name; every module here with a `main` is a benchmark."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Main = Callable[[list[str]], int]


def discover() -> dict[str, str]:
    """Every benchmark's name with the first line of its docstring."""
    names = sorted(found.name for found in pkgutil.iter_modules([str(Path(__file__).parent)]))
    modules = {name: _module(name) for name in names if name != "__main__"}
    return {
        name: (inspect.getdoc(module) or "").split("\n", 1)[0]
        for name, module in modules.items()
        if callable(getattr(module, "main", None))
    }


def main(argv: list[str]) -> int:
    """Runs benchmark `argv[0]` with the other arguments, or lists the benchmarks.

    Returns:
        The exit code of the benchmark; 2 for an unknown name.
    """
    benchmarks = discover()
    name, *options = argv or [""]
    if name in benchmarks:
        run: Main = _module(name).main
        return run(options)
    width = max(map(len, benchmarks))
    print("usage: python -m benchmarks NAME [--quick] [--json] [--help]\n")
    for known, line in benchmarks.items():
        print(f"  {known:{width}}  {line}")
    if name in {"", "-h", "--help"}:
        return 0
    print(f"\nunknown benchmark {name!r}", file=sys.stderr)
    return 2


def _module(name: str) -> Any:
    return importlib.import_module(f"benchmarks.{name}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
