"""The counter by which draw tables see that somebody's door has changed."""

from __future__ import annotations


class ChangeCounter:
    """A counter that rises whenever somebody's door opens or shuts; draw tables watch it."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: int = 0
