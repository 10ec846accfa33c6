"""The event loop as a router sees it: clock, deadlines, background tasks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from typing import Self

    from multirouter.runtime.deadline import Bound  # which loads asyncio


Broken = Callable[[str, BaseException], None]
"""Told the name of a background task that ended with an exception, and the exception."""


class Background(Protocol):
    """A background task."""

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        ...

    def cancel(self) -> None:
        """Asks it to end; may be called at any time, and again."""
        ...


class EventLoop(Protocol):
    """What a router needs of the loop it runs in. Use it in that loop's thread only.

    Attributes:
        name: which library runs the loop.
        time: the loop's own clock, in seconds.
        bound: makes the block that bounds one await, see `deadline.Bound`.
    """

    name: Literal["asyncio", "trio"]
    time: Callable[[], float]
    bound: Callable[[float], Bound]

    async def __aenter__(self) -> Self:
        """Makes room for background tasks; asyncio has it without."""
        ...

    async def __aexit__(self, *problem: object) -> None:
        """As `close`; on trio no more background tasks can be spawned afterwards."""
        ...

    def current(self) -> bool:
        """Whether this is the loop that the caller runs in, from whatever thread it asks."""
        ...

    def alive(self) -> bool:
        """Whether the loop is still running somewhere, in another thread perhaps."""
        ...

    def spawn(
        self, name: str, function: Callable[..., Awaitable[None]], *args: object
    ) -> Background:
        """Starts a task that nobody awaits; it begins after the caller's next await, not before.

        It runs in an empty context of its own: what a request has set there ends with the request.
        Its exception goes to `broken`; its cancellation is silent. After `close`, nothing is
        started and the result is done: a late attempt that ends after the router must not fail.

        Raises:
            UsageError: on trio, when the loop was not entered by `async with`.
        """
        ...

    async def close(self) -> None:
        """Cancels all background tasks and waits until they have ended; the caller's own is left.

        When it is itself cancelled, it still waits for them: the cancellation of an asyncio task
        is raised once they have ended, that of a scope at the next checkpoint.
        """
        ...


class Finished:
    """A background task that was never started, because the loop was closed already."""

    done = True

    def cancel(self) -> None:
        """Has nothing to cancel."""
