"""Attempts cut off by their provider's own past, and providers that are ill by being slow."""

from __future__ import annotations

import math

import pytest

from multirouter import AttemptTimeout, LatencyPolicy, Route
from multirouter.testing import Answer, LogNormal
from tests.scenarios.kit import BRITTLE, House, house, play

CHAIN = Route("default", ["a", "b"])


async def learn(home: House, calls: int = 40) -> None:
    """Lets the first provider show its usual pace."""
    for _ in range(calls):
        await home.router.call("q")


async def cut_off_after(home: House) -> float:
    """Seconds after which an attempt at a hanging `a` is given up."""
    home["a"].then("hang")
    outcome = await home.router.call_outcome("q")
    assert isinstance(outcome.attempts[0].error, AttemptTimeout)
    return outcome.attempts[0].elapsed


async def test_an_attempt_is_cut_off_by_the_providers_own_past() -> None:
    """With answers of 2 s a hanging one is given up after some 4 s, not after the 30 s ceiling."""
    latency = LatencyPolicy(factor=2.0)
    async with house(play("a", latency=2.0), "b", routes=[CHAIN], latency=latency) as home:
        await learn(home)
        assert 4.0 <= await cut_off_after(home) <= 4.0 * 1.1


async def test_quick_providers_get_the_floor() -> None:
    """However quick the past, no attempt is cut off before `floor` seconds."""
    latency = LatencyPolicy(floor=3.0)
    async with house(play("a", latency=0.01), "b", routes=[CHAIN], latency=latency) as home:
        await learn(home)
        assert await cut_off_after(home) == pytest.approx(3, abs=0.01)


@pytest.mark.parametrize(
    ("calls", "latency"),
    [(19, LatencyPolicy()), (40, LatencyPolicy(adaptive=False))],
    ids=["few", "off"],
)
async def test_the_past_must_be_known_and_wanted(calls: int, latency: LatencyPolicy) -> None:
    """Before `minimum_samples` answers, and with `adaptive=False`, the ceiling holds alone."""
    settings = {"routes": [CHAIN], "attempt_timeout": 9, "latency": latency}
    async with house(play("a", latency=0.1), "b", **settings) as home:
        await learn(home, calls)
        assert await cut_off_after(home) == pytest.approx(9, abs=0.01)


async def test_the_ceiling_is_never_passed() -> None:
    """`attempt_timeout` bounds what the past would allow."""
    async with house(play("a", latency=2.0), "b", routes=[CHAIN], attempt_timeout=3) as home:
        await learn(home)
        assert await cut_off_after(home) == pytest.approx(3, abs=0.01)


async def test_the_only_one_has_all_the_time() -> None:
    """Where nobody else is left to ask, an attempt is not cut off by the past."""
    async with house(play("a", latency=0.1)) as home:
        await learn(home)
        assert await cut_off_after(home) == pytest.approx(30, abs=0.01)


async def test_a_provider_that_turns_slow_is_out() -> None:
    """Answers five times as slow as usual open its circuit, and every caller keeps its answer."""
    providers = [play("a", latency=LogNormal(0.3, 0.1)), play("b", latency=LogNormal(0.3, 0.1))]
    async with house(*providers, circuit=BRITTLE) as home:
        for _ in range(200):
            await home.router.call("q")
        home["a"].then(*[Answer("slow", after=1.7)] * 50)
        for _ in range(60):
            assert (await home.router.call_outcome("q")).ok
        assert home.opened("a") >= 1
        assert home.news.of("circuit_changed")[0].reason == "slow"
        assert home.opened("b") == 0


async def test_slowness_may_be_switched_off() -> None:
    """`slow_factor=inf`: however slow, it is only slow."""
    latency = LatencyPolicy(slow_factor=math.inf)
    async with house(play("a", latency=0.2), circuit=BRITTLE, latency=latency) as home:
        await learn(home, 100)
        home["a"].then(*[Answer("slow", after=1.0)] * 50)
        await learn(home, 50)
        assert home.opened("a") == 0


async def test_when_all_turn_slow_nobody_is_out() -> None:
    """What befalls the peers as well is not the provider's illness."""
    async with house(play("a", latency=0.2), play("b", latency=0.2), circuit=BRITTLE) as home:
        for _ in range(200):
            await home.router.call("q")
        for name in "ab":
            home[name].then(*[Answer("slow", after=1.0)] * 200)
        for _ in range(100):
            assert (await home.router.call_outcome("q")).ok
        assert home.opened("a") + home.opened("b") <= 1
