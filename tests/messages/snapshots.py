"""The snapshot files: one for each topic, with every message of it."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from difflib import unified_diff
from pathlib import Path

from tests.messages import (
    calls,
    commands,
    gateway,
    mistakes,
    observability,
    scenes,
    source_texts,
    streams,
    usage,
)

FOLDER = Path(__file__).with_name("snapshots")
COMMAND = "python -m tests.messages"
MAX_DIFF_LINES = 40

HEAD = """\
Messages of multirouter, written by `{command}`; do not edit.
Read them as a stranger would: what is wrong, which value, what is allowed, where?

"""


def _in_a_folder(render: Callable[[Path], str]) -> Callable[[], str]:
    """Calls a function with an empty folder."""

    def render_in_folder() -> str:
        with tempfile.TemporaryDirectory() as folder:
            return render(Path(folder).resolve())

    return render_in_folder


TOPICS: dict[str, Callable[[], str]] = {
    "calls": lambda: scenes.render({**calls.TOPICS, **streams.TOPICS, **usage.TOPICS}),
    "commands": _in_a_folder(commands.render),
    "gateway": gateway.render,
    "mistakes": _in_a_folder(mistakes.render),
    "observability": observability.render,
    "source": source_texts.render,
}
"""For each topic, what renders its messages."""


def path_of(topic: str) -> Path:
    """Returns the snapshot file of a topic."""
    return FOLDER / f"{topic}.txt"


def rendered(topic: str) -> str:
    """Returns the text that the file of a topic must have."""
    quiet = logging.getLogger("tests.gateway")
    disabled, quiet.disabled = quiet.disabled, True
    try:
        lines = TOPICS[topic]().splitlines()
    finally:
        quiet.disabled = disabled
    return HEAD.format(command=COMMAND) + "\n".join(map(str.rstrip, lines)) + "\n"


def stale(topic: str, text: str) -> str:
    """Returns how the file of a topic differs from `text`, and what to do; "" if it is the same."""
    path = path_of(topic)
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    if old == text:
        return ""
    lines = unified_diff(old.splitlines(), text.splitlines(), "committed", "now", lineterm="", n=1)
    diff = list(lines)
    more = [f"... {len(diff) - MAX_DIFF_LINES} more lines"] if len(diff) > MAX_DIFF_LINES else []
    advice = f"{path.name} is stale: read the new messages, then run `{COMMAND}` and commit it"
    return "\n".join([advice, *diff[:MAX_DIFF_LINES], *more])


def write() -> list[Path]:
    """Writes all snapshot files; returns those that changed."""
    FOLDER.mkdir(exist_ok=True)
    changed = []
    for topic in TOPICS:
        text = rendered(topic)
        if stale(topic, text):
            path_of(topic).write_text(text, encoding="utf-8")
            changed.append(path_of(topic))
    return changed
