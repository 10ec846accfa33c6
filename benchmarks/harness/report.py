"""Options that all benchmarks have, and their results as text or JSON with the machine's data."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = (
    "aiohttp",
    "anyio",
    "litellm",
    "openai",
    "prometheus-client",
    "purgatory",
    "stamina",
    "structlog",
    "tenacity",
    "tensorzero",
    "uvloop",
)


def parser(name: str, question: str) -> argparse.ArgumentParser:
    """A parser with `--quick` and `--json`; the benchmark adds its own options."""
    made = argparse.ArgumentParser(prog=f"python -m benchmarks {name}", description=question)
    made.add_argument("--quick", action="store_true", help="run briefly, as a check")
    made.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return made


def show(name: str, result: Mapping[str, Any], text: Callable[[], str], *, as_json: bool) -> None:
    """Prints a result, as JSON or as `text()`."""
    whole = {"benchmark": name, "machine": machine(), **result}
    print(json.dumps(whole, indent=2) if as_json else f"{_headline(whole)}\n\n{text()}")


def machine() -> dict[str, Any]:
    """What the figures depend on: Python, processors, load, versions of packages."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _headline(whole: Mapping[str, Any]) -> str:
    facts = whole["machine"]
    load = "" if facts["load_average"] is None else f", load {facts['load_average']}"
    return (
        f"{whole['benchmark']}: {facts['python']}, {facts['system']}, "
        f"{facts['processors']} processors{load}"
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
