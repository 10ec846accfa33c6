"""Deadlines of single awaits on trio: cancel scopes with the interface of `deadline.Bound`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class TrioBound:
    """A block of one trio task: a cancel scope with the interface of `Bound`."""

    __slots__ = ("_scope", "expired", "stray")

    def __init__(self, deadline: float) -> None:
        self._scope = trio.move_on_at(deadline)
        self.expired: bool = False
        self.stray: bool = False

    def __enter__(self) -> Self:
        self._scope.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        own = kind is not None and not issubclass(kind, trio.Cancelled)
        try:
            return bool(self._scope.__exit__(kind, error, trace))
        finally:
            self.expired = self._scope.cancelled_caught or (own and self._scope.cancel_called)

    def expire(self) -> bool:
        """Cancels the block."""
        self._scope.cancel()
        return True


class TrioDeadlines:
    """All deadlines of one router on trio; each is a cancel scope of trio.

    Trio cancels a block again at each of its awaits, so there is no `grace`. A deadline that has
    passed at entry cancels at the first checkpoint.
    """

    __slots__ = ()

    def bound(self, deadline: float) -> TrioBound:
        """Makes a block with a deadline (trio's time, seconds; `math.inf`: without limit)."""
        return TrioBound(deadline)

    def close(self) -> None:
        """Does nothing: trio has no timer to stop."""
