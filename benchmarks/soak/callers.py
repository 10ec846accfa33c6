"""Callers of all kinds: plain, hedged, cancelling, with a route of their own."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from random import Random
from typing import Any

from benchmarks.harness.progress import Progress
from benchmarks.soak.world import NAMES
from multirouter import CallFailed, MultiProviderRouter

CALLERS = 50
"""Concurrent callers: few enough that the loop keeps up by the real clock."""

CALL_KINDS: dict[str, tuple[float, dict[str, Any]]] = {
    "plain": (88, {}),
    "hedged": (4, {"route": "hedged"}),
    "chain": (2, {"route": "chain"}),
    "ad hoc": (2, {"route": list(NAMES[:2])}),
    "not idempotent": (2, {"idempotent": False}),
    "cancels": (2, {}),
}
"""Kinds of calls: percentage and keyword arguments."""


class Callers:
    """Makes calls and counts how they end.

    Attributes:
        ended: calls by `answered`, `cancelled` or the name of the error.
    """

    def __init__(
        self, router: MultiProviderRouter[int, Any], scale: float, progress: Progress
    ) -> None:
        self.ended: Counter[str] = Counter()
        self._router = router
        self._scale = scale
        self._progress = progress
        self._rng = Random(3)
        self._left = 0

    async def make(self, calls: int) -> None:
        """Makes the given number of calls, `CALLERS` at a time, and waits until all have ended."""
        self._left = calls
        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(self._caller())

    async def _caller(self) -> None:
        kinds = list(CALL_KINDS)
        shares = [share for share, _ in CALL_KINDS.values()]
        while self._left > 0:
            self._left -= 1
            kind = self._rng.choices(kinds, shares)[0]
            self.ended[await self._one(kind)] += 1
            self._progress.step()

    async def _one(self, kind: str) -> str:
        keywords = CALL_KINDS[kind][1]
        if kind == "cancels":
            return await self._cancel_early()
        try:
            await self._router.call(self._left, **keywords)
        except CallFailed as error:
            await asyncio.sleep(error.retry_after or self._scale)
            return type(error).__name__
        return "answered"

    async def _cancel_early(self) -> str:
        call = asyncio.create_task(self._router.call(self._left))
        await asyncio.sleep(self._rng.uniform(0.0, 2.0) * self._scale)
        if not call.cancel():
            with suppress(CallFailed):
                await call
        with suppress(asyncio.CancelledError, CallFailed):
            await call
        return "cancelled"
