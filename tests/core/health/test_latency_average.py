"""Latency average: recent answers decide, rare ones not alone, and unusual load makes it rise."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.core.health.latency_average import (
    DECAY,
    MAX_ANSWERS,
    MIN_ANSWERS,
    PENALTY,
    LatencyAverage,
)


@given(st.lists(st.tuples(st.floats(0.001, 100.0), st.floats(0.0, 1e4)), min_size=1, max_size=30))
def test_it_is_an_average_of_what_was_recorded(answers: list[tuple[float, float]]) -> None:
    """It stays between the shortest and the longest latency, and moves towards the latest."""
    average, now = LatencyAverage(), 0.0
    for seconds, pause in answers:
        now += pause
        before = average.latency
        average.record(seconds, now, 0)
        assert average.last == seconds
        if before:
            assert min(before, seconds) - 1e-9 <= average.latency <= max(before, seconds) + 1e-9
    shortest, longest = min(answers)[0], max(answers)[0]
    assert shortest - 1e-9 <= average.latency <= longest + 1e-9


def test_answers_at_one_moment_weigh_the_same() -> None:
    """A burst of answers gives their plain average."""
    average = LatencyAverage()
    for seconds in (1.0, 2.0, 6.0):
        average.record(seconds, 5.0, 0)
    assert average.latency == pytest.approx(3.0)


def test_a_rare_answer_does_not_decide_alone() -> None:
    """After any pause the past still weighs as much as `MIN_ANSWERS` answers."""
    average = LatencyAverage()
    for _ in range(20):
        average.record(1.0, 0.0, 0)
    average.record(13.0, 1e6, 0)
    assert average.latency == pytest.approx(1.0 + 12.0 / (MIN_ANSWERS + 1.0))


def test_a_slowdown_shows_within_some_fifty_answers() -> None:
    """However many answers came before, the past weighs at most `MAX_ANSWERS`."""
    average = LatencyAverage()
    for number in range(10_000):
        average.record(1.0, number * DECAY / 1000.0, 0)
    for _ in range(int(MAX_ANSWERS)):
        average.record(10.0, 10.0 * DECAY, 0)
    assert average.latency > 6.0


def test_the_wait_grows_with_load_above_the_usual() -> None:
    """The usual number in flight costs nothing; twice as many take twice as long."""
    average = LatencyAverage()
    for _ in range(50):
        average.record(2.0, 0.0, 10)
    assert average.wait(0) == average.wait(9) == pytest.approx(2.0)
    assert average.wait(19) == pytest.approx(4.0)
    average.record(1.0, 0.0, 10)
    assert average.last_wait(19) == pytest.approx(2.0)


def test_before_the_first_answer_one_attempt_is_welcome() -> None:
    """Without an answer the wait is 0, with attempts in flight very long."""
    average = LatencyAverage()
    assert (average.wait(0), average.wait(2)) == (0.0, PENALTY + 2)
    assert average.last_wait(0) == math.inf


def test_shift_keeps_the_age() -> None:
    """On another loop's clock the latest answer is as old as it was."""
    one, other = LatencyAverage(), LatencyAverage()
    for average in (one, other):
        for _ in range(50):
            average.record(1.0, 0.0, 0)
    other.shift(500.0)
    one.record(5.0, DECAY, 0)
    other.record(5.0, 500.0 + DECAY, 0)
    assert one.latency == pytest.approx(other.latency)
