"""Trials in the background: copies of calls."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import (
    CircuitPolicy,
    HedgePolicy,
    LimitPolicy,
    MultiProviderRouter,
    Provider,
    RetryPolicy,
)
from multirouter.runtime.recovery.trials import MAX_BACKGROUND
from multirouter.testing import Answer, Fault, VirtualClock
from tests.scenarios.harness import TRIPS_AT_ONCE, Logger, harness, scripted


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


@pytest.mark.backends("asyncio", "uvloop")
@pytest.mark.parametrize("hedge", [None, HedgePolicy(after=5)])
async def test_a_task_cancelled_before_its_first_step_returns_its_permit(
    hedge: HedgePolicy | None,
) -> None:
    """A party that cancels all tasks leaves no permit behind, of a copy, a racer or a call."""
    one = LimitPolicy(in_flight=1)
    providers = scripted("a", limits=one), scripted("b", limits=one)
    async with harness(*providers, circuit=TRIPS_AT_ONCE, hedge=hedge) as env:
        await env.half_open("a")
        env["b"].then(Answer(after=0.1))
        before = asyncio.all_tasks()
        call = asyncio.create_task(env.call())
        await asyncio.sleep(0)
        for task in asyncio.all_tasks() - before:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (env["a"].count, env["a"].in_flight) == (1, 0)
        assert (env.router.in_flight("a"), env.router.in_flight("b")) == (0, 0)
        assert env.router.available("a")
        assert (await env.outcome()).ok
        await anyio.sleep(0.1)
        assert env.state("a") == "closed"
