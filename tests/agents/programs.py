"""The agents: how each is found, started and pointed at a gateway, and how its model reads a file.

To add an agent, write an `Agent` and add it to `AGENTS`. Nothing else knows agents by name. Its
package belongs in `package.json` beside this module.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from multirouter.testing.fakes import ParsedRequest, ToolCall

VARIABLE = "MULTIROUTER_AGENTS"
"""Names a `node_modules` with the packages of the agents; `.ci/run` sets it."""


@dataclass(frozen=True)
class Agent:
    """One program.

    Attributes:
        name: the name of its command in `node_modules/.bin`.
        arguments: its arguments behind the command, for a prompt.
        environment: its variables for the gateway's address; may write files to its home.
        read: the tool call with which its model reads a file: from the request (whose tools say
            which there are), an id and the file.
    """

    name: str
    arguments: Callable[[str], Sequence[str]]
    environment: Callable[[str, Path], Mapping[str, str]]
    read: Callable[[ParsedRequest, str, Path], ToolCall]

    @property
    def program(self) -> str | None:
        """The path of the program; None if it is not installed."""
        modules = os.environ.get(VARIABLE)
        return shutil.which(self.name, path=f"{modules}/.bin") if modules else None


def _claude_environment(url: str, home: Path) -> dict[str, str]:
    return {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_AUTH_TOKEN": "unused",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_MAX_RETRIES": "3",
    }


CLAUDE = Agent(
    "claude",
    lambda prompt: ["-p", prompt, "--output-format", "text", "--allowedTools", "Read"],
    _claude_environment,
    lambda _, id_, path: ToolCall(id_, "Read", {"file_path": str(path)}),
)


def _codex_environment(url: str, home: Path, *, websocket: bool = False) -> dict[str, str]:
    (home / ".codex").mkdir()
    (home / ".codex" / "config.toml").write_text(
        f"""
model = "gpt-codex"
model_provider = "multirouter"
model_reasoning_effort = "high"

[model_providers.multirouter]
name = "multirouter"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "MULTIROUTER_KEY"
supports_websockets = {json.dumps(websocket)}

[analytics]
enabled = false
"""
    )
    return {"CODEX_HOME": str(home / ".codex"), "MULTIROUTER_KEY": "unused"}


def _codex_read(_: ParsedRequest, id_: str, path: Path) -> ToolCall:
    if path.suffix == ".png":
        return ToolCall(id_, "view_image", {"path": str(path)})
    return ToolCall(id_, "exec_command", {"cmd": f"cat {path}"})


CODEX = Agent(
    "codex",
    lambda prompt: [
        "exec",
        "--skip-git-repo-check",
        "--dangerously-bypass-approvals-and-sandbox",  # the network namespace is one
        prompt,
    ],
    _codex_environment,
    _codex_read,
)


CODEX_BY_WEBSOCKET = replace(CODEX, environment=partial(_codex_environment, websocket=True))
"""Codex as it talks to OpenAI by default."""


def _gemini_environment(url: str, home: Path) -> dict[str, str]:
    folder = home / ".gemini"
    folder.mkdir()
    settings = {
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "privacy": {"usageStatisticsEnabled": False},
        "telemetry": {"enabled": False},
        "general": {"enableAutoUpdate": False, "disableAutoUpdate": True},
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    return {
        "GOOGLE_GEMINI_BASE_URL": url,
        "GEMINI_API_KEY": "unused",
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
        "NO_COLOR": "1",
    }


GEMINI = Agent(
    "gemini",
    lambda prompt: ["-m", "gemini-3-pro-preview", "--yolo", "-p", prompt],
    _gemini_environment,
    lambda _, id_, path: ToolCall(id_, "read_file", {"file_path": str(path)}),
)

AGENTS = (CLAUDE, CODEX, GEMINI)
