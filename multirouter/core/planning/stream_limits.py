"""The limits of time on a stream that flows: idle, total and the throughput floor.

What a slow consumer takes its time for is nobody's fault: `idle` and `min_rate` count only what
was waited for the provider, and a `total` that passes in the consumer's hands is neutral.
"""

from __future__ import annotations

from typing import Literal

from multirouter.core.selection.candidate import Candidate
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.errors import AttemptTimeout
from multirouter.model import FailureKind, Verdict


class StreamLimits:
    """Watches one stream from its first content to its end, whoever serves it meanwhile.

    Attributes:
        ends_at: loop time by which it must have ended.
        rated: whether a throughput floor holds, so that `came` wants every chunk.
        error: what the limit that has passed raises, or None.
        verdict: what that counts as.
    """

    __slots__ = (
        "_asked_at",
        "_letters",
        "_limit",
        "_member",
        "_policy",
        "_waited",
        "ends_at",
        "error",
        "rated",
        "verdict",
    )

    def __init__(
        self, policy: StreamPolicy, member: Candidate, now: float, *, rated: bool = True
    ) -> None:
        self._policy = policy
        self._limit: Literal["idle", "total", "min_rate"] = "idle"
        self.ends_at: float = now + policy.total
        self.error: AttemptTimeout | None = None
        self.verdict: Verdict = Verdict(FailureKind.TIMEOUT)
        self.serves(member, rated=rated)

    def serves(self, member: Candidate, *, rated: bool = True) -> None:
        """Somebody else serves from here: the rate is his own, the total goes on.

        Args:
            member: who serves.
            rated: whether anybody can say how much his chunks bring.
        """
        self.rated: bool = rated and self._policy.min_rate is not None
        self._member = member
        self._waited = 0.0
        self._letters = 0
        self._asked_at = 0.0

    def deadline(self, now: float) -> float:
        """Loop time by which the chunk that is asked for now must have come."""
        self._limit = "idle"
        at = now + self._member.idle
        if self.rated:
            self._asked_at = now
            window = now + self._policy.rate_window - self._waited
            if window < at and self._is_slow(self._policy.rate_window):
                self._limit, at = "min_rate", window
        if self.ends_at < at:
            self._limit, at = "total", self.ends_at
        return at

    def came(self, letters: int, now: float) -> AttemptTimeout | None:
        """Counts a chunk that came; the error of a stream that is too slow to go on.

        Args:
            letters: the characters it brought.
            now: loop time, seconds.
        """
        self._letters += letters
        self._waited += now - self._asked_at
        if self._waited < self._policy.rate_window:
            return None
        slow = self._is_slow(self._waited)
        self._waited, self._letters = 0.0, 0
        return self._passed("min_rate") if slow else None

    def expired(self) -> AttemptTimeout:
        """The error of the limit that has passed while the provider was waited for."""
        return self._passed(self._limit)

    def overdue(self) -> AttemptTimeout:
        """The error of a total that has passed while the consumer was busy."""
        error = self._passed("total")
        self.verdict = Verdict(FailureKind.CANCELLED, reason="total, in the consumer's hands")
        return error

    def _passed(self, limit: Literal["idle", "total", "min_rate"]) -> AttemptTimeout:
        member, policy = self._member, self._policy
        spans = {"idle": member.idle, "total": policy.total, "min_rate": policy.min_rate or 0.0}
        self.error = AttemptTimeout(member.name, limit, spans[limit])
        self.verdict = Verdict(FailureKind.TIMEOUT, reason=f"{limit} {spans[limit]:g}")
        return self.error

    def _is_slow(self, seconds: float) -> bool:
        return self._letters < (self._policy.min_rate or 0.0) * seconds
