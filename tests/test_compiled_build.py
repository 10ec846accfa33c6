"""The build hook: when it compiles, what it needs, and what compiled modules must not do."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


class Interface:
    """Stands for hatchling's interface of hooks, which only builds have."""

    root = str(ROOT)
    target_name = "wheel"

    def __class_getitem__(cls, item: object) -> type[Interface]:
        return cls


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module `hatch_build.py`, without hatchling and without the switch."""
    name = "hatchling.builders.hooks.plugin.interface"
    for end in range(1, name.count(".") + 2):
        part = ".".join(name.split(".")[:end])
        monkeypatch.setitem(sys.modules, part, ModuleType(part))
    monkeypatch.setattr(sys.modules[name], "BuildHookInterface", Interface, raising=False)
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.delenv(module.SWITCH, raising=False)
    return module


def built(hook: ModuleType, version: str = "standard") -> tuple[dict[str, Any], list[str]]:
    """What the hook adds to a wheel, and its warnings."""
    made = hook.CompiledModules()
    warnings: list[str] = []
    made.app = SimpleNamespace(display_warning=warnings.append, display_info=lambda _: None)
    data: dict[str, Any] = {"force_include": {}}
    made.initialize(version, data)
    return data, warnings


@pytest.mark.parametrize("value", [None, "", "0"])
def test_the_default_is_pure_python(
    hook: ModuleType, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    """Without the switch, a build needs nothing more and has nothing more."""
    if value is not None:
        monkeypatch.setenv(hook.SWITCH, value)
    assert hook.CompiledModules().dependencies() == []
    assert built(hook) == ({"force_include": {}}, [])


def test_compiled_modules_are_added(hook: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the switch, the wheel is of this platform and has the extension modules."""
    monkeypatch.setenv(hook.SWITCH, "1")
    monkeypatch.setattr(hook, "_problem", lambda _: "")
    monkeypatch.setattr(hook.shutil, "rmtree", lambda *_, **__: None)
    monkeypatch.setattr(hook, "_compile", lambda root, output: None)
    monkeypatch.setattr(hook.Path, "rglob", lambda self, _: [self / "multirouter" / "m.so"])
    needed = hook.CompiledModules().dependencies()
    assert any("mypyc" in each for each in needed)
    assert "prometheus-client" in needed, "compiled modules read its types, in a build of its own"
    data, warnings = built(hook)
    assert list(data["force_include"].values()) == [str(Path("multirouter", "m.so"))]
    assert (data["infer_tag"], data["pure_python"], warnings) == (True, False, [])


def test_what_cannot_be_compiled_is_pure_python(
    hook: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a compiler, and in an editable installation, a warning says so."""
    monkeypatch.setenv(hook.SWITCH, "1")
    monkeypatch.setenv("CC", "no-such-compiler")
    data, (warning,) = built(hook)
    assert data == {"force_include": {}}
    assert "there is no C compiler 'no-such-compiler'; the wheel is pure Python" in warning
    _, (warning,) = built(hook, "editable")
    assert "an editable installation runs the sources" in warning


def declared(node: ast.ClassDef) -> Iterator[str]:
    """The attributes that a class declares, in its body or on `self`."""
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            yield each.target.id
    for each in ast.walk(node):
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Attribute):
            yield each.target.attr


def test_no_compiled_class_declares_an_attribute_again(hook: ModuleType) -> None:
    """Mypyc visits such an attribute twice, and never frees a cycle through it."""
    classes: dict[str, ast.ClassDef] = {}
    for module in hook.MODULES:
        tree = ast.parse((ROOT / hook.PACKAGE / f"{module}.py").read_text("utf-8"))
        classes |= {each.name: each for each in ast.walk(tree) if isinstance(each, ast.ClassDef)}
    again = []
    for name, node in classes.items():
        bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
        while bases:
            base = classes.get(bases.pop())
            if base is not None:
                again += [(name, each) for each in {*declared(node)} & {*declared(base)}]
                bases += [each.id for each in base.bases if isinstance(each, ast.Name)]
    assert len(classes) > 20
    assert again == []


def test_no_compiled_module_has_an_integer_where_a_float_is_declared(hook: ModuleType) -> None:
    """Type checkers allow it; mypyc rejects it, and the build fails."""
    wrong = [
        f"{module}:{node.lineno}"
        for module in hook.MODULES
        for node in ast.walk(ast.parse((ROOT / hook.PACKAGE / f"{module}.py").read_text("utf-8")))
        if isinstance(node, ast.AnnAssign)
        and ast.unparse(node.annotation) == "float"
        and isinstance(node.value, ast.Constant)
        and type(node.value.value) is int
    ]
    assert wrong == []
