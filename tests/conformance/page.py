"""Finds the tests that name a conformance case, and renders the page that lists them.

A test names its cases in its own name (`test_case_12_...`) or in its docstring ("Case 12: ...",
"cases 23, 24 and 26", "cases 43-45"). Files are parsed, never imported, so the page needs none
of the tests' dependencies.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "conformance.md"
CASES = Path(__file__).with_name("cases.toml")

LEVELS = {0: "must", 1: "best", 2: "offered"}

IN_DOCSTRINGS = re.compile(
    r"\bcases?\s+(\d+(?:(?:\s*(?:,\s*and|,|-|and|to)\s*)\d+)*)", re.IGNORECASE
)
IN_NAMES = re.compile(r"case_(\d+)")
RANGE = re.compile(r"(\d+)\s*(?:-|to)\s*(\d+)")

INTRODUCTION = """\
# Conformance cases and their tests

<!-- Written by `python -m tests.conformance`; do not edit. -->

Ninety cases that a router of providers must handle correctly, and the tests that cover them. Each
test names the numbers of its cases. *must*: required of every router. *best*: done by the best
ones. *offered*: applies where the feature exists.
"""


@dataclass(frozen=True)
class Case:
    """One case; `waits_for` is empty when it is due."""

    number: int
    level: int
    title: str
    waits_for: str = ""


def sections() -> list[tuple[str, list[Case]]]:
    """Returns the cases under their headings, in order."""
    data = tomllib.loads(CASES.read_text(encoding="utf-8"))
    return [(s["title"], [Case(**case) for case in s["cases"]]) for s in data["section"]]


def cases() -> list[Case]:
    """Returns all cases, in order."""
    return [case for _, group in sections() for case in group]


def numbers_in(name: str, docstring: str) -> set[int]:
    """Returns the numbers of the cases in a test's name and docstring."""
    found = {int(n) for n in IN_NAMES.findall(name)}
    for listing in IN_DOCSTRINGS.findall(docstring):
        found.update(int(n) for n in re.findall(r"\d+", listing))
        for first, last in RANGE.findall(listing):
            found.update(range(int(first), int(last) + 1))
    return found


def tests_by_case() -> dict[int, list[str]]:
    """Returns, for each case number, the ids of the tests that name it."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        file = path.relative_to(ROOT).as_posix()
        for name, docstring in _tests(ast.parse(path.read_text(encoding="utf-8"))):
            for number in numbers_in(name, docstring):
                found[number].append(f"{file}::{name}")
    return dict(found)


def _tests(scope: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yields name and docstring of each test; a state machine counts as a test."""
    for node in scope.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if _is_skipped(node):
            continue
        if node.name.startswith("test") or _is_machine(node):
            yield prefix + node.name, ast.get_docstring(node) or ""
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield from _tests(node, f"{prefix}{node.name}::")


def _is_machine(node: ast.AST) -> bool:
    """Whether it is a hypothesis state machine, which becomes a test by `TestX = X.TestCase`."""
    return isinstance(node, ast.ClassDef) and any(
        ast.unparse(base).endswith("StateMachine") for base in node.bases
    )


def _is_skipped(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """Whether a test is never run, or is expected to fail, and so covers no case."""
    return any(
        re.match(r"pytest\.mark\.(skip\b|xfail\b)", ast.unparse(mark))
        for mark in node.decorator_list
    )


def problems(tests: dict[int, list[str]]) -> list[str]:
    """Returns the mismatches between cases and tests; empty when there are none."""
    known = {case.number: case for case in cases()}
    uncovered = [
        f"case {n} has no test: {case.title}"
        for n, case in known.items()
        if not case.waits_for and n not in tests
    ]
    premature = [
        f"case {n} has a test and need not wait for {case.waits_for}: {tests[n][0]}"
        for n, case in known.items()
        if case.waits_for and n in tests
    ]
    unknown = [f"there is no case {n}: {tests[n][0]}" for n in sorted(tests.keys() - known.keys())]
    return uncovered + premature + unknown


def render(tests: dict[int, list[str]]) -> str:
    """Returns the page as Markdown."""
    parts = [INTRODUCTION]
    for title, group in sections():
        rows = [_row(case, tests.get(case.number, [])) for case in group]
        table = ["| case | level | requirement | tests |", "|---|---|---|---|", *rows]
        parts.append(f"## {title}\n\n" + "\n".join(table) + "\n")
    return "\n".join(parts)


def _row(case: Case, tests: list[str]) -> str:
    covered_by = "<br>".join(map(_link, tests)) or f"waits for {case.waits_for or 'a test'}"
    return f"| {case.number} | {LEVELS[case.level]} | {case.title} | {covered_by} |"


def _link(test: str) -> str:
    path, _, name = test.partition("::")
    return f"`{path.removeprefix('tests/')}` `{name}`"
