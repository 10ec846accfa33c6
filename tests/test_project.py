"""Rules of the project that no linter checks."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import multirouter
from multirouter import errors
from multirouter.pickling import Copyable

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "multirouter").rglob("*.py"))
MAX_LINES = 350

TRY_IT = "python3 -m venv .venv && .venv/bin/pip install -q '.[cli]' && .venv/bin/multirouter demo"
TEST_IT = (
    "python3 -m venv .venv && .venv/bin/pip install -q uv"
    " && .venv/bin/uv pip install -q --python .venv/bin/python -e '.[all]' --group test"
    " && .venv/bin/python -m pytest -n auto"
)


def place(path: Path) -> str:
    """Returns a path relative to the project, as a test id."""
    return path.relative_to(ROOT).as_posix()


def pyproject() -> dict[str, dict[str, object]]:
    """Returns pyproject.toml as data."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


# ── the public names ────────────────────────────────────────────────────────────────────────────


def test_all_is_sorted() -> None:
    """`__all__` lists constants, classes, functions, each by the alphabet, as ruff sorts it."""

    def rank(name: str) -> tuple[int, str]:
        return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)

    assert list(multirouter.__all__) == sorted(set(multirouter.__all__), key=rank)


def test_all_is_complete() -> None:
    """Every public name of the package is in `__all__`, and every name in it is there."""
    here = {
        name
        for name, value in vars(multirouter).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    } - {"annotations", "TYPE_CHECKING"}
    assert here <= set(multirouter.__all__)
    for name in multirouter.__all__:
        assert getattr(multirouter, name) is not None


def test_lazily_loaded_names() -> None:
    """A name that loads on first use is listed, resolves to the module's object, and is kept."""
    script = (
        "import multirouter, sys; before = dir(multirouter)\n"
        "assert 'multirouter.listeners.alarms.alarms' not in sys.modules\n"
        "from multirouter import *; from multirouter.listeners.alarms import alarms\n"
        "assert Alarms is alarms.Alarms is vars(multirouter)['Alarms'] and 'Alarms' in before\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
    with pytest.raises(AttributeError, match="'multirouter' has no attribute 'Alarm'"):
        _ = multirouter.Alarm  # type: ignore[attr-defined] # which is the point


def test_every_error_is_public() -> None:
    """Whatever may be raised can be caught by a name of the package itself."""
    assert {error.__name__ for error in error_classes()} <= set(multirouter.__all__)


def test_the_version_has_one_source() -> None:
    """If the package tells its version, it is the one of pyproject.toml."""
    stated = pyproject()["project"]["version"]
    assert getattr(multirouter, "__version__", stated) == stated


# ── the errors ──────────────────────────────────────────────────────────────────────────────────


def error_classes() -> list[type[Exception]]:
    """Returns the exception classes that errors.py defines."""
    found = vars(errors).values()
    return [c for c in found if inspect.isclass(c) and c.__module__ == errors.__name__]


def tree_in_docstring() -> dict[str, str]:
    """Returns each class of the tree in the docstring of errors.py with its parent."""
    parents: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines()[1:]:
        if found := re.match(r"[│├└─ ]*(\w+)", line):
            depth = found.start(1)
            above = [(d, name) for d, name in above if d < depth]
            parents[found[1]] = above[-1][1] if above else "Exception"
            above.append((depth, found[1]))
    return parents


def test_the_tree_of_errors_matches_the_docstring() -> None:
    """The docstring of errors.py shows each class under the class it derives from."""
    assert tree_in_docstring() == {
        error.__name__: next(b for b in error.__bases__ if b is not Copyable).__name__
        for error in error_classes()
    }


# ── the files ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_a_module_is_small_and_has_a_docstring(path: Path) -> None:
    """A module has at most 350 lines, and its docstring begins with one whole sentence."""
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_LINES, "split it by subject"
    first_line = (ast.get_docstring(ast.parse(text)) or "").split("\n", 1)[0]
    assert first_line.endswith((".", ":")) or path.name == "errors.py"


def test_no_module_has_a_vague_name() -> None:
    """A module is named after its content: no `utils`, no `helpers`."""
    vague = {"utils", "util", "helpers", "helper", "common", "misc", "shared"}
    names = {place(path): set(re.split(r"[/.]", place(path))) for path in MODULES}
    assert [module for module, words in names.items() if words & vague] == []


def test_the_core_needs_the_standard_library_only() -> None:
    """Modules of the core import the standard library, typing_extensions and downwards."""
    allowed = {*sys.stdlib_module_names, "typing_extensions"}
    foreign = {
        (place(path), name)
        for path in (ROOT / "multirouter" / "core").rglob("*.py")
        for name in imported(path)
        if name.split(".")[0] not in allowed
        and not name.startswith(("multirouter.core", "multirouter.errors", "multirouter.model"))
    }
    assert foreign == set()


def imported(path: Path) -> set[str]:
    """Returns the absolute names of the modules a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{place(path)}: imports are absolute"
            found.add(str(node.module))
    return found


def test_importing_the_package_is_light() -> None:
    """`import multirouter` loads no HTTP client, no logger, no database, no terminal, no loop."""
    heavy = ["aiohttp", "httpx", "redis", "rich", "sqlite3", "structlog", "trio", "uvloop", "yaml"]
    heavy += [
        "asyncio",
        "multirouter.listeners.alarms.alarms",
        "multirouter.listeners.history.history",
    ]
    heavy += [
        "multirouter.runtime.streams.session",
        "multirouter.runtime.hedge_race",
        "multirouter.core.introspection",
    ]
    script = f"import sys, multirouter; print([m for m in {heavy} if m in sys.modules])"
    # A child that measured its own coverage would load the database.
    quiet = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=quiet, capture_output=True, text=True
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_files_name_no_private_path_or_unfinished_work() -> None:
    """No tracked file names a path of one machine, or postpones work in passing."""
    here = Path(__file__).relative_to(ROOT).as_posix()
    strange = re.compile(
        r"/work/|/tmp/\w|/root/|/home/\w+/|co-authored-by|\bsub-?agents?\b|\bAI assistant"
        r"|\b(?:TODO|FIXME|XXX)\b|\bfor now[,.;]",
        re.IGNORECASE,
    )
    found = [
        f"{name}: {match[0]}"
        for name in tracked()
        if name != here and not name.endswith(".png")  # whose bytes may spell anything
        for match in strange.finditer((ROOT / name).read_text(encoding="utf-8", errors="ignore"))
    ]
    assert found == []


def tracked() -> list[str]:
    """Returns the files of the project as git knows them, less those deleted meanwhile."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_every_test_states_its_property() -> None:
    """Each test function has a docstring: what holds, not what is done."""
    silent = [
        f"{place(path)}::{node.name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


# ── the documents ───────────────────────────────────────────────────────────────────────────────


def test_the_readme_holds_the_commands_that_are_run() -> None:
    """.ci/run reads its test command out of the README, where it and the demo stand as one line."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert TRY_IT in readme
    assert TEST_IT in readme
    reader = re.search(
        r"^readme_test_command\(\).*?^\}$",
        (ROOT / ".ci" / "run").read_text(encoding="utf-8"),
        re.DOTALL | re.MULTILINE,
    )
    assert reader is not None
    script = f"{reader[0]}\nreadme_test_command"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == TEST_IT + "\n"


def test_the_check_can_be_run() -> None:
    """.ci/run is executable and stops at the first error."""
    check = ROOT / ".ci" / "run"
    assert os.access(check, os.X_OK)
    assert "set -euo pipefail" in check.read_text(encoding="utf-8")


def test_the_licence_is_the_one_stated() -> None:
    """LICENSE holds the licence that pyproject.toml names."""
    assert pyproject()["project"]["license"] == "MIT"
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")


def test_the_changelog_has_an_unreleased_section() -> None:
    """CHANGELOG.md has an Unreleased section, and every version below it has a date."""
    headings = re.findall(
        r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert headings[0] == "[Unreleased]"
    for heading in headings[1:]:
        assert re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}", heading)


MAX_MODULES = 14
"""Python modules in one folder; a folder with more is grouped by subject."""


def test_no_folder_has_too_many_modules() -> None:
    """A folder of the package has at most 14 modules."""
    folders = {path.parent for path in MODULES}
    sizes = {place(folder): len(list(folder.glob("*.py"))) for folder in folders}
    assert {folder: size for folder, size in sizes.items() if size > MAX_MODULES} == {}


def test_no_module_imports_in_a_circle() -> None:
    """The modules of the package import each other without a circle, annotations included."""
    known = frozenset(map(name_of, MODULES))
    graph = {name_of(path): package_imports(path, known) for path in MODULES}
    remaining = dict(graph)
    while remaining:
        leaves = {
            name for name, targets in remaining.items() if not targets & remaining.keys() - {name}
        }
        assert leaves, f"circle among {sorted(remaining)}"
        remaining = {name: targets for name, targets in remaining.items() if name not in leaves}


def name_of(path: Path) -> str:
    """Returns the dotted name of a module."""
    return place(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def package_imports(path: Path, known: frozenset[str]) -> set[str]:
    """Returns the modules of the package, `known`, that a module imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("multirouter"):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else str(node.module) for name in names}
    return found
