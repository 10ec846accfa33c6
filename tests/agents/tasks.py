"""The tasks: what an agent is asked, what its fake model does, and how the end is recognized.

The model acts on the conversation alone, in whatever format it arrives. It can only answer with the
secrets of the files if the results of its tool calls have reached it.
"""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from multirouter.testing.fakes import Answer, Answers, ParsedRequest, media_in, tool_results
from multirouter.testing.fakes.answers import answer_to
from tests.agents.programs import Agent

_SECRET = re.compile(r"secret-\w+")
_MARK = "pineapple"
"""In each prompt: requests without it are no part of the task (titles, summaries)."""


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        name: its name.
        files: the files that it is about.
        at_once: how many of them its model reads in one turn.
        thinks: whether its model thinks before each action.
    """

    name: str
    files: tuple[str, ...] = ()
    at_once: int = 1
    thinks: bool = False

    @property
    def prompt(self) -> str:
        return f"Say {_MARK}, then what is in: {', '.join(self.files) or 'nothing'}."

    def prepare(self, folder: Path) -> None:
        """Writes the files."""
        for number, name in enumerate(self.files):
            picture = name.endswith(".png")
            data = png(number) if picture else f"secret-{self.name}{number}\n".encode()
            (folder / name).write_bytes(data)

    def model(self, agent: Agent, folder: Path) -> Answers:
        """The fake model that does the task with the agent's tools."""

        def act(parsed: ParsedRequest) -> Answer:
            if _MARK not in json.dumps(parsed.body):
                return answer_to(parsed)
            thoughts = ["Let me ", "think."] if self.thinks and parsed.thinking_enabled else []
            done = len(tool_results(parsed.body))
            left = self.files[done : done + self.at_once]
            if left:
                calls = [
                    agent.read(parsed, f"call_{done + number}", folder / name)
                    for number, name in enumerate(left)
                ]
                return Answer(thoughts, [], calls, "calls")
            return Answer(thoughts, [f"{_MARK}: ", *words(parsed)])

        return act

    @property
    def expected(self) -> set[str]:
        """What the agent must print."""
        secrets = {
            f"secret-{self.name}{number}"
            for number, name in enumerate(self.files)
            if not name.endswith(".png")
        }
        return {_MARK} | secrets | ({"saw-a-picture"} if len(secrets) < len(self.files) else set())


def words(parsed: ParsedRequest) -> list[str]:
    """What the results of tools hold: secrets, and whether pictures have arrived."""
    found = _SECRET.findall("\n".join(tool_results(parsed.body)))
    pictures = [data for data in media_in(parsed.body) if is_png(data)]
    return [
        f"{word} " for word in [*dict.fromkeys(found), *(["saw-a-picture"] if pictures else [])]
    ]


def png(number: int) -> bytes:
    """A picture of 8 x 8 pixels of one colour."""
    row = b"\0" + bytes([number * 40 % 256, 99, 200]) * 8
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(row * 8)),
        (b"IEND", b""),
    ]
    chunks = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + chunks


def is_png(data: str) -> bool:
    """Whether base64 is that of a picture, which an agent may have encoded anew."""
    return base64.b64decode(data)[:4] in {b"\x89PNG", b"RIFF", b"\xff\xd8\xff\xe0"}


TASKS: Sequence[Task] = (
    Task("answer"),
    Task("read", ("note.txt",)),
    Task("parallel", ("a.txt", "b.txt", "c.txt"), at_once=3),
    Task("picture", ("shot.png",)),
    Task("thinking", ("one.txt", "two.txt"), thinks=True),
    Task("turns", tuple(f"{number}.txt" for number in range(20))),
)
Check = Callable[[str], None]
