"""The sample configuration for coding agents: it is valid, and the tutorial shows it whole."""

from __future__ import annotations

from pathlib import Path

import yaml

from multirouter import Sticky
from multirouter.config import load
from multirouter.config.settings import make_route
from multirouter.gateway.startup_message import agents

ROOT = Path(__file__).parents[2]
FILE = ROOT / "examples" / "agents.yaml"
TUTORIALS = ROOT / "docs" / "tutorials"


def test_the_sample_is_valid(tmp_path: Path) -> None:
    """Agents' own model names, and names yet to come, lead to the sticky route."""
    copy = tmp_path / "agents.yaml"
    copy.write_text(FILE.read_text("utf-8"))
    (tmp_path / "keys.json").write_text('{"keys": []}')
    settings = load(copy, {"ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "k"})
    assert {"agents", "claude-*", "gpt-*", "gemini-*"} <= settings.models.keys()
    route = make_route("agents", settings.document.routes["agents"], settings.document.policies)
    assert len(route.tiers) == 3
    assert all(isinstance(strategy, Sticky) for strategy in route.strategy)


def test_the_tutorial_shows_the_sample() -> None:
    """Both have the same settings."""
    page = (TUTORIALS / "claude-code.md").read_text("utf-8")
    block = page.partition("```yaml\n")[2].partition("```")[0]
    assert yaml.safe_load(block) == yaml.safe_load(FILE.read_text("utf-8"))


def test_the_tutorials_start_agents_as_the_gateway_says() -> None:
    """The commands in the pages are those that `multirouter serve` prints."""
    claude, codex, gemini = agents("http://127.0.0.1:8080", "agents", keyed=True)
    assert claude.strip() in (TUTORIALS / "claude-code.md").read_text("utf-8")
    assert gemini.strip() in (TUTORIALS / "gemini-cli.md").read_text("utf-8")
    assert codex.count("'") == 2
    assert "unused" in "".join(agents("http://x", "m", keyed=False))
