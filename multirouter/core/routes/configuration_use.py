"""Count of the calls that use one configuration of a router."""

from __future__ import annotations

from collections.abc import Callable


class ConfigurationUse:
    """Counts what began with one configuration and has not ended.

    A call keeps the providers and routes that it began with, also when the router has others.

    Attributes:
        count: calls in flight, and attempts that run for them in the background.
        background: how many of these are in the background.
        lost: whether these calls never end: their loop was closed, or they are a parent process's.
        on_idle: called when no call is left, and again when nothing is; None for no function.
    """

    __slots__ = ("background", "count", "lost", "on_idle")

    def __init__(self) -> None:
        self.count: int = 0
        self.background: int = 0
        self.lost: bool = False
        self.on_idle: Callable[[], None] | None = None

    def end(self) -> None:
        """Counts a call out."""
        self.count -= 1
        if self.on_idle is not None and self.count <= self.background:
            self.on_idle()

    def begin_background(self) -> None:
        """Counts an attempt in the background in."""
        self.count += 1
        self.background += 1

    def end_background(self) -> None:
        """Counts an attempt in the background out."""
        self.background -= 1
        self.end()
