"""Scheduling in an event loop from any thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

CallSoon = Callable[[Callable[[], object]], object]
"""Schedules a function in one event loop; callable from any thread and from finalizers."""


def call_soon_in(loop: Literal["asyncio", "trio"]) -> CallSoon:
    """A function that schedules calls in the running loop; it raises RuntimeError after its end."""
    if loop == "asyncio":
        return asyncio.get_running_loop().call_soon_threadsafe
    import trio

    return trio.lowlevel.current_trio_token().run_sync_soon
