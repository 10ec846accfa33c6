"""Callers of every sort: patient, impatient, hedging, choosing for themselves."""

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
"""Callers at a time: by the real clock, few enough that the loop keeps up with them."""

SORTS: dict[str, tuple[float, dict[str, Any]]] = {
    "plain": (88, {}),
    "hedged": (4, {"route": "hedged"}),
    "chain": (2, {"route": "chain"}),
    "ad hoc": (2, {"route": list(NAMES[:2])}),
    "not idempotent": (2, {"idempotent": False}),
    "leaves early": (2, {}),
}
"""Sorts of calls: how many of a hundred, and the keywords."""


class Callers:
    """Makes calls and counts how they end.

    Attributes:
        ended: calls by `answered`, `left` or the name of the error.
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
        """Makes so many calls, `CALLERS` at a time, and waits for all of them to end."""
        self._left = calls
        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(self._caller())

    async def _caller(self) -> None:
        sorts = list(SORTS)
        shares = [share for share, _ in SORTS.values()]
        while self._left > 0:
            self._left -= 1
            sort = self._rng.choices(sorts, shares)[0]
            self.ended[await self._one(sort)] += 1
            self._progress.step()

    async def _one(self, sort: str) -> str:
        keywords = SORTS[sort][1]
        if sort == "leaves early":
            return await self._leave_early()
        try:
            await self._router.call(self._left, **keywords)
        except CallFailed as error:
            await asyncio.sleep(error.retry_after or self._scale)
            return type(error).__name__
        return "answered"

    async def _leave_early(self) -> str:
        call = asyncio.create_task(self._router.call(self._left))
        await asyncio.sleep(self._rng.uniform(0.0, 2.0) * self._scale)
        if not call.cancel():
            with suppress(CallFailed):
                await call
        with suppress(asyncio.CancelledError, CallFailed):
            await call
        return "left"
