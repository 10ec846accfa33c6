"""Health checks: the user's own `health_check=` as the trial of a half-open circuit."""

from __future__ import annotations

import asyncio
import gc
import weakref
from itertools import pairwise
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import (
    CircuitPolicy,
    FailureKind,
    LimitPolicy,
    MultiProviderRouter,
    Provider,
    ProviderError,
    RetryPolicy,
    Route,
)
from multirouter.core.failures.classify import Classifier
from multirouter.testing import Fault, StatusError
from tests.scenarios.harness import (
    REQUEST_FAULT,
    TRIPS_AT_ONCE,
    Harness,
    Logger,
    harness,
    scripted,
)


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


async def test_a_health_check_that_returns_false_has_failed() -> None:
    """As if it had raised, also with 0, which the text names; None means that it is healthy."""
    answers: list[object] = [0, None]

    async def check() -> object:
        return answers.pop(0)

    async with harness(scripted("a", health_check=check), "b", circuit=TRIPS_AT_ONCE) as env:
        await until_half_open(env)
        assert env.state("a") == "open"
        record = env.records("a")[-1]
        assert (record.outcome, record.verdict.reason) == (
            "failure",
            "health check returned 0",
        )
        assert "health_check= of 'a' returned 0" in str(record.error)
        await anyio.sleep(10)
        assert (env.state("a"), answers) == ("closed", [])


@pytest.mark.parametrize("healthy", [True, False])
async def test_a_health_check_that_returns_no_awaitable(healthy: bool) -> None:
    """Where the kind of a function cannot be known, what it returns counts, awaited or not."""
    check = lambda: healthy  # noqa: E731 - a plain function is refused
    async with harness(scripted("a", health_check=check), "b", circuit=TRIPS_AT_ONCE) as env:
        await until_half_open(env)
        assert env.state("a") == ("closed" if healthy else "open")


# ── nothing ends the health checks but a closed circuit ─────────────────────────────────────────


HOLDS = ("open", "closed", "disabled", "metrics_only")


async def assert_recovers(env: Harness, within: float) -> None:
    """The healthy provider's circuit closes in this time, while calls are made each second."""
    for _ in range(round(within)):
        if env.state("a") == "closed":
            return
        await env.call()
        await anyio.sleep(1)
    assert env.state("a") == "closed"


@pytest.mark.parametrize("hold", HOLDS)
@pytest.mark.parametrize("held_at", [1.0, 10.2])
async def test_checks_go_on_after_a_hold(hold: Any, held_at: float) -> None:
    """A hold over the half-open time, or of a half-open circuit, only delays the health checks."""
    check = ScriptedHealthCheck(error(400))
    async with harness(scripted("a", health_check=check), "b", circuit=TRIPS_AT_ONCE) as env:
        await env.fail("a")
        await anyio.sleep(held_at)
        env.router.hold("a", hold)
        await anyio.sleep(60)
        assert len(check.called_at) <= 1
        env.router.unhold("a")
        await assert_recovers(env, within=12)


async def test_checks_wait_for_a_cooldown() -> None:
    """A 429 of a late attempt, which lasts beyond the half-open time, only delays them."""
    check = ScriptedHealthCheck()
    async with harness(scripted("a", health_check=check), "b", circuit=TRIPS_AT_ONCE) as env:
        env["a"].then(Fault("rate_limit", after=2.0, headers={"retry-after": "30"}))
        late = await env.start("a")
        await env.fail("a")
        await late.end()
        start = anyio.current_time()
        await anyio.sleep(29.9)
        assert (env.state("a"), check.called_at) == ("half_open", [])
        await anyio.sleep(0.2)
        assert (env.state("a"), check.called_at) == ("closed", [pytest.approx(start + 30)])


async def test_checks_recover_from_a_burst_of_rate_limits() -> None:
    """By the default settings: of 30 calls at once some get 503, the others 429."""
    check = ScriptedHealthCheck()
    provider = scripted("a", weight=5, health_check=check)
    async with harness(provider, "b", circuit=CircuitPolicy()) as env:
        limited = Fault("rate_limit", after=0.1, headers={"retry-after": "30"})
        env["a"].then(*[Fault("error", after=0.05)] * 4, *[limited] * 26)
        callers = [env.start_soon() for _ in range(30)]
        [await caller.end() for caller in callers]
        assert env.state("a") == "open"
        await assert_recovers(env, within=40)


async def test_checks_wait_for_a_budget_or_a_limit() -> None:
    """A provider whose limit is used up when its check is due is checked later."""
    check = ScriptedHealthCheck()
    one = LimitPolicy(requests_per_minute=4, burst=1 / 4)
    provider = scripted("a", health_check=check, limits=one)
    async with harness(provider, "b", circuit=TRIPS_AT_ONCE) as env:
        await env.fail("a")
        await anyio.sleep(10.1)
        assert (env.state("a"), check.called_at) == ("half_open", [])
        await anyio.sleep(10)
        assert env.state("a") == "closed"


@pytest.mark.parametrize("at", [3.0, 15.0])
async def test_a_provider_gets_a_health_check_while_it_is_out(at: float) -> None:
    """`reconfigure` and `update` may add the health check while the circuit is open, or later."""
    for change in ("reconfigure", "update"):
        check = ScriptedHealthCheck()
        async with harness("a", "b", circuit=TRIPS_AT_ONCE) as env:
            await env.fail("a")
            await anyio.sleep(at)
            if change == "update":
                env.router.update("a", health_check=check)
            else:
                a, b = env.router.providers
                env.router.reconfigure([a.replace(health_check=check), b])
            await anyio.sleep(max(0.0, 10 - at) + 0.1)
            assert (env.state("a"), len(check.called_at)) == ("closed", 1)


async def test_an_update_does_not_end_a_health_check() -> None:
    """An update while a check runs leaves it; a removed provider's check is cancelled."""
    check = ScriptedHealthCheck(hangs=True)
    async with harness(scripted("a", health_check=check), "b", circuit=TRIPS_AT_ONCE) as env:
        await until_half_open(env)
        env.router.update("a", weight=2)
        await anyio.sleep(1)
        assert env.router.in_flight("a") == 1
        a = env.router.providers[0]
        env.router.remove("a")
        await anyio.sleep(0.1)
        assert env.records("a")[-1].outcome == "cancelled"
        env.router.add(a)
        check.hangs = False
        await until_half_open(env)
        assert (env.state("a"), len(check.called_at)) == ("closed", 2)


@pytest.mark.backends("asyncio", "uvloop")
@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("at", [5.0, 10.0])
async def test_checks_survive_a_party_that_cancels_all_tasks(begun: bool, at: float) -> None:
    """A fixture or supervisor that cancels all tasks ends one check at most."""
    check = ScriptedHealthCheck(hangs=True)
    async with harness(scripted("a", health_check=check), "b", circuit=TRIPS_AT_ONCE) as env:
        await env.fail("a")
        await anyio.sleep(at - 0.001)
        while at == 10.0 and not env.router._engine.half_open_timers._checks:
            await asyncio.sleep(0.0001)
        await asyncio.sleep(0.1 if begun else 0)
        ours = [t for t in asyncio.all_tasks() if t.get_name().startswith("multirouter")]
        for task in ours:
            task.cancel()
        check.hangs = False
        await anyio.sleep(0.1)
        await assert_recovers(env, within=25)
        assert env.router.in_flight("a") == 0


async def test_a_provider_of_ad_hoc_routes_only_is_checked() -> None:
    """One that no configured route has, and one that only streams, are checked too."""
    check = ScriptedHealthCheck()

    async def broken(request: object) -> Any:
        raise ConnectionResetError
        yield request

    routes = [Route("default", ["b"]), Route("mixed", ["b", "streams"])]
    streams = Provider("streams", stream=broken, health_check=check)
    async with harness(
        scripted("a", health_check=check), "b", streams, circuit=TRIPS_AT_ONCE, routes=routes
    ) as env:
        await env.fail("a")
        with pytest.raises(Exception, match="all attempts"):
            await env.router.stream("q", route=["streams"])
        await anyio.sleep(10.1)
        assert (env.state("a"), env.state("streams")) == ("closed", "closed")


async def test_a_check_that_fails_in_the_library_keeps_its_distance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An error that is not the provider's is logged, and the next check comes after a pause."""
    check = ScriptedHealthCheck(*[ValueError()] * 2)
    broken = [True, True]

    def classify_error(self: Classifier, error: BaseException) -> Any:
        broken.pop()
        raise RuntimeError("a fault of the library")

    async with harness(scripted("a", health_check=check), "b", circuit=TRIPS_AT_ONCE) as env:
        await env.fail("a")
        monkeypatch.setattr(Classifier, "classify_error", classify_error)
        await anyio.sleep(29)
        assert (broken, len(env.logger.of("background task failed"))) == ([], 2)
        await anyio.sleep(2)
        assert (env.state("a"), env.router.in_flight("a")) == ("closed", 0)


@pytest.mark.backends("asyncio", "uvloop")
async def test_a_dropped_router_ends_its_health_checks() -> None:
    """A router that was dropped without being closed is freed, and checks nothing any more."""
    check = ScriptedHealthCheck(*[error(503) for _ in range(1000)])
    router = MultiProviderRouter(
        [scripted("a", "error", health_check=check)],
        circuit=TRIPS_AT_ONCE,
        retry=RetryPolicy(attempts=1),
        registry=CollectorRegistry(),
        logger=Logger(),
    )
    await router.call_outcome("q")
    await anyio.sleep(25)
    checks = len(check.called_at)
    assert checks == 2
    gone = weakref.ref(router)
    del router
    gc.collect()
    await anyio.sleep(100)
    assert (gone(), len(check.called_at)) == (None, checks)
