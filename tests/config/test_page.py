"""What docs/configuration.md says is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from multirouter.config.document import Document, ProviderKind, StrategyName
from multirouter.config.provider_builder import KINDS
from multirouter.core.selection.strategies import NAMES
from tests.config.files import KEY, loaded, refused

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
EXAMPLE = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0]
ENVIRON = {"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY}


def test_the_example_is_right(tmp_path: Path) -> None:
    """It loads, and serves the names that it speaks of."""
    settings = loaded(tmp_path, EXAMPLE, **ENVIRON)
    assert {"coding", "code-*", "gpt-5", "openai/gpt-5", "auto-best"} <= set(settings.models)
    assert settings.server.port == 8080


def test_the_mistakes_are_told_as_shown(tmp_path: Path) -> None:
    """Each line of the example of mistakes is what is said."""
    text = EXAMPLE.replace("weight:", "wieght:").replace(
        "gpt-5: {input: 1.25", "gpt-4.1: {input: x"
    )
    for line in refused(tmp_path, text, **ENVIRON).splitlines()[1:]:
        assert line in PAGE
    text = EXAMPLE.replace("tiers: [claude", "tiers: [clade")
    assert refused(tmp_path, text, **ENVIRON) in PAGE


def test_every_section_is_told() -> None:
    """The table knows all that may stand at the top of a file."""
    rows = [row.split("|")[1] for row in PAGE.splitlines() if row.startswith("| `")]
    told = set(re.findall(r"`(\w+)`", "".join(rows)))
    assert set(Document.model_fields) <= told


def test_kinds_and_strategies_are_those_of_the_package() -> None:
    """The words that a file may use are those that the code knows, and the page names the kinds."""
    assert set(get_args(ProviderKind)) == set(KINDS)
    assert set(get_args(StrategyName)) == set(NAMES)
    assert all(f"`{kind}`" in PAGE for kind in KINDS)
