"""Section A: a closed circuit, and how it opens."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from multirouter import AllProvidersFailed, CircuitPolicy
from multirouter.testing import Answer, Fault, StatusError
from tests.scenarios.harness import REQUEST_FAULT, TRIPS_AFTER_3, TRIPS_AT_ONCE, harness, scripted


async def test_success_resets_the_run_of_failures() -> None:
    """Case 1: N-1 failures, a success and N-1 failures leave it closed; one more opens it."""
    async with harness("a", circuit=TRIPS_AFTER_3) as env:
        await env.fail("a", times=2)
        await env.call()
        await env.fail("a", times=2)
        assert env.state("a") == "closed"
        await env.fail("a")
        assert env.state("a") == "open"


async def test_threshold_opens_once_and_raises_the_cause() -> None:
    """Case 2: the N-th failure is one open event, and its caller gets the provider's own error."""
    async with harness("a", circuit=TRIPS_AFTER_3) as env:
        failed = await env.fail("a", times=3)
        assert env.recorder.transitions("a") == ["closed > open"]
        assert isinstance(failed.error, AllProvidersFailed)
        assert isinstance(failed.error.__cause__, StatusError)
        assert failed.attempts[-1].error is failed.error.__cause__


async def test_attempts_in_flight_do_not_open_it_again() -> None:
    """Case 3: attempts that fail after it opened cause no second event and no longer open time."""
    slow = [Fault("error", after=2.0)] * 5
    async with harness(scripted("a", *slow), circuit=TRIPS_AFTER_3) as env:
        callers = [await env.start("a") for _ in range(5)]
        await env.fail("a", times=3)
        resets = env.circuit("a").half_open_at
        for caller in callers:
            assert not (await caller.end()).ok
        assert env.openings("a") == 1
        assert env.circuit("a").half_open_at == resets
        assert sum(record.late for record in env.records("a")) == 5


async def test_failure_rate_needs_minimum_calls() -> None:
    """Case 4: T-1 failures are too few; at T calls a rate of exactly the limit opens it."""
    half = CircuitPolicy(failure_rate=0.5, minimum_calls=10)
    async with harness("bad", "so-so", circuit=half) as env:
        await env.fail("bad", times=9)
        assert env.state("bad") == "closed"
        await env.fail("bad")
        assert env.state("bad") == "open"
        for _ in range(5):
            await env.call("so-so")
        await env.fail("so-so", times=4)
        assert env.state("so-so") == "closed"
        await env.fail("so-so")
        assert env.state("so-so") == "open"


@pytest.mark.parametrize(("later", "state"), [(8.9, "open"), (10.0, "closed"), (11.0, "closed")])
async def test_failures_outside_the_window_do_not_count(later: float, state: str) -> None:
    """Case 5: a failure counts for nine tenths of the window, and not at its exact edge."""
    policy = CircuitPolicy(failure_rate=1.0, minimum_calls=2, window=10.0)
    async with harness("a", circuit=policy) as env:
        await env.fail("a")
        await anyio.sleep(later)
        await env.fail("a")
        assert env.state("a") == state


async def test_window_has_a_fixed_size() -> None:
    """Case 5: the memory of a window does not grow with the number of calls."""
    async with harness("a") as env:
        window = env.circuit("a").window
        sizes = set()
        for _ in range(200):
            await env.call()
            sizes.add(sum(len(getattr(window, s)) for s in ("_calls", "_failures")))
            await anyio.sleep(0.1)
        assert len(sizes) == 1
        assert 90 <= window.calls <= 101


async def test_slow_answers_open_it() -> None:
    """Case 6: slow successes at the rate open it, and every caller keeps its answer."""
    slow = CircuitPolicy(
        slow_after=1.0, slow_rate=0.5, minimum_calls=4, open_duration=10.0, growth=1.0
    )
    async with harness(scripted("a", "slow", Answer("two", after=1.0)), circuit=slow) as env:
        env["a"].then(Answer("three", after=1.1))
        assert [await env.call() for _ in range(2)] == ["a: q", "two"]
        assert await env.call() == "three"
        assert env.state("a") == "closed"
        env["a"].then(Answer("four", after=1.1))
        assert await env.call() == "four"
        assert env.state("a") == "open"
        assert env.recorder.of("circuit_changed")[0].reason == "slow"


async def test_slow_trial_opens_it_again() -> None:
    """Case 6: in half-open a slow answer fails the trial, and its caller still gets it."""
    slow = CircuitPolicy(failures=1, slow_after=1.0, open_duration=10.0, growth=1.0)
    async with harness("a", circuit=slow) as env:
        await env.half_open("a")
        env["a"].then(Answer("late", after=1.5))
        assert await env.call() == "late"
        assert env.state("a") == "open"


async def test_neutral_errors_are_not_counted() -> None:
    """Case 7: a thousand faulty requests neither open it nor end a run of failures."""
    async with harness("a", circuit=TRIPS_AFTER_3) as env:
        await env.fail("a", times=2)
        counted = env.provider_snapshot("a")["calls"]
        for _ in range(1000):
            env["a"].then(REQUEST_FAULT)
            with pytest.raises(StatusError, match="status 400"):
                await env.call()
        assert env.provider_snapshot("a")["calls"] == counted == 2
        assert env.state("a") == "closed"
        await env.fail("a")
        assert env.state("a") == "open"


async def test_credentials_trip_at_once() -> None:
    """Case 7: one 401 opens it, with the reason credentials."""
    async with harness("a", "b", circuit=TRIPS_AFTER_3) as env:
        env["a"].then("credentials")
        assert (await env.outcome("a", "b")).provider == "b"
        assert env.state("a") == "open"
        assert env.recorder.of("circuit_changed")[0].reason == "credentials"
        assert env.provider_snapshot("a")["half_open_in"] == pytest.approx(300)


def raising_classifier(error: BaseException | None, value: object) -> Any:
    raise LookupError("no opinion")


async def test_failing_classifier_on_an_answer() -> None:
    """Case 8: the answer is returned, the attempt counts as a failure, and one line is logged."""
    async with harness("a", circuit=TRIPS_AFTER_3, classify=raising_classifier) as env:
        assert [await env.call() for _ in range(3)] == ["a: q"] * 3
        assert env.state("a") == "open"
        assert env.total("attempts_total", outcome="failure") == 3
        assert env.total("calls_total", outcome="success") == 3
        assert len(env.logger.of("classifier failed")) == 1


async def test_failing_classifier_on_an_error() -> None:
    """Case 8: the caller gets the provider's own error, and a trial's permit is returned."""
    async with harness("a", circuit=TRIPS_AT_ONCE, classify=raising_classifier) as env:
        await env.half_open("a")
        failed = await env.fail("a")
        assert isinstance(failed.attempts[0].error, StatusError)
        assert env.recorder.transitions("a")[-1] == "half_open > open"
        assert env.router.in_flight("a") == 0


async def test_answer_may_be_classified_as_a_failure() -> None:
    """Case 9: `classify=` may fail an attempt by its value, though nothing was raised."""

    def classify(error: BaseException | None, value: object) -> str | None:
        return "overloaded" if value == "busy" else None

    async with harness("a", "b", circuit=TRIPS_AFTER_3, classify=classify) as env:
        env["a"].then(*[Answer("busy")] * 3)
        for _ in range(3):
            outcome = await env.outcome("a", "b")
            assert (outcome.value, outcome.provider) == ("b: q", "b")
            assert "the answer counts as overloaded" in str(outcome.attempts[0].error)
        assert env.state("a") == "open"


async def test_429_starts_a_cooldown_only() -> None:
    """Case 10: the provider cools down for its Retry-After; the run of failures stays as it is."""
    fault = Fault("rate_limit", headers={"retry-after": "7"})
    async with harness("a", "b", circuit=TRIPS_AFTER_3) as env:
        await env.fail("a", times=2)
        await env.fail("a", fault=fault)
        assert (env.state("a"), env.router.available("a")) == ("closed", False)
        assert (await env.outcome("a", "b")).attempts[0].provider == "b"
        await anyio.sleep(6.9)
        assert not env.router.available("a")
        await anyio.sleep(0.11)
        assert env.router.available("a")
        await env.fail("a")
        assert env.state("a") == "open"


async def test_cooldown_is_limited() -> None:
    """Case 10: a Retry-After of ten hours is cut to `max_cooldown`."""
    fault = Fault("rate_limit", headers={"retry-after": "36000"})
    async with harness("a", circuit=CircuitPolicy(max_cooldown=60.0)) as env:
        await env.fail("a", fault=fault)
        assert env.provider_snapshot("a")["cooldown_remaining"] == pytest.approx(60)


async def test_cooldown_doubles_without_retry_after() -> None:
    """Case 10: without a Retry-After the cooldown doubles until a success."""
    async with harness("a", circuit=CircuitPolicy(jitter=0)) as env:
        for seconds in (5, 10, 20):
            await env.fail("a", fault="rate_limit")
            assert env.provider_snapshot("a")["cooldown_remaining"] == pytest.approx(seconds)
            await anyio.sleep(seconds)
        await env.call()
        await env.fail("a", fault="rate_limit")
        assert env.provider_snapshot("a")["cooldown_remaining"] == pytest.approx(5)
