"""Section A: a closed circuit, and how it opens."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from multirouter import AllProvidersFailed, CircuitPolicy
from multirouter.testing import Answer, Fault, StatusError
from tests.scenarios.kit import BRITTLE, FAULTY, STEADY, house, play


async def test_a_success_starts_the_count_anew() -> None:
    """Case 1: N-1 failures, a success and N-1 failures leave it closed; one more opens it."""
    async with house("a", circuit=STEADY) as home:
        await home.fail("a", times=2)
        await home.call()
        await home.fail("a", times=2)
        assert home.state("a") == "closed"
        await home.fail("a")
        assert home.state("a") == "open"


async def test_it_opens_once_and_its_caller_sees_the_cause() -> None:
    """Case 2: the N-th failure is one open event, and its caller gets the provider's own error."""
    async with house("a", circuit=STEADY) as home:
        failed = await home.fail("a", times=3)
        assert home.news.transitions("a") == ["closed > open"]
        assert isinstance(failed.error, AllProvidersFailed)
        assert isinstance(failed.error.__cause__, StatusError)
        assert failed.attempts[-1].error is failed.error.__cause__


async def test_those_in_flight_do_not_open_it_again() -> None:
    """Case 3: attempts that fail after it opened bring no second event and no longer open time."""
    slow = [Fault("error", after=2.0)] * 5
    async with house(play("a", *slow), circuit=STEADY) as home:
        callers = [await home.begun("a") for _ in range(5)]
        await home.fail("a", times=3)
        resets = home.circuit("a").half_open_at
        for caller in callers:
            assert not (await caller.end()).ok
        assert home.opened("a") == 1
        assert home.circuit("a").half_open_at == resets
        assert sum(record.late for record in home.records("a")) == 5


async def test_a_rate_needs_enough_calls_and_its_bound_opens() -> None:
    """Case 4: T-1 failures are too few; at T calls a rate of exactly the bound opens it."""
    half = CircuitPolicy(failure_rate=0.5, minimum_calls=10)
    async with house("bad", "so-so", circuit=half) as home:
        await home.fail("bad", times=9)
        assert home.state("bad") == "closed"
        await home.fail("bad")
        assert home.state("bad") == "open"
        for _ in range(5):
            await home.call("so-so")
        await home.fail("so-so", times=4)
        assert home.state("so-so") == "closed"
        await home.fail("so-so")
        assert home.state("so-so") == "open"


@pytest.mark.parametrize(("later", "state"), [(8.9, "open"), (10.0, "closed"), (11.0, "closed")])
async def test_what_is_older_than_the_window_counts_no_more(later: float, state: str) -> None:
    """Case 5: a failure counts for nine tenths of the window, and at its exact edge no more."""
    policy = CircuitPolicy(failure_rate=1.0, minimum_calls=2, window=10.0)
    async with house("a", circuit=policy) as home:
        await home.fail("a")
        await anyio.sleep(later)
        await home.fail("a")
        assert home.state("a") == state


async def test_a_window_is_no_larger_for_many_calls() -> None:
    """Case 5: what a window keeps does not grow with the number of calls."""
    async with house("a") as home:
        window = home.circuit("a").window
        sizes = set()
        for _ in range(200):
            await home.call()
            sizes.add(sum(len(getattr(window, s)) for s in ("_calls", "_failures")))
            await anyio.sleep(0.1)
        assert len(sizes) == 1
        assert 90 <= window.calls <= 101


async def test_too_many_slow_answers_open_it() -> None:
    """Case 6: slow successes at the rate open it, and every caller keeps its answer."""
    slow = CircuitPolicy(
        slow_after=1.0, slow_rate=0.5, minimum_calls=4, open_duration=10.0, growth=1.0
    )
    async with house(play("a", "slow", Answer("two", after=1.0)), circuit=slow) as home:
        home["a"].then(Answer("three", after=1.1))
        assert [await home.call() for _ in range(2)] == ["a: q", "two"]
        assert await home.call() == "three"
        assert home.state("a") == "closed"
        home["a"].then(Answer("four", after=1.1))
        assert await home.call() == "four"
        assert home.state("a") == "open"
        assert home.news.of("circuit_changed")[0].reason == "slow"


async def test_a_slow_trial_opens_it_again() -> None:
    """Case 6: in half-open an answer over the mark fails the trial, and its caller still has it."""
    slow = CircuitPolicy(failures=1, slow_after=1.0, open_duration=10.0, growth=1.0)
    async with house("a", circuit=slow) as home:
        await home.half_open("a")
        home["a"].then(Answer("late", after=1.5))
        assert await home.call() == "late"
        assert home.state("a") == "open"


async def test_neutral_errors_move_no_count() -> None:
    """Case 7: a thousand faulty requests neither open it nor end a run of failures."""
    async with house("a", circuit=STEADY) as home:
        await home.fail("a", times=2)
        counted = home.seen("a")["calls"]
        for _ in range(1000):
            home["a"].then(FAULTY)
            with pytest.raises(StatusError, match="status 400"):
                await home.call()
        assert home.seen("a")["calls"] == counted == 2
        assert home.state("a") == "closed"
        await home.fail("a")
        assert home.state("a") == "open"


async def test_bad_credentials_trip_at_once() -> None:
    """Case 7: one 401 is proof enough, and says so as the reason."""
    async with house("a", "b", circuit=STEADY) as home:
        home["a"].then("credentials")
        assert (await home.outcome("a", "b")).provider == "b"
        assert home.state("a") == "open"
        assert home.news.of("circuit_changed")[0].reason == "credentials"
        assert home.seen("a")["reset_in"] == pytest.approx(300)


def confused(error: BaseException | None, value: object) -> Any:
    raise LookupError("no opinion")


async def test_a_classifier_that_raises_harms_no_caller() -> None:
    """Case 8: the answer arrives, the attempt counts as a failure, and one line tells of it."""
    async with house("a", circuit=STEADY, classify=confused) as home:
        assert [await home.call() for _ in range(3)] == ["a: q"] * 3
        assert home.state("a") == "open"
        assert home.total("attempts_total", outcome="failure") == 3
        assert home.total("calls_total", outcome="success") == 3
        assert len(home.logger.of("classifier broken")) == 1


async def test_a_classifier_that_raises_about_an_error() -> None:
    """Case 8: the caller sees the provider's own error, and a trial's permit is back."""
    async with house("a", circuit=BRITTLE, classify=confused) as home:
        await home.half_open("a")
        failed = await home.fail("a")
        assert isinstance(failed.attempts[0].error, StatusError)
        assert home.news.transitions("a")[-1] == "half_open > open"
        assert home.router.in_flight("a") == 0


async def test_an_answer_may_count_as_a_failure() -> None:
    """Case 9: what `classify=` says of a value fails the attempt though nothing was raised."""

    def classify(error: BaseException | None, value: object) -> str | None:
        return "overloaded" if value == "busy" else None

    async with house("a", "b", circuit=STEADY, classify=classify) as home:
        home["a"].then(*[Answer("busy")] * 3)
        for _ in range(3):
            outcome = await home.outcome("a", "b")
            assert (outcome.value, outcome.provider) == ("b: q", "b")
            assert "the answer counts as overloaded" in str(outcome.attempts[0].error)
        assert home.state("a") == "open"


async def test_a_429_cools_and_leaves_the_circuit_alone() -> None:
    """Case 10: the provider rests for its Retry-After; no failure is counted or forgotten."""
    wait = Fault("rate_limit", headers={"retry-after": "7"})
    async with house("a", "b", circuit=STEADY) as home:
        await home.fail("a", times=2)
        await home.fail("a", fault=wait)
        assert (home.state("a"), home.router.available("a")) == ("closed", False)
        assert (await home.outcome("a", "b")).attempts[0].provider == "b"
        await anyio.sleep(6.9)
        assert not home.router.available("a")
        await anyio.sleep(0.11)
        assert home.router.available("a")
        await home.fail("a")
        assert home.state("a") == "open"


async def test_no_provider_can_ask_for_endless_rest() -> None:
    """Case 10: a Retry-After of ten hours is cut to `max_cooldown`."""
    wait = Fault("rate_limit", headers={"retry-after": "36000"})
    async with house("a", circuit=CircuitPolicy(max_cooldown=60.0)) as home:
        await home.fail("a", fault=wait)
        assert home.seen("a")["cooldown_for"] == pytest.approx(60)


async def test_nameless_429s_in_a_row_rest_longer_each_time() -> None:
    """Case 10: without a Retry-After the rest doubles from 429 to 429, and a success ends that."""
    async with house("a") as home:
        for seconds in (5, 10, 20):
            await home.fail("a", fault="rate_limit")
            assert home.seen("a")["cooldown_for"] == pytest.approx(seconds)
            await anyio.sleep(seconds)
        await home.call()
        await home.fail("a", fault="rate_limit")
        assert home.seen("a")["cooldown_for"] == pytest.approx(5)
