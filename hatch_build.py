"""Build hook: compiles the core's hot modules with mypyc when `MULTIROUTER_COMPILE=1` is set.

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

CORE = "multirouter/core"

MODULES = (
    "change_counter",
    "rolling_window",
    "health/degraded",
    "health/latency_average",
    "limits/rate_limits",
    "limits/retry_budget",
    "circuit/breaker",
    "circuit/durations",
    "circuit/fleet_failures",
    "circuit/following",
    "circuit/gate",
    "circuit/gate_state",
    "circuit/half_open",
    "circuit/model_circuits",
    "circuit/permits",
    "circuit/states",
    "circuit/trial_lease",
    "circuit/trip_rules",
    "selection/attempt_rules",
    "selection/panic",
    "planning/admission",
    "planning/attempt_results",
    "planning/capacity_wait",
    "planning/chain_plan",
    "planning/evidence",
    "planning/failover_choice",
    "planning/hedge_timing",
    "planning/plan",
    "planning/retrying",
    "planning/steps",
    "planning/stream_plan",
)
"""The modules of the core that are compiled.

Not among them, although every call runs them: `event_dispatcher`, whose method is referenced
weakly; `selection/candidate`, which is copied; `health/latency_tracker`, which tests replace;
`selection/weighted` and `selection/tier_tables`, whose classes users' strategies meet.

A class among them must not declare an attribute that its base declares: mypyc's garbage collection
visits such an attribute twice, and then never frees a cycle through it.
"""


class CompiledCore(BuildHookInterface[Any]):
    """Adds extension modules beside the Python sources, which stay in the wheel for tracebacks."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What the compilation needs beyond the build backend."""
        return ["mypy[mypyc]>=1.13", "setuptools>=77"] if _wanted() else []

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
            [*options, *(f"{CORE}/{module}.py" for module in MODULES)],
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
