"""Adaptive timeouts and latency outliers."""

from __future__ import annotations

import math
from random import Random

import pytest

from multirouter.core.health.latency_tracker import (
    BASELINE_SPAN,
    BATCH,
    MAX_BASELINE_WEIGHT,
    MAX_TOLERANCE,
    RECENT_WEIGHT,
    RELEARN_AFTER,
    SLOW_TRIAL_WEIGHT,
    TRIAL_WEIGHT,
    LatencyGroup,
    LatencyTracker,
)
from multirouter.core.settings.policies import LatencyPolicy


def record(
    latency: LatencyTracker, seconds: float, *, trial: bool = False, after: float = 20.0
) -> bool:
    """Records an answer `after` seconds after the last one; returns whether it counts as slow."""
    now = latency._last_at + after * (len(latency._waiting) + 1)
    return latency.record(seconds, now, trial=trial)


def trained(count: int, seconds: float = 1.0, **policy: object) -> LatencyTracker:
    """A tracker with `count` answers of the same latency."""
    latency = LatencyTracker(LatencyPolicy(**policy))
    for _ in range(count):
        record(latency, seconds)
    return latency


def peers(*latencies: LatencyTracker) -> None:
    """Makes them the providers of one route."""
    LatencyGroup(latencies).join()


# ── timeouts ──────────────────────────────────────────────────────────────────────────────────────


def test_no_limit_without_enough_samples() -> None:
    """Until `minimum_samples` answers, and the next refresh, attempts are not cut off."""
    assert trained(19).has_enough_samples is False
    assert trained(20).has_enough_samples is True
    assert trained(31).limit == math.inf
    assert trained(32).limit < math.inf


def test_limit_is_a_multiple_of_the_percentile() -> None:
    """Half more than the 99th percentile, which is at most 9 % over the sample."""
    assert 7.5 <= trained(32, 5.0).limit <= 8.175
    assert 25.0 <= trained(32, 5.0, factor=5.0).limit <= 27.3


def test_limit_is_at_least_the_floor() -> None:
    """However fast a provider is, no attempt is cut off before the floor."""
    assert trained(32, 0.01).limit == 2.0
    assert trained(32, 0.01, floor=0.5).limit == 0.5


def test_the_percentile_is_the_policys() -> None:
    """With one slow answer in ten, the 80th percentile ignores it and the 95th does not."""
    for percentile, expected in ((0.8, 2.5), (0.95, 25.0)):
        latency = LatencyTracker(LatencyPolicy(percentile=percentile, floor=0.0, factor=2.0))
        for i in range(64):
            record(latency, 10.0 if i % 10 == 9 else 1.0)
        assert expected * 0.8 <= latency.limit <= expected * 1.1


def test_no_limit_when_not_adaptive() -> None:
    """With `adaptive=False` there is no limit, with timeouts or without."""
    latency = trained(64, 1.0, adaptive=False)
    latency.record_timeout(30.0, trial=True)
    assert latency.limit == math.inf


def test_when_all_slow_down_all_limits_widen() -> None:
    """Timeouts move the recent mean: the median drift of the route widens every limit."""
    a, b, c = latencies = [trained(32, 4.0) for _ in range(3)]
    peers(*latencies)
    usual = a.limit
    for _ in range(10):
        a.record_timeout(usual, trial=False)
    assert (a.limit, b.limit, c.limit) == (usual, usual, usual), "one of three is alone"
    for _ in range(10):
        b.record_timeout(usual, trial=False)
    assert a.limit > 1.4 * usual
    assert a.limit == b.limit == c.limit


def test_a_timeout_is_a_lower_bound() -> None:
    """It enters no histogram, never lowers the recent mean, and needs enough samples."""
    latency = trained(32, 4.0)
    latency.record_timeout(1.0, trial=False)
    assert latency.drift == pytest.approx(0.0)
    assert latency.latencies.samples == 32
    latency.record_timeout(16.0, trial=False)
    assert latency.drift == pytest.approx(2.0 * RECENT_WEIGHT)
    unknown = trained(19, 4.0)
    unknown.record_timeout(1000.0, trial=False)
    assert unknown.drift == 0.0


def test_tolerance_doubles_with_each_timed_out_trial_to_a_maximum() -> None:
    """A provider that still works, only slower, is admitted before long."""
    latency = trained(32, 1.0)
    usual = latency.limit
    limits = []
    for _ in range(8):
        latency.record_timeout(1.0, trial=True)
        limits.append(latency.limit / usual)
    assert limits == pytest.approx([min(2.0**k, MAX_TOLERANCE) for k in range(1, 9)])
    assert 2.0 < MAX_TOLERANCE < 100.0


def test_tolerance_falls_with_answers_in_time() -> None:
    """Each answer well in time reduces it, and a few of them reset it."""
    latency = trained(32, 1.0)
    usual = latency.limit
    latency.record_timeout(1.0, trial=True)
    limits = [latency.limit]
    for _ in range(6):
        record(latency, 1.0)
        limits.append(latency.limit)
    assert limits == sorted(limits, reverse=True)
    assert usual < limits[1] < limits[0]
    assert limits[-1] == pytest.approx(usual, rel=1e-6)
    assert latency._tolerance == 1.0


def test_tolerance_stays_while_it_is_needed() -> None:
    """Answers that the usual limit would have cut off do not change it."""
    latency = trained(32, 1.0, floor=0.0, slow_factor=math.inf)
    latency.record_timeout(1.0, trial=True)
    latency.record_timeout(1.0, trial=True)
    record(latency, latency.limit * 0.9)
    assert latency._tolerance == 4.0


# ── latency outliers ──────────────────────────────────────────────────────────────────────────────


def answers_until_slow(latency: LatencyTracker, seconds: float, limit: int = 50) -> int:
    """The number of such answers until the provider counts as slow; `limit` for never."""
    return next((n for n in range(1, limit) if record(latency, seconds)), limit)


def test_a_provider_four_times_slower_is_found_soon() -> None:
    """Four times its usual latency is found within a dozen answers, twice never."""
    assert answers_until_slow(trained(100), 4.0) <= 12
    assert answers_until_slow(trained(100), 2.0) == 50


def test_slow_factor_may_be_below_two() -> None:
    """With `slow_factor=1.5` twice as slow is found; with `math.inf` nothing ever is."""
    assert answers_until_slow(trained(100, slow_factor=1.5), 2.0) < 50
    assert answers_until_slow(trained(100, slow_factor=1.5), 1.4) == 50
    assert answers_until_slow(trained(100, slow_factor=math.inf), 1000.0) == 50


def test_no_provider_is_slow_without_enough_samples() -> None:
    """Sixteen times slower counts only with `minimum_samples` answers."""
    assert answers_until_slow(trained(100, minimum_samples=200), 16.0, limit=99) == 99
    assert answers_until_slow(trained(100), 16.0, limit=99) < 99
    latency = trained(5)
    assert [record(latency, 100.0) for _ in range(14)] == [False] * 14


def test_answers_below_the_slow_floor_are_never_slow() -> None:
    """Fifteen times slower does not count while answers take less than `slow_floor`."""
    assert answers_until_slow(trained(100, 0.002), 0.03) == 50
    assert answers_until_slow(trained(100, 0.002, slow_floor=0.02), 0.03) < 50
    assert answers_until_slow(trained(100, 0.2), 1.5) < 50


def test_the_median_of_a_large_group_is_computed_once_in_many_reads() -> None:
    """Of 16 trackers the median drift is computed at every fifth read."""
    latencies = [trained(32, 4.0) for _ in range(16)]
    group = LatencyGroup(latencies)
    group.join()
    assert group.median_drift() == pytest.approx(0.0)
    for latency in latencies:
        latency._recent += 1.0
    assert [group.median_drift() for _ in range(5)] == pytest.approx([0.0, 0.0, 0.0, 0.0, 1.0])
    assert group.limit_factor == pytest.approx(2.0)


def test_a_slowdown_of_all_makes_no_provider_slow() -> None:
    """When the route's median provider slows down as much, the load is the cause."""
    latencies = [trained(100) for _ in range(3)]
    peers(*latencies)
    slow = [record(latency, 4.0) for _ in range(30) for latency in latencies]
    assert not any(slow)
    a, b = trained(100), trained(100)
    peers(a, b)
    assert answers_until_slow(a, 4.0) <= 12


def test_faster_peers_make_no_provider_slow() -> None:
    """Peers that became faster do not make a usual provider slow."""
    a, b = trained(100), trained(100)
    peers(a, b)
    for _ in range(50):
        record(b, 0.1)
    assert answers_until_slow(a, 2.0) == 50


def test_a_wide_spread_is_not_slow() -> None:
    """Lognormal latencies of a wide spread raise no alarm in 5,000 answers."""
    rng = Random(7)
    latency = LatencyTracker(LatencyPolicy())
    assert not any(record(latency, rng.lognormvariate(0.0, 1.5)) for _ in range(5000))
    wide = LatencyTracker(LatencyPolicy(slow_deviations=0.0))
    assert any(record(wide, rng.lognormvariate(0.0, 1.5)) for _ in range(5000))


def test_a_trials_latency_outweighs_the_recent_mean() -> None:
    """It replaces the recent mean; after slow answers it counts for half, as it may be luck."""
    for slow, trial, weight in (
        (True, True, SLOW_TRIAL_WEIGHT),
        (True, False, RECENT_WEIGHT),
        (False, True, TRIAL_WEIGHT),
    ):
        latency = trained(200)
        if slow:
            answers_until_slow(latency, 16.0)
        before = latency.drift
        record(latency, 1.25, trial=trial)
        expected = before + weight * (math.log2(1.25) - before)
        assert latency.drift == pytest.approx(expected)


def test_a_slow_outage_does_not_change_the_history() -> None:
    """Neither limit nor baseline nor spread moves, so that the next outage is found as soon."""
    latency = trained(208)
    peers(latency, trained(208), trained(208))
    before = (latency.limit, latency._baseline, latency._variance)
    first = answers_until_slow(latency, 16.0)
    for _ in range(50):
        assert record(latency, 16.0, trial=True)
    assert (latency.limit, latency._baseline, latency._variance) == before
    record(latency, 1.0, trial=True)
    for _ in range(BATCH):
        record(latency, 1.0)
    assert answers_until_slow(latency, 16.0) == first


def test_a_trial_nearer_to_slow_fails() -> None:
    """After slow answers a trial passes when it is nearer to the usual than to the slow latency."""
    for seconds, fails in ((2.0, True), (1.5, False)):
        latency = trained(208)
        answers_until_slow(latency, 16.0)
        assert record(latency, seconds, trial=True) is fails
    latency = trained(208)
    assert record(latency, 2.0, trial=True) is False, "nothing was slow before"


def test_a_trial_after_timeouts_must_be_near_the_usual_latency() -> None:
    """A provider that was cut off and now answers slowly is still unhealthy."""
    for cut_off, fails in ((True, True), (False, False)):
        latency = trained(208)
        if cut_off:
            latency.record_timeout(8.0, trial=False)
        assert record(latency, 2.9, trial=True) is fails
    latency = trained(208, slow_factor=math.inf)
    latency.record_timeout(8.0, trial=False)
    assert record(latency, 2.9, trial=True) is False, "the check is disabled"


def test_a_slow_trial_among_slow_peers_passes() -> None:
    """When the whole route has slowed down, no provider of it is kept out for that."""
    latency, other = trained(208), trained(208)
    peers(latency, other)
    latency.record_timeout(8.0, trial=False)
    for _ in range(BATCH - 1):
        record(other, 8.0)
    assert record(latency, 4.0, trial=True) is False


def test_a_lasting_slowness_becomes_usual() -> None:
    """After two hours of slow answers alone the history begins anew."""
    latency = trained(208)
    answers_until_slow(latency, 16.0)
    for _ in range(int(RELEARN_AFTER / 30.0) - 1):
        assert record(latency, 16.0, trial=True, after=30.0)
    for _ in range(2):
        record(latency, 16.0, trial=True, after=30.0)
    assert not latency.has_enough_samples
    assert latency.limit == math.inf
    for _ in range(300):
        assert not record(latency, 16.0)
    assert latency.limit > 16.0


def test_one_usual_answer_ends_the_time_of_slow_ones() -> None:
    """The two hours count from the last usual answer on."""
    latency = trained(208)
    answers_until_slow(latency, 16.0)
    for _ in range(3):
        for _ in range(int(RELEARN_AFTER / 2 / 30.0)):
            record(latency, 16.0, trial=True, after=30.0)
        record(latency, 1.0, trial=True)
    assert latency.has_enough_samples


def test_the_first_hundred_answers_are_averaged() -> None:
    """They weigh alike in the baseline mean, later ones a hundredth, in batches."""
    latency = LatencyTracker(LatencyPolicy())
    rng = Random(3)
    logs = [rng.gauss(0, 1) for _ in range(100)]
    for value in logs:
        record(latency, 2.0**value)
    assert latency._baseline == pytest.approx(sum(logs) / 100)
    before = latency._baseline
    for _ in range(BATCH):
        assert latency._baseline == before
        record(latency, 2.0)
    expected = before + BATCH * MAX_BASELINE_WEIGHT * (1 - before)
    assert latency._baseline == pytest.approx(expected, rel=0.02)


def test_the_baseline_mean_covers_half_an_hour() -> None:
    """At an answer a second each weighs its second's share of 1,800 once half an hour is known."""
    latency = LatencyTracker(LatencyPolicy())
    for _ in range(1900):
        record(latency, 1.0, after=1.0)
    while latency._waiting:
        record(latency, 1.0, after=1.0)
    assert latency._baseline == pytest.approx(0.0)
    for _ in range(10 * BATCH):
        record(latency, 2.0, after=1.0)
    assert latency._baseline == pytest.approx(1 - (1 - BATCH / BASELINE_SPAN) ** 10, rel=0.01)


def test_shift_is_no_pause() -> None:
    """Shifted, the time since the last answer stays what it was."""
    latency, other = trained(1000), trained(1000)
    latency.shift(5000.0)
    for each in (latency, other):
        record(each, 2.0, after=0.01)
    assert latency._baseline == pytest.approx(other._baseline)


def test_latencies_below_a_millisecond_are_equal() -> None:
    """Latencies below the histogram's scale are one latency: no drift from 1 us to 1 ms."""
    latency = trained(100, 1e-6)
    assert not record(latency, 1e-3)
    assert latency.drift == pytest.approx(0.0)
