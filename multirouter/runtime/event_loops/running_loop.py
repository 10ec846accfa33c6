"""Finds the event loop that the caller runs in."""

from __future__ import annotations

import sys

from multirouter.errors import UsageError
from multirouter.runtime.event_loops.base import Broken, EventLoop


def running_loop(broken: Broken) -> EventLoop:
    """The event loop that the caller runs in.

    Args:
        broken: told the name of a background task that ended with an exception, and the exception.

    Raises:
        UsageError: outside of any loop.
    """
    # trio first: as a guest it runs inside of an asyncio loop.
    if _in_trio():
        from multirouter.runtime.event_loops.trio_loop import TrioLoop

        return TrioLoop(broken)
    # Here and not above: a program on trio may never load asyncio.
    import asyncio

    from multirouter.runtime.event_loops.asyncio_loop import AsyncioLoop

    try:
        return AsyncioLoop(asyncio.get_running_loop(), broken)
    except RuntimeError:
        raise UsageError("no event loop is running: await this inside asyncio or trio") from None


async def know_its_own(error: BaseException, loop: EventLoop) -> None:
    """Lets a cancel scope of anyio that cancels the caller say so again.

    It knows its cancellation by a message. When a deadline of ours came first, and the scope
    cancelled as well in the cleanup after it, what comes out is ours.
    """
    if loop.name == "trio":
        return
    from asyncio import CancelledError

    from anyio.lowlevel import checkpoint_if_cancelled

    if isinstance(error, CancelledError):
        await checkpoint_if_cancelled()


def _in_trio() -> bool:
    """Whether a task of trio is running here; who has not imported it runs none."""
    lowlevel = sys.modules.get("trio.lowlevel")
    try:
        return lowlevel is not None and lowlevel.current_task() is not None
    except RuntimeError:
        return False
