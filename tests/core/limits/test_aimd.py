"""Limits learned from 429s: how fast they grow, fall, and follow a changed clock."""

from __future__ import annotations

import pytest

from multirouter.core.limits.aimd import (
    FIRST_RATE,
    GROWTH,
    LESS,
    MARK_INTERVAL,
    MEMORY,
    AdaptiveConcurrency,
    AdaptiveRate,
)

BEGIN = 1000.0


def growing(rate: float = FIRST_RATE) -> AdaptiveRate:
    """A rate that is no longer searched by doubling, as after its second 429."""
    found = AdaptiveRate()
    found.rejected(BEGIN, 0.0)
    found.rejected(BEGIN, 0.0)
    found.rate = rate
    return found


def use(rate: AdaptiveRate, begin: float, seconds: float) -> float:
    """Uses all of a rate for so long; returns the time."""
    now = begin
    while now < begin + seconds:
        now += max(rate.ready_in(now), 1.0 / rate.rate)
        rate.acquire(now)
    return now


# -- rate ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answers", [10, 100])
def test_the_first_rate_is_that_of_the_answers_just_before(answers: int) -> None:
    """Those of the last seconds, a part less. Answers of one instant count in full."""
    rate = AdaptiveRate()
    for _ in range(answers):
        rate.answered(BEGIN)
    rate.rejected(BEGIN, 0.0)
    assert rate.rate == pytest.approx(LESS * answers / MEMORY)


def test_the_search_doubles_with_each_attempt_at_the_full_rate() -> None:
    """Attempts in half the time raise it by the root of 2; a pause doubles it once."""
    rate = AdaptiveRate()
    rate.rejected(BEGIN, 0.0)
    rate.acquire(BEGIN + 5.0)
    assert rate.rate == pytest.approx(2.0 * FIRST_RATE)
    rate.acquire(BEGIN + 5.0 + 1.25)
    assert rate.rate == pytest.approx(2.0**1.5 * FIRST_RATE)
    rate.acquire(BEGIN + 3600.0)
    assert rate.rate == pytest.approx(2.0**2.5 * FIRST_RATE)


def test_the_lowest_rate_wins_back_a_429_in_the_time_of_growth() -> None:
    """A larger rate grows by a smaller part of itself."""
    slow = growing()
    use(slow, BEGIN, GROWTH - 5.0)
    assert slow.rate / FIRST_RATE == pytest.approx(1.0 + (1.0 - LESS), rel=0.03)
    fast = growing(100.0 * FIRST_RATE)
    use(fast, BEGIN, GROWTH - 1.0)
    part = (1.0 - LESS) * 100.0**-0.3
    assert fast.rate / (100.0 * FIRST_RATE) == pytest.approx(1.0 + part, rel=0.01)


def test_the_growth_accelerates_with_the_third_power_of_the_time() -> None:
    """Counted from the last 429."""
    rate = growing()
    now = use(rate, BEGIN, 2.0 * GROWTH)
    elapsed = now - BEGIN + 5.0
    rate.rate = FIRST_RATE
    rate.acquire(now + 5.0)
    grown = 5.0 * (1.0 - LESS) / GROWTH * (elapsed / GROWTH) ** 3
    assert rate.rate / FIRST_RATE == pytest.approx(1.0 + grown, rel=1e-6)


def test_a_pause_is_the_time_of_two_attempts() -> None:
    """However long it was."""
    rate = growing()
    rate.acquire(BEGIN + 3600.0)
    grown = 2.0 / FIRST_RATE * (1.0 - LESS) / GROWTH
    assert rate.rate / FIRST_RATE == pytest.approx(1.0 + grown)


def test_attempts_wait_for_the_rate() -> None:
    """The first one after a 429 waits for a whole attempt; each is taken from the rate."""
    rate = growing()
    assert rate.ready_in(BEGIN) == pytest.approx(1.0 / FIRST_RATE)
    now = BEGIN + rate.ready_in(BEGIN)
    assert rate.ready_in(now) == 0.0
    rate.acquire(now)
    assert rate.ready_in(now + 0.5) == pytest.approx(1.0 / rate.rate - 0.5)
    rate.acquire(now + 0.5)
    assert rate.ready_in(now + 0.5) == pytest.approx(2.0 / rate.rate - 0.5, rel=0.01)
    assert rate.ready_in(now + 3600.0) == 0.0


def test_readings_lower_the_rate_once_in_an_interval() -> None:
    """As a 429 does, and the next attempt is no later than it would be then."""
    rate = growing(8.0)
    rate.marked(BEGIN + MARK_INTERVAL)
    assert rate.rate == pytest.approx(8.0 * LESS)
    assert rate.ready_in(BEGIN + MARK_INTERVAL) == pytest.approx(1.0 / rate.rate)
    rate.marked(BEGIN + 2.0 * MARK_INTERVAL - 0.1)
    assert rate.rate == pytest.approx(8.0 * LESS)
    rate.marked(BEGIN + 2.0 * MARK_INTERVAL)
    assert rate.rate == pytest.approx(8.0 * LESS**2)


def test_a_rate_moves_to_another_clock() -> None:
    """Waits, the memory of answers and the interval of readings go on as before."""
    for by in (0.0, 500.0):
        rate = AdaptiveRate()
        for _ in range(50):
            rate.answered(BEGIN)
        rate.shift(by)
        now = BEGIN + by
        rate.rejected(now, 0.5)
        assert rate.rate == pytest.approx(LESS * 5.0)
        rate.shift(by)
        now += by
        assert rate.ready_in(now + 0.1) == pytest.approx(1.5 / rate.rate - 0.1)
        rate.marked(now + MARK_INTERVAL - 0.1)
        assert rate.rate == pytest.approx(LESS * 5.0)
        rate.marked(now + MARK_INTERVAL)
        assert rate.rate == pytest.approx(LESS**2 * 5.0)


# -- concurrency -----------------------------------------------------------------------------------


def limited(*latencies: float) -> AdaptiveConcurrency:
    """A limit of 8, of a provider that has answered in these seconds."""
    concurrency = AdaptiveConcurrency()
    for latency in latencies:
        concurrency.answered(1, latency)
    concurrency.rejected(10)
    assert concurrency.limit == pytest.approx(8.0)
    return concurrency


@pytest.mark.parametrize(
    ("latencies", "elapsed", "grows"),
    [
        ((), 7.0, True),  # nothing is known to be usual
        ((1.0,), 2.0, True),
        ((1.0,), 2.1, False),
        ((0.25,), 0.75, False),
        ((5.0,), 9.0, True),
        ((5.0, 1.0), 2.1, False),  # the shortest one is usual
        ((1.0, *[1.9] * 10), 2.4, False),  # the usual latency rises slowly
        ((1.0, *[1.9] * 40), 2.5, True),
        ((1.0, *[1.9] * 100), 3.0, True),
    ],
)
def test_a_slow_answer_raises_no_limit(
    latencies: tuple[float, ...], elapsed: float, *, grows: bool
) -> None:
    """Slow is more than twice the usual latency, which is low and follows slowly."""
    concurrency = limited(*latencies)
    concurrency.answered(8, elapsed)
    assert concurrency.limit == pytest.approx(8.125 if grows else 8.0)


@pytest.mark.parametrize(("in_flight", "grows"), [(6, False), (7, True), (8, True)])
def test_only_a_used_limit_grows(in_flight: int, *, grows: bool) -> None:
    """It is used when one attempt more would reach it."""
    concurrency = limited(1.0)
    concurrency.limit = 8.0
    concurrency.answered(in_flight, 1.0)
    assert (concurrency.limit > 8.0) is grows
