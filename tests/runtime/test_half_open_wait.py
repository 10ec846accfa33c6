"""The recovery of the only provider that can serve: calls wait for its trial, and join it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import anyio
import pytest

from multirouter import (
    Budget,
    CircuitPolicy,
    LimitPolicy,
    NoProviderAvailable,
    Price,
    Provider,
    RetryPolicy,
)
from multirouter.testing import Answer, Fault
from tests.scenarios.harness import TRIPS_AT_ONCE, Caller, Harness, harness, scripted

STRICT = replace(TRIPS_AT_ONCE, half_open_wait=0)


async def one_call_each(env: Harness, interval: float, number: int) -> list[Caller]:
    """Starts so many calls, one per interval."""
    callers = []
    for _ in range(number):
        callers.append(env.start_soon())
        await anyio.sleep(interval)
    return callers


async def test_calls_at_once_wait_for_the_trial() -> None:
    """Case 11: of 50 calls exactly one reaches the provider; the others follow when it passed."""
    async with harness(scripted("a", latency=0.5), circuit=TRIPS_AT_ONCE) as env:
        await env.half_open("a")
        callers = [env.start_soon() for _ in range(50)]
        await anyio.sleep(0.4)
        assert (env["a"].in_flight, env.state("a")) == (1, "half_open")
        outcomes = [await caller.end() for caller in callers]
        assert all(outcome.ok for outcome in outcomes)
        assert sorted({round(outcome.elapsed, 2) for outcome in outcomes}) == [0.5, 1.0]


async def test_a_failed_trial_rejects_the_waiting_calls_at_once() -> None:
    """They end with the trial, each with the provider's next half-open time."""
    async with harness("a", circuit=TRIPS_AT_ONCE) as env:
        await env.half_open("a")
        env["a"].then(Fault("error", after=0.5))
        callers = [env.start_soon() for _ in range(5)]
        outcomes = [await caller.end() for caller in callers]
        rejected = [o.error for o in outcomes if isinstance(o.error, NoProviderAvailable)]
        assert len(rejected) == 4
        assert {outcome.elapsed for outcome in outcomes} == {0.5}
        assert [error.retry_after for error in rejected] == [pytest.approx(10, abs=0.6)] * 4
        assert env["a"].count == 2


async def test_calls_join_a_long_trial_and_close_the_circuit() -> None:
    """While a long answer is the trial, a later call that succeeds closes the circuit."""
    async with harness(scripted("a", latency=0.1), circuit=TRIPS_AT_ONCE) as env:
        await env.half_open("a")
        env["a"].then(Answer(after=20.0))
        trial = await env.start()
        callers = await one_call_each(env, 0.5, 8)
        outcomes = [await caller.end() for caller in callers]
        assert all(outcome.ok for outcome in outcomes)
        assert max(outcome.elapsed for outcome in outcomes) < 1.2
        assert env.state("a") == "closed"
        assert (await trial.end()).ok


async def test_a_hanging_provider_gets_few_of_the_waiting_calls() -> None:
    """One call a second joins, the others wait five seconds and are rejected without a promise."""
    async with harness("a", circuit=TRIPS_AT_ONCE, attempt_timeout=30) as env:
        await env.half_open("a")
        env["a"].then(*["hang"] * 100)
        before = env["a"].count
        callers = await one_call_each(env, 0.1, 200)
        assert env["a"].count - before == pytest.approx(20, abs=1)
        outcomes = [await caller.end() for caller in callers]
        rejected = [o for o in outcomes if isinstance(o.error, NoProviderAvailable)]
        assert len(rejected) == 200 - (env["a"].count - before)
        assert [o.elapsed for o in rejected] == pytest.approx([5.0] * len(rejected), abs=0.01)
        assert {o.error.retry_after for o in rejected} == {None}  # type: ignore[union-attr]


async def test_half_open_wait_zero_is_strict() -> None:
    """With `half_open_wait=0` the trial is alone until its lease ends, and its end is unknown."""
    async with harness("a", circuit=STRICT, attempt_timeout=5) as env:
        await env.half_open("a")
        env["a"].then("hang")
        trial = await env.start()
        callers = await one_call_each(env, 0.5, 9)
        outcomes = [await caller.end() for caller in callers]
        assert {type(outcome.error) for outcome in outcomes} == {NoProviderAvailable}
        assert {outcome.elapsed for outcome in outcomes} == {0.0}
        assert {o.error.retry_after for o in outcomes} == {None}  # type: ignore[union-attr]
        assert not (await trial.end()).ok


async def test_no_call_waits_where_another_provider_serves() -> None:
    """Beside a healthy provider calls neither wait for the trial nor join it."""
    async with harness("a", "b", circuit=TRIPS_AT_ONCE) as env:
        await env.half_open("a")
        env["a"].then("hang")
        before = env["a"].count
        callers = await one_call_each(env, 0.5, 20)
        outcomes = [await caller.end() for caller in callers]
        assert {(outcome.provider, outcome.elapsed) for outcome in outcomes} == {("b", 0.0)}
        assert env["a"].count - before == 1


async def test_a_failed_over_call_joins_the_last_provider() -> None:
    """When its first choice failed, and the other one is in a long trial, the call joins that."""
    async with harness("a", "b", circuit=TRIPS_AT_ONCE, retry=RetryPolicy()) as env:
        await env.half_open("a")
        env["a"].then(Answer(after=20.0), Answer(after=0.1))
        await env.start("a")
        await anyio.sleep(1.5)
        env["b"].then(Fault("error", status=404))
        outcome = await env.outcome("b", "a")
        assert [record.provider for record in outcome.attempts] == ["b", "a"]
        assert outcome.ok


async def test_idempotent_false_does_not_join_beside_others() -> None:
    """A call that must not be copied is a trial itself, but joins none while another serves."""
    async with harness("a", "b", circuit=TRIPS_AT_ONCE) as env:
        await env.half_open("a")
        env["a"].then("hang")
        before = env["a"].count
        await env.start(idempotent=False)
        await anyio.sleep(3)
        assert (await env.outcome(idempotent=False)).provider == "b"
        assert env["a"].count - before == 1


async def test_an_open_circuit_is_not_waited_for() -> None:
    """Case 56: without a trial to wait for, calls are rejected at once."""
    async with harness("a", circuit=TRIPS_AT_ONCE) as env:
        await env.fail("a")
        outcome = await env.outcome()
        assert (outcome.elapsed, outcome.result) == (0.0, "rejected")


# ── streams ──────────────────────────────────────────────────────────────────────────────────────


class Dripping:
    """A provider that fails while it is down, and then streams slowly."""

    def __init__(self) -> None:
        self.down = True
        self.started = 0

    async def stream(self, request: Any) -> Any:
        self.started += 1
        if self.down:
            raise ConnectionResetError("down")
        for number in range(16):
            yield f"word {number} "
            await anyio.sleep(0.5)

    async def call(self, request: Any) -> str:
        if self.down:
            raise ConnectionResetError("down")
        return "whole"


async def test_a_stream_that_flows_counts_as_recovering() -> None:
    """While the trial's stream delivers, a call is served at once and closes the circuit."""
    service = Dripping()
    provider = Provider("a", service.call, stream=service.stream)
    retry = RetryPolicy(attempts=1)
    async with harness(provider, circuit=TRIPS_AT_ONCE, retry=retry) as env:
        await env.outcome()
        await anyio.sleep(10)
        service.down = False
        async with env.router.stream("q") as stream:
            assert await anext(stream) == "word 0 "
            assert env.state("a") == "half_open"
            outcome = await env.outcome()
            assert (outcome.value, outcome.elapsed) == ("whole", 0.0)
            assert env.state("a") == "closed"
            assert len([chunk async for chunk in stream]) == 15


async def test_streams_join_in_doubling_number() -> None:
    """Two streams join the one that delivers, then four: all are served within moments."""
    service = Dripping()
    provider = Provider("a", stream=service.stream)
    async with harness(provider, circuit=TRIPS_AT_ONCE) as env:
        with pytest.raises(Exception, match="all attempts"):
            await env.router.stream("q")
        await anyio.sleep(10)
        service.down = False
        opened: list[float] = []
        start = anyio.current_time()

        async def read() -> None:
            async with env.router.stream("q") as stream:
                await anext(stream)
                opened.append(anyio.current_time() - start)
                [chunk async for chunk in stream]

        async with anyio.create_task_group() as group:
            for _ in range(40):
                group.start_soon(read)
        assert len(opened) == 40
        assert max(opened) == 0.0


# ── waits that are in vain ──────────────────────────────────────────────────────────────────────


async def test_wait_does_not_hide_a_used_up_budget() -> None:
    """A budget that is used up for hours rejects at once, whatever `wait` is."""

    async def answer(request: Any) -> Any:
        return {"usage": {"prompt_tokens": 1000, "completion_tokens": 500}}

    for owner in ("router", "provider"):
        budget = Budget(0.002, "month")
        provider = Provider(
            "a", answer, price=Price(1, 4), budget=budget if owner == "provider" else None
        )
        settings = {"budget": budget} if owner == "router" else {}
        async with harness(provider, **settings) as env:
            await env.router.call("q")
            outcome = await env.router.call_outcome("q", wait=300)
            assert isinstance(outcome.error, NoProviderAvailable)
            assert outcome.elapsed == 0.0
            assert "used up" in outcome.error.states["a"]
            assert outcome.error.retry_after is not None
            assert outcome.error.retry_after > 300


@pytest.mark.parametrize("wait", [3.0, 30.0])
async def test_a_wait_that_is_too_short_is_not_begun(wait: float) -> None:
    """A circuit, a cooldown or a rate that needs 10 s rejects a call that would wait 3 s."""
    rate = LimitPolicy(requests_per_minute=6, burst=1 / 6)
    async with harness("a", "b", scripted("c", limits=rate), circuit=TRIPS_AT_ONCE) as env:
        await env.fail("a")
        await env.fail("b", fault=Fault("rate_limit", headers={"retry-after": "10"}))
        await env.call("c")
        for name in "abc":
            outcome = await env.outcome(name, wait=wait)
            if wait < 10:
                assert (outcome.ok, outcome.elapsed) == (False, 0.0)
                assert outcome.error.retry_after == pytest.approx(10)  # type: ignore[union-attr]
            else:
                assert outcome.ok
                break


async def test_a_wait_for_what_may_end_at_any_time_is_begun() -> None:
    """A provider at its limit may have capacity at any moment, though another is open for long."""
    policy = CircuitPolicy(failures=1, open_duration=300, growth=1)
    busy = scripted("a", latency=2.0, limits=LimitPolicy(in_flight=1))
    async with harness(busy, "b", circuit=policy) as env:
        await env.fail("b")
        await env.start("a")
        rejected = await env.outcome("a", "b")
        assert rejected.error.retry_after is None  # type: ignore[union-attr]
        outcome = await env.outcome("a", "b", wait=5)
        assert (outcome.provider, outcome.ok) == ("a", True)
