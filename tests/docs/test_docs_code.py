"""Runs the code of README.md and docs/, page by page, in virtual time.

The ```python blocks of a page share one namespace and run from top to bottom; `await` may stand
at top level. `<!-- no-run -->` on the line before a block has it compiled only.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import re
import traceback
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from multirouter.testing import virtual_clock

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)[^`]*$")
NO_RUN = "<!-- no-run -->"


class Block(NamedTuple):
    """A piece of code of a page; `line` is that of its first line of code."""

    line: int
    code: str
    runs: bool


def blocks(text: str) -> list[Block]:
    """The python blocks of a page of Markdown, in order."""
    found: list[Block] = []
    opened: re.Match[str] | None = None
    code: list[str] = []
    before = ""
    for number, line in enumerate(text.splitlines(), 1):
        fence = FENCE.match(line)
        if opened is None and fence:
            opened, code, marked = fence, [], before.strip() == NO_RUN
        elif opened is not None and fence and not fence["language"]:
            if opened["language"] == "python":
                found.append(Block(number - len(code), "\n".join(code) + "\n", not marked))
            opened = None
        elif opened is not None:
            code.append(line.removeprefix(opened["indent"]))
        before = line
    assert opened is None, "a fence is left open"
    return found


def compiled(block: Block, page: Path):
    """The block as code whose line numbers are the page's."""
    return compile(
        "\n" * (block.line - 1) + block.code,
        str(page),
        "exec",
        flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
        dont_inherit=True,
    )


async def run(page: Path, pieces: list[Block]) -> None:
    """Runs a page; a failure names the line of the page."""
    namespace = ModuleType("__page__").__dict__
    for block in pieces:
        code = compiled(block, page)
        if not block.runs:
            continue
        try:
            # Evaluated, not executed: with a top-level await the code is a coroutine.
            result = eval(code, namespace)
            if inspect.iscoroutine(result):
                await result
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            line = next((f.lineno for f in reversed(frames) if f.filename == str(page)), block.line)
            trace = "".join(traceback.format_exception(error))
            pytest.fail(f"{name(page)}:{line}: {type(error).__name__}: {error}\n{trace}")


def name(page: Path) -> str:
    """The page's place in the project, or its path elsewhere."""
    inside = page.is_relative_to(ROOT)
    return page.relative_to(ROOT).as_posix() if inside else page.name


PAGES = sorted(p for p in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")] if p.exists())


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_code_of_a_page_runs(page, monkeypatch, tmp_path):
    """Each block of the page does what it says: it runs, and its assertions hold."""
    check_page(page, monkeypatch, tmp_path)


def check_page(page, monkeypatch, tmp_path) -> None:
    """Runs a page in a directory of its own, in virtual time."""
    # A page may write files, and may start a program of its own with `virtual_clock.run` or
    # `asyncio.run`; a program cannot start inside another, so such a page must not use `await`.
    monkeypatch.chdir(tmp_path)
    pieces = blocks(page.read_text(encoding="utf-8"))
    if any(compiled(b, page).co_flags & inspect.CO_COROUTINE for b in pieces if b.runs):
        virtual_clock.run(run, page, pieces)
        return
    monkeypatch.setattr(asyncio, "run", lambda main: virtual_clock.run(lambda: main))
    steps = run(page, pieces)
    with pytest.raises(StopIteration):
        steps.send(None)


def page_of(tmp_path: Path, text: str) -> Path:
    """A page with the text, where every `'''` stands for a fence."""
    page = tmp_path / "page.md"
    page.write_text(text.replace("'''", "```"), encoding="utf-8")
    return page


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_does_not_run_imports_what_is_there(page):
    """Blocks that are only compiled name modules and names of the package that it has."""
    for block in blocks(page.read_text(encoding="utf-8")):
        for node in ast.walk(ast.parse(block.code)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("multirouter"):
                module = importlib.import_module(node.module)
                assert [a.name for a in node.names if not hasattr(module, a.name)] == []


def test_failures_name_page_and_line(tmp_path, monkeypatch):
    """A failing block is reported with its page and line, awaited or not."""
    for wait in ("", "import asyncio; await asyncio.sleep(9)"):
        text = f"# Title\n\n'''python\nx = 1\n'''\n\n'''python\n{wait}\nassert x == 2\n'''\n"
        with pytest.raises(pytest.fail.Exception, match=r"^page\.md:9: AssertionError"):
            check_page(page_of(tmp_path, text), monkeypatch, tmp_path)


def test_marked_blocks_are_compiled_only(tmp_path, monkeypatch):
    """A block marked `no-run` does not run, and a syntax error in it is found all the same."""
    text = f"{NO_RUN}\n'''python\n1 / 0\n'''\n'''text\n1 /\n'''\n"
    check_page(page_of(tmp_path, text), monkeypatch, tmp_path)
    with pytest.raises(SyntaxError) as caught:
        check_page(page_of(tmp_path, text.replace("1 / 0", "1 / ")), monkeypatch, tmp_path)
    assert caught.value.lineno == 3


def test_pages_may_run_programs(tmp_path, monkeypatch):
    """A page without top-level await may call `asyncio.run`, which takes virtual time."""
    text = "'''python\nimport asyncio\nasyncio.run(asyncio.sleep(86400, 1))\n'''\n"
    check_page(page_of(tmp_path, text), monkeypatch, tmp_path)
