"""What latencies teach: how long an attempt may take, and when slow means ill."""

from __future__ import annotations

import math
from random import Random

import pytest

from multirouter.core.health.adaptive_timeout import (
    MOST_PATIENCE,
    RECENT,
    RECENT_ON_TRIAL,
    USUAL,
    USUAL_SPAN,
    Group,
    LatencyTracker,
)
from multirouter.core.settings.policies import LatencyPolicy


def answered(
    latency: LatencyTracker, seconds: float, *, trial: bool = False, after: float = 20.0
) -> bool:
    """An answer, `after` seconds of loop time from the one before; whether it counts as ill."""
    return latency.answered(seconds, latency._learned_at + after, trial=trial)


def taught(count: int, seconds: float = 1.0, **policy: object) -> LatencyTracker:
    """A pace that has seen `count` answers of the same latency."""
    latency = LatencyTracker(LatencyPolicy(**policy))
    for _ in range(count):
        answered(latency, seconds)
    return latency


def peers(*latencies: LatencyTracker) -> None:
    """Makes them the providers of one route."""
    Group(latencies)


# ── how long ────────────────────────────────────────────────────────────────────────────────────


def test_no_limit_before_enough_is_known() -> None:
    """Until `minimum_samples` answers are known, to the next renewal, attempts are not cut."""
    assert taught(19).known is False
    assert taught(20).known is True
    assert taught(31).limit == math.inf
    assert taught(32).limit < math.inf


def test_an_attempt_may_take_a_multiple_of_the_mark() -> None:
    """Half more than the 99th percentile, which is at most 9 % over the sample."""
    assert 7.5 <= taught(32, 5.0).limit <= 8.175
    assert 25.0 <= taught(32, 5.0, factor=5.0).limit <= 27.3


def test_the_floor_holds() -> None:
    """However fast a provider is, no attempt is cut off before the floor."""
    assert taught(32, 0.01).limit == 2.0
    assert taught(32, 0.01, floor=0.5).limit == 0.5


def test_the_percentile_is_the_policys() -> None:
    """With one slow answer in ten, the 80th percentile ignores it and the 95th does not."""
    for percentile, most in ((0.8, 2.5), (0.95, 25.0)):
        latency = LatencyTracker(LatencyPolicy(percentile=percentile, floor=0.0, factor=2.0))
        for i in range(64):
            answered(latency, 10.0 if i % 10 == 9 else 1.0)
        assert most * 0.8 <= latency.limit <= most * 1.1


def test_who_does_not_adapt_never_cuts() -> None:
    """With `adaptive=False` there is no limit, timeouts or not."""
    latency = taught(64, 1.0, adaptive=False)
    latency.timed_out(30.0, trial=True)
    assert latency.limit == math.inf


def test_when_all_slow_down_all_limits_widen() -> None:
    """Timeouts move the recent mean: the middle drift of the route stretches every limit."""
    a, b, c = latencies = [taught(32, 4.0) for _ in range(3)]
    peers(*latencies)
    usual = a.limit
    for _ in range(10):
        a.timed_out(usual, trial=False)
    assert (a.limit, b.limit, c.limit) == (usual, usual, usual), "one of three is alone"
    for _ in range(10):
        b.timed_out(usual, trial=False)
    assert a.limit > 1.4 * usual
    assert a.limit == b.limit == c.limit


def test_a_timeout_is_a_bound_and_no_latency() -> None:
    """It enters no histogram, never makes the recent mean faster, and moves nobody unknown."""
    latency = taught(32, 4.0)
    latency.timed_out(1.0, trial=False)
    assert latency.drift == pytest.approx(0.0)
    assert latency.latencies.samples == 32
    latency.timed_out(16.0, trial=False)
    assert latency.drift == pytest.approx(2.0 * RECENT)
    unknown = taught(19, 4.0)
    unknown.timed_out(1000.0, trial=False)
    assert unknown.drift == 0.0


def test_patience_doubles_with_each_trial_cut_off_and_has_an_end() -> None:
    """A provider that still works, only slower, is let through before long; there is an end."""
    latency = taught(32, 1.0)
    usual = latency.limit
    limits = []
    for _ in range(8):
        latency.timed_out(1.0, trial=True)
        limits.append(latency.limit / usual)
    assert limits == pytest.approx([min(2.0**k, MOST_PATIENCE) for k in range(1, 9)])
    assert 2.0 < MOST_PATIENCE < 100.0


def test_patience_fades_with_answers_in_time() -> None:
    """Each answer well in time takes some of it away, and a few of them all of it."""
    latency = taught(32, 1.0)
    usual = latency.limit
    latency.timed_out(1.0, trial=True)
    limits = [latency.limit]
    for _ in range(6):
        answered(latency, 1.0)
        limits.append(latency.limit)
    assert limits == sorted(limits, reverse=True)
    assert usual < limits[1] < limits[0]
    assert limits[-1] == pytest.approx(usual, rel=1e-6)
    assert latency._patience == 1.0


def test_patience_lasts_while_it_is_needed() -> None:
    """Answers that the usual limit would have cut off leave it as it is."""
    latency = taught(32, 1.0, floor=0.0, slow_factor=math.inf)
    latency.timed_out(1.0, trial=True)
    latency.timed_out(1.0, trial=True)
    answered(latency, latency.limit * 0.9)
    assert latency._patience == 4.0


# ── when slow means ill ─────────────────────────────────────────────────────────────────────────


def slow_answers(latency: LatencyTracker, seconds: float, most: int = 50) -> int:
    """How many answers of that latency it takes to be called ill; `most` for never."""
    return next((n for n in range(1, most) if answered(latency, seconds)), most)


def test_a_provider_three_times_slower_is_ill_before_long() -> None:
    """Four times its usual latency is seen within a dozen answers, twice never."""
    assert slow_answers(taught(100), 4.0) <= 12
    assert slow_answers(taught(100), 2.0) == 50


def test_the_factor_is_the_policys_under_two_as_well() -> None:
    """With `slow_factor=1.5` twice as slow is ill; with `math.inf` nothing ever is."""
    assert slow_answers(taught(100, slow_factor=1.5), 2.0) < 50
    assert slow_answers(taught(100, slow_factor=1.5), 1.4) == 50
    assert slow_answers(taught(100, slow_factor=math.inf), 1000.0) == 50


def test_nobody_is_ill_before_enough_is_known() -> None:
    """Sixteen times slower is no proof before `minimum_samples` answers, and is one with them."""
    assert slow_answers(taught(100, minimum_samples=200), 16.0, most=99) == 99
    assert slow_answers(taught(100), 16.0, most=99) < 99
    latency = taught(5)
    assert [answered(latency, 100.0) for _ in range(14)] == [False] * 14


def test_who_answers_within_the_floor_is_never_slow() -> None:
    """Fifteen times slower is no illness while answers take less than `slow_floor`."""
    assert slow_answers(taught(100, 0.002), 0.03) == 50
    assert slow_answers(taught(100, 0.002, slow_floor=0.02), 0.03) < 50
    assert slow_answers(taught(100, 0.2), 1.5) < 50


def test_a_large_group_is_weighed_once_in_many_askings() -> None:
    """Of 64 paces the middle drift is worked out at every fifth asking, and is right then."""
    latencies = [taught(32, 4.0) for _ in range(64)]
    group = Group(latencies)
    assert group.middle() == pytest.approx(0.0)
    for latency in latencies:
        latency.drift = 1.0
    assert [group.middle() for _ in range(5)] == pytest.approx([0.0, 0.0, 0.0, 0.0, 1.0])
    assert group.stretch == pytest.approx(2.0)


def test_what_befalls_all_is_nobodys_illness() -> None:
    """When the route's middle provider slows down as much, the load is to blame."""
    latencies = [taught(100) for _ in range(3)]
    peers(*latencies)
    ill = [answered(latency, 4.0) for _ in range(30) for latency in latencies]
    assert not any(ill)
    a, b = taught(100), taught(100)
    peers(a, b)
    assert slow_answers(a, 4.0) <= 12


def test_fast_peers_excuse_nobody_and_accuse_nobody() -> None:
    """Peers that became faster do not make a usual provider ill."""
    a, b = taught(100), taught(100)
    peers(a, b)
    for _ in range(50):
        answered(b, 0.1)
    assert slow_answers(a, 2.0) == 50


def test_who_varies_much_is_not_taken_for_ill() -> None:
    """Lognormal latencies of a wide spread raise no alarm in 5,000 answers."""
    rng = Random(7)
    latency = LatencyTracker(LatencyPolicy())
    assert not any(answered(latency, rng.lognormvariate(0.0, 1.5)) for _ in range(5000))
    wide = LatencyTracker(LatencyPolicy(slow_deviations=0.0))
    assert any(answered(wide, rng.lognormvariate(0.0, 1.5)) for _ in range(5000))


def test_a_trial_is_asked_what_is_true_now() -> None:
    """One fast trial outweighs the slow answers before it; another answer would not."""
    for trial, weight in ((True, RECENT_ON_TRIAL), (False, RECENT)):
        latency = taught(200)
        slow_answers(latency, 16.0)
        before = latency.drift
        usual = latency._usual
        answered(latency, 1.0, trial=trial)
        recent = before + usual - weight * (before + usual)
        assert latency.drift == pytest.approx(recent - latency._usual)


def test_young_means_are_plain_averages() -> None:
    """The first hundred answers weigh alike in the usual mean, later ones a hundredth."""
    latency = LatencyTracker(LatencyPolicy())
    rng = Random(3)
    logs = [rng.gauss(0, 1) for _ in range(100)]
    for value in logs:
        answered(latency, 2.0**value)
    assert latency._usual == pytest.approx(sum(logs) / 100)
    before = latency._usual
    answered(latency, 2.0**5)
    assert latency._usual == pytest.approx(before + USUAL * (5 - before), rel=0.02)


def test_the_usual_mean_looks_back_half_an_hour() -> None:
    """At an answer a second each weighs its second's share of 1,800 once half an hour is known."""
    latency = LatencyTracker(LatencyPolicy())
    for _ in range(1900):
        answered(latency, 1.0, after=1.0)
    for _ in range(100):
        answered(latency, 2.0, after=1.0)
    assert latency._usual == pytest.approx(1 - (1 - 1 / USUAL_SPAN) ** 100, rel=0.01)


def test_another_loops_clock_is_no_pause() -> None:
    """Shifted, the time since the last answer stays what it was."""
    latency, other = taught(1000), taught(1000)
    latency.shift(5000.0)
    for each in (latency, other):
        answered(each, 2.0, after=0.01)
    assert latency._usual == pytest.approx(other._usual)


def test_under_a_millisecond_all_are_alike() -> None:
    """Latencies below the scale are one latency: no drift from 1 us to 1 ms."""
    latency = taught(100, 1e-6)
    assert not answered(latency, 1e-3)
    assert latency.drift == pytest.approx(0.0)
