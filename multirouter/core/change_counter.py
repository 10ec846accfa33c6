"""Counter of changes in the availability of providers."""

from __future__ import annotations


class ChangeCounter:
    """Counter that rises whenever a provider becomes available or unavailable.

    Cached selection tables compare it to see whether they are out of date.
    """

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: int = 0
