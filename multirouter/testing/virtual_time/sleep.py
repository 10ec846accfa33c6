"""Time and sleep of the running loop, by the fastest way on each backend."""

from __future__ import annotations

import asyncio

import anyio


def now() -> float:
    """Returns the loop time, seconds, on asyncio or trio."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return anyio.current_time()


async def sleep(seconds: float) -> None:
    """Sleeps on the running loop; 0 is a checkpoint only."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        await anyio.sleep(seconds)
    else:
        await asyncio.sleep(seconds)
