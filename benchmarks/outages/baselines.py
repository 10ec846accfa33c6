"""The policies that the router is compared with: an oracle, and common hand-written ones."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from benchmarks.outages.policy import Attempt, CallEnd, StateChange
from benchmarks.outages.provider import Request, SimulatedProvider, is_answer

ATTEMPT_TIMEOUT = 30.0
"""Timeout of one attempt of the hand-written policies, seconds."""

BACKOFF = 1.0
"""Their first backoff, seconds; it doubles with each failure of the call."""


class _Baseline:
    """The common part: one attempt, recorded in the trail."""

    def __init__(self, providers: Sequence[SimulatedProvider], seed: int) -> None:
        self.changes: list[StateChange] = []
        self.background: list[Attempt] = []
        self._providers = providers
        self._weights = [provider.spec.weight for provider in providers]
        self._rng = random.Random(seed)
        self._time = asyncio.get_running_loop().time

    async def _attempt(
        self, number: int, request: Request, trail: list[Attempt], timeout: float | None
    ) -> str:
        """Makes one attempt; returns "" for an answer, else the name of the error."""
        started = self._time()
        try:
            if timeout is None:
                value = await self._providers[number](request)
            else:
                async with asyncio.timeout(timeout):
                    value = await self._providers[number](request)
            error = "" if is_answer(value) else "invalid answer"
        except Exception as raised:  # noqa: BLE001 - any exception is a failure
            error = type(raised).__name__
        elapsed = self._time() - started
        trail.append(Attempt(number, "call", error or "success", started, elapsed))
        return error

    async def aclose(self) -> None:
        """Does nothing: there are no background tasks."""


class Oracle(_Baseline):
    """Knows which providers are healthy, and chooses by weight among those.

    A regular error is repeated at once, on another healthy provider where there is one.
    """

    async def call(self, request: Request) -> CallEnd:
        """Answers; only regular errors and outages that begin during an attempt affect it."""
        trail: list[Attempt] = []
        last = -1
        while True:
            healthy = [p.number for p in self._providers if not p.is_unhealthy()]
            others = [number for number in healthy if number != last] or healthy
            weights = [self._weights[number] for number in others]
            last = self._rng.choices(others, weights)[0]
            if not await self._attempt(last, request, trail, None):
                return CallEnd(last, "", trail)


class WeightedBreaker(_Baseline):
    """Weighted random choice among closed breakers; backoff after each failure.

    The breaker opens after `FAILURES` consecutive failures for `OPEN_FOR` seconds. Afterwards it
    admits calls until the first of them succeeds or fails.
    """

    FAILURES = 3
    OPEN_FOR = 60.0
    ATTEMPTS = 4

    def __init__(self, providers: Sequence[SimulatedProvider], seed: int) -> None:
        super().__init__(providers, seed)
        self._failures = [0] * len(providers)
        self._states = ["closed"] * len(providers)
        self._until = [0.0] * len(providers)

    async def call(self, request: Request) -> CallEnd:
        """Chooses, attempts, backs off, chooses again."""
        trail: list[Attempt] = []
        error = "no provider available"
        for attempt in range(self.ATTEMPTS):
            if attempt:
                await asyncio.sleep(BACKOFF * 2 ** (attempt - 1))
            admitted = [n for n in range(len(self._providers)) if self._admits(n)]
            if not admitted:
                error = "no provider available"
                continue
            weights = [self._weights[number] for number in admitted]
            number = self._rng.choices(admitted, weights)[0]
            error = await self._attempt(number, request, trail, ATTEMPT_TIMEOUT)
            self._record(number, error)
            if not error:
                return CallEnd(number, "", trail)
        return CallEnd(None, error, trail)

    def _admits(self, number: int) -> bool:
        if self._states[number] == "open" and self._time() >= self._until[number]:
            self._change_state(number, "half_open", "timer")
        return self._states[number] != "open"

    def _record(self, number: int, error: str) -> None:
        if not error:
            self._failures[number] = 0
            self._change_state(number, "closed", "recovered")
            return
        self._failures[number] += 1
        if self._failures[number] >= self.FAILURES or self._states[number] == "half_open":
            self._until[number] = self._time() + self.OPEN_FOR
            self._change_state(number, "open", "failures")

    def _change_state(self, number: int, state: str, reason: str) -> None:
        old, self._states[number] = self._states[number], state
        if old != state:
            self.changes.append(StateChange(self._time(), number, state, old, reason))


class Chain(_Baseline):
    """A fixed order; each provider is retried twice, with backoff, before the next."""

    RETRIES = 2

    async def call(self, request: Request) -> CallEnd:
        """Attempts the providers in order."""
        trail: list[Attempt] = []
        error = ""
        for number in range(len(self._providers)):
            for attempt in range(1 + self.RETRIES):
                if attempt:
                    await asyncio.sleep(BACKOFF * 2 ** (attempt - 1))
                error = await self._attempt(number, request, trail, ATTEMPT_TIMEOUT)
                if not error:
                    return CallEnd(number, "", trail)
        return CallEnd(None, error, trail)
