"""Section B: a half-open circuit and its trials."""

from __future__ import annotations

from random import Random
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import CircuitPolicy, LimitPolicy, NoProviderAvailable, Route
from multirouter.testing import Answer, Fault, StatusError
from tests.scenarios.harness import REQUEST_FAULT, TRIPS_AT_ONCE, Harness, harness, scripted


def trials(number: int, **settings: Any) -> CircuitPolicy:
    """Circuit policy with this many trials that opens at the first failure."""
    return CircuitPolicy(
        failures=1, open_duration=10.0, growth=1.0, half_open_max_calls=number, **settings
    )


async def test_concurrent_calls_get_limited_trials() -> None:
    """Case 11: of 50 calls at once two are admitted as trials, and 48 are rejected at once.

    That is so with `half_open_wait=0`; tests/runtime/test_half_open_wait.py has the default.
    """
    async with harness(scripted("a", latency=1.0), circuit=trials(2, half_open_wait=0)) as env:
        await env.half_open("a")
        before = env["a"].count
        callers = [env.start_soon() for _ in range(50)]
        outcomes = [await caller.end() for caller in callers]
        assert env["a"].count - before == 2
        assert sum(outcome.ok for outcome in outcomes) == 2
        rejected = [o for o in outcomes if isinstance(o.error, NoProviderAvailable)]
        assert len(rejected) == 48
        assert all(outcome.elapsed == 0 for outcome in rejected)
        assert env.state("a") == "closed"


async def test_concurrent_calls_are_served_elsewhere() -> None:
    """Case 11: beside a healthy provider the two trials run in the background."""
    async with harness(scripted("a", latency=1.0), "b", circuit=trials(2)) as env:
        await env.half_open("a")
        before = env["a"].count
        callers = [env.start_soon() for _ in range(50)]
        assert {(await caller.end()).provider for caller in callers} == {"b"}
        await anyio.sleep(1.1)
        assert env["a"].count - before == 2
        assert {record.role for record in env.records("a")[1:]} == {"trial"}
        assert env.state("a") == "closed"


async def test_cancelled_trial_returns_its_permit() -> None:
    """Case 12: it is half-open as before, and the next call is the trial."""
    async with harness(scripted("a"), circuit=trials(1)) as env:
        await env.half_open("a")
        env["a"].then("hang")
        caller = await env.start()
        assert not env.router.available("a")
        await caller.cancel()
        assert (env.state("a"), env.router.available("a")) == ("half_open", True)
        assert await env.call() == "a: q"
        assert env.recorder.transitions("a")[-1] == "half_open > closed"


async def test_neutral_trial_decides_nothing() -> None:
    """Case 13: a faulty request leaves it half-open, and the next call is the trial."""
    async with harness("a", circuit=trials(1)) as env:
        await env.half_open("a")
        for _ in range(3):
            env["a"].then(REQUEST_FAULT)
            with pytest.raises(StatusError):
                await env.call()
            assert (env.state("a"), env.router.available("a")) == ("half_open", True)
        assert await env.call() == "a: q"
        assert env.state("a") == "closed"


async def test_trial_that_never_ends_loses_its_permit() -> None:
    """Case 14: after the lease, the attempt's timeout and a second, another trial is admitted."""
    release = anyio.Event()
    hang_next: list[bool] = []

    async def uncancellable(request: object) -> str:
        stuck = bool(hang_next)
        while stuck and not release.is_set():
            try:
                with anyio.CancelScope(shield=True):
                    await release.wait()
            except anyio.get_cancelled_exc_class():
                continue
        return "fine"

    async with harness("b", circuit=trials(1, half_open_wait=0), attempt_timeout=5) as env:
        env.router.add(scripted("a").replace(call=uncancellable))
        env.router.hold("a", "open")
        env.router.unhold("a")
        hang_next.append(True)
        caller = await env.start("a")
        hang_next.clear()
        await anyio.sleep(5.9)
        rejected = await env.outcome("a")
        assert isinstance(rejected.error, NoProviderAvailable)
        await anyio.sleep(0.1)
        assert await env.call("a") == "fine"
        assert env.state("a") == "closed"
        release.set()
        await caller.end()
        assert [record.late for record in env.records("a")] == [False, True]
        assert env.state("a") == "closed"


async def test_one_failed_trial_of_three_opens_it_again() -> None:
    """Case 15: any failed trial opens it again, once, with one event."""
    async with harness(scripted("a", latency=1.0), circuit=trials(3)) as env:
        await env.half_open("a")
        env["a"].then(Answer(), Answer(), Fault("error", after=2.0))
        callers = [await env.start() for _ in range(3)]
        assert [(await caller.end()).ok for caller in callers] == [True, True, False]
        assert env.state("a") == "open"
        assert env.recorder.transitions("a")[2:] == ["half_open > open"]


async def test_all_trials_must_pass() -> None:
    """Case 15: three successes close it, the third and not an earlier one."""
    async with harness("a", circuit=trials(3)) as env:
        await env.half_open("a")
        states = []
        for _ in range(3):
            await env.call()
            states.append(env.state("a"))
        assert states == ["half_open", "half_open", "closed"]


async def test_late_success_of_another_trial_is_ignored() -> None:
    """Case 16: once a trial has failed, the success of the other one is late."""
    async with harness("a", circuit=trials(2)) as env:
        await env.half_open("a")
        env["a"].then(Fault("error", after=1.0), Answer(after=2.0))
        callers = [await env.start() for _ in range(2)]
        assert [(await caller.end()).ok for caller in callers] == [False, True]
        assert env.state("a") == "open"
        assert [record.late for record in env.records("a")[1:]] == [False, True]


async def test_reading_takes_no_permit() -> None:
    """Case 17: after every way of reading the state, the only permit is still free."""
    async with harness("a", circuit=trials(1)) as env:
        await env.half_open("a")
        for _ in range(5):
            env.router.explain()
            env.router.snapshot()
            repr(env.router)
            assert env.router.available("a")
            env.total("available")
        assert await env.call() == "a: q"


async def test_only_the_chosen_provider_takes_a_permit() -> None:
    """Case 17: of two half-open providers one is tried, and the other keeps its permit."""
    async with harness(
        scripted("a", latency=1.0), scripted("b", latency=1.0), circuit=trials(1)
    ) as env:
        await env.fail("b")
        await env.half_open("a")
        caller = await env.start(idempotent=False)
        free = [name for name in "ab" if env.router.available(name)]
        assert len(free) == 1
        assert (await caller.end()).provider not in free


@pytest.mark.parametrize("owner", ["provider", "route", "router"])
async def test_trial_rejected_by_a_limit_returns_its_permit(owner: str) -> None:
    """Case 18: while a limit rejects no permit is held, and the trial starts when it admits."""
    limit = LimitPolicy(requests_per_minute=60, burst=1 / 60)
    limits = {owner: limit}
    route = Route("default", ["a"], limits=limits.get("route"))
    async with harness(
        scripted("a", limits=limits.get("provider")),
        routes=[route],
        limits=limits.get("router"),
        circuit=trials(1),
    ) as env:
        env["a"].then("error")
        assert not (await env.router.call_outcome("q")).ok
        await anyio.sleep(10)
        env["a"].then(REQUEST_FAULT)
        assert isinstance((await env.router.call_outcome("q")).error, StatusError)
        rejected = await env.router.call_outcome("q")
        assert isinstance(rejected.error, NoProviderAvailable)
        assert "requests_per_minute used up" in rejected.error.states["a"]
        assert rejected.error.retry_after == pytest.approx(1)
        await anyio.sleep(1)
        assert await env.router.call("q") == "a: q"
        assert env.state("a") == "closed"


async def next_open_duration(env: Harness) -> float:
    """Fails once more, waits for half-open, and returns the open duration."""
    await env.fail("a")
    duration: float = env.recorder.of("circuit_changed")[-1].open_duration
    await anyio.sleep(duration)
    return duration


async def test_open_duration_grows_to_its_cap_and_resets() -> None:
    """Case 19: 5, 10, 20, 20 s and up to a fifth more by jitter; after recovery 5 s again."""
    policy = CircuitPolicy(failures=1, open_duration=5.0, growth=2.0, max_open_duration=20.0)
    async with harness("a", circuit=policy) as env:
        for base in (5, 10, 20, 20):
            duration = await next_open_duration(env)
            assert base <= duration <= base * 1.2
            assert duration != base
        await env.call()
        assert env.state("a") == "closed"
        await anyio.sleep(policy.window)
        assert 5 <= await next_open_duration(env) <= 6


async def test_relapse_keeps_the_longer_duration() -> None:
    """Case 19: a circuit that closed a moment ago continues with the longer open duration."""
    policy = CircuitPolicy(failures=1, open_duration=5.0, growth=2.0, jitter=0.0)
    async with harness("a", circuit=policy) as env:
        assert await next_open_duration(env) == 5
        await env.call()
        await anyio.sleep(1)
        assert await next_open_duration(env) == 10


@pytest.mark.backends("asyncio")
async def test_jitter_spreads_the_trials_of_many_routers() -> None:
    """Case 20: of 100 circuits that opened at once, the half-open times spread."""
    policy = CircuitPolicy(failures=1, open_duration=10.0, jitter=0.5)
    registry = CollectorRegistry()
    half_open_times = []
    for seed in range(100):
        env = Harness(("a",), {"circuit": policy, "registry": registry, "rng": Random(seed)})
        async with env.router:
            await env.fail("a")
            half_open_times.append(env.provider_snapshot("a")["half_open_in"])
    assert all(10 <= time <= 15 for time in half_open_times)
    tenths = {int((time - 10) / 0.5) for time in half_open_times}
    assert tenths == set(range(10))


@pytest.mark.parametrize("idempotent", [True, False])
async def test_small_weight_gets_its_trial(idempotent: bool) -> None:
    """Case 21: with a thousandth of the weight the next call starts its trial all the same."""
    async with harness(
        scripted("a", weight=1), scripted("b", weight=999), circuit=TRIPS_AT_ONCE
    ) as env:
        await env.half_open("a")
        await env.router.call("q", idempotent=idempotent)
        await anyio.sleep(0.1)
        assert env.state("a") == "closed"
        assert env.records("a")[-1].role == ("trial" if idempotent else "call")


async def test_recovered_provider_ramps_up() -> None:
    """Case 22: it starts with a tenth of its weight and has all of it after `ramp` seconds."""
    async with harness("a", "b", circuit=trials(1, ramp=10.0)) as env:
        await env.half_open("a")
        await env.call("a")
        shares = []
        for _ in range(3):
            shares.append(env.router.explain().tiers[0][0].share)
            await anyio.sleep(5)
        assert shares == pytest.approx([0.1 / 1.1, 0.5 / 1.5, 0.5], abs=0.02)
        callers = [await env.outcome() for _ in range(400)]
        assert 140 <= sum(c.provider == "a" for c in callers) <= 260
