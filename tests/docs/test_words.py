"""Keeps retired words out of code, messages, test names and documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIST = ROOT / "docs" / "reference" / "retired-words.txt"
EXEMPT = {
    LIST,  # the list itself
    Path(__file__),
    ROOT / "docs" / "reference" / "glossary.md",  # may name an old word to explain a term
}
FILES = sorted(
    path
    for pattern in (
        "*.md",
        "*.toml",
        "*.cfg",
        ".ci/*",
        "multirouter/**/*.py",
        "multirouter/**/*.json",
        "tests/**/*.py",
        "tests/**/*.toml",
        "benchmarks/**/*.py",
        "benchmarks/*.md",
        "examples/*",
        "deploy/**/*.*",
        "docs/**/*.md",
    )
    for path in ROOT.glob(pattern)
    if path.is_file() and path not in EXEMPT
)


def retired() -> dict[str, str]:
    """Returns each retired word with its replacement."""
    lines = LIST.read_text("utf-8").splitlines()
    pairs = (line.split(":", 1) for line in lines if line and not line.startswith("#"))
    return {word.replace("_", " "): better.strip() for word, better in pairs}


def words(text: str) -> str:
    """Returns the text with identifiers taken apart: `cooled_until`, `CoolingOff` become words."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    return re.sub(r"_+", " ", apart)


ALLOWED = r"(?!(?<=cooling) down)"
"""A provider may be "cooling down"; the noun is "cooldown"."""
PATTERN = re.compile(
    rf"(?<![\w'])(?:{'|'.join(map(re.escape, retired()))})(?!\w){ALLOWED}", re.IGNORECASE
)


def found_in(text: str) -> list[str]:
    """Returns each line that holds a retired word, with its number and the word."""
    return [
        f"{number}: {match[0].lower()!r} in {line.strip()[:100]!r}"
        for number, line in enumerate(text.splitlines(), 1)
        for match in PATTERN.finditer(words(line))
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_uses_no_retired_word(path: Path) -> None:
    """Neither prose nor identifiers of a file use a word of docs/reference/retired-words.txt."""
    assert found_in(path.read_text("utf-8")) == []


def test_file_names_use_no_retired_word() -> None:
    """No module, page or test file is named after a retired word."""
    names = "\n".join(path.relative_to(ROOT).as_posix() for path in FILES)
    assert found_in(names) == []


@pytest.mark.parametrize(
    "text", ["def open_door():", "class Newswire:", "It is Told.", "whom_it_asks", "a_cooling"]
)
def test_a_retired_word_is_found(text: str) -> None:
    """Words are found in any case, and inside identifiers."""
    assert found_in(text)


@pytest.mark.parametrize(
    "text", ["chosen", "erase", "still", "illegal", "headroom", "roommate", "cooling down"]
)
def test_longer_words_are_not_taken_for_retired_ones(text: str) -> None:
    """A retired word inside a longer word does not count."""
    assert found_in(text) == []
