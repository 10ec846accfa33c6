"""Finds the event loop of the caller, on asyncio, uvloop or trio."""

from __future__ import annotations

import sys

from multirouter.errors import UsageError
from multirouter.runtime.event_loops.base import ErrorHandler, EventLoop


def running_loop(on_error: ErrorHandler) -> EventLoop:
    """The event loop that the caller runs in.

    Args:
        on_error: called with the name and the exception of a background task that failed.

    Raises:
        UsageError: outside of any loop.
    """
    # trio first: in guest mode it runs inside an asyncio loop.
    if _in_trio():
        from multirouter.runtime.event_loops.trio_loop import TrioLoop

        return TrioLoop(on_error)
    # Imported here: a program on trio may never load asyncio.
    import asyncio

    from multirouter.runtime.event_loops.asyncio_loop import AsyncioLoop

    try:
        return AsyncioLoop(asyncio.get_running_loop(), on_error)
    except RuntimeError:
        raise UsageError("no event loop is running: await this inside asyncio or trio") from None


async def redeliver_scope_cancellation(error: BaseException, loop: EventLoop) -> None:
    """Raises the cancellation of an anyio scope again, when the caller is in a cancelled scope.

    A scope recognises its cancellation by a message. When one of our deadlines fired first and the
    scope was cancelled during the cleanup after it, the error that comes out has our message.
    """
    if loop.name == "trio":
        return
    from asyncio import CancelledError

    from anyio.lowlevel import checkpoint_if_cancelled

    if isinstance(error, CancelledError):
        await checkpoint_if_cancelled()


def _in_trio() -> bool:
    """Whether the caller is a task of trio; without importing trio when it is not loaded."""
    lowlevel = sys.modules.get("trio.lowlevel")
    try:
        return lowlevel is not None and lowlevel.current_task() is not None
    except RuntimeError:
        return False
