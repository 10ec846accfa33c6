"""Scenes: calls and streams in virtual time, with the messages that their user sees."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from multirouter import CallOutcome
from multirouter.testing import virtual_clock
from tests.messages.normalize import normalized
from tests.scenarios.harness import Harness


class Transcript:
    """Lines of one scene: what was done, and the messages that the user saw."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, text: object) -> None:
        self.lines += [f"    {line}" for line in str(text).splitlines()]

    def error(self, error: BaseException) -> None:
        """Adds an error with its notes and its cause."""
        self.add(f"{type(error).__name__}: {error}")
        for note in getattr(error, "__notes__", ()):
            self.add(f"  note: {note}")
        if error.__cause__ is not None:
            self.add(f"  caused by {type(error.__cause__).__name__}: {error.__cause__}")

    def outcome(self, outcome: CallOutcome[Any]) -> None:
        """Adds the error of a call and its trail."""
        if outcome.error is not None:
            self.error(outcome.error)
        for attempt in outcome.attempts:
            self.add(f"  {attempt}")

    async def call(self, env: Harness, *route: str, **options: Any) -> None:
        """Makes a call and adds its outcome."""
        self.outcome(await env.outcome(*route, **options))

    async def read(self, env: Harness, request: Any = "q", **options: Any) -> None:
        """Reads a stream and adds its outcome."""
        stream = env.router.stream(request, **options)
        try:
            async with stream:
                async for chunk in stream:
                    if not isinstance(chunk, str | dict):
                        self.add(chunk)
        except Exception as error:
            self.error(error)
        else:
            self.add("(complete)")
        for attempt in stream.attempts:
            self.add(f"  {attempt}")

    async def failing(self, use: Callable[[], Awaitable[object]]) -> None:
        """Adds the error that a wrong use raises."""
        try:
            await use()
        except Exception as error:
            self.error(error)
        else:
            self.add("(no error)")


Scene = Callable[[Transcript], Awaitable[None]]
"""Adds what one kind of call or stream shows; its docstring is its title."""


def render(topics: Mapping[str, Iterable[Scene]]) -> str:
    """Returns what scenes show, each under its title.

    Args:
        topics: the scenes, by topic.
    """
    lines: list[str] = []
    for topic, scenes in topics.items():
        lines.append(f"## {topic}\n")
        for scene in scenes:
            out = Transcript()
            virtual_clock.run(scene, out)
            lines += [str(scene.__doc__), *map(normalized, out.lines), ""]
    return "\n".join(lines) + "\n"
