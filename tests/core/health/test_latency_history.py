"""The history of a provider's latencies: what each answer adds, and what changes of it."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest

from multirouter.core.health.latency_average import DECAY, LatencyAverage
from multirouter.core.health.latency_tracker import (
    BATCH,
    RECENT_WEIGHT,
    RELEARN_AFTER,
    LatencyGroup,
    LatencyTracker,
)
from multirouter.core.settings.policies import LatencyPolicy

START = 5000.0
"""Loop time of the first answer, seconds."""


def answers(
    latency: LatencyTracker, seconds: Iterable[float], now: float = START, every: float = 1.0
) -> float:
    """Records answers, one each `every` seconds; returns when the next one is due."""
    for each in seconds:
        latency.record(each, now)
        now += every
    return now


def tracker(count: int, seconds: float = 1.0, **policy: object) -> LatencyTracker:
    """A tracker of the defaults with so many answers, one a second."""
    latency = LatencyTracker(LatencyPolicy(**policy))
    answers(latency, [seconds] * count)
    return latency


def next_time(count: int) -> float:
    """When the answer after so many is due."""
    return START + count


def history_of(seconds: list[float], every: float) -> tuple[float, float]:
    """The mean and the variance that the documentation describes, computed in another way."""
    mean = variance = 0.0
    logs = [math.log2(each) for each in seconds]
    for number, value in enumerate(logs[:100], 1):
        deviation = value - mean
        mean += deviation / number
        variance = (1 - 1 / number) * (variance + deviation**2 / number)
    for number, at in enumerate(range(100, len(logs) - BATCH + 1, BATCH), 1):
        batch = [value - mean for value in logs[at : at + BATCH]]
        known = min(1800.0, number * BATCH * every)
        weight = min(BATCH / 100, BATCH * every / known)
        mean += weight * sum(batch) / BATCH
        variance = (1 - weight) * (variance + weight * sum(b * b for b in batch) / BATCH)
    return mean, variance


@pytest.mark.parametrize("every", [0.01, 1.0, 10.0])
def test_the_baseline_and_its_spread(every: float) -> None:
    """The first hundred are averaged; later batches weigh by their time, 16 % at most."""
    seconds = [1.0 + 0.1 * (number * number % 7) for number in range(100 + 20 * BATCH)]
    latency = LatencyTracker(LatencyPolicy())
    answers(latency, seconds, every=every)
    mean, variance = history_of(seconds, every)
    assert latency._baseline == pytest.approx(mean)
    assert latency._variance == pytest.approx(variance)


def test_answers_at_one_instant_add_no_time() -> None:
    """They leave the baseline as it is: no time has passed for which they stand."""
    latency = tracker(100)
    answers(latency, [2.0] * BATCH, START + 99.0, every=0.0)
    assert latency._baseline == 0.0


def test_a_tracker_begins_without_drift() -> None:
    """Also the first answer is no drift."""
    latency = LatencyTracker(LatencyPolicy())
    assert latency.drift == 0.0
    latency.record(8.0, START)
    assert latency.drift == 0.0


def test_an_answer_is_no_trial_unless_it_is_said() -> None:
    """Then it weighs a fifth in the recent mean."""
    latency = tracker(208)
    latency.record(2.0, next_time(208))
    assert latency.drift == pytest.approx(RECENT_WEIGHT)


def test_a_new_policy_judges_the_next_answer() -> None:
    """By its factor: twice as slow becomes slow."""
    latency = tracker(208)
    latency.apply(LatencyPolicy(slow_factor=1.5))
    now = next_time(208)
    assert any(latency.record(2.0, now + number) for number in range(30))


# ── timeouts ──────────────────────────────────────────────────────────────────────────────────────


def test_a_limit_follows_the_answers_without_a_timeout() -> None:
    """Each sixteen answers, and by the last of sixteen."""
    latency = tracker(100, floor=0.0, slow_factor=math.inf)
    before = latency.limit
    answers(latency, [4.0] * BATCH, next_time(100))
    assert latency.limit > 3 * before


@pytest.mark.parametrize("count", [40, 100])
@pytest.mark.parametrize(("last", "in_time"), [(1.45, True), (1.66, False)])
def test_the_last_of_a_batch_reduces_the_tolerance(count: int, last: float, in_time: bool) -> None:
    """When the usual limit, 1.5 to 1.64 s, would have let it finish, as any other answer."""
    latency = tracker(count, floor=0.0, slow_factor=math.inf)
    LatencyGroup((latency, tracker(32), tracker(32))).join()  # which are as fast as ever
    latency.record_timeout(1.0, trial=True)
    latency.record_timeout(1.0, trial=True)
    now = next_time(count)
    if count == 100:
        now = answers(latency, [1.66] * (BATCH - 1), now)
        assert latency._tolerance == 4.0
    latency.record(last, now)
    assert (latency._tolerance < 4.0) is in_time


@pytest.mark.parametrize("count", [40, 100])
def test_each_answer_in_time_reduces_the_tolerance(count: int) -> None:
    """Once, also among the first hundred answers, and not only by the last of sixteen."""
    latency = tracker(count)
    usual = latency.limit
    latency.record_timeout(1.0, trial=True)
    latency.record(1.0, next_time(count))
    assert latency.limit == pytest.approx(usual * math.sqrt(2.0))


def test_a_lone_provider_widens_its_own_limit() -> None:
    """It has no peers that tell whether the load or the provider is the cause."""
    latency, new = tracker(32, 4.0), LatencyTracker(LatencyPolicy())
    LatencyGroup((latency, new)).join()
    usual = latency.limit
    for _ in range(10):
        latency.record_timeout(8.0, trial=False)
    assert latency.limit == pytest.approx(usual * 2.0**latency.drift)
    assert latency.limit > 1.5 * usual


def test_the_median_of_six_is_computed_at_every_second_read() -> None:
    """A quarter of the group, rounded down, is left out between."""
    latencies = [tracker(32) for _ in range(6)]
    group = LatencyGroup(latencies)
    assert group.median_drift() == 0.0
    for latency in latencies:
        latency._recent += 1.0
    assert [group.median_drift(), group.median_drift()] == [0.0, 1.0]


# ── slow providers ────────────────────────────────────────────────────────────────────────────────


def slow(seconds: float = 1.0) -> tuple[LatencyTracker, float]:
    """A tracker of a provider that has just become sixteen times slower, and the time."""
    latency, now = tracker(208, seconds), next_time(208)
    while not latency.record(16.0 * seconds, now):
        now += 1.0
    return latency, now


def test_a_trial_in_usual_time_passes_at_any_speed() -> None:
    """Usual is what was usual for this provider: here 4 s."""
    latency, now = slow(4.0)
    assert not latency.record(4.0, now, True)
    assert not latency.record(8.0, now, True)


@pytest.mark.parametrize(("seconds", "fails"), [(2.7, False), (2.9, True)])
@pytest.mark.parametrize("usual", [1.0, 4.0])
def test_timeouts_tell_how_slow_it_was(usual: float, seconds: float, fails: bool) -> None:
    """Cut off at eight times the usual latency: the middle, in doublings, is at 2.83 times."""
    latency = tracker(208, usual)
    latency.record_timeout(8.0 * usual, trial=False)
    assert latency.record(seconds * usual, next_time(208), True) is fails


@pytest.mark.parametrize(("floor", "fails"), [(2.9, True), (2.91, False)])
def test_a_trial_below_the_slow_floor_passes(floor: float, fails: bool) -> None:
    """However slow the provider was before; the floor itself is slow."""
    latency = tracker(208, slow_floor=floor)
    latency.record_timeout(8.0, trial=False)
    assert latency.record(2.9, next_time(208), True) is fails


@pytest.mark.parametrize("shift", [0.0, 7000.0, -4000.0])
def test_two_hours_of_slow_answers_make_a_new_history(shift: float) -> None:
    """To the second, also when the loop changes meanwhile; the new one begins like the first."""
    latency, now = slow()
    latency.shift(shift)
    now += shift
    assert latency.record(16.0, now + RELEARN_AFTER - 1.0, True)
    assert latency.has_enough_samples
    assert latency.record(16.0, now + RELEARN_AFTER, True)
    assert not latency.has_enough_samples
    now += RELEARN_AFTER + 1.0
    latency.record(32.0, now)
    assert latency.drift == 0.0
    now = answers(latency, [16.0] * 99, now + 1.0)
    before = latency._baseline
    answers(latency, [18.0] * BATCH, now)
    assert latency._baseline > before


def test_a_change_of_the_loop_is_no_pause() -> None:
    """The baseline moves as if the clock had gone on."""
    one, other = tracker(100 + 8 * BATCH), tracker(100 + 8 * BATCH)
    other.shift(30_000.0)
    now = next_time(100 + 8 * BATCH)
    answers(one, [2.0] * 2 * BATCH, now)
    answers(other, [2.0] * 2 * BATCH, now + 30_000.0)
    assert one._baseline == pytest.approx(other._baseline)
    assert 0.0 < one._baseline < 0.25


def test_a_usual_spread_hides_no_slowness() -> None:
    """Latencies that always differ by a factor of four, and then are sixteen times as long."""
    latency = LatencyTracker(LatencyPolicy())
    now = answers(latency, [0.5, 2.0] * 104)
    slow_answers = [latency.record(seconds, now) for seconds in [8.0, 32.0] * 10]
    assert any(slow_answers)


# ── averages ──────────────────────────────────────────────────────────────────────────────────────


def test_an_average_begins_at_0() -> None:
    """Before the first answer, on whichever loop."""
    average = LatencyAverage()
    average.shift(500.0)
    assert (average.latency, average.last) == (0.0, 0.0)
    average.record(3.0, 1.0, 0)
    assert (average.latency, average.last) == (3.0, 3.0)


@pytest.mark.parametrize(("pause", "kept"), [(0.0, 20.0), (1.0, 18.0967), (-5.0, 20.0)])
def test_the_past_loses_weight_with_time(pause: float, kept: float) -> None:
    """A tenth of the time constant costs a tenth; an answer from before costs nothing."""
    assert DECAY == 10.0
    average = LatencyAverage()
    for _ in range(20):
        average.record(1.0, 100.0, 0)
    average.record(22.0, 100.0 + pause, 0)
    assert average.latency == pytest.approx(1.0 + 21.0 / (kept + 1.0), rel=1e-5)


def test_the_age_is_kept_on_another_loop() -> None:
    """A shift counts from the latest answer, not from 0."""
    average = LatencyAverage()
    for _ in range(20):
        average.record(1.0, 100.0, 0)
    average.shift(50.0)
    average.record(22.0, 151.0, 0)
    assert average.latency == pytest.approx(1.0 + 21.0 / 19.0967, rel=1e-5)


def test_the_usual_load_is_an_average() -> None:
    """Of 0 and 10 in flight, 5 are usual: nine beside the next one take twice as long."""
    average = LatencyAverage()
    average.record(2.0, 0.0, 0)
    average.record(2.0, 0.0, 10)
    assert average.wait(9) == pytest.approx(4.0)
