"""The documentation is true: links resolve, public names are documented, code can be pasted."""

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
FIRST_TUTORIAL = ROOT / "docs" / "tutorials" / "first-router.md"
PAGES = [
    README,
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "benchmarks" / "README.md",
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
PUBLIC_PACKAGES = ("", ".config", ".providers", ".testing")
PUBLIC_MODULES = ("config", "providers", "testing")


def prose(page: Path) -> str:
    """Returns the text of a page without its code."""
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
def test_every_link_resolves(page: Path) -> None:
    """Files that a page links to exist, and so do the headings in them."""
    for file, heading in links(page):
        assert file.exists(), f"{file} does not exist"
        assert not heading or heading in anchors(file), f"{file.name} has no #{heading}"


def test_pages_of_the_site_link_only_within_it() -> None:
    """A page of docs/ links to pages of docs/ and to web addresses only."""
    docs = ROOT / "docs"
    outside = {
        (page.relative_to(docs).as_posix(), file.relative_to(ROOT).as_posix())
        for page in docs.rglob("*.md")
        for file, _ in links(page)
        if not file.is_relative_to(docs)
    }
    assert outside == set()


def test_every_page_can_be_reached_from_the_readme() -> None:
    """Every page can be reached from the README by following links."""
    reached: set[Path] = set()
    ahead = [README]
    while ahead:
        page = ahead.pop()
        if page.suffix == ".md" and page not in reached:
            reached.add(page)
            ahead.extend(file for file, _ in links(page))
    assert set(PAGES) - reached == set()


@pytest.mark.parametrize("package", PUBLIC_PACKAGES)
def test_every_public_name_is_documented(package: str) -> None:
    """What can be imported from the package and its public packages is named on some page."""
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    names = importlib.import_module(f"multirouter{package}").__all__
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []


def test_the_api_reference_is_complete() -> None:
    """Each public name of the package has an entry in the generated API reference."""
    text = "\n".join(page.read_text("utf-8") for page in (ROOT / "docs/reference/api").glob("*.md"))
    entries = set(re.findall(r"^::: multirouter\.(\w+)$", text, re.MULTILINE))
    assert entries - set(PUBLIC_MODULES) == set(importlib.import_module("multirouter").__all__)
    assert set(PUBLIC_MODULES) <= entries


def test_pages_import_from_public_packages_only() -> None:
    """Code to copy imports from the package, or from a module that has an `__all__`."""
    code = "\n".join(page.read_text("utf-8") for page in PAGES)
    code += "\n".join(file.read_text("utf-8") for file in (ROOT / "examples").glob("*.py"))
    found = set(re.findall(r"^from (multirouter[\w.]*) import", code, re.MULTILINE))
    assert {
        name for name in found if not hasattr(importlib.import_module(name), "__all__")
    } == set()


def test_every_page_is_in_the_navigation() -> None:
    """The site's navigation has each page of docs/, and each entry of it exists."""
    site = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]
    assert set(entries_of(site["nav"])) == {
        page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")
    }


def entries_of(navigation: object) -> Iterator[str]:
    """Yields the pages of a navigation, however deep."""
    if isinstance(navigation, str):
        yield navigation
    elif isinstance(navigation, dict):
        for entry in navigation.values():
            yield from entries_of(entry)
    elif isinstance(navigation, list):
        for entry in navigation:
            yield from entries_of(entry)


def test_the_source_distribution_holds_what_pages_link_to() -> None:
    """Every file that a page links to is included in the source distribution."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]
    included = [pattern.strip("/") for pattern in build["targets"]["sdist"]["include"]]
    for page in PAGES:
        for file, _ in links(page):
            name = file.relative_to(ROOT)
            assert any(
                name.match(pattern) or name.parts[0] == pattern or name.as_posix() == pattern
                for pattern in [*included, "LICENSE"]
            ), f"{page.name} links to {name}, which the source distribution lacks"


# ── the README at the prompt ────────────────────────────────────────────────────────────────────


class Prompt(code.InteractiveConsole):
    """`python -m asyncio` without its thread: takes lines and keeps error messages."""

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
        """Keeps error messages."""
        self.wrong.append(data)


def test_the_readme_can_be_pasted_at_the_prompt(capsys) -> None:
    """Line by line, each block followed by Enter, its examples run and print what it shows."""
    assert shown_in(README) <= pasted(README, capsys)


def test_the_first_tutorial_can_be_pasted_at_the_prompt(capsys) -> None:
    """Each block of the first tutorial runs at the prompt."""
    assert any("of 100 calls" in line for line in pasted(FIRST_TUTORIAL, capsys))


def pasted(page: Path, capsys) -> set[str]:
    """Returns the lines that the examples of a page print when they are pasted at the prompt."""
    prompt = Prompt()
    found = re.finditer(
        r"(<!-- no-run -->\n)?^```python\n(.*?)^```",
        page.read_text("utf-8"),
        re.DOTALL | re.MULTILINE,
    )
    for block in [match[2] for match in found if not match[1]]:
        for line in [*block.splitlines(), ""]:
            assert prompt.push(line) in (True, False)
            assert prompt.wrong == [], line
    prompt.loop.close()
    return shapes(capsys.readouterr().out)


def shown_in(page: Path) -> set[str]:
    """Returns the lines of the output that a page shows."""
    return shapes(
        "".join(
            re.findall(r"^```text\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
        )
    )


def shapes(text: str) -> set[str]:
    """Returns the lines of a text without durations."""
    return {re.sub(r"\d\.\d{3}", "…", line) for line in text.splitlines()}


# ── the pages about the tree ────────────────────────────────────────────────────────────────────


PACKAGE = ROOT / "multirouter"


def modules(*, core: bool) -> set[str]:
    """Returns the modules and packages right below the package, and the packages of the core."""
    found = {path.name for path in PACKAGE.glob("*.py") if not path.name.startswith("__")}
    found |= {f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}
    within = {f"core/{path.parent.name}/" for path in (PACKAGE / "core").glob("*/__init__.py")}
    return found | within if core else found


@pytest.mark.parametrize(
    ("page", "core"), [("docs/explanation/architecture.md", False), ("CONTRIBUTING.md", True)]
)
def test_every_module_is_named(page: str, core: bool) -> None:
    """The pages about the tree name each module, and none that does not exist."""
    text = (ROOT / page).read_text("utf-8")
    named = set(re.findall(r"`(?:multirouter/)?([\w/]+(?:/|\.py))`", text))
    assert modules(core=core) - named == set()
    known = {path.name for path in PACKAGE.rglob("*.py")}
    assert {
        name
        for name in named
        if not ((PACKAGE / name).exists() or (ROOT / name).exists() or name in known)
    } == set()


def test_the_extras_that_pages_name_exist() -> None:
    """Each `multirouter[...]` in pages and error messages is an extra of the project."""
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
