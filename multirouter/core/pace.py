"""How fast a provider is on a route: what its attempts may take, and when slow means ill."""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import log2

from multirouter.core.policies import PacePolicy
from multirouter.core.window import SHORTEST, Latencies

RECENT = 0.2
"""Weight of the newest latency in the recent mean: it looks back some nine answers."""

RECENT_ON_TRIAL = 1.0
"""The same for the answer of a half-open trial: it is asked what is true now, and only it."""

USUAL = 0.01
"""The most that the newest latency weighs in the usual mean: it looks back at least some two
hundred answers."""

USUAL_SPAN = 1800.0
"""Seconds that the usual mean looks back at least: at a hundred answers a second two hundred are
gone in two, and a provider that slowly falls ill would be its own measure."""

MOST_PATIENCE = 4.0
"""Where patience ends: four times a limit that is itself above nearly every answer lets through
whoever still works, while a trial that hangs does not hold up the next one for long."""

CALM = 1.05
"""Patience under this is over; an answer in time takes its square root, so four of them do."""

_SHORTEST_LOG = log2(SHORTEST)

_RECENT_VARIANCE = RECENT / (2 - RECENT)
"""Variance of an exponential mean over that of one value. Source: Roberts 1959, EWMA charts."""


class Pace:
    """One provider's latencies on one route, beside those of its peers there.

    Means and spread are those of the binary logarithm: AI latencies follow the answer's length
    and are close to lognormal, so a factor is as likely at every speed.

    Attributes:
        limit: what one attempt may take, seconds; infinite until enough is known.
        latencies: the histogram of what its answers took.
        drift: doublings of the recent over the usual latency; 0 is usual, 1 twice as slow.
        peers: the paces of the route's other providers.
    """

    __slots__ = (
        "_born_at",
        "_learned_at",
        "_patience",
        "_policy",
        "_recent",
        "_slow_mark",
        "_usual",
        "_variance",
        "_youth",
        "drift",
        "latencies",
        "limit",
        "peers",
    )

    def __init__(self, policy: PacePolicy) -> None:
        self._policy = policy
        self._slow_mark = log2(policy.slow_factor)
        self.latencies = Latencies()
        self.limit = math.inf
        self.drift = 0.0
        self.peers: Sequence[Pace] = ()
        self._patience = 1.0
        self._recent = 0.0
        self._usual = 0.0
        self._learned_at = 0.0
        self._variance = 0.0
        # A young mean is a plain average: the newest latency weighs 1/n, until that is USUAL.
        self._youth = 1.0
        self._born_at = -math.inf

    @property
    def known(self) -> bool:
        """Whether enough answers are known for the past to be trusted."""
        return self.latencies.samples >= self._policy.minimum_samples

    def answered(self, seconds: float, now: float, *, trial: bool = False) -> bool:
        """Learns what one answer took.

        Args:
            seconds: from the attempt's start to the answer.
            now: loop time, seconds.
            trial: whether it was a half-open trial.

        Returns:
            Whether the provider is slow to the point of being ill.
        """
        latency = log2(seconds) if seconds > SHORTEST else _SHORTEST_LOG  # noqa: FURB136 - hot path
        refresh = self.latencies.record(latency)
        weight = RECENT_ON_TRIAL if trial else RECENT
        lasting = self._youth
        if lasting > USUAL:
            self._youth = lasting / (1.0 + lasting)
            if lasting > weight:
                weight = lasting
        else:
            lasting = self._share_of_the_past(now)
        self._learned_at = now
        off = latency - self._usual
        self._usual = usual = self._usual + lasting * off
        self._variance = (1.0 - lasting) * (self._variance + lasting * off * off)
        self._recent = recent = self._recent + weight * (latency - self._recent)
        self.drift = drift = recent - usual
        if refresh or self._patience > 1.0:
            self._calm(seconds)
            self._set_limit()
        return drift > self._slow_mark and self._is_slow()

    def _share_of_the_past(self, now: float) -> float:
        """The newest latency's weight by time, so that a burst is no longer past than a lull."""
        if self._born_at == -math.inf:
            self._born_at = self._learned_at
        past = min(USUAL_SPAN, now - self._born_at)
        return min(USUAL, (now - self._learned_at) / past) if past > 0.0 else 0.0

    def timed_out(self, seconds: float, *, trial: bool) -> None:
        """Learns that an attempt was cut off after `seconds`.

        It is no latency, only a bound of one, so it moves the recent mean alone: when all
        providers slow down, all limits widen. A trial that was cut off doubles the patience:
        a provider that still works, only slower, is let through before long.
        """
        if trial:
            self._patience = min(MOST_PATIENCE, self._patience * 2.0)
        if self.known:
            bound = max(log2(max(seconds, SHORTEST)), self._recent)
            self._recent += RECENT * (bound - self._recent)
            self.drift = self._recent - self._usual
        for pace in (self, *self.peers):
            pace._set_limit()

    def shift(self, by: float) -> None:
        """Moves to the clock of another loop."""
        self._learned_at += by
        self._born_at += by

    def _calm(self, seconds: float) -> None:
        """Patience lasts while answers need it, and fades when they come in time again."""
        if self._patience > 1.0 and seconds * self._patience <= self.limit:
            calmer = math.sqrt(self._patience)
            self._patience = calmer if calmer > CALM else 1.0

    def _set_limit(self) -> None:
        policy = self._policy
        if not policy.adaptive or not self.known:
            self.limit = math.inf
            return
        mark = max(policy.floor, policy.factor * self.latencies.percentile(policy.percentile))
        self.limit = mark * self._patience * 2.0 ** max(0.0, self._common_drift())

    def _common_drift(self) -> float:
        """How much slower than usual the middle one of all the route's providers is."""
        drifts = sorted(pace.drift for pace in (self, *self.peers) if pace.known)
        return drifts[(len(drifts) - 1) // 2]

    def _is_slow(self) -> bool:
        """Far above its own past, beyond its own spread, and above what befell its peers too."""
        if not self.known:
            return False
        policy, mark = self._policy, self._slow_mark
        noise = policy.slow_deviations * math.sqrt(self._variance * _RECENT_VARIANCE)
        peers = sorted(pace.drift for pace in self.peers if pace.known)
        common = max(0.0, peers[(len(peers) - 1) // 2]) if peers else 0.0
        return self.drift > noise and self.drift - common > mark
