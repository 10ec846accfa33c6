"""Finds the event loop of the caller, on asyncio, uvloop or trio."""

from __future__ import annotations

import sys
from contextlib import suppress

import anyio

from multirouter.errors import UsageError
from multirouter.runtime.event_loops.base import ErrorHandler, EventLoop


def running_loop(on_error: ErrorHandler) -> EventLoop:
    """The event loop that the caller runs in.

    Args:
        on_error: called with the name and the exception of a background task that failed.

    Raises:
        UsageError: outside of any loop.
    """
    # Loads the part of anyio for this loop, which the first failure would load otherwise.
    with suppress(RuntimeError):
        anyio.get_cancelled_exc_class()
    # trio first: in guest mode it runs inside an asyncio loop.
    if in_trio():
        from multirouter.runtime.event_loops.trio_loop import TrioLoop

        return TrioLoop(on_error)
    # Imported here: a program on trio may never load asyncio.
    import asyncio

    from multirouter.runtime.event_loops.asyncio_loop import AsyncioLoop

    try:
        return AsyncioLoop(asyncio.get_running_loop(), on_error)
    except RuntimeError:
        raise UsageError("no event loop is running: await this inside asyncio or trio") from None


async def requested_cancellation(loop: EventLoop) -> BaseException | None:
    """A cancellation of the caller's task that its next await would raise; None without one.

    Afterwards the caller may await, to clean up, and must raise it.
    """
    if loop.name == "trio":
        return None
    import asyncio

    from multirouter.runtime.event_loops.task_cancellation import is_requested

    task = asyncio.current_task()
    if task is not None and is_requested(task):
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError as cancelled:
            return cancelled
    return None


async def redeliver_cancellation(error: BaseException, loop: EventLoop) -> None:
    """Raises a cancellation of the caller that is still to be delivered, before cleanup meets it.

    One that was requested while an attempt was ending would be raised by the caller's next await,
    which may be in its cleanup. And a scope of anyio recognises its cancellation by a message: when
    one of our deadlines fired first and the scope was cancelled during the cleanup after it, the
    error that comes out has our message. A cancellation of the caller's task stays as it is.

    Args:
        error: the exception that ends the call.
        loop: the loop of the call.
    """
    if loop.name == "trio":
        return
    from asyncio import CancelledError

    from anyio.lowlevel import checkpoint_if_cancelled

    from multirouter.runtime.event_loops.task_cancellation import OUR_MESSAGE

    if isinstance(error, CancelledError):
        await requested_cancellation(loop)  # `error` is raised in its place
        if error.args == (OUR_MESSAGE,):
            await checkpoint_if_cancelled()


def in_trio() -> bool:
    """Whether the caller is a task of trio; without importing trio when it is not loaded."""
    lowlevel = sys.modules.get("trio.lowlevel")
    try:
        return lowlevel is not None and lowlevel.current_task() is not None
    except RuntimeError:
        return False
