"""How fast a provider is on a route: what its attempts may take, and when slow means ill."""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import log2

from multirouter.core.rolling_window import SHORTEST, Latencies
from multirouter.core.settings.policies import LatencyPolicy

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


class Group:
    """The paces of one route, and how much slower than usual they are together.

    Attributes:
        stretch: by how much a rise in latency that befell the middle provider widens everybody's
            limits; 1 when there is none.
    """

    __slots__ = ("_asked", "_latencies", "_middle", "stretch")

    def __init__(self, latencies: Sequence[LatencyTracker]) -> None:
        self._latencies = tuple(latencies)
        self._asked = 0
        self._middle = 0.0
        self.stretch: float = 1.0
        for latency in self._latencies:
            latency.group = self

    def middle(self) -> float:
        """The drift of the middle provider of those that are known, doublings.

        Worked out anew once in as many askings as a sixteenth of the group, so that a thousand
        providers are not sorted at each.
        """
        if self._asked <= 0:
            self._asked = len(self._latencies) // 16
            drifts = sorted(latency.drift for latency in self._latencies if latency.known)
            self._middle = drifts[(len(drifts) - 1) // 2] if len(drifts) > 1 else 0.0
            lone = drifts[0] if len(drifts) == 1 else 0.0
            self.stretch = 2.0 ** max(0.0, self._middle, lone)
        else:
            self._asked -= 1
        return self._middle


class LatencyTracker:
    """One provider's latencies on one route, beside those of its peers there.

    Means and spread are those of the binary logarithm: AI latencies follow the answer's length
    and are close to lognormal, so a factor is as likely at every speed.

    Attributes:
        latencies: the histogram of what its answers took.
        drift: doublings of the recent over the usual latency; 0 is usual, 1 twice as slow.
        group: the paces of the route, this one among them.
    """

    __slots__ = (
        "_born_at",
        "_learned_at",
        "_mark",
        "_patience",
        "_policy",
        "_recent",
        "_slow_mark",
        "_usual",
        "_variance",
        "_youth",
        "drift",
        "group",
        "latencies",
    )

    def __init__(self, policy: LatencyPolicy) -> None:
        self._policy = policy
        self._slow_mark = log2(policy.slow_factor)
        self.latencies: Latencies = Latencies()
        self.drift: float = 0.0
        self._mark = math.inf
        self.group: Group = Group((self,))
        self._patience = 1.0
        self._recent = 0.0
        self._usual = 0.0
        self._learned_at = 0.0
        self._variance = 0.0
        # A young mean is a plain average: the newest latency weighs 1/n, until that is USUAL.
        self._youth = 1.0
        self._born_at = -math.inf

    def adopt(self, policy: LatencyPolicy) -> None:
        """Goes on under another policy; what was learned stays, the next answer applies it."""
        self._policy = policy
        self._slow_mark = log2(policy.slow_factor)

    @property
    def known(self) -> bool:
        """Whether enough answers are known for the past to be trusted."""
        return self.latencies.samples >= self._policy.minimum_samples

    @property
    def limit(self) -> float:
        """What one attempt may take, seconds; infinite until enough is known."""
        return self._mark * self.group.stretch

    def answered(self, seconds: float, now: float, *, trial: bool = False) -> bool:
        """Learns what one answer took.

        Args:
            seconds: from the attempt's start to the answer.
            now: loop time, seconds.
            trial: whether it was a half-open trial.

        Returns:
            Whether the provider is slow to the point of being ill.
        """
        latency = log2(seconds) if seconds > SHORTEST else _SHORTEST_LOG
        refresh = self.latencies.record(latency)
        weight = RECENT_ON_TRIAL if trial else RECENT
        lasting = self._youth
        if lasting > USUAL:
            self._youth = lasting / (1.0 + lasting)
            weight = max(weight, lasting)
        else:
            # The newest latency's weight by time, so that a burst is no longer past than a lull.
            learned_at = self._learned_at
            if self._born_at == -math.inf:
                self._born_at = learned_at
            past = now - self._born_at
            past = past if past < USUAL_SPAN else USUAL_SPAN  # noqa: FURB136 - min() is dearer than all else
            lasting = (now - learned_at) / past if past > 0.0 else 0.0
            lasting = lasting if lasting < USUAL else USUAL  # noqa: FURB136 - as above
        self._learned_at = now
        off = latency - self._usual
        self._usual = usual = self._usual + lasting * off
        self._variance = (1.0 - lasting) * (self._variance + lasting * off * off)
        self._recent = recent = self._recent + weight * (latency - self._recent)
        self.drift = drift = recent - usual
        if refresh or self._patience > 1.0:
            self._calm(seconds)
            self._set_mark()
        # An answer in usual time accuses nobody: it may be the first after an outage, whose
        # attempts still weigh in the recent mean.
        slow_mark = self._slow_mark
        return drift > slow_mark and off > slow_mark and self._is_slow()

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
        self._set_mark()

    def shift(self, by: float) -> None:
        """Moves to the clock of another loop."""
        self._learned_at += by
        self._born_at += by

    def _calm(self, seconds: float) -> None:
        """Patience lasts while answers need it, and fades when they come in time again."""
        if self._patience > 1.0 and seconds * self._patience <= self.limit:
            calmer = math.sqrt(self._patience)
            self._patience = calmer if calmer > CALM else 1.0

    def _set_mark(self) -> None:
        policy = self._policy
        self.group.middle()
        if policy.adaptive and self.known:
            mark = policy.factor * self.latencies.percentile(policy.percentile)
            self._mark = max(policy.floor, mark) * self._patience

    def _is_slow(self) -> bool:
        """Far above its own past, beyond its own spread, and above what befell its peers too."""
        policy = self._policy
        if not self.known or 2.0**self._recent < policy.slow_floor:
            return False
        noise = policy.slow_deviations * math.sqrt(self._variance * _RECENT_VARIANCE)
        common = max(0.0, self.group.middle())
        return self.drift > noise and self.drift - common > self._slow_mark
