"""The four simulated providers in virtual time, with counters of their attempts and faults."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from random import Random

from benchmarks.outages.randomness import Randomness
from benchmarks.outages.world import REGULAR_ERRORS, Incident, Timeline, World
from multirouter.testing import Fault, StatusError

ANSWER = "answer"
"""What a healthy provider returns; any other answer is invalid."""

HEALTH_CHECK_SHARE = 0.1
"""Time and price of a health check, as a share of those of an answer."""

REGULAR = "regular error"
"""The kind under which errors of healthy providers are counted."""


def is_answer(value: object) -> bool:
    """The validator that every policy uses."""
    return value == ANSWER


class Request:
    """One call: its number, and how often it has attempted each provider."""

    __slots__ = ("attempt", "number")

    def __init__(self, number: int, providers: int) -> None:
        self.number = number
        self.attempt = [0] * providers


class SimulatedProvider:
    """One provider.

    Attributes:
        number: its index in the world.
        spec: its properties without outages.
        attempts: attempts that reached it.
        health_checks: runs of `health_check`, which are no attempts.
        faults: attempts with the fault of an outage, or a regular error, by kind.
        paid: USD for its answers; a cancelled one costs the part that was produced.
    """

    def __init__(
        self, number: int, world: World, timeline: Timeline, randomness: Randomness
    ) -> None:
        self.number = number
        self.spec = world.specs[number]
        self.attempts = 0
        self.health_checks = 0
        self.faults: Counter[str] = Counter()
        self.paid = 0.0
        self._timeline = timeline
        self._check_random = Random(f"probes {world.seed} {number}")
        self._draws = randomness.attempt
        self._time = asyncio.get_running_loop().time

    def is_unhealthy(self) -> bool:
        """Whether the provider is unhealthy now; for the oracle only."""
        now = self._time()
        incident = self._timeline.at(now)
        return incident is not None and incident.is_unhealthy(now)

    async def __call__(self, request: Request) -> str:
        """Answers, or fails."""
        nth = request.attempt[self.number]
        request.attempt[self.number] = nth + 1
        self.attempts += 1
        normal, outage_draw, regular_draw = self._draws(request.number, self.number, nth)
        span = self.spec.median * math.exp(self.spec.sigma * normal)
        now = self._time()
        incident = self._timeline.at(now)
        if incident is not None:
            fault = incident.outage.fault_at(now, _FixedRandom(outage_draw))
            if fault is not None:
                self.faults[incident.kind] += 1
                return await self._fail(incident, fault, span)
        if regular_draw < REGULAR_ERRORS:
            self.faults[REGULAR] += 1
            await asyncio.sleep(span / 2)
            raise StatusError(f"{self.spec.name}: status 500", status=500, headers={})
        return await self._answer(span, ANSWER)

    async def health_check(self) -> None:
        """The user's `health_check=`: fails in an outage, and for an invalid answer."""
        self.health_checks += 1
        span = HEALTH_CHECK_SHARE * self.spec.median
        incident = self._timeline.at(self._time())
        fault = (
            None if incident is None else incident.outage.fault_at(self._time(), self._check_random)
        )
        if incident is None or fault is None:
            value = await self._answer(span, ANSWER, HEALTH_CHECK_SHARE)
        else:
            value = await self._fail(incident, fault, span, HEALTH_CHECK_SHARE)
        if not is_answer(value):
            raise ValueError(f"{self.spec.name} answered {value!r}")

    async def _answer(self, span: float, value: str, share: float = 1.0) -> str:
        started = self._time()
        try:
            await asyncio.sleep(span)
        except asyncio.CancelledError:
            self.paid += share * self.spec.price * (self._time() - started) / span
            raise
        self.paid += share * self.spec.price
        return value

    async def _fail(self, incident: Incident, fault: Fault, span: float, share: float = 1.0) -> str:
        if fault.kind == "slow":
            return await self._answer(span * fault.factor, ANSWER, share)
        if fault.kind == "rubbish":
            return await self._answer(span, str(fault.value), share)
        if fault.kind != "hang":
            await asyncio.sleep(span / 2 if fault.after is None else fault.after)
        if fault.kind == "rate_limit":
            headers = dict(fault.headers)
            if headers:  # never longer than the rest of the outage
                left = max(0.0, incident.outage.end - self._time())
                headers["Retry-After"] = f"{min(float(headers['Retry-After']), left):.3f}"
            raise StatusError(f"{self.spec.name}: status 429", status=429, headers=headers)
        return await fault.inject(self.spec.name)


class _FixedRandom(Random):
    """Returns a given number, for `Outage.fault_at`."""

    def __init__(self, value: float) -> None:
        self._value = value

    def random(self) -> float:
        return self._value
