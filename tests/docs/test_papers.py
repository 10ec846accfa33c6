"""What the papers promise holds: links lead somewhere, names are told, code can be pasted."""

from __future__ import annotations

import ast
import asyncio
import code
import importlib
import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [
    README,
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "benchmarks" / "README.md",
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
ROOMS = ("", ".config", ".providers", ".testing")


def prose(page: Path) -> str:
    """The text of a page without its code, where a bracket is no link and a `#` no heading."""
    plain = re.sub(r"(?ms)^( *)```.*?^\1```$", "", page.read_text("utf-8"))
    return plain.replace("`", "")


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """Each link of a page into this project: the file it names, and the heading or ""."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if not target.startswith(("http:", "https:")):
            file, _, heading = target.partition("#")
            yield ((page.parent / file).resolve() if file else page), heading


def anchors(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    """Files that a page links to are there, and so are the headings in them."""
    for file, heading in links(page):
        assert file.exists(), f"{file} is not there"
        assert not heading or heading in anchors(file), f"{file.name} has no #{heading}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    """Whoever reads the README and follows links comes to every page."""
    reached: set[Path] = set()
    ahead = [README]
    while ahead:
        page = ahead.pop()
        if page.suffix == ".md" and page not in reached:
            reached.add(page)
            ahead.extend(file for file, _ in links(page))
    assert set(PAGES) - reached == set()


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_in_the_docs(room: str) -> None:
    """What can be imported from the package and its public rooms is told on some page."""
    told = "\n".join(
        page.read_text("utf-8") for page in PAGES if page.parent.name == "docs" or page == README
    )
    names = importlib.import_module(f"multirouter{room}").__all__
    assert [name for name in names if not re.search(rf"\b{name}\b", told)] == []


def test_pages_import_from_public_rooms_alone() -> None:
    """Code to copy imports from the package, or from a room that says what is public in it."""
    code = "\n".join(page.read_text("utf-8") for page in PAGES)
    code += "\n".join(file.read_text("utf-8") for file in (ROOT / "examples").glob("*.py"))
    found = set(re.findall(r"^from (multirouter[\w.]*) import", code, re.MULTILINE))
    assert {
        name for name in found if not hasattr(importlib.import_module(name), "__all__")
    } == set()


# ── the README at the prompt ────────────────────────────────────────────────────────────────────


class Prompt(code.InteractiveConsole):
    """`python -m asyncio`, without the thread: lines go in, and what went wrong is kept."""

    def __init__(self) -> None:
        super().__init__({})
        self.compile.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self.loop = asyncio.new_event_loop()
        self.wrong: list[str] = []

    def runcode(self, code) -> None:
        """Runs a statement, and awaits it where it awaits."""
        result = eval(code, self.locals)
        if inspect.iscoroutine(result):
            self.loop.run_until_complete(result)

    def write(self, data: str) -> None:
        """Keeps what the prompt complains of."""
        self.wrong.append(data)


def test_the_readme_can_be_pasted_at_the_prompt(capsys) -> None:
    """Line by line, each block followed by Enter, its examples run and print what it shows."""
    text = README.read_text("utf-8")
    prompt = Prompt()
    for block in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for line in [*block.splitlines(), ""]:
            assert prompt.push(line) in (True, False)
            assert prompt.wrong == [], line
    prompt.loop.close()
    shown = re.search(r"```text\n(openai was asked: And.*?)```", text, re.DOTALL)
    assert shown is not None
    assert shapes(shown[1]) <= shapes(capsys.readouterr().out)


def shapes(text: str) -> set[str]:
    """Lines without who was drawn and how long it took, which chance decides."""
    return {re.sub(r"openai|anthropic|local|\d\.\d{3}", "…", line) for line in text.splitlines()}


# ── the house ───────────────────────────────────────────────────────────────────────────────────


HOUSE = ROOT / "multirouter"


def rooms(*, core: bool) -> set[str]:
    """The rooms of the house: modules right below the package, folders, and the core's modules."""
    found = {path.name for path in HOUSE.glob("*.py") if not path.name.startswith("__")}
    found |= {f"{path.parent.name}/" for path in HOUSE.glob("*/__init__.py")}
    within = {f"core/{path.name}" for path in (HOUSE / "core").glob("[!_]*.py")}
    return found | within if core else found


@pytest.mark.parametrize(
    ("page", "core"), [("docs/architecture.md", False), ("CONTRIBUTING.md", True)]
)
def test_every_room_is_named(page: str, core: bool) -> None:
    """The pages that say what is where name each room, and none that is not there."""
    text = (ROOT / page).read_text("utf-8")
    named = set(re.findall(r"`(?:multirouter/)?([\w/]+(?:/|\.py))`", text))
    assert rooms(core=core) - named == set()
    assert {
        name for name in named if not ((HOUSE / name).exists() or (ROOT / name).exists())
    } == set()


def test_the_extras_that_are_named_are_there() -> None:
    """Each `multirouter[...]` of the pages and of the package's own errors can be installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    files = [*PAGES, *(ROOT / "multirouter").rglob("*.py"), *(ROOT / "examples").glob("*.py")]
    named = {
        extra
        for file in files
        for found in re.findall(r"multirouter\[([a-z,]+)\]'", file.read_text("utf-8"))
        for extra in found.split(",")
    }
    assert named
    assert named <= set(project["optional-dependencies"])
