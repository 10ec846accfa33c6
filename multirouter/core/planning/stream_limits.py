"""Time limits of a running stream: `idle`, `total` and the throughput floor `min_rate`.

The time that a slow consumer takes does not count against the provider: `idle` and `min_rate`
count only the time spent waiting for the provider, and a `total` that passes while the consumer
holds the stream is neutral.
"""

from __future__ import annotations

from typing import Literal

from multirouter.core.selection.candidate import Candidate
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.errors import AttemptTimeout
from multirouter.model import FailureKind, Verdict


class StreamLimits:
    """Time limits of one stream from its first content to its end, across its providers.

    Attributes:
        ends_at: loop time by which the stream must have ended, seconds.
        lost: seconds that stalls of the event loop had given back when `ends_at` was set.
        rate_measurable: whether a throughput floor applies, so that `chunk_arrived` needs every
            chunk.
    """

    __slots__ = (
        "_characters",
        "_error",
        "_limit",
        "_member",
        "_policy",
        "_verdict",
        "_waited",
        "_waiting_since",
        "ends_at",
        "lost",
        "rate_measurable",
    )

    def __init__(
        self,
        policy: StreamPolicy,
        member: Candidate,
        now: float,
        *,
        rate_measurable: bool = True,
        lost: float = 0.0,
    ) -> None:
        self._policy = policy
        self._limit: Literal["idle", "total", "min_rate"] = "idle"
        self.ends_at: float = now + policy.total
        self.lost: float = lost
        self._error: AttemptTimeout | None = None
        self._verdict: Verdict = Verdict(FailureKind.TIMEOUT)
        self.switch_to(member, rate_measurable=rate_measurable)

    def switch_to(self, member: Candidate, *, rate_measurable: bool = True) -> None:
        """Continues with another provider: its rate is measured anew, the total goes on.

        Args:
            member: the provider that serves from here.
            rate_measurable: whether the characters in its chunks can be counted.
        """
        self.rate_measurable: bool = rate_measurable and self._policy.min_rate is not None
        self._member = member
        self._waited = 0.0
        self._characters = 0
        self._waiting_since = 0.0

    def give_back(self, lost: float) -> None:
        """Adds the time that stalls of the event loop took to the total.

        Args:
            lost: seconds that all stalls of the loop together have given back.
        """
        self.ends_at += lost - self.lost
        self.lost = lost

    def deadline(self, now: float) -> float:
        """Returns the loop time by which the next chunk must arrive, seconds."""
        self._limit = "idle"
        at = now + self._member.idle
        if self.rate_measurable:
            self._waiting_since = now
            window = now + self._policy.rate_window - self._waited
            if window < at and self._is_slow(self._policy.rate_window):
                self._limit, at = "min_rate", window
        if self.ends_at < at:
            self._limit, at = "total", self.ends_at
        return at

    def chunk_arrived(
        self, characters: int, now: float, lost: float = 0.0
    ) -> AttemptTimeout | None:
        """Counts a chunk; returns the error of a stream that is below `min_rate`, else None.

        Args:
            characters: the characters of content in the chunk.
            now: loop time, seconds.
            lost: seconds of the wait for it that a stall of the event loop took.
        """
        self._characters += characters
        self._waited += max(0.0, now - self._waiting_since - lost)
        if self._waited < self._policy.rate_window:
            return None
        slow = self._is_slow(self._waited)
        self._waited, self._characters = 0.0, 0
        return self._exceeded("min_rate") if slow else None

    def verdict_on(self, error: BaseException) -> Verdict | None:
        """The verdict on an error that these limits returned, once; None for any other error."""
        if error is not self._error:
            return None
        self._error = None  # its traceback holds this object by now
        return self._verdict

    def expired(self) -> AttemptTimeout:
        """Returns the error of the limit that passed while waiting for the provider."""
        return self._exceeded(self._limit)

    def total_expired(self) -> AttemptTimeout:
        """Returns the error of a `total` that passed while the consumer held the stream."""
        error = self._exceeded("total")
        reason = "total elapsed while the consumer held the stream"
        self._verdict = Verdict(FailureKind.CANCELLED, reason=reason)
        return error

    def _exceeded(self, limit: Literal["idle", "total", "min_rate"]) -> AttemptTimeout:
        member, policy = self._member, self._policy
        limits = {"idle": member.idle, "total": policy.total, "min_rate": policy.min_rate or 0.0}
        self._error = AttemptTimeout(member.name, limit, limits[limit])
        self._verdict = Verdict(FailureKind.TIMEOUT, reason=f"{limit} {limits[limit]:g}")
        return self._error

    def _is_slow(self, seconds: float) -> bool:
        return self._characters < (self._policy.min_rate or 0.0) * seconds
