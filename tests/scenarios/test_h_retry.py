"""Section H: asking again, and what that may cost."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random
from typing import Any

import anyio
import pytest

from multirouter import (
    AllProvidersFailed,
    CircuitPolicy,
    FailureKind,
    LimitPolicy,
    NoProviderAvailable,
    ProviderError,
    RetryPolicy,
    Route,
)
from multirouter.core.failures import backoff
from multirouter.testing import Fault, StatusError
from tests.scenarios.kit import FAULTY, house, play

PATIENT = CircuitPolicy(failures=1_000_000)
"""A circuit that stays out of the way."""


@pytest.mark.parametrize("attempts", [1, 2, 4])
async def test_attempts_bound_the_attempts(attempts: int) -> None:
    """Case 59: `attempts` counts the first one too."""
    async with house(
        play("a", error_rate=1.0), retry=RetryPolicy(attempts=attempts), circuit=PATIENT
    ) as home:
        outcome = await home.outcome()
        assert home["a"].count == len(outcome.attempts) == attempts
        if attempts > 1:
            assert "RetryPolicy.attempts is used up" in str(outcome.error)


async def test_the_first_try_of_a_healthy_one_is_free() -> None:
    """Case 59: no call fails while a healthy provider is left, however few attempts it may pay."""
    bad = [play(f"bad{i}", "error") for i in range(5)]
    async with house(*bad, play("good", weight=0)) as home:
        assert await home.call() == "good: q"


async def test_rests_are_full_jitter_under_a_cap() -> None:
    """Case 60: rest k is in [0, min(c, b * f**k)], its mean near half (n=400, 4 sigma)."""
    retry = RetryPolicy(attempts=4, base=1.0, factor=2.0, cap=3.0, budget_floor=10_000)
    rests: list[list[float]] = [[], [], []]
    async with house(play("a", error_rate=1.0), retry=retry, circuit=PATIENT) as home:
        for _ in range(400):
            began = [record.started for record in (await home.outcome()).attempts]
            for rest, first, second in zip(rests, began, began[1:], strict=False):
                rest.append(second - first)
    for found, ceiling in zip(rests, (1.0, 2.0, 3.0), strict=True):
        assert min(found) >= 0
        assert max(found) <= ceiling + 0.002
        sigma = ceiling / 12**0.5 / 400**0.5
        assert sum(found) / 400 == pytest.approx(ceiling / 2, abs=4 * sigma + 0.001)


def test_no_round_overflows() -> None:
    """Case 60: at round 10,000 the rest is at most the cap."""
    policy = RetryPolicy(base=0.5, factor=1e6, cap=8.0)
    assert backoff.ceiling(policy, 10_000) == 8.0
    assert backoff.rest(policy, 10_000, 0.0, 0.999999) <= 8.0


def date(seconds: float) -> str:
    """An HTTP date this many seconds from now."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


ASKED: list[tuple[str, tuple[float, float]]] = [
    ("7", (7.0, 7.0)),
    ("0.5", (0.5, 0.5)),
    ("in 20 s", (17.0, 20.1)),
    ("-3", (5.0, 5.0)),
    ("soon", (5.0, 5.0)),
    ("36000", (600.0, 600.0)),
]


@pytest.mark.parametrize(("header", "span"), ASKED, ids=[header for header, _ in ASKED])
async def test_retry_after_is_read(header: str, span: tuple[float, float]) -> None:
    """Case 61: seconds and dates are honoured, nonsense is ignored (5 s), ten hours are clamped."""
    header = date(20) if header == "in 20 s" else header
    asked = Fault("rate_limit", headers={"Retry-After": header})
    async with house("a") as home:
        await home.fail("a", fault=asked)
        assert span[0] - 0.01 <= home.seen("a")["cooldown_for"] <= span[1] + 0.01


@pytest.mark.parametrize("seed", range(5))
async def test_no_rest_is_shorter_than_asked(seed: int) -> None:
    """Case 61: jitter comes on top of the time that the provider asked for."""
    asked = Fault("rate_limit", headers={"retry-after": "3"})
    retry = RetryPolicy(attempts=2, base=5.0, cap=5.0)
    async with house(play("a", asked), retry=retry, rng=Random(seed)) as home:
        outcome = await home.outcome()
        assert outcome.ok
        assert 3 <= outcome.elapsed <= 5.01


async def test_a_rest_that_is_too_long_is_not_taken() -> None:
    """Case 61: beyond `max_retry_after` nobody waits; the error says how long it would be."""
    asked = Fault("rate_limit", headers={"retry-after": "31"})
    async with house(play("a", asked), retry=RetryPolicy(max_retry_after=30)) as home:
        outcome = await home.outcome()
        assert outcome.elapsed == 0
        assert isinstance(outcome.error, AllProvidersFailed)
        assert outcome.error.retry_after == pytest.approx(31)


@pytest.mark.parametrize(("status", "moves_on"), [(400, False), (404, True), (401, True)])
async def test_what_no_try_mends_is_tried_once(status: int, moves_on: bool) -> None:
    """Case 62: one attempt on that provider; whether another one is asked follows from the kind."""
    route = Route("default", ["a", "b"], retries_per_provider=3)
    bad = play("a", error_rate=1.0, error=Fault("error", status=status))
    async with house(bad, "b", routes=[route], retry=RetryPolicy(attempts=5)) as home:
        outcome = await home.router.call_outcome("q")
        assert home["a"].count == 1
        assert (outcome.provider == "b") is moves_on


async def test_a_rest_that_would_pass_the_deadline_is_not_taken() -> None:
    """Case 63: the call ends at once with its last real error, and lists its attempts."""
    retry = RetryPolicy(base=1000.0, cap=1000.0)
    async with house(play("a", Fault("error", after=0.3)), retry=retry, timeout=1.0) as home:
        outcome = await home.outcome()
        assert outcome.elapsed == pytest.approx(0.3, abs=0.01)
        assert isinstance(outcome.error, AllProvidersFailed)
        assert isinstance(outcome.error.__cause__, StatusError)
        assert [record.provider for record in outcome.error.attempts] == ["a"]
        assert "would have passed the call's timeout" in str(outcome.error)
        assert home.total("retries_denied_total", reason="deadline") == 1


async def test_a_chain_does_not_hurry_a_rest_it_has_no_time_for() -> None:
    """Case 63: with no time to rest before the same provider, the next one is asked instead."""
    retry = RetryPolicy(base=1000.0, cap=1000.0)
    route = Route("default", ["a", "b"], retries_per_provider=2)
    async with house(play("a", error_rate=1.0), "b", routes=[route], retry=retry) as home:
        outcome = await home.router.call_outcome("q", timeout=5)
        assert [record.provider for record in outcome.attempts] == ["a", "b"]


async def test_a_circuit_that_opens_ends_its_retries() -> None:
    """Case 64: the loop moves on, and refusals at the door use up no attempts."""
    route = Route("default", ["a", "b"], retries_per_provider=5)
    policy = CircuitPolicy(failures=2, open_duration=100.0)
    async with house(
        play("a", error_rate=1.0),
        "b",
        routes=[route],
        circuit=policy,
        retry=RetryPolicy(attempts=3, base=0.1),
    ) as home:
        outcome = await home.router.call_outcome("q")
        assert [record.provider for record in outcome.attempts] == ["a", "a", "b"]
        assert (await home.router.call_outcome("q")).attempts[0].provider == "b"


async def test_refusals_use_up_no_attempts() -> None:
    """Case 64: ten providers that are out cost nothing of an `attempts` of one."""
    names = [f"out{i}" for i in range(10)]
    async with house(*names, "in") as home:
        for name in names:
            home.router.hold(name, "open")
        outcome = await home.outcome()
        assert (outcome.provider, len(outcome.attempts)) == ("in", 1)


async def test_the_budget_bounds_a_storm() -> None:
    """Case 65: 300 calls in ten seconds with everybody failing: at most 1.2 times that, and ten."""
    providers = [play(name, error_rate=1.0) for name in "abc"]
    retry = RetryPolicy(attempts=6, base=0.01)
    async with house(*providers, retry=retry, circuit=PATIENT) as home:
        for name in "abc":
            await home.fail(name)  # from here on a first try elsewhere is paid for as well
        callers = []
        for _ in range(300):
            callers.append(home.begin())
            await anyio.sleep(10 / 300)
        assert not any([(await caller.end()).ok for caller in callers])
        attempts = len(home.news.attempts) - 3
        assert 300 < attempts <= 300 * 1.2 + 10 + 3
        assert home.total("retries_denied_total", reason="budget") > 100


async def test_the_balance_follows_the_model() -> None:
    """Case 66: paid attempts of a scripted run are those that the budget's model allows.

    The model: in the last ten seconds at most max(floor, a fifth of the calls) are paid.
    Attempts that are cancelled have neither paid nor earned.
    """
    retry = RetryPolicy(attempts=2, base=0.0, budget=0.2, budget_floor=2)
    calls, paid = deque[float](), deque[float]()
    async with house("a", retry=retry, circuit=PATIENT) as home:
        rng = Random(5)
        for _ in range(300):
            now = anyio.current_time()
            calls.append(now)
            kind = rng.choice(["fine", "fine", "fail", "leave"])
            asked = home["a"].count
            if kind == "leave":
                home["a"].then("hang")
                await (await home.begun()).cancel()
                expected = 1
            elif kind == "fail":
                home["a"].then("error")
                affordable = len(paid) < max(2, int(0.2 * len(calls)))
                if affordable:
                    paid.append(now)
                expected = 1 + affordable
                assert (await home.outcome()).ok is affordable
                home["a"]._script.clear()
            else:
                await home.call()
                expected = 1
            assert home["a"].count - asked == expected
        assert len(paid) > 10
        assert anyio.current_time() < 10  # nothing has left the window, so the model needs none


async def test_a_refused_retry_leaves_the_last_error() -> None:
    """Case 67: the provider's own error is the cause, and the refusal is counted by its reason."""
    retry = RetryPolicy(budget=0.0, budget_floor=0)
    async with house("a", retry=retry) as home:
        home["a"].then(ConnectionResetError("gone"))
        outcome = await home.outcome()
        assert isinstance(outcome.error, AllProvidersFailed)
        assert isinstance(outcome.error.__cause__, ConnectionResetError)
        assert "the retry budget is used up" in str(outcome.error)
        assert home.total("retries_denied_total", reason="budget") == 1


class RetriedBelow(ConnectionResetError):
    """An SDK's error that says it was retried already."""

    already_retried = True


@pytest.mark.parametrize(
    "error",
    [
        ProviderError("busy", provider="a", kind=FailureKind.OVERLOADED, retried=True),
        RetriedBelow("gone"),
    ],
    ids=["ProviderError", "attribute"],
)
async def test_what_was_retried_below_is_not_repeated(error: Exception) -> None:
    """Case 68: the same provider is not asked again; the next one is."""
    retry = RetryPolicy(attempts=9, base=0.01)
    route = Route("default", ["a", "b"], retries_per_provider=3)
    async with house(play("a", error), "b", routes=[route], retry=retry) as home:
        outcome = await home.router.call_outcome("q")
        assert [record.provider for record in outcome.attempts] == ["a", "b"]


async def test_the_bound_on_attempts_of_a_chain() -> None:
    """Case 68: c providers and n attempts bound a call at n - 1 paid ones and c free ones.

    With r tries of an SDK below, r * (n - 1 + c) requests leave the process.
    """
    retry = RetryPolicy(attempts=4, base=0.01, budget_floor=100)
    providers = [play(name, error_rate=1.0) for name in "abc"]
    async with house(*providers, retry=retry, circuit=PATIENT) as home:
        outcome = await home.outcome("a", "b", "c")
        assert len(outcome.attempts) == (4 - 1) + 3


async def test_quick_means_once() -> None:
    """A connection that fails is tried once more on the same provider, not oftener."""
    retry = RetryPolicy(attempts=9, base=0.01)
    bad = play("a", error_rate=1.0, error="reset")
    async with house(bad, retry=retry, circuit=PATIENT) as home:
        assert len((await home.outcome()).attempts) == 2


async def test_a_timeout_is_not_repeated_on_the_same_provider() -> None:
    """A provider that was too slow is not asked a second time by the same call."""
    async with house(play("a", "hang"), retry=RetryPolicy(), attempt_timeout=2) as home:
        outcome = await home.outcome()
        assert len(outcome.attempts) == 1
        assert isinstance(outcome.error, AllProvidersFailed)


async def test_the_preferred_one_is_retried_first() -> None:
    """`retries_per_provider` asks the primary again before the next one is asked."""
    route = Route("default", ["a", "b"], retries_per_provider=1)
    async with house("a", "b", routes=[route], retry=RetryPolicy(base=0.2)) as home:
        home["a"].then("error")
        outcome = await home.router.call_outcome("q")
        assert [record.provider for record in outcome.attempts] == ["a", "a"]
        assert outcome.attempts[1].why == "again after server"
        home["a"].then(Fault("rate_limit", headers={"retry-after": "2"}))
        outcome = await home.router.call_outcome("q")
        assert (outcome.provider, outcome.elapsed >= 2) == ("a", True)
        home["a"].then("error", "error")
        outcome = await home.router.call_outcome("q")
        assert [record.provider for record in outcome.attempts] == ["a", "a", "b"]


ACTED = [("hang", False), ("reset", False), ("error", False), ("rate_limit", True), (FAULTY, False)]


@pytest.mark.parametrize(("fault", "moves_on"), ACTED)
async def test_what_may_have_acted_is_not_repeated(fault: Any, moves_on: bool) -> None:
    """`idempotent=False` bars another attempt after one that may have had an effect."""
    async with house(play("a", fault), "b", attempt_timeout=2, retry=RetryPolicy()) as home:
        outcome = await home.outcome("a", "b", idempotent=False)
        assert (home["b"].count == 1) is moves_on
        assert outcome.ok is moves_on
        if fault not in (FAULTY, "rate_limit"):
            assert "idempotent=False bars another try" in str(outcome.error)
            assert home.total("retries_denied_total", reason="not_idempotent") == 1


async def test_what_was_never_sent_may_be_repeated() -> None:
    """`idempotent=False` allows another attempt when the request surely did not arrive."""
    async with house(play("a", ConnectionRefusedError()), "b") as home:
        assert await home.call("a", "b", idempotent=False) == "b: q"


async def test_too_long_for_one_goes_to_a_larger_window() -> None:
    """A request beyond one context window goes on to larger ones only, else it is its own fault."""
    too_long = Fault("error", status=400, message="maximum context length is 8 tokens")
    windows = {"small": 8, "other": 8, "large": 128}
    providers = [play(name, context_window=size) for name, size in windows.items()]
    async with house(*providers) as home:
        home["small"].then(too_long)
        assert await home.call("small", "other", "large") == "large: q"
        assert home["other"].count == 0
        home["small"].then(too_long)
        home["large"].then(too_long)
        with pytest.raises(StatusError, match="maximum context length"):
            await home.call("small", "other", "large")


async def test_nobody_left_but_the_full() -> None:
    """A failed call that finds the others full rests, and asks again; they were not tried yet."""
    full = play("b", limits=LimitPolicy(in_flight=1), latency=1.0)
    async with house("a", full, retry=RetryPolicy(base=2.0, cap=2.0)) as home:
        await home.begun("b")
        home["a"].then("error")
        outcome = await home.outcome("a", "b")
        assert outcome.ok
        home.router.hold("a", "open")
        await home.begun("b")
        assert isinstance((await home.outcome("a", "b")).error, NoProviderAvailable)
