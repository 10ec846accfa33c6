"""Attempts: adaptive timeouts, and circuits that open for slow answers."""

from __future__ import annotations

import math
from typing import Any

import anyio
import pytest

from multirouter import (
    AllProvidersFailed,
    AttemptTimeout,
    CircuitPolicy,
    HedgePolicy,
    LatencyPolicy,
    Provider,
    Route,
    Shadow,
    StreamInterrupted,
)
from multirouter.testing import Answer, LogNormal
from tests.scenarios.harness import TRIPS_AT_ONCE, Harness, harness, scripted

CHAIN = Route("default", ["a", "b"])


async def warm_up(env: Harness, calls: int = 40) -> None:
    """Lets the first provider collect latency samples."""
    for _ in range(calls):
        await env.router.call("q")


async def timeout_of_hanging_attempt(env: Harness) -> float:
    """Seconds after which an attempt at a hanging `a` times out."""
    env["a"].then("hang")
    outcome = await env.router.call_outcome("q")
    assert isinstance(outcome.attempts[0].error, AttemptTimeout)
    return outcome.attempts[0].elapsed


async def test_the_timeout_adapts_to_past_latencies() -> None:
    """After answers of 2 s a hanging attempt ends after 4 s, not after 30 s."""
    latency = LatencyPolicy(factor=2.0)
    async with harness(scripted("a", latency=2.0), "b", routes=[CHAIN], latency=latency) as env:
        await warm_up(env)
        assert 4.0 <= await timeout_of_hanging_attempt(env) <= 4.0 * 1.1


async def test_the_adaptive_timeout_is_at_least_floor() -> None:
    """However fast the past answers, no attempt times out before `floor` seconds."""
    latency = LatencyPolicy(floor=3.0)
    async with harness(scripted("a", latency=0.01), "b", routes=[CHAIN], latency=latency) as env:
        await warm_up(env)
        assert await timeout_of_hanging_attempt(env) == pytest.approx(3, abs=0.01)


@pytest.mark.parametrize(
    ("calls", "latency"),
    [(19, LatencyPolicy()), (40, LatencyPolicy(adaptive=False))],
    ids=["few", "off"],
)
async def test_attempt_timeout_applies_without_enough_samples(
    calls: int, latency: LatencyPolicy
) -> None:
    """So it does before `minimum_samples` answers, and with `adaptive=False`."""
    settings = {"routes": [CHAIN], "attempt_timeout": 9, "latency": latency}
    async with harness(scripted("a", latency=0.1), "b", **settings) as env:
        await warm_up(env, calls)
        assert await timeout_of_hanging_attempt(env) == pytest.approx(9, abs=0.01)


async def test_the_adaptive_timeout_is_at_most_attempt_timeout() -> None:
    """`attempt_timeout` bounds the adaptive timeout."""
    async with harness(scripted("a", latency=2.0), "b", routes=[CHAIN], attempt_timeout=3) as env:
        await warm_up(env)
        assert await timeout_of_hanging_attempt(env) == pytest.approx(3, abs=0.01)


async def test_the_last_candidate_has_no_adaptive_timeout() -> None:
    """Where no other provider is left, only `attempt_timeout` applies."""
    async with harness(scripted("a", latency=0.1)) as env:
        await warm_up(env)
        assert await timeout_of_hanging_attempt(env) == pytest.approx(30, abs=0.01)


async def test_a_provider_that_turns_slow_trips() -> None:
    """Answers five times as slow as usual open its circuit; every caller still gets an answer."""
    providers = [
        scripted("a", latency=LogNormal(0.3, 0.1)),
        scripted("b", latency=LogNormal(0.3, 0.1)),
    ]
    async with harness(*providers, circuit=TRIPS_AT_ONCE) as env:
        for _ in range(200):
            await env.router.call("q")
        env["a"].then(*[Answer("slow", after=1.7)] * 50)
        for _ in range(60):
            assert (await env.router.call_outcome("q")).ok
        assert env.openings("a") >= 1
        assert env.recorder.of("circuit_changed")[0].reason == "slow"
        assert env.openings("b") == 0


async def test_an_infinite_slow_factor_disables_the_slow_trip() -> None:
    """`slow_factor=inf`: slow answers do not open the circuit."""
    latency = LatencyPolicy(slow_factor=math.inf)
    async with harness(scripted("a", latency=0.2), circuit=TRIPS_AT_ONCE, latency=latency) as env:
        await warm_up(env, 100)
        env["a"].then(*[Answer("slow", after=1.0)] * 50)
        await warm_up(env, 50)
        assert env.openings("a") == 0


async def test_circuits_stay_closed_when_all_providers_turn_slow() -> None:
    """Slowness that all peers share does not open their circuits."""
    async with harness(
        scripted("a", latency=0.2), scripted("b", latency=0.2), circuit=TRIPS_AT_ONCE
    ) as env:
        for _ in range(200):
            await env.router.call("q")
        for name in "ab":
            env[name].then(*[Answer("slow", after=1.0)] * 200)
        for _ in range(100):
            assert (await env.router.call_outcome("q")).ok
        assert env.openings("a") + env.openings("b") <= 1


class Unreadable(Exception):
    """Its class cannot be read."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError("not to be read")


@pytest.mark.parametrize("hedge", [None, HedgePolicy(after=5.0)])
async def test_an_exception_that_cannot_be_read_returns_the_permit(
    hedge: HedgePolicy | None,
) -> None:
    """Of a call, a stream before and after its content, a trial, a copy and a health check."""
    broken = [True]

    async def call(request: Any) -> str:
        if broken:
            raise Unreadable
        return "answer"

    async def stream(request: Any) -> Any:
        if request == "early":
            raise Unreadable
        yield "chunk"
        raise Unreadable

    async def check() -> None:
        if broken:
            raise Unreadable

    a = Provider("a", call, stream=stream, health_check=check)
    shadow = Shadow(["a"], share=1.0)
    routes = [Route("shadowed", ["b"], shadow=shadow)]
    policy = CircuitPolicy(failures=3, open_duration=10.0, growth=1.0)
    async with harness(a, "b", circuit=policy, hedge=hedge, routes=routes) as env:
        outcome = await env.outcome("a")
        assert [str(record.verdict.kind) for record in outcome.attempts] == ["unknown"]
        await env.router.call("q", route="shadowed")
        with pytest.raises(AllProvidersFailed):
            await env.router.stream("early", route=["a"])
        with pytest.raises(StreamInterrupted):
            async with env.router.stream("late", route=["a"]) as chunks:
                [chunk async for chunk in chunks]
        assert env.state("a") == "open"
        await anyio.sleep(10.1)
        assert env.state("a") == "open", "the health check failed too"
        broken.clear()
        await anyio.sleep(10.1)
        assert (env.state("a"), env.router.in_flight("a")) == ("closed", 0)
