"""Calls of the last hour, counted by the minute and by how they ended."""

from __future__ import annotations

import math
from collections import deque
from typing import Any, Literal

Ending = Literal["answered", "failed_over", "failed", "rejected", "cancelled"]
"""How a call ended for its caller.

`answered`: at once. `failed_over`: answered after at least one failed attempt. `failed`: without an
answer. `rejected`: the request itself was at fault. `cancelled`: the caller left.
"""

MINUTES = 60
"""Minutes that are kept."""

STEPS = 8
"""Steps of the latency histogram for each doubling: its percentiles are exact to 9 %."""


class Minute:
    """What ended within one minute.

    Attributes:
        number: minutes since 1970.
        counts: calls by `Ending`.
        latencies: calls by step of latency; see `step_of`.
        providers: answered calls by provider.
        tokens: tokens used.
        cost: USD.
    """

    __slots__ = ("cost", "counts", "latencies", "number", "providers", "tokens")

    def __init__(self, number: int) -> None:
        self.number: int = number
        self.counts: dict[str, int] = {}
        self.latencies: dict[int, int] = {}
        self.providers: dict[str, int] = {}
        self.tokens: int = 0
        self.cost: float = 0.0

    def as_data(self) -> dict[str, Any]:
        """The minute as plain data."""
        return {
            "minute": self.number,
            "counts": self.counts.copy(),
            "latencies": self.latencies.copy(),
            "providers": self.providers.copy(),
            "tokens": self.tokens,
            "cost": self.cost,
        }


class Traffic:
    """Counts calls by the minute; minutes without calls take no space."""

    def __init__(self) -> None:
        self._minutes: deque[Minute] = deque(maxlen=MINUTES)

    def add(
        self,
        at: float,
        ending: Ending,
        seconds: float,
        provider: str | None,
        tokens: int,
        cost: float,
    ) -> None:
        """Counts a call.

        Args:
            at: when it ended, seconds since 1970.
            ending: how it ended.
            seconds: its duration.
            provider: the provider that answered, or None.
            tokens: tokens used.
            cost: USD.
        """
        minute = self._minute(int(at // 60))
        minute.counts[ending] = minute.counts.get(ending, 0) + 1
        step = step_of(seconds)
        minute.latencies[step] = minute.latencies.get(step, 0) + 1
        if provider is not None:
            minute.providers[provider] = minute.providers.get(provider, 0) + 1
        minute.tokens += tokens
        minute.cost += cost

    def read(self, at: float) -> list[dict[str, Any]]:
        """The minutes of the last hour in which calls ended, oldest first, as plain data."""
        oldest = int(at // 60) - MINUTES + 1
        return [minute.as_data() for minute in tuple(self._minutes) if minute.number >= oldest]

    def _minute(self, number: int) -> Minute:
        """The minute's counts; the newest, when the wall clock was set back."""
        minutes = self._minutes
        if minutes and minutes[-1].number >= number:
            return minutes[-1]
        minute = Minute(number)
        minutes.append(minute)
        return minute


def step_of(seconds: float) -> int:
    """The step of the histogram that a duration belongs to; 0 up to a millisecond."""
    return max(0, int(math.log2(max(seconds, 0.001) * 1000) * STEPS))


def percentile(latencies: dict[int, int], share: float) -> float | None:
    """A percentile of counted latencies, seconds; None without any.

    Within a step the calls are taken to be spread evenly.

    Args:
        latencies: calls by step.
        share: 0 to 1.
    """
    wanted = share * sum(latencies.values())
    below = 0
    for step in sorted(latencies):
        calls = latencies[step]
        if below + calls >= wanted:
            within = (wanted - below) / calls
            return float(2.0 ** ((step + within) / STEPS) / 1000)
        below += calls
    return None
