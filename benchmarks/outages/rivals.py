"""Those that ours stands beside: who knows everything, and what is commonly written by hand."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from benchmarks.outages.policy import Asked, Ending, Turn
from benchmarks.outages.provider import Request, SimulatedProvider, is_answer

ATTEMPT_TIMEOUT = 30.0
"""Seconds that the policies written by hand give one attempt."""

BACKOFF = 1.0
"""Their first rest, seconds; it doubles with each failure of the call."""


class _Rival:
    """What the rivals share: one attempt, put down in the trail."""

    def __init__(self, providers: Sequence[SimulatedProvider], seed: int) -> None:
        self.turns: list[Turn] = []
        self.background: list[Asked] = []
        self._providers = providers
        self._weights = [provider.spec.weight for provider in providers]
        self._rng = random.Random(seed)
        self._time = asyncio.get_running_loop().time

    async def _attempt(
        self, number: int, request: Request, trail: list[Asked], timeout: float | None
    ) -> str:
        """One attempt; an empty string when it brought an answer, else the error's name."""
        started = self._time()
        try:
            if timeout is None:
                value = await self._providers[number](request)
            else:
                async with asyncio.timeout(timeout):
                    value = await self._providers[number](request)
            error = "" if is_answer(value) else "invalid answer"
        except Exception as raised:  # noqa: BLE001  # as by hand: whatever is raised is a failure
            error = type(raised).__name__
        elapsed = self._time() - started
        trail.append(Asked(number, "call", error or "success", started, elapsed))
        return error

    async def aclose(self) -> None:
        """Nothing runs in the background."""


class Oracle(_Rival):
    """Knows at each moment who is healthy and draws by weight among those.

    A regular error is repeated at once, at another healthy provider where there is one.
    """

    async def ask(self, request: Request) -> Ending:
        """Answers; only regular errors befall it, and outages that begin under its hands."""
        trail: list[Asked] = []
        last = -1
        while True:
            healthy = [p.number for p in self._providers if not p.sick()]
            others = [number for number in healthy if number != last] or healthy
            weights = [self._weights[number] for number in others]
            last = self._rng.choices(others, weights)[0]
            if not await self._attempt(last, request, trail, None):
                return Ending(last, "", trail)


class WeightedBreaker(_Rival):
    """Weighted random among closed breakers; backoff after each failure.

    The breaker opens after `FAILURES` failures in a row for `OPEN_FOR` seconds; after that, calls
    are let through until the first of them succeeds or fails.
    """

    FAILURES = 3
    OPEN_FOR = 60.0
    ATTEMPTS = 4

    def __init__(self, providers: Sequence[SimulatedProvider], seed: int) -> None:
        super().__init__(providers, seed)
        self._failures = [0] * len(providers)
        self._states = ["closed"] * len(providers)
        self._until = [0.0] * len(providers)

    async def ask(self, request: Request) -> Ending:
        """Draws, tries, rests, draws again."""
        trail: list[Asked] = []
        error = "nobody available"
        for attempt in range(self.ATTEMPTS):
            if attempt:
                await asyncio.sleep(BACKOFF * 2 ** (attempt - 1))
            open_doors = [n for n in range(len(self._providers)) if self._admits(n)]
            if not open_doors:
                error = "nobody available"
                continue
            weights = [self._weights[number] for number in open_doors]
            number = self._rng.choices(open_doors, weights)[0]
            error = await self._attempt(number, request, trail, ATTEMPT_TIMEOUT)
            self._learn(number, error)
            if not error:
                return Ending(number, "", trail)
        return Ending(None, error, trail)

    def _admits(self, number: int) -> bool:
        if self._states[number] == "open" and self._time() >= self._until[number]:
            self._turn(number, "half_open", "reset")
        return self._states[number] != "open"

    def _learn(self, number: int, error: str) -> None:
        if not error:
            self._failures[number] = 0
            self._turn(number, "closed", "recovered")
            return
        self._failures[number] += 1
        if self._failures[number] >= self.FAILURES or self._states[number] == "half_open":
            self._until[number] = self._time() + self.OPEN_FOR
            self._turn(number, "open", "failures")

    def _turn(self, number: int, state: str, reason: str) -> None:
        old, self._states[number] = self._states[number], state
        if old != state:
            self.turns.append(Turn(self._time(), number, state, old, reason))


class Chain(_Rival):
    """A fixed order; each provider is tried again twice, with backoff, before the next."""

    RETRIES = 2

    async def ask(self, request: Request) -> Ending:
        """Goes down the chain."""
        trail: list[Asked] = []
        error = ""
        for number in range(len(self._providers)):
            for attempt in range(1 + self.RETRIES):
                if attempt:
                    await asyncio.sleep(BACKOFF * 2 ** (attempt - 1))
                error = await self._attempt(number, request, trail, ATTEMPT_TIMEOUT)
                if not error:
                    return Ending(number, "", trail)
        return Ending(None, error, trail)
