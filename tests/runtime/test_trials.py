"""Trials in the background: copies of calls, and the user's own `health_check=`."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import (
    CircuitPolicy,
    FailureKind,
    MultiProviderRouter,
    Provider,
    ProviderError,
    RetryPolicy,
    Route,
)
from multirouter.runtime.trials import MAX_BACKGROUND
from multirouter.testing import Fault, StatusError, VirtualClock
from tests.scenarios.harness import REQUEST_FAULT, TRIPS_AT_ONCE, Harness, Logger, harness, scripted

# ── copies of calls ───────────────────────────────────────────────────────────────────────────


async def test_no_caller_waits_for_a_recovering_provider() -> None:
    """A half-open provider that hangs gets copies; every call is answered at once by the others."""
    async with harness("a", "b", circuit=TRIPS_AT_ONCE, attempt_timeout=5) as env:
        await env.half_open("a")
        env["a"].then(*["hang"] * 100)
        before = env["a"].count
        for _ in range(40):
            outcome = await env.outcome()
            assert (outcome.provider, outcome.elapsed) == ("b", 0)
            await anyio.sleep(1)
        trials = env["a"].count - before
        assert 2 <= trials <= 4  # each hangs for 5 s and opens it for 10 s
        assert {r.role for r in env.records("a")[1:]} == {"trial"}
        assert all("trial of a half-open circuit" in r.why for r in env.records("a")[1:])


async def test_no_caller_of_a_chain_waits_for_a_recovering_primary() -> None:
    """The same when the first tier of a chain recovers."""
    async with harness("a", "b", circuit=TRIPS_AT_ONCE, attempt_timeout=5) as env:
        await env.half_open("a")
        env["a"].then("hang")
        outcome = await env.outcome("a", "b")
        assert (outcome.provider, outcome.elapsed) == ("b", 0)
        await anyio.sleep(1)
        assert env["a"].in_flight == 1


async def test_a_call_that_is_not_idempotent_is_the_trial_itself() -> None:
    """`idempotent=False`: the call itself is the trial, once, and nothing runs beside it."""
    async with harness("a", "b", circuit=TRIPS_AT_ONCE) as env:
        await env.half_open("a")
        outcome = await env.outcome(idempotent=False)
        assert outcome.provider == "a"
        assert (env["a"].count, env["b"].count) == (2, 0)
        assert env.state("a") == "closed"


async def test_a_failed_copy_opens_the_circuit_again() -> None:
    """A copy that fails opens the circuit again, without effect on its caller."""
    async with harness("a", "b", circuit=TRIPS_AT_ONCE) as env:
        await env.half_open("a")
        env["a"].then("error")
        outcome = await env.outcome()
        await anyio.sleep(0.1)
        assert outcome.ok
        assert [r.provider for r in outcome.attempts] == ["b"]
        assert env.state("a") == "open"


async def test_copies_need_retry_budget() -> None:
    """Without budget there is no copy, and calls go on as before."""
    retry = RetryPolicy(budget=0.0, budget_floor=0)
    async with harness("a", "b", circuit=TRIPS_AT_ONCE, retry=retry) as env:
        await env.half_open("a")
        for _ in range(20):
            assert (await env.outcome()).provider == "b"
        assert env["a"].count == 1


async def test_a_copy_outlasts_its_call() -> None:
    """Its deadline is the attempt's own, not that of a call with a short timeout."""
    async with harness("a", "b", circuit=TRIPS_AT_ONCE) as env:
        await env.half_open("a")
        env["a"].then(Fault("slow", after=8.0))
        await env.call(timeout=1)
        await anyio.sleep(8.5)
        assert env.state("a") == "closed"


async def test_background_copies_are_bounded() -> None:
    """When `MAX_BACKGROUND` copies hang, a further copy returns its permit."""
    policy = CircuitPolicy(
        failures=1, open_duration=10.0, growth=1.0, half_open_max_calls=MAX_BACKGROUND + 20
    )
    retry = RetryPolicy(budget_floor=10_000)
    async with harness("a", "b", circuit=policy, retry=retry) as env:
        await env.half_open("a")
        env["a"].then(*["hang"] * 500)
        callers = [env.start_soon() for _ in range(MAX_BACKGROUND + 10)]
        assert all([(await caller.end()).ok for caller in callers])
        await anyio.sleep(1)
        assert env["a"].in_flight == env.router.in_flight("a") == MAX_BACKGROUND


@pytest.mark.backends("asyncio", "uvloop")
def test_a_copy_that_never_began_returns_its_permit(virtual_clock: VirtualClock) -> None:
    """A run that ends before the copy's first step leaves no open trial to the next run."""

    async def instant(request: object) -> str:
        return "at once"

    settings: dict[str, Any] = {"registry": CollectorRegistry(), "logger": Logger()}
    providers = [scripted("a", "error"), Provider("b", instant)]
    router = MultiProviderRouter(providers, circuit=TRIPS_AT_ONCE, **settings)

    async def first() -> None:
        await router.call_outcome("q", route=["a"])
        await anyio.sleep(10.1)
        assert await router.call("q") == "at once"
        assert not router.available("a")

    async def second() -> None:
        assert await router.call("q") in {"at once", "a: q"}
        await anyio.sleep(0.1)
        assert (router.circuit_state("a"), router.in_flight("a")) == ("closed", 0)
        await router.aclose()

    virtual_clock.run(first)
    virtual_clock.run(second)


# ── health checks ─────────────────────────────────────────────────────────────────────────────


class ScriptedHealthCheck:
    """A `health_check=` that plays a script and records when it was called."""

    def __init__(self, *script: Any, hangs: bool = False) -> None:
        self.script = list(script)
        self.hangs = hangs
        self.called_at: list[float] = []

    async def __call__(self) -> None:
        self.called_at.append(anyio.current_time())
        if self.hangs:
            await anyio.sleep_forever()
        if self.script:
            step = self.script.pop(0)
            if step is not None:
                raise step


def error(status: int) -> StatusError:
    return StatusError("trial", status=status, headers={})


async def until_half_open(env: Harness) -> None:
    """Opens `a` and waits until just after it half-opens."""
    await env.fail("a")
    await anyio.sleep(10.1)


async def test_a_health_check_closes_the_circuit_without_calls() -> None:
    """When the circuit half-opens the health check is the trial; one success closes it."""
    check = ScriptedHealthCheck()
    async with harness(scripted("a", health_check=check), "b", circuit=TRIPS_AT_ONCE) as env:
        start = anyio.current_time()
        await until_half_open(env)
        assert env.state("a") == "closed"
        assert check.called_at == [pytest.approx(start + 10, abs=0.01)]
        record = env.records("a")[-1]
        assert (record.role, record.why, record.ok) == (
            "trial",
            "the provider's health_check=",
            True,
        )


async def test_a_health_check_runs_half_open_max_calls_times() -> None:
    """With `half_open_max_calls=3` it takes three successes."""
    check = ScriptedHealthCheck()
    policy = CircuitPolicy(failures=1, open_duration=10.0, growth=1.0, half_open_max_calls=3)
    async with harness(scripted("a", health_check=check), "b", circuit=policy) as env:
        await until_half_open(env)
        assert (env.state("a"), len(check.called_at)) == ("closed", 3)


async def test_calls_are_no_trials_where_a_health_check_exists() -> None:
    """While the health check runs, no call and no copy of one is a trial of the provider."""
    check = ScriptedHealthCheck(hangs=True)
    async with harness(
        scripted("a", health_check=check), "b", circuit=TRIPS_AT_ONCE, attempt_timeout=5
    ) as env:
        await until_half_open(env)
        assert env.state("a") == "half_open"
        for _ in range(5):
            assert (await env.outcome()).provider == "b"
        assert env["a"].count == 1


async def test_a_hanging_health_check_times_out() -> None:
    """After `attempt_timeout` it has failed, and the circuit is open again."""
    check = ScriptedHealthCheck(hangs=True)
    async with harness(
        scripted("a", health_check=check), "b", circuit=TRIPS_AT_ONCE, attempt_timeout=5
    ) as env:
        await until_half_open(env)
        await anyio.sleep(5)
        assert env.state("a") == "open"
        assert str(env.records("a")[-1].verdict.kind) == "timeout"
        await anyio.sleep(10.1)
        assert len(check.called_at) == 2


async def test_a_health_check_takes_at_most_20_seconds() -> None:
    """Also with a long `attempt_timeout` a health check begins within 30 s of the last."""
    check = ScriptedHealthCheck(hangs=True)
    policy = CircuitPolicy(failures=1)
    async with harness(
        scripted("a", health_check=check), "b", circuit=policy, attempt_timeout=120
    ) as env:
        await env.fail("a")
        await anyio.sleep(300)
        gaps = [later - sooner for sooner, later in pairwise(check.called_at)]
        assert len(gaps) >= 10
        assert max(gaps) < 30


async def test_a_failed_health_check_opens_the_circuit_again() -> None:
    """The next one comes after the next open duration."""
    check = ScriptedHealthCheck(error(503), error(503))
    async with harness(scripted("a", health_check=check), "b", circuit=TRIPS_AT_ONCE) as env:
        start = anyio.current_time()
        await until_half_open(env)
        assert env.state("a") == "open"
        await anyio.sleep(20)
        assert env.state("a") == "closed"
        assert [round(at - start) for at in check.called_at] == [10, 20, 30]


@pytest.mark.parametrize("neutral", [error(400), error(404), error(429)], ids=str)
async def test_a_neutral_health_check_is_repeated_after_a_pause(neutral: Exception) -> None:
    """A neutral result neither closes nor opens the circuit."""
    check = ScriptedHealthCheck(neutral)
    async with harness(scripted("a", health_check=check), "b", circuit=TRIPS_AT_ONCE) as env:
        await until_half_open(env)
        assert (env.state("a"), len(check.called_at)) == ("half_open", 1)
        await anyio.sleep(15)
        assert (env.state("a"), len(check.called_at)) == ("closed", 2)


@pytest.mark.backends("asyncio", "uvloop")
async def test_a_health_check_that_raises_cancelled_error_has_failed() -> None:
    """A CancelledError although no task was cancelled is a failure, and does not loop for ever."""
    check = ScriptedHealthCheck(asyncio.CancelledError())
    async with harness(scripted("a", health_check=check), "b", circuit=TRIPS_AT_ONCE) as env:
        await until_half_open(env)
        assert (env.state("a"), len(check.called_at)) == ("open", 1)


async def test_a_provider_released_from_a_hold_is_checked() -> None:
    """One that was held open is checked as soon as it is released."""
    check = ScriptedHealthCheck()
    async with harness(scripted("a", health_check=check), "b", circuit=TRIPS_AT_ONCE) as env:
        env.router.hold("a", "open")
        await anyio.sleep(1)
        env.router.unhold("a")
        await env.call()
        await anyio.sleep(1)
        assert (env.state("a"), len(check.called_at)) == ("closed", 1)


async def test_closing_the_router_cancels_a_health_check() -> None:
    """The cancelled health check is neutral."""
    check = ScriptedHealthCheck(hangs=True)
    async with harness(scripted("a", health_check=check), "b", circuit=TRIPS_AT_ONCE) as env:
        await until_half_open(env)
        await env.router.aclose()
        assert env.records("a")[-1].outcome == "cancelled"


async def test_a_passed_health_check_serves_waiting_calls() -> None:
    """A call that waits for the only provider is admitted when its health check has passed."""
    async with harness(
        scripted("a", health_check=ScriptedHealthCheck()), circuit=TRIPS_AT_ONCE
    ) as env:
        await env.fail("a")
        outcome = await env.outcome(wait=60)
        assert outcome.elapsed == pytest.approx(10, abs=0.1)


async def test_a_provider_on_named_routes_only_is_checked() -> None:
    """The health check runs though the `default` route does not have the provider."""
    check = ScriptedHealthCheck()
    routes = [Route("default", ["b"]), Route("other", ["a"])]
    async with harness(
        scripted("a", health_check=check), "b", circuit=TRIPS_AT_ONCE, routes=routes
    ) as env:
        await until_half_open(env)
        assert (env.state("a"), len(check.called_at)) == ("closed", 1)


async def test_a_copy_that_cannot_be_awaited_is_logged() -> None:
    """It harms no call, and the permit of the trial is returned."""

    def plain(request: object) -> Any:
        return "not awaitable"

    async with harness("a", "b", circuit=TRIPS_AT_ONCE) as env:
        await env.half_open("a")
        env.router.update("a", call=plain)
        assert await env.call() == "b: q"
        await anyio.sleep(0.1)
        assert env.logger.of("background task failed")
        assert env.router.in_flight("a") == 0
        assert env.router.available("a")


async def test_health_checks_use_the_kind_of_an_adapters_error() -> None:
    """Invalid credentials in a health check open the circuit for `exhausted_duration`."""
    bad = ProviderError("401", provider="a", kind=FailureKind.CREDENTIALS, status=401)
    async with harness(
        scripted("a", health_check=ScriptedHealthCheck(bad)), "b", circuit=TRIPS_AT_ONCE
    ) as env:
        await until_half_open(env)
        assert env.provider_snapshot("a")["half_open_in"] == pytest.approx(300, abs=0.2)
        assert env.recorder.of("circuit_changed")[-1].reason == "credentials"


async def test_a_call_is_the_trial_when_no_other_provider_is_left() -> None:
    """After a neutral health check, without a healthy provider, a call may be the trial."""
    check = ScriptedHealthCheck(error(400))
    async with harness(scripted("a", health_check=check), circuit=TRIPS_AT_ONCE) as env:
        await until_half_open(env)
        assert env.state("a") == "half_open"
        env["a"].then(REQUEST_FAULT)
        assert not (await env.outcome()).ok
        assert await env.call() == "a: q"
        assert env.state("a") == "closed"
