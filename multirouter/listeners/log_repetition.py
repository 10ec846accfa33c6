"""Repetitions of log events: the first of a minute are logged, the rest are counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any

MINUTE = 60.0
"""Seconds of one window."""

LOGGED = 20
"""Events that are alike and are logged in one window."""

MAX_KINDS = 500
"""Kinds of events that are distinguished; beyond it, all are forgotten."""

IDENTITY: Mapping[str, tuple[str, ...]] = {
    "failover": ("route", "from", "to", "reason"),
    "call failed": ("route", "outcome", "error", "last_error"),
    "retry denied": ("route", "reason"),
    "cooldown started": ("provider",),
}
"""Events that a long outage repeats with each call, with the fields by which they are alike."""


class Repetitions:
    """Decides which repetitions are logged.

    Args:
        clock: seconds; only differences count.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[Hashable, list[Any]] = {}

    def admit(self, event: str, fields: Mapping[str, Any]) -> int | None:
        """How many alike were not logged since the last one; None when this one is not logged.

        Args:
            event: the event's name.
            fields: its fields.
        """
        names = IDENTITY.get(event)
        if names is None:
            return 0
        key = (event, *map(fields.get, names))
        now = self._clock()
        window = self._seen.get(key)
        if window is None:
            if len(self._seen) >= MAX_KINDS:
                self._seen.clear()
            self._seen[key] = [now, 1, 0]
            return 0
        if now - window[0] >= MINUTE:
            left_out: int = window[2]
            window[:] = now, 1, 0
            return left_out
        window[1] += 1
        if window[1] > LOGGED:
            window[2] += 1
            return None
        return 0
