"""docs/reference/configuration.md agrees with the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from multirouter.config.document import Document
from multirouter.config.provider_builder import KINDS
from multirouter.config.sections.policies import StrategyName
from multirouter.config.sections.provider import ProviderKind
from multirouter.core.selection.strategies import STRATEGIES
from tests.config.files import KEY, config_error, load_config

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "configuration.md").read_text(
    encoding="utf-8"
)
EXAMPLE = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0]
ENVIRON = {"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY}


def test_example_is_valid(tmp_path: Path) -> None:
    """The page's example loads and serves the model names that the page describes."""
    settings = load_config(tmp_path, EXAMPLE, **ENVIRON)
    assert {"coding", "code-*", "gpt-5", "openai/gpt-5", "auto-best"} <= set(settings.models)
    assert settings.server.port == 8080


def test_error_example_is_real(tmp_path: Path) -> None:
    """Each line of the page's error example is a real message."""
    text = EXAMPLE.replace("weight:", "wieght:").replace(
        "gpt-5: {input: 1.25", "gpt-4.1: {input: x"
    )
    for line in config_error(tmp_path, text, **ENVIRON).splitlines()[1:]:
        assert line in PAGE
    text = EXAMPLE.replace("tiers: [claude", "tiers: [clade")
    assert config_error(tmp_path, text, **ENVIRON) in PAGE


def test_every_section_is_listed() -> None:
    """The page's table lists every top-level section of a file."""
    rows = [row.split("|")[1] for row in PAGE.splitlines() if row.startswith("| `")]
    listed = set(re.findall(r"`(\w+)`", "".join(rows)))
    assert set(Document.model_fields) <= listed


def test_kinds_and_strategies_match_the_package() -> None:
    """The schema's kinds and strategies are those of the code, and the page lists the kinds."""
    assert set(get_args(ProviderKind)) == set(KINDS)
    assert set(get_args(StrategyName)) == set(STRATEGIES)
    assert all(f"`{kind}`" in PAGE for kind in KINDS)
