"""Limits that are learned: from headers before they are hit, else from 429s and latency."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter import ConfigurationError, LimitPolicy, MultiProviderRouter, Route
from multirouter.core.limit_report import LimitReport
from multirouter.core.limits.aimd import FIRST_RATE, LESS, AdaptiveConcurrency, AdaptiveRate
from multirouter.core.limits.header_window import LONGEST, HeaderWindow
from multirouter.core.limits.learned import MAX_WINDOWS, LearnedLimits
from multirouter.core.limits.rate_limits import Limits
from tests.core.kit import provider

# ── what headers report ─────────────────────────────────────────────────────────────────────────


def test_nothing_starts_while_nothing_is_left() -> None:
    """A window that is used up admits again at its end."""
    window = HeaderWindow()
    assert window.ready_in(1, 0.0) == 0.0
    window.observe(0.0, 100.0, 30.0, 10.0, 0.0)
    assert window.ready_in(1, 15.0) == 25.0
    assert window.ready_in(1, 40.0) == 0.0
    window.acquire(1)
    assert window.ready_in(1, 40.0) == 0.0  # until an answer tells what is left


def test_own_attempts_are_counted_between_two_answers() -> None:
    """Those that are under way when a reading arrives, and those that start after it."""
    window = HeaderWindow()
    window.observe(5.0, None, 60.0, 0.0, 2.0)
    for _ in range(3):
        assert window.ready_in(1, 1.0) == 0.0
        window.acquire(1)
    assert window.ready_in(1, 1.0) == 59.0


def test_a_steady_refill_is_recognised() -> None:
    """Used units and the time to the refill keep one ratio: then one unit is refilled soon."""
    window = HeaderWindow()
    for now in (0.0, 30.0, 60.0):
        window.observe(0.0, 60.0, 60.0, now, 0.0)
    assert window.ready_in(1, 60.0) == pytest.approx(1.0)
    assert window.ready_in(1, 61.0) == 0.0
    window.observe(30.0, 60.0, 10.0, 120.0, 31.0)  # another ratio: at the end of a window after all
    assert window.ready_in(1, 120.0) == 10.0


def test_a_full_limit_teaches_no_ratio() -> None:
    """While nothing is used there is no rate."""
    window = HeaderWindow()
    for now in (0.0, 30.0, 60.0, 90.0):
        window.observe(60.0, 60.0, 60.0, now, 60.0)
    assert window.ready_in(1, 90.0) == 60.0
    window.observe(59.0, 60.0, 0.0, 91.0, 0.0)
    assert window.ready_in(1, 91.0) == 0.0


def test_little_is_left_when_it_does_not_last() -> None:
    """A tenth of the limit, unless that is enough for some seconds of the present use."""
    slow, fast = HeaderWindow(), HeaderWindow()
    low = [slow.observe(1000.0 - n, 100_000.0, 80_000.0, float(n), 0.0) for n in range(60)]
    assert not any(low)
    low = [fast.observe(1000.0 - 50.0 * n, 5000.0, 60.0, float(n), 0.0) for n in range(20)]
    assert (low[0], low[19]) == (False, True)
    unknown = HeaderWindow()
    low = [unknown.observe(100.0 - 10.0 * n, None, 60.0, float(n), 0.0) for n in range(10)]
    assert (low[0], low[9]) == (False, True)


def test_a_far_reset_is_not_believed_for_ever() -> None:
    """After five minutes an attempt finds out."""
    window = HeaderWindow()
    window.observe(0.0, 10.0, 1e9, 0.0, 0.0)
    assert window.ready_in(1, 0.0) == LONGEST


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e5))))
def test_any_readings_admit_again_within_five_minutes(
    found: list[tuple[float, float, float]],
) -> None:
    """Whatever a service reports."""
    window, now = HeaderWindow(), 0.0
    for remaining, limit, reset in found:
        window.observe(remaining, limit, reset, now, 1.0)
        window.acquire(1)
        assert 0.0 <= window.ready_in(1, now) <= LONGEST
        now += 0.7


# ── what 429s teach ─────────────────────────────────────────────────────────────────────────────


def test_the_first_429_sets_the_rate_of_the_answers_before_it() -> None:
    """Without answers it is the lowest one."""
    rate = AdaptiveRate()
    for second in range(100):
        rate.answered(float(second))
    rate.rejected(100.0, 0.5)
    assert rate.rate == pytest.approx(LESS, rel=0.1)  # about one answer a second
    assert rate.ready_in(100.0) == pytest.approx(1.5 / rate.rate)
    unknown = AdaptiveRate()
    unknown.acquire(0.0)
    unknown.rejected(0.0, 0.0)
    assert unknown.rate == FIRST_RATE


def test_the_rate_is_searched_by_doubling_then_grows_slowly() -> None:
    """A 429 ends the search, later ones take a part; long after the last the growth accelerates."""
    rate, now = AdaptiveRate(), 0.0
    rate.rejected(now, 0.0)
    for _ in range(4):
        now += rate.ready_in(now)
        rate.acquire(now)
    assert rate.rate >= 8 * FIRST_RATE
    found = rate.rate
    rate.rejected(now, 0.0)
    assert rate.rate == found / 2
    rate.rejected(now, 0.0)
    assert rate.rate == LESS * found / 2
    seconds = []
    for _ in range(3):
        began, before = now, rate.rate
        while rate.rate < before * 1.5:
            now += rate.ready_in(now)
            rate.acquire(now)
        seconds.append(now - began)
    assert seconds[0] > seconds[1] > seconds[2]


def test_a_pause_raises_no_rate() -> None:
    """It grows by use: an hour without a call counts as the time of two attempts."""
    rate = AdaptiveRate()
    rate.rejected(0.0, 0.0)
    rate.rejected(0.0, 0.0)
    before = rate.rate
    rate.acquire(3600.0)
    assert rate.rate < 1.2 * before
    assert rate.ready_in(3600.0) == pytest.approx(1.0 / rate.rate, rel=0.01)


def test_concurrency_follows_429s_and_latency() -> None:
    """A 429 takes a part; answers give it back where it was used, unless they were slow."""
    concurrency = AdaptiveConcurrency()
    concurrency.answered(10, 1.0)
    assert concurrency.limit == math.inf
    concurrency.rejected(10)
    assert concurrency.limit == pytest.approx(8.0)
    concurrency.answered(8, 5.0)  # five times the usual latency
    concurrency.answered(2, 1.0)  # far below the limit
    assert concurrency.limit == pytest.approx(8.0)
    for _ in range(8):
        concurrency.answered(8, 1.0)
    assert concurrency.limit == pytest.approx(9.0, abs=0.1)
    for _ in range(50):
        concurrency.rejected(1)
    assert concurrency.limit == 1.0


# ── both together ───────────────────────────────────────────────────────────────────────────────


def test_attempts_that_were_under_way_together_count_once() -> None:
    """A burst of 429s is one sign."""
    learned = LearnedLimits()
    for _ in range(10):
        learned.acquire(0, 0.0)
    for _ in range(10):
        learned.rejected(1.0, 0.0)
        learned.release()
    assert learned._rate.rate == FIRST_RATE
    assert learned.ready_in(0, 1.0) == pytest.approx(5.0)
    assert learned.rejection(0, 1.0) == "at its learned limit (12 requests per minute)"


def test_a_429_counts_again_after_the_attempts_of_its_time() -> None:
    """Those that were under way at a 429 are settled one by one; the next one is a new sign."""
    learned = LearnedLimits()
    assert learned.in_flight == 0
    for _ in range(3):
        learned.acquire(0, 0.0)
    assert learned.in_flight == 3
    rates = []
    for _ in range(3):
        learned.rejected(1.0, 0.0)
        rates.append(learned._rate.rate)
        learned.release()
    learned.acquire(0, 1.0)
    learned.rejected(1.0, 0.0)
    rates.append(learned._rate.rate)
    assert rates == [FIRST_RATE] * 3 + [FIRST_RATE / 2]
    learned.forget_attempts()
    assert learned.in_flight == 0
    learned.rejected(1.0, 0.0)
    assert learned._rate.rate < FIRST_RATE / 2


def test_an_attempt_beyond_the_limit_is_rejected() -> None:
    """The limit itself may be in flight. Waits of less than a second reject as well."""
    learned = LearnedLimits(10)
    learned.rejected(0.0, 0.0)
    learned._concurrency.limit = 8.0
    learned.forget_attempts(8)
    assert learned.rejection(0, 60.0) == "at its learned limit (8 in flight)"
    assert learned.ready_in(0, 60.0) is None
    learned.forget_attempts(7)
    assert learned.rejection(0, 60.0) == ""
    assert learned.rejection(0, 4.5) == "at its learned limit (12 requests per minute)"
    learned.observe(LimitReport("r", False, 0.0, None, 0.5), 60.0)
    assert learned.rejection(0, 60.0) == "at the limit that its headers report"


def test_answers_set_the_first_rate() -> None:
    """A provider that has answered is known to admit as much."""
    learned = LearnedLimits()
    for _ in range(50):
        learned.answered(7.0, 1.0)
    learned.rejected(7.0, 0.0)
    assert learned._rate.rate == pytest.approx(LESS * 5.0)


def test_units_of_requests_and_of_tokens() -> None:
    """An attempt is one request, whatever its tokens, and at least one token."""
    learned = LearnedLimits()
    learned.observe(LimitReport("r", False, 2.0, None, 60.0), 0.0)
    assert learned.ready_in(400, 0.0) == 0.0
    learned.acquire(400, 0.0)
    assert learned.ready_in(400, 0.0) == 0.0
    learned.acquire(400, 0.0)
    assert learned.ready_in(400, 0.0) == 60.0
    tokens = LearnedLimits()
    tokens.observe(LimitReport("t", True, 1.5, None, 60.0), 0.0)
    assert tokens.ready_in(0, 0.0) == 0.0
    assert tokens.ready_in(2, 0.0) == 60.0


def test_a_reading_knows_nothing_of_the_other_attempts_under_way() -> None:
    """Each is a request that is still to be counted; its tokens are not known."""
    for in_flight, wait in ((1, 0.0), (2, 0.0), (3, 60.0)):
        learned = LearnedLimits(in_flight)
        learned.observe(LimitReport("t", True, 1.0, None, 60.0), 0.0)
        assert learned.ready_in(1, 0.0) == 0.0
        learned.observe(LimitReport("r", False, 2.0, None, 60.0), 0.0)
        assert learned.ready_in(1, 0.0) == wait


def test_one_that_is_left_is_not_nothing() -> None:
    """Less than one request or token is."""
    for remaining, low in ((1.0, False), (0.9, True)):
        learned = LearnedLimits()
        learned.observe(LimitReport("r", False, remaining, None, 60.0), 0.0)
        assert learned.is_low is low


def test_a_concurrency_limit_waits_for_an_end() -> None:
    """Time alone does not help there."""
    learned = LearnedLimits(2)
    learned.rejected(0.0, 0.0)
    learned.release()
    assert learned.in_flight == 1
    assert learned.ready_in(0, 60.0) == 0.0
    learned.acquire(0, 60.0)
    assert learned.rejection(0, 120.0) == "at its learned limit (2 in flight)"
    assert learned.ready_in(0, 120.0) is None
    learned.answered(120.0, 1.0)
    learned.forget_attempts()
    assert learned.rejection(0, 120.0) == ""


def test_reported_limits_of_tokens_and_requests() -> None:
    """Each is kept in its own unit; little left lowers the rate at most once in a while."""
    learned = LearnedLimits()
    learned.observe(LimitReport("t", True, 500.0, 1000.0, 20.0), 0.0)
    assert learned.ready_in(400, 0.0) == 0.0
    learned.acquire(400, 0.0)
    assert learned.ready_in(400, 0.0) == 20.0
    assert learned.rejection(400, 0.0) == "at the limit that its headers report"
    assert learned.ready_in(50, 0.0) == 0.0
    for second in (1.0, 2.0, 3.0):
        learned.observe(LimitReport("r", False, 9.0 - 3 * second, 99.0, 9), second)
    assert learned._rate.rate == FIRST_RATE
    for number in range(2 * MAX_WINDOWS):
        learned.observe(LimitReport(str(number), False, 0.0, None, 1.0), 4.0)
    assert len(learned._windows) == MAX_WINDOWS


def test_instants_move_to_another_clock() -> None:
    """The same waits are left after a move to a loop whose clock is an hour ahead."""
    limits = Limits(LimitPolicy(learn=True))
    assert limits.learned is not None
    limits.acquire(0, 1.0)
    limits.learned.of("").rejected(1.0, 0.5)
    limits.release()
    limits.learned.of("").observe(LimitReport("r", False, 0.0, 9.0, 50.0), 1.0)
    before = limits.ready_in(0, 2.0)
    limits.shift(3600.0)
    assert limits.ready_in(0, 3602.0) == before == 49.0


def test_learning_can_be_turned_on_and_off() -> None:
    """What was learned is dropped when it is off; attempts from before end without harm."""
    limits = Limits(LimitPolicy(in_flight=9))
    limits.acquire(0, 0.0)
    limits.apply(LimitPolicy(learn=True))
    learned = limits.learned
    assert learned is not None
    limits.answered(1.0, 1.0)
    assert learned.of("").in_flight == limits.in_flight == 0
    limits.acquire(0, 1.0)
    assert learned.of("").in_flight == 1
    limits.apply(LimitPolicy(in_flight=9, learn=True))
    assert limits.learned is learned
    limits.forget_attempts()
    assert learned.of("").in_flight == 0
    limits.apply(LimitPolicy(in_flight=9))
    assert limits.learned is None
    assert limits.ready_in(0, 0.0) == 0.0


def test_limits_are_learned_of_providers_only() -> None:
    """A route or a router has no headers and no 429s of its own."""
    policy = LimitPolicy(learn=True)
    with pytest.raises(ConfigurationError, match=r"limits.learn: must be False"):
        MultiProviderRouter([provider("a")], limits=policy)
    with pytest.raises(ConfigurationError, match=r"limits.learn: must be False"):
        Route("r", ["a"], limits=policy)
    with pytest.raises(ConfigurationError, match=r"LimitPolicy.learn: must be True or False"):
        LimitPolicy(learn="yes")  # type: ignore[arg-type] # which is the point


def test_what_another_client_has_read_is_kept_too() -> None:
    """It stops attempts, and lowers no rate: the other one has seen it, not this one."""
    learned, peer = LearnedLimits(), LearnedLimits()
    learned.observe(LimitReport("r", False, 0.0, 9.0, 50.0), 0.0)
    assert learned.is_low
    assert learned.reported(10.0) == [("r", False, 0.0, 9.0, 40.0)]
    peer.follow(LimitReport("r", False, 0.0, 9.0, 40.0), 7.0)
    assert peer.ready_in(0, 7.0) == 40.0
    assert peer._rate.rate == math.inf
    assert not peer.is_low
    learned.observe(LimitReport("r", False, 9.0, 9.0, 30.0), 20.0)
    assert not learned.is_low
    for number in range(MAX_WINDOWS):
        peer.follow(LimitReport(str(number), False, 9.0, 9.0, 1.0), 7.0)
    assert len(peer._windows) == MAX_WINDOWS


def test_a_snapshot_shows_what_was_learned_and_from_what() -> None:
    """Readings until their refill; the rate and the concurrency once there are any."""
    learned = LearnedLimits()
    assert learned.snapshot(0.0) == []
    learned.observe(LimitReport("acme-t", True, 500.0, 1000.0, 20.0), 0.0)
    learned.observe(LimitReport("acme-r", False, 7.0, None, 60.0), 0.0)
    requests = {"source": "headers", "name": "acme-r", "unit": "requests", "limit": None}
    tokens = {"source": "headers", "name": "acme-t", "unit": "tokens", "limit": 1000.0}
    assert learned.snapshot(15.0) == [
        requests | {"remaining": 7.0, "resets_in": 45.0},
        tokens | {"remaining": 500.0, "resets_in": 5.0},
    ]
    assert learned.snapshot(20.0)[1] == tokens | {"remaining": None, "resets_in": None}
    learned.observe(LimitReport("acme-t", True, 500.0, 1000.0, 20.0), 20.0)
    learned.observe(LimitReport("acme-t", True, 1.0, 1000.0, 19.0), 21.0)
    rate = {"name": "requests_per_minute", "unit": "requests", "limit": 60.0 * FIRST_RATE}
    unknown = {"remaining": None, "resets_in": None}
    assert learned.snapshot(21.0)[2:] == [{"source": "headers"} | rate | unknown]
    for _ in range(4):
        learned.acquire(1, 21.0)
    learned.rejected(21.0, 0.0)
    rate["limit"] *= 0.5
    in_flight = {"name": "in_flight", "unit": "requests", "limit": 4 * LESS}
    assert learned.snapshot(21.0)[2:] == [
        {"source": "429s"} | rate | unknown,
        {"source": "429s"} | in_flight | unknown,
    ]
