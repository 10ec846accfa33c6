"""Adaptive timeouts and latency outlier detection of a provider on a route."""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import log2

from multirouter.core.rolling_window import MIN_LATENCY, LatencyHistogram
from multirouter.core.settings.policies import LatencyPolicy

RECENT_WEIGHT = 0.2
"""Weight of the newest latency in the recent mean: it covers some nine answers."""

TRIAL_WEIGHT = 1.0
"""The same for the answer of a half-open trial, which alone tells how fast the provider is now."""

SLOW_TRIAL_WEIGHT = 0.5
"""The same for a trial of a provider that was slow or hung before: one fast answer may be luck, and
the next slow ones then reopen its circuit soon."""

MAX_BASELINE_WEIGHT = 0.01
"""Highest weight of the newest latency in the baseline mean: it covers at least some two hundred
answers."""

BASELINE_SPAN = 1800.0
"""Seconds that the baseline mean covers at least. At a hundred answers a second two hundred are
gone in two seconds, and a provider that slows down gradually would raise its own baseline."""

BATCH = 16
"""Answers that wait before they enter the provider's history. When the provider turns out to be
slow, those that wait are discarded: a history with an outage in it would hide the next one."""

RELEARN_AFTER = 4 * BASELINE_SPAN
"""Seconds of slow answers alone after which the slow latency counts as the usual one."""

MAX_TOLERANCE = 4.0
"""Highest factor on a limit after trials that were cut off. The limit itself is above nearly every
answer, so four times as much admits a provider that still works, while a trial that hangs does
not delay the next one for long."""

MIN_TOLERANCE = 1.05
"""A tolerance below this is reset to 1; an answer in time takes its square root, so four of them
reset it."""

_MIN_LATENCY_LOG2 = log2(MIN_LATENCY)

_RECENT_VARIANCE = RECENT_WEIGHT / (2 - RECENT_WEIGHT)
"""Variance of an exponential mean over that of one value. Source: Roberts 1959, EWMA charts."""


class LatencyGroup:
    """The latency trackers of one route, and how much slower than usual they are together.

    Attributes:
        limit_factor: factor on every limit of the route when its median provider has slowed
            down; 1 when it has not.
    """

    __slots__ = ("_latencies", "_median", "_reads_until_update", "limit_factor")

    def __init__(self, latencies: Sequence[LatencyTracker]) -> None:
        self._latencies = tuple(latencies)
        self._reads_until_update = 0
        self._median = 0.0
        self.limit_factor: float = 1.0

    def join(self) -> None:
        """Makes this the group of its trackers, instead of the one that they are in."""
        for latency in self._latencies:
            latency.group = self

    def median_drift(self) -> float:
        """The drift of the median provider of those with enough samples, in doublings.

        Computed once in as many reads as a quarter of the group, about once in four answers of
        each provider, so that a thousand providers are not sorted at each read.
        """
        if self._reads_until_update <= 0:
            self._reads_until_update = len(self._latencies) // 4
            drifts = sorted(each.drift for each in self._latencies if each.has_enough_samples)
            self._median = drifts[(len(drifts) - 1) // 2] if len(drifts) > 1 else 0.0
            only = drifts[0] if len(drifts) == 1 else 0.0
            self.limit_factor = 2.0 ** max(0.0, self._median, only)
        else:
            self._reads_until_update -= 1
        return self._median


class LatencyTracker:
    """Latencies of one provider on one route, compared with its past and with its peers.

    Means and spread are those of the binary logarithm: AI latencies follow the answer's length
    and are close to lognormal, so a factor is as likely at every speed.

    Attributes:
        latencies: the histogram of its answers' durations.
        policy: its settings.
        group: the trackers of the route, this one among them.
    """

    __slots__ = (
        "_base_limit",
        "_baseline",
        "_baseline_weight",
        "_first_at",
        "_last_at",
        "_recent",
        "_slow_doublings",
        "_slow_level",
        "_slow_since",
        "_tolerance",
        "_variance",
        "_waiting",
        "group",
        "latencies",
        "policy",
    )

    def __init__(self, policy: LatencyPolicy) -> None:
        self.policy: LatencyPolicy = policy
        self._slow_doublings = log2(policy.slow_factor)
        self.latencies: LatencyHistogram = LatencyHistogram()
        self._base_limit = math.inf
        self.group: LatencyGroup = LatencyGroup((self,))
        self._tolerance = 1.0
        self._recent = 0.0
        self._baseline = 0.0
        self._last_at = 0.0
        self._variance = 0.0
        # At first the baseline is a plain average: the newest of n latencies weighs 1/n, until
        # that is MAX_BASELINE_WEIGHT.
        self._baseline_weight = 1.0
        self._first_at = -math.inf
        self._waiting: list[float] = []
        # How far above its baseline the provider was when it was slow or hung, in doublings; 0
        # when its last answer was in usual time.
        self._slow_level = 0.0
        self._slow_since = math.inf

    def apply(self, policy: LatencyPolicy) -> None:
        """Replaces the policy; recorded latencies stay, the next answer applies the new one."""
        self.policy = policy
        self._slow_doublings = log2(policy.slow_factor)

    @property
    def drift(self) -> float:
        """The recent over the baseline latency, in doublings: 0 is usual, 1 twice as slow."""
        return self._recent - self._baseline

    @property
    def has_enough_samples(self) -> bool:
        """Whether the policy's `minimum_samples` answers are recorded."""
        return self.latencies.samples >= self.policy.minimum_samples

    @property
    def limit(self) -> float:
        """Timeout of one attempt, seconds; infinite until there are enough samples."""
        return self._base_limit * self.group.limit_factor

    def record(
        self,
        seconds: float,
        now: float,
        trial: bool = False,  # noqa: FBT001, FBT002 - once an attempt, where keywords cost time
    ) -> bool:
        """Records the duration of one answer.

        Args:
            seconds: from the attempt's start to the answer.
            now: loop time, seconds.
            trial: whether it was a half-open trial.

        Returns:
            Whether the provider is so slow that it counts as unhealthy.
        """
        latency = log2(seconds) if seconds > MIN_LATENCY else _MIN_LATENCY_LOG2
        waiting = self._waiting
        weight = RECENT_WEIGHT
        if trial:
            weight = SLOW_TRIAL_WEIGHT if self._slow_level else TRIAL_WEIGHT
        if self._baseline_weight > MAX_BASELINE_WEIGHT:
            weight = max(weight, self._baseline_weight)
            self._learn_at_once(latency, now)
        else:
            waiting.append(latency)
        self._recent = recent = self._recent + weight * (latency - self._recent)
        baseline = self._baseline
        drift = recent - baseline
        # An answer in usual time proves no slowness: it may be the first after an outage, whose
        # attempts still weigh in the recent mean.
        slow = self._slow_doublings
        if self._slow_level and self._still_slow(latency - baseline, seconds, trial=trial):
            self._discard(now)
            return True
        if drift > slow and latency - baseline > slow and self._is_slow():
            self._slow_level = max(self._slow_level, drift)
            self._discard(now)
            return True
        if len(waiting) >= BATCH:
            self._learn(now)
        elif self._tolerance > 1.0:
            self._reduce_tolerance(seconds)
            self._update_limit()
        return False

    def record_timeout(self, seconds: float, *, trial: bool) -> None:
        """Records that an attempt was cut off after `seconds`.

        A cut-off attempt has no latency, only a lower bound of one, so it moves the recent mean
        alone: when all providers slow down, all limits widen. A trial that was cut off doubles
        the tolerance: a provider that still works, only slower, is admitted before long.
        """
        if trial:
            self._tolerance = min(MAX_TOLERANCE, self._tolerance * 2.0)
        if self.has_enough_samples:
            bound = max(log2(max(seconds, MIN_LATENCY)), self._recent)
            self._recent += RECENT_WEIGHT * (bound - self._recent)
            if self._slow_doublings < math.inf:
                self._slow_level = max(self._slow_level, bound - self._baseline)
        self._update_limit()

    def shift(self, by: float) -> None:
        """Moves to the clock of another loop, by `by` seconds."""
        self._last_at += by
        self._first_at += by
        self._slow_since += by

    def _learn_at_once(self, latency: float, now: float) -> None:
        """Adds one of the first answers, before which none waits, as `_learn` adds a batch.

        With many providers, most calls meet one that has few answers yet.
        """
        weight, deviation = self._baseline_weight, latency - self._baseline
        self._baseline_weight = weight / (1.0 + weight)
        self._last_at = now
        self._baseline += weight * deviation
        self._variance = (1.0 - weight) * (self._variance + weight * deviation * deviation)
        if self.latencies.record(latency):
            self._update_limit()

    def _learn(self, now: float) -> None:
        """Adds the waiting answers to the histogram, the baseline mean and its variance."""
        waiting, count = self._waiting, len(self._waiting)
        # Weight by time, so that a burst of answers counts no more than a lull.
        if self._first_at == -math.inf:
            self._first_at = self._last_at
        past = min(now - self._first_at, BASELINE_SPAN)
        weight = (now - self._last_at) / past if past > 0.0 else 0.0
        weight = min(weight, count * MAX_BASELINE_WEIGHT)
        self._last_at = now
        last, deviations, squares = waiting[-1], 0.0, 0.0
        for latency in waiting:
            deviation = latency - self._baseline
            deviations += deviation
            squares += deviation * deviation
        self._baseline += weight * deviations / count
        self._variance = (1.0 - weight) * (self._variance + weight * squares / count)
        self.latencies.record(*waiting)  # which computes its percentiles anew: a batch is enough
        waiting.clear()
        self._reduce_tolerance(2.0**last)
        self._update_limit()

    def _discard(self, now: float) -> None:
        """Discards the waiting answers of a slow provider; relearns after `RELEARN_AFTER`."""
        self._waiting.clear()
        self._last_at = now
        self._slow_since = min(self._slow_since, now)
        if now - self._slow_since >= RELEARN_AFTER:
            self.latencies = LatencyHistogram()
            self._baseline_weight, self._first_at = 1.0, -math.inf
            self._base_limit = math.inf
            self._slow_level, self._slow_since = 0.0, math.inf

    def _still_slow(self, deviation: float, seconds: float, *, trial: bool) -> bool:
        """Whether a provider that was slow or hung is still so, by one answer.

        An answer nearer to its usual latency than to the slow one ends the suspicion. Only a trial
        is judged by one answer; of a closed circuit the recent mean decides.
        """
        limit = self._slow_level / 2.0
        if deviation <= limit:
            self._slow_level, self._slow_since = 0.0, math.inf
            return False
        common = max(0.0, self.group.median_drift())
        return trial and seconds >= self.policy.slow_floor and deviation - common > limit

    def _reduce_tolerance(self, seconds: float) -> None:
        """Takes the square root of the tolerance when an answer would have been in time anyway."""
        if self._tolerance > 1.0 and seconds * self._tolerance <= self.limit:
            reduced = math.sqrt(self._tolerance)
            self._tolerance = reduced if reduced > MIN_TOLERANCE else 1.0

    def _update_limit(self) -> None:
        policy = self.policy
        self.group.median_drift()
        if policy.adaptive and self.has_enough_samples:
            limit = policy.factor * self.latencies.percentile(policy.percentile)
            self._base_limit = max(policy.floor, limit) * self._tolerance

    def _is_slow(self) -> bool:
        """Whether it is far above its baseline, beyond its spread, and slower than its peers."""
        policy = self.policy
        if not self.has_enough_samples or 2.0**self._recent < policy.slow_floor:
            return False
        noise = policy.slow_deviations * math.sqrt(self._variance * _RECENT_VARIANCE)
        common = max(0.0, self.group.median_drift())
        return self.drift > noise and self.drift - common > self._slow_doublings
