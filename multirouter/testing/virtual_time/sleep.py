"""Reads the running loop's clock and sleeps by it, the quickest way on each backend."""

from __future__ import annotations

import asyncio

import anyio


def now() -> float:
    """Loop time, seconds, on asyncio or trio."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return anyio.current_time()


async def sleep(seconds: float) -> None:
    """Sleeps by the running loop; 0 is a bare checkpoint."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        await anyio.sleep(seconds)
    else:
        await asyncio.sleep(seconds)
