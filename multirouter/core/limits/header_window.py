"""One limit of a provider as the headers of its answers report it."""

from __future__ import annotations

import math

LOW = 0.1
"""Part of the limit below which little is left, unless it lasts for `AHEAD`."""

AHEAD = 5.0
"""Seconds of the present use, of all clients, that are enough."""

APART = 0.3
"""Part of the time to the refill after which two readings are compared."""

ALIKE = 0.15
"""Relative difference up to which two rates are one."""

LONGEST = 300.0
"""Seconds after which an attempt is made although the limit is not refilled: the service may have
changed it, or the header may be wrong."""

ROUNDING = 1e-6
"""Units that may be missing: `now + ready_in` is rounded, and must be late enough."""


class HeaderWindow:
    """One limit that a provider reports: what remains of it, and when it is refilled.

    A limit is refilled at once, at the end of a window, or steadily. Steadily, if what was used and
    the time to the refill keep one ratio: then that is the rate of the refill.
    """

    __slots__ = (
        "_agreed",
        "_at",
        "_compared",
        "_level",
        "_limit",
        "_rate",
        "_ratio",
        "_remaining",
        "_until",
        "_use",
    )

    def __init__(self) -> None:
        self._until = self._at = self._compared = -math.inf
        self._level = self._remaining = math.inf
        self._rate = self._ratio = self._use = 0.0
        self._agreed = 0
        self._limit: float | None = None

    def observe(
        self, remaining: float, limit: float | None, reset: float, now: float, in_flight: float
    ) -> bool:
        """Takes a reading; returns whether so little is left that clients should slow down.

        Args:
            remaining: units that are left for all clients.
            limit: units of the whole limit, or None.
            reset: seconds until it is refilled.
            now: loop time, seconds.
            in_flight: units of the attempts of this client that are under way.
        """
        reset = min(reset, LONGEST)
        if limit is not None and reset > 0.0:
            self._compare((limit - remaining) / reset, reset, now)
        self._rate = self._ratio if self._agreed > 1 else 0.0
        passed, same = now - self._at, now < self._until
        if passed > 0.0 and (same or self._rate):
            use = max(0.0, self._rate + (self._remaining - remaining) / passed)
            weight = 1.0 - math.exp(-passed)
            self._use += weight * (use - self._use)
        self._at, self._remaining, self._until = now, remaining, now + reset
        self._limit = limit
        self._level = remaining - in_flight
        enough = AHEAD * self._use
        return remaining < (enough if limit is None else min(enough, LOW * limit))

    def reading(self, now: float) -> tuple[float, float | None, float]:
        """The last reading: what was left, the whole limit, and the seconds until its refill."""
        return self._remaining, self._limit, max(0.0, self._until - now)

    def acquire(self, units: float) -> None:
        """Takes units for an attempt."""
        self._level -= units

    def ready_in(self, units: float, now: float) -> float:
        """Seconds until units are left; 0 when they are, or when it is not known."""
        left = self._level + self._rate * max(0.0, now - self._at)
        if now >= self._until or units - left <= ROUNDING:
            return 0.0
        wait = self._until - now
        return min(wait, (units - left) / self._rate) if self._rate else wait

    def shift(self, by: float) -> None:
        """Moves by `by` seconds, to the clock of another event loop."""
        self._until += by
        self._at += by
        self._compared += by

    def _compare(self, ratio: float, reset: float, now: float) -> None:
        """Counts how often the ratio of use and time to the refill stayed the same."""
        if now - self._compared < APART * reset or ratio <= 0.0:
            return
        alike = abs(ratio - self._ratio) <= ALIKE * ratio
        self._agreed = self._agreed + 1 if alike else 0
        self._ratio, self._compared = ratio, now
