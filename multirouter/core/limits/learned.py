"""Limits of one model of a provider that are learned from its answers.

What its headers report is kept in `header_window`; where it reports nothing, `aimd` lowers and
raises a rate and a concurrency.
"""

from __future__ import annotations

import math
from typing import Any

from multirouter.core.limit_report import LimitReport
from multirouter.core.limits.aimd import AdaptiveConcurrency, AdaptiveRate
from multirouter.core.limits.header_window import HeaderWindow

MAX_WINDOWS = 16
"""Limits of one model that are kept; an answer with more of them is no honest one."""


class LearnedLimits:
    """What the answers of one model tell about its limits.

    A 429 lowers a rate and a concurrency of its own, and answers raise them. Headers that report
    how little is left lower the rate before there is a 429, and nothing starts while they report
    that nothing is left.

    Args:
        in_flight: attempts under way.

    Attributes:
        in_flight: see Args.
    """

    __slots__ = ("_concurrency", "_low", "_rate", "_rejected", "_settling", "_windows", "in_flight")

    def __init__(self, in_flight: int = 0) -> None:
        self.in_flight: int = in_flight
        self._windows: dict[str, tuple[bool, HeaderWindow]] = {}
        self._rate = AdaptiveRate()
        self._concurrency = AdaptiveConcurrency()
        self._settling = 0
        self._rejected = False
        self._low: set[str] = set()

    @property
    def is_low(self) -> bool:
        """Whether the last reading of a limit was that little is left."""
        return bool(self._low)

    def rejection(self, size: int, now: float) -> str:
        """Why an attempt of `size` tokens cannot start at `now`, or an empty string."""
        if self.in_flight >= self._concurrency.limit:
            return f"at its learned limit ({self._concurrency.limit:.0f} in flight)"
        if self._wait_of_windows(size, now) > 0.0:
            return "at the limit that its headers report"
        if self._rate.ready_in(now) > 0.0:
            return f"at its learned limit ({60.0 * self._rate.rate:.3g} requests per minute)"
        return ""

    def ready_in(self, size: int, now: float) -> float | None:
        """Seconds until an attempt can start; None when one in flight must end first."""
        if self.in_flight >= self._concurrency.limit:
            return None
        return max(self._wait_of_windows(size, now), self._rate.ready_in(now))

    def acquire(self, size: int, now: float) -> None:
        """Counts the start of an attempt."""
        self.in_flight += 1
        self._rate.acquire(now)
        for tokens, window in self._windows.values():
            window.acquire(size if tokens else 1)

    def release(self) -> None:
        """Counts the end of an attempt."""
        self.in_flight -= 1
        if self._settling > 0:
            self._settling -= 1

    def answered(self, now: float, elapsed: float) -> None:
        """Learns from an answer, before the attempt is released.

        Args:
            now: loop time, seconds.
            elapsed: the attempt's duration, seconds.
        """
        self._rate.answered(now)
        self._concurrency.answered(self.in_flight, elapsed)

    def rejected(self, now: float, jitter: float) -> None:
        """Learns from a 429, before the attempt is released.

        Several of attempts that were under way together count once.

        Args:
            now: loop time, seconds.
            jitter: see `AdaptiveRate.rejected`.
        """
        self._rejected = True
        if self._settling > 0:
            return
        self._rate.rejected(now, jitter)
        self._concurrency.rejected(self.in_flight)
        self._settling = self.in_flight

    def observe(self, report: LimitReport, now: float) -> None:
        """Takes what the headers of an answer report at the loop time `now`, seconds."""
        low = self._take(report, now)
        if low is None:
            return
        if low:
            self._rate.marked(now)
        if low or report.remaining < 1.0:
            self._low.add(report.name)
        else:
            self._low.discard(report.name)

    def follow(self, report: LimitReport, now: float) -> None:
        """As `observe`, of what another process has read: it does not change the rate."""
        self._take(report, now)

    def reported(self, now: float) -> list[LimitReport]:
        """The limits of which little is left, as they are at the loop time `now`, seconds."""
        found = []
        for name in sorted(self._low):
            tokens, window = self._windows[name]
            found.append(LimitReport(name, tokens, *window.reading(now)))
        return found

    def snapshot(self, now: float) -> list[dict[str, Any]]:
        """What was learned, as plain data; for any thread.

        Args:
            now: loop time, seconds.

        Returns:
            For each limit a dict of `source` (`headers` or `429s`), `name`, `unit` (`requests`,
            `tokens`), `limit`, `remaining` and `resets_in` (seconds). The last three are None where
            they are not known.
        """
        found = []
        for name, (tokens, window) in sorted(self._windows.items()):
            remaining, limit, reset = window.reading(now)
            left = remaining if reset > 0.0 else None  # else it is refilled
            unit = "tokens" if tokens else "requests"
            found.append(_learned("headers", name, unit, limit, left, reset or None))
        if self._rate.rate < math.inf:
            source = "429s" if self._rejected else "headers"
            rate = 60.0 * self._rate.rate
            found.append(_learned(source, "requests_per_minute", "requests", rate))
        if self._concurrency.limit < math.inf:
            found.append(_learned("429s", "in_flight", "requests", self._concurrency.limit))
        return found

    def _take(self, report: LimitReport, now: float) -> bool | None:
        """Whether so little is left that clients should slow down; None for a limit too many."""
        name, tokens, remaining, limit, reset = report
        if name not in self._windows and len(self._windows) >= MAX_WINDOWS:
            return None
        window = self._windows.setdefault(name, (tokens, HeaderWindow()))[1]
        return window.observe(remaining, limit, reset, now, self._others(tokens=tokens))

    def _others(self, *, tokens: bool) -> int:
        """Units of the attempts under way beside the one whose answer is read."""
        return 0 if tokens else max(0, self.in_flight - 1)

    def forget_attempts(self, in_flight: int = 0) -> None:
        """Counts this number of attempts as in flight, whatever has started."""
        self.in_flight = in_flight
        self._settling = 0

    def shift(self, by: float) -> None:
        """Moves by `by` seconds, to the clock of another event loop."""
        self._rate.shift(by)
        for _, window in self._windows.values():
            window.shift(by)

    def _wait_of_windows(self, size: int, now: float) -> float:
        """Seconds until all limits that headers report admit an attempt."""
        wait = 0.0
        for tokens, window in self._windows.values():
            wait = max(wait, window.ready_in(max(1, size) if tokens else 1, now))
        return wait


def _learned(
    source: str,
    name: str,
    unit: str,
    limit: float | None,
    remaining: float | None = None,
    resets_in: float | None = None,
) -> dict[str, Any]:
    return {
        "source": source,
        "name": name,
        "unit": unit,
        "limit": limit,
        "remaining": remaining,
        "resets_in": resets_in,
    }
