"""The four providers in virtual time: lean, and they keep account of what was asked of them."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from random import Random

from benchmarks.outages.chance import Chance
from benchmarks.outages.world import REGULAR_ERRORS, Course, Incident, World
from multirouter.testing import Fault, StatusError

ANSWER = "answer"
"""What a provider returns in health; anything else is rubbish."""

PROBE_SHARE = 0.1
"""What a test by the user's own `health_check=` takes of an answer's time and price: a word or two."""

REGULAR = "regular error"
"""The sort under which the errors of healthy providers are counted."""


def is_answer(value: object) -> bool:
    """The validator that every policy uses."""
    return value == ANSWER


class Request:
    """One call: its number, and how often it has asked each provider."""

    __slots__ = ("asked", "number")

    def __init__(self, number: int, providers: int) -> None:
        self.number = number
        self.asked = [0] * providers


class SimulatedProvider:
    """One provider.

    Attributes:
        number: its index in the world.
        spec: what it is like in health.
        attempts: how often it was asked.
        probes: how often it was tested by `health_check`, which is no attempt.
        struck: attempts that an outage, or a regular error, befell, by sort.
        paid: USD for its answers; one that was broken off is paid for the part that was made.
    """

    def __init__(self, number: int, world: World, course: Course, chance: Chance) -> None:
        self.number = number
        self.spec = world.specs[number]
        self.attempts = 0
        self.half_open_max_calls = 0
        self.struck: Counter[str] = Counter()
        self.paid = 0.0
        self._course = course
        self._chance = Random(f"probes {world.seed} {number}")
        self._draws = chance.attempt
        self._time = asyncio.get_running_loop().time

    def sick(self) -> bool:
        """Whether it is ill now; for the oracle alone."""
        now = self._time()
        incident = self._course.at(now)
        return incident is not None and incident.sick(now)

    async def __call__(self, request: Request) -> str:
        """Answers, or fails."""
        nth = request.asked[self.number]
        request.asked[self.number] = nth + 1
        self.attempts += 1
        normal, outage_draw, regular_draw = self._draws(request.number, self.number, nth)
        span = self.spec.median * math.exp(self.spec.sigma * normal)
        now = self._time()
        incident = self._course.at(now)
        if incident is not None:
            fault = incident.outage.fault_at(now, _Drawn(outage_draw))
            if fault is not None:
                self.struck[incident.kind] += 1
                return await self._suffer(incident, fault, span)
        if regular_draw < REGULAR_ERRORS:
            self.struck[REGULAR] += 1
            await asyncio.sleep(span / 2)
            raise StatusError(f"{self.spec.name}: status 500", status=500, headers={})
        return await self._answer(span, ANSWER)

    async def health_check(self) -> None:
        """A small question of the user's own; fails as any other in an outage, and when lied to."""
        self.half_open_max_calls += 1
        span = PROBE_SHARE * self.spec.median
        incident = self._course.at(self._time())
        fault = None if incident is None else incident.outage.fault_at(self._time(), self._chance)
        if incident is None or fault is None:
            value = await self._answer(span, ANSWER, PROBE_SHARE)
        else:
            value = await self._suffer(incident, fault, span, PROBE_SHARE)
        if not is_answer(value):
            raise ValueError(f"{self.spec.name} says {value!r}")

    async def _answer(self, span: float, value: str, share: float = 1.0) -> str:
        started = self._time()
        try:
            await asyncio.sleep(span)
        except asyncio.CancelledError:
            self.paid += share * self.spec.price * (self._time() - started) / span
            raise
        self.paid += share * self.spec.price
        return value

    async def _suffer(
        self, incident: Incident, fault: Fault, span: float, share: float = 1.0
    ) -> str:
        if fault.kind == "slow":
            return await self._answer(span * fault.factor, ANSWER, share)
        if fault.kind == "rubbish":
            return await self._answer(span, str(fault.value), share)
        if fault.kind != "hang":
            await asyncio.sleep(span / 2 if fault.after is None else fault.after)
        if fault.kind == "rate_limit":
            headers = dict(fault.headers)
            if headers:  # an honest provider: it never asks for more than it needs
                left = max(0.0, incident.outage.end - self._time())
                headers["Retry-After"] = f"{min(float(headers['Retry-After']), left):.3f}"
            raise StatusError(f"{self.spec.name}: status 429", status=429, headers=headers)
        return await fault.strike(self.spec.name)


class _Drawn(Random):
    """A draw that was made already, for `Outage.fault_at`."""

    def __init__(self, value: float) -> None:
        self._value = value

    def random(self) -> float:
        return self._value
