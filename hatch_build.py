"""Build hook: compiles hot modules with mypyc when `MULTIROUTER_COMPILE=1` is set.

Without it, the wheel is pure Python. What users subclass, replace or look into stays Python in
both: providers, strategies, listeners, errors, outcomes, and everything that awaits.
"""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SWITCH = "MULTIROUTER_COMPILE"

PACKAGE = "multirouter"

MODULES = (
    "core/change_counter",
    "core/circuit/breaker",
    "core/circuit/durations",
    "core/circuit/fleet_failures",
    "core/circuit/following",
    "core/circuit/gate",
    "core/circuit/gate_state",
    "core/circuit/half_open",
    "core/circuit/model_circuits",
    "core/circuit/permits",
    "core/circuit/states",
    "core/circuit/trial_lease",
    "core/circuit/trip_rules",
    "core/event_dispatcher",
    "core/health/degraded",
    "core/health/latency_average",
    "core/limits/rate_limits",
    "core/limits/retry_budget",
    "core/planning/admission",
    "core/planning/attempt_results",
    "core/planning/capacity_wait",
    "core/planning/chain_plan",
    "core/planning/evidence",
    "core/planning/failover_choice",
    "core/planning/hedge_timing",
    "core/planning/plan",
    "core/planning/retrying",
    "core/planning/steps",
    "core/planning/stream_plan",
    "core/rolling_window",
    "core/routes/configuration_use",
    "core/selection/attempt_rules",
    "core/selection/panic",
    "core/selection/tier_tables",
    "core/selection/weighted",
    "listeners/metrics/metrics",
    "listeners/metrics/plain_families",
    "listeners/metrics/series",
)
"""The modules of the package that are compiled.

Not among them, although every call runs them:

- `runtime/attempt` and `runtime/call_loop`: awaiting from compiled code takes more instructions;
- `core/selection/candidate`, which is copied, and `core/health/latency_tracker`, which tests
  replace;
- `core/registry/registry`: it does not survive that a reloader imports the package again;
- what is referenced weakly, as `runtime/event_loops/stalls`: a compiled method cannot be.

Nor the gateway and the adapters: with 37 modules of theirs, a request took 2 % fewer instructions,
and many tests of exceptions and of invalid JSON failed.

A class among them must not declare an attribute that its base declares: mypyc's garbage collection
visits such an attribute twice, and then never frees a cycle through it.
"""


class CompiledModules(BuildHookInterface[Any]):
    """Adds extension modules beside the Python sources, which stay in the wheel for tracebacks."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What the compilation needs: mypyc, a builder, and the library whose types it reads."""
        needed = ["mypy[mypyc]>=1.13", "setuptools>=77", "prometheus-client"]
        return needed if _wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles, and adds the extension modules to a wheel; `version` may be `editable`."""
        if not _wanted() or self.target_name != "wheel":
            return
        problem = _problem(version)
        if problem:
            self.app.display_warning(f"{SWITCH}: {problem}; the wheel is pure Python")
            return
        output = Path(self.root, "build", "compiled")
        shutil.rmtree(output, ignore_errors=True)
        _compile(Path(self.root), output)
        found = {str(file): str(file.relative_to(output)) for file in output.rglob(f"*{_suffix()}")}
        self.app.display_info(f"{SWITCH}: compiled {len(MODULES)} modules")
        build_data["force_include"].update(found)
        build_data["infer_tag"] = True
        build_data["pure_python"] = False


def _wanted() -> bool:
    return os.environ.get(SWITCH, "") not in {"", "0"}


def _problem(version: str) -> str:
    """Why nothing can be compiled; "" when it can."""
    if version == "editable":
        return "an editable installation runs the sources"
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    if os.name == "posix" and shutil.which(compiler.split()[0]) is None:
        return f"there is no C compiler {compiler.split()[0]!r}"
    return ""


def _suffix() -> str:
    return sysconfig.get_config_var("EXT_SUFFIX") or ".so"


def _compile(root: Path, output: Path) -> None:
    """Compiles the modules into `output`, with the layout of a wheel."""
    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    before = Path.cwd()
    os.chdir(root)  # mypyc finds modules from here
    try:
        options = ["--ignore-missing-imports", "--follow-imports=silent"]
        extensions = mypycify(
            [*options, *(f"{PACKAGE}/{module}.py" for module in MODULES)],
            opt_level="3",
            debug_level="0",
            target_dir=str(output / "c"),
            group_name="multirouter",
        )
        command = build_ext(Distribution({"name": "multirouter", "ext_modules": extensions}))
        command.build_lib, command.build_temp = str(output), str(output / "temp")
        command.ensure_finalized()
        command.run()
    finally:
        os.chdir(before)
