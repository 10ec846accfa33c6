"""Section H: retries, and what they may cost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random
from typing import Any

import anyio
import pytest

from multirouter import (
    AllProvidersFailed,
    CallFailed,
    CallOutcome,
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
from tests.scenarios.harness import REQUEST_FAULT, harness, scripted

NEVER_TRIPS = CircuitPolicy(failures=1_000_000)
"""A circuit that never opens."""


@pytest.mark.parametrize("attempts", [1, 2, 4])
async def test_attempts_includes_the_first(attempts: int) -> None:
    """Case 59: `attempts` counts the first one too."""
    async with harness(
        scripted("a", error_rate=1.0), retry=RetryPolicy(attempts=attempts), circuit=NEVER_TRIPS
    ) as env:
        outcome = await env.outcome()
        assert env["a"].count == len(outcome.attempts) == attempts
        if attempts > 1:
            assert "RetryPolicy.attempts is reached" in str(outcome.error)


async def test_first_attempt_at_a_healthy_provider_is_free() -> None:
    """Case 59: no call fails while a healthy provider is left, however few `attempts`."""
    bad = [scripted(f"bad{i}", "error") for i in range(5)]
    async with harness(*bad, scripted("good", weight=0)) as env:
        assert await env.call() == "good: q"


async def test_backoff_has_full_jitter_and_a_cap() -> None:
    """Case 60: backoff k is in [0, min(c, b * f**k)], its mean near half (n=400, 4 sigma)."""
    retry = RetryPolicy(attempts=4, base=1.0, factor=2.0, cap=3.0, budget_floor=10_000)
    delays: list[list[float]] = [[], [], []]
    async with harness(scripted("a", error_rate=1.0), retry=retry, circuit=NEVER_TRIPS) as env:
        for _ in range(400):
            starts = [record.started for record in (await env.outcome()).attempts]
            for delay, first, second in zip(delays, starts, starts[1:], strict=False):
                delay.append(second - first)
    for found, ceiling in zip(delays, (1.0, 2.0, 3.0), strict=True):
        assert min(found) >= 0
        assert max(found) <= ceiling + 0.002
        sigma = ceiling / 12**0.5 / 400**0.5
        assert sum(found) / 400 == pytest.approx(ceiling / 2, abs=4 * sigma + 0.001)


def test_backoff_does_not_overflow() -> None:
    """Case 60: at round 10,000 the backoff is at most the cap."""
    policy = RetryPolicy(base=0.5, factor=1e6, cap=8.0)
    assert backoff.backoff_ceiling(policy, 10_000) == 8.0
    assert backoff.backoff_delay(policy, 10_000, 0.0, 0.999999) <= 8.0


def http_date(seconds: float) -> str:
    """HTTP date this many seconds from now."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


RETRY_AFTER: list[tuple[str, tuple[float, float]]] = [
    ("7", (7.0, 7.0)),
    ("0.5", (0.5, 0.5)),
    ("in 20 s", (17.0, 20.1)),
    ("-3", (5.0, 5.0)),
    ("soon", (5.0, 5.0)),
    ("36000", (600.0, 600.0)),
]


@pytest.mark.parametrize(
    ("header", "expected"), RETRY_AFTER, ids=[header for header, _ in RETRY_AFTER]
)
async def test_retry_after_values(header: str, expected: tuple[float, float]) -> None:
    """Case 61: seconds and dates are used, invalid values ignored (5 s), ten hours are limited."""
    header = http_date(20) if header == "in 20 s" else header
    fault = Fault("rate_limit", headers={"Retry-After": header})
    async with harness("a", circuit=CircuitPolicy(jitter=0)) as env:
        await env.fail("a", fault=fault)
        assert (
            expected[0] - 0.01
            <= env.provider_snapshot("a")["cooldown_remaining"]
            <= expected[1] + 0.01
        )


@pytest.mark.parametrize("seed", range(5))
async def test_backoff_is_at_least_retry_after(seed: int) -> None:
    """Case 61: jitter is added to the time that the provider asked for."""
    fault = Fault("rate_limit", headers={"retry-after": "3"})
    retry = RetryPolicy(attempts=2, base=5.0, cap=5.0)
    async with harness(scripted("a", fault), retry=retry, rng=Random(seed)) as env:
        outcome = await env.outcome()
        assert outcome.ok
        assert 3 <= outcome.elapsed <= 5.01


@pytest.mark.parametrize("status", [500, 502, 503, 529])
async def test_retry_after_of_a_server_error_is_honoured(status: int) -> None:
    """Case 61: the same provider is not attempted before it; another one is, at once."""
    fault = Fault("error", status=status, headers={"retry-after": "3"})
    async with harness(scripted("a", fault, fault), retry=RetryPolicy(base=0.1)) as env:
        assert (await env.outcome()).elapsed >= 6
    long = Fault("error", status=status, headers={"retry-after": "60"})
    async with harness(scripted("a", long)) as env:
        first, second = await env.outcome(), await env.outcome()
        assert env["a"].count == 1
        assert isinstance(second.error, NoProviderAvailable)
        for error in (first.error, second.error):
            assert isinstance(error, CallFailed)
            assert error.retry_after == pytest.approx(60)
        await anyio.sleep(60)
        assert (await env.outcome()).ok
    route = Route("default", ["a", "b"])
    async with harness(scripted("a", long), "b", routes=[route]) as env:
        outcomes = [await env.outcome() for _ in range(3)]
        assert [outcome.provider for outcome in outcomes] == ["b"] * 3
        assert (env["a"].count, sum(outcome.elapsed for outcome in outcomes)) == (1, 0)


async def test_long_retry_after_is_not_waited_for() -> None:
    """Case 61: beyond `max_retry_after` the call fails at once, with the time in its error."""
    fault = Fault("rate_limit", headers={"retry-after": "31"})
    async with harness(scripted("a", fault), retry=RetryPolicy(max_retry_after=30)) as env:
        outcome = await env.outcome()
        assert outcome.elapsed == 0
        assert isinstance(outcome.error, AllProvidersFailed)
        assert outcome.error.retry_after == pytest.approx(31)


@pytest.mark.parametrize(("status", "fails_over"), [(400, False), (404, True), (401, True)])
async def test_permanent_failures_are_not_retried(status: int, fails_over: bool) -> None:
    """Case 62: one attempt at that provider; whether it fails over depends on the kind."""
    route = Route("default", ["a", "b"], retries_per_provider=3)
    bad = scripted("a", error_rate=1.0, error=Fault("error", status=status))
    async with harness(bad, "b", routes=[route], retry=RetryPolicy(attempts=5)) as env:
        outcome = await env.router.call_outcome("q")
        assert env["a"].count == 1
        assert (outcome.provider == "b") is fails_over


async def test_backoff_past_the_deadline_is_skipped() -> None:
    """Case 63: the call ends at once with its last error, and lists its attempts."""
    retry = RetryPolicy(base=1000.0, cap=1000.0)
    async with harness(scripted("a", Fault("error", after=0.3)), retry=retry, timeout=1.0) as env:
        outcome = await env.outcome()
        assert outcome.elapsed == pytest.approx(0.3, abs=0.01)
        assert isinstance(outcome.error, AllProvidersFailed)
        assert isinstance(outcome.error.__cause__, StatusError)
        assert [record.provider for record in outcome.error.attempts] == ["a"]
        assert "it would exceed the call's timeout" in str(outcome.error)
        assert env.total("retries_denied_total", reason="deadline") == 1


async def test_chain_fails_over_without_time_to_back_off() -> None:
    """Case 63: without time for a backoff before the same provider, the next one is attempted."""
    retry = RetryPolicy(base=1000.0, cap=1000.0)
    route = Route("default", ["a", "b"], retries_per_provider=2)
    async with harness(scripted("a", error_rate=1.0), "b", routes=[route], retry=retry) as env:
        outcome = await env.router.call_outcome("q", timeout=5)
        assert [record.provider for record in outcome.attempts] == ["a", "b"]


async def test_circuit_that_opens_ends_its_retries() -> None:
    """Case 64: the call moves on when another opened the circuit; rejections use no attempts."""
    route = Route("default", ["a", "b"], retries_per_provider=5)
    policy = CircuitPolicy(failures=2, open_duration=100.0)
    async with harness(
        scripted("a", error_rate=1.0),
        "b",
        routes=[route],
        circuit=policy,
        retry=RetryPolicy(attempts=3, base=0.1),
    ) as env:
        outcomes: list[CallOutcome[Any]] = []

        async def call() -> None:
            outcomes.append(await env.router.call_outcome("q"))

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            group.start_soon(call)
        for outcome in outcomes:
            assert [record.provider for record in outcome.attempts] == ["a", "b"]
        assert (await env.router.call_outcome("q")).attempts[0].provider == "b"


async def test_rejections_use_no_attempts() -> None:
    """Case 64: ten open providers cost nothing of an `attempts` of one."""
    names = [f"out{i}" for i in range(10)]
    async with harness(*names, "in") as env:
        for name in names:
            env.router.hold(name, "open")
        outcome = await env.outcome()
        assert (outcome.provider, len(outcome.attempts)) == ("in", 1)


class RetriedBySdk(ConnectionResetError):
    """An SDK's error that says it was retried already."""

    already_retried = True


@pytest.mark.parametrize(
    "error",
    [
        ProviderError("busy", provider="a", kind=FailureKind.OVERLOADED, retried=True),
        RetriedBySdk("gone"),
    ],
    ids=["ProviderError", "attribute"],
)
async def test_request_retried_by_an_sdk_fails_over(error: Exception) -> None:
    """Case 68: the same provider is not retried; the next one is attempted."""
    retry = RetryPolicy(attempts=9, base=0.01)
    route = Route("default", ["a", "b"], retries_per_provider=3)
    async with harness(scripted("a", error), "b", routes=[route], retry=retry) as env:
        outcome = await env.router.call_outcome("q")
        assert [record.provider for record in outcome.attempts] == ["a", "b"]


async def test_maximum_attempts_of_a_chain() -> None:
    """Case 68: c providers and n attempts limit a call to n - 1 paid ones and c free ones.

    With r attempts of an SDK below, r * (n - 1 + c) requests leave the process.
    """
    retry = RetryPolicy(attempts=4, base=0.01, budget_floor=100)
    providers = [scripted(name, error_rate=1.0) for name in "abc"]
    async with harness(*providers, retry=retry, circuit=NEVER_TRIPS) as env:
        outcome = await env.outcome("a", "b", "c")
        assert len(outcome.attempts) == (4 - 1) + 3


async def test_quick_retry_happens_once() -> None:
    """A transport failure is retried once at the same provider."""
    retry = RetryPolicy(attempts=9, base=0.01)
    bad = scripted("a", error_rate=1.0, error="reset")
    async with harness(bad, retry=retry, circuit=NEVER_TRIPS) as env:
        assert len((await env.outcome()).attempts) == 2


async def test_timeout_is_not_retried_at_the_same_provider() -> None:
    """A provider that was too slow is not attempted again by the same call."""
    async with harness(scripted("a", "hang"), retry=RetryPolicy(), attempt_timeout=2) as env:
        outcome = await env.outcome()
        assert len(outcome.attempts) == 1
        assert isinstance(outcome.error, AllProvidersFailed)


async def test_retries_per_provider() -> None:
    """`retries_per_provider` retries the primary before the next one is attempted."""
    route = Route("default", ["a", "b"], retries_per_provider=1)
    async with harness("a", "b", routes=[route], retry=RetryPolicy(base=0.2)) as env:
        env["a"].then("error")
        outcome = await env.router.call_outcome("q")
        assert [record.provider for record in outcome.attempts] == ["a", "a"]
        assert outcome.attempts[1].why == "retry after server"
        env["a"].then(Fault("rate_limit", headers={"retry-after": "2"}))
        outcome = await env.router.call_outcome("q")
        assert (outcome.provider, outcome.elapsed >= 2) == ("a", True)
        env["a"].then("error", "error")
        outcome = await env.router.call_outcome("q")
        assert [record.provider for record in outcome.attempts] == ["a", "a", "b"]


FAULTS = [
    ("hang", False),
    ("reset", False),
    ("error", False),
    ("rate_limit", True),
    (REQUEST_FAULT, False),
]


@pytest.mark.parametrize(("fault", "fails_over"), FAULTS)
async def test_non_idempotent_call_is_not_retried(fault: Any, fails_over: bool) -> None:
    """`idempotent=False` denies another attempt after possible side effects."""
    async with harness(scripted("a", fault), "b", attempt_timeout=2, retry=RetryPolicy()) as env:
        outcome = await env.outcome("a", "b", idempotent=False)
        assert (env["b"].count == 1) is fails_over
        assert outcome.ok is fails_over
        if fault not in (REQUEST_FAULT, "rate_limit"):
            assert "no retry: idempotent=False" in str(outcome.error)
            assert env.total("retries_denied_total", reason="not_idempotent") == 1


async def test_unsent_request_is_retried() -> None:
    """`idempotent=False` allows another attempt when the request was certainly not sent."""
    async with harness(scripted("a", ConnectionRefusedError()), "b") as env:
        assert await env.call("a", "b", idempotent=False) == "b: q"


async def test_context_length_fails_over_to_larger_windows() -> None:
    """A request beyond one context window goes to larger ones only, else the call fails."""
    too_long = Fault("error", status=400, message="maximum context length is 8 tokens")
    windows = {"small": 8, "other": 8, "large": 128}
    providers = [scripted(name, context_window=size) for name, size in windows.items()]
    async with harness(*providers) as env:
        env["small"].then(too_long)
        assert await env.call("small", "other", "large") == "large: q"
        assert env["other"].count == 0
        env["small"].then(too_long)
        env["large"].then(too_long)
        with pytest.raises(StatusError, match="maximum context length"):
            await env.call("small", "other", "large")


async def test_providers_at_their_limit_are_retried() -> None:
    """A failed call that finds the others at their limit backs off, and attempts them."""
    full = scripted("b", limits=LimitPolicy(in_flight=1), latency=1.0)
    async with harness("a", full, retry=RetryPolicy(base=2.0, cap=2.0)) as env:
        await env.start("b")
        env["a"].then("error")
        outcome = await env.outcome("a", "b")
        assert outcome.ok
        env.router.hold("a", "open")
        await env.start("b")
        assert isinstance((await env.outcome("a", "b")).error, NoProviderAvailable)
