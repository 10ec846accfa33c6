"""Panic: with too few providers left, circuits are ignored as a last resort."""

from __future__ import annotations

from collections.abc import Sequence

from multirouter.core.selection.candidate import Candidate


def is_panic(threshold: float | None, selectable: int, members: int) -> bool:
    """Whether so few members are selectable that circuits are ignored.

    Args:
        threshold: the lowest share of selectable members without panic, 0 to 1; None: no panic.
        selectable: how many members are selectable.
        members: how many members there are.
    """
    return threshold is not None and selectable < threshold * members


def selectable_in_panic(members: Sequence[Candidate]) -> list[Candidate]:
    """The members that take part in the choice during a panic: all that are not held open."""
    return [member for member in members if member.gate.hold != "open"]
