"""Section L: configuration and control by hand."""

from __future__ import annotations

import re
from random import Random
from typing import Any

import anyio
import pytest
from prometheus_client import generate_latest

from multirouter import (
    CircuitPolicy,
    ConfigurationError,
    HedgePolicy,
    LimitPolicy,
    NoProviderAvailable,
    Provider,
    RetryPolicy,
    Route,
    UsageError,
)
from multirouter.testing import Answer, Exponential, Outage, ScriptedProvider, chaos
from tests.scenarios.kit import BRITTLE, house, play


async def test_held_open() -> None:
    """Case 87: not asked until released, resets notwithstanding; shown in state and metrics."""
    async with house("a", circuit=BRITTLE) as home:
        home.router.hold("a", "open")
        await anyio.sleep(1000)
        assert (home.state("a"), home.seen("a")["hold"]) == ("open", "open")
        assert (home.total("circuit_state"), home.total("available")) == (2, 0)
        refused = await home.outcome()
        assert isinstance(refused.error, NoProviderAvailable)
        assert refused.error.states == {"a": "held open"}
        home.router.unhold("a")
        assert home.state("a") == "half_open"
        assert await home.call() == "a: q"
        assert home.state("a") == "closed"
        assert [hold_changed.hold for hold_changed in home.news.of("hold_changed")] == [
            "open",
            None,
        ]


async def test_held_open_over_an_opening() -> None:
    """Case 87: a hold that begins while it is open outlives the reset that was pending."""
    async with house("a", circuit=BRITTLE) as home:
        await home.fail("a")
        home.router.hold("a", "open")
        await anyio.sleep(30)
        assert home.state("a") == "open"
        assert home.router.explain().tiers[0][0].state == "held open"


async def test_held_closed() -> None:
    """Case 87: asked whatever its failures, which are forgotten at the release."""
    async with house("a", circuit=BRITTLE) as home:
        await home.fail("a")
        home.router.hold("a", "closed")
        await home.fail("a", times=5)
        assert (home.state("a"), home.seen("a")["hold"]) == ("closed", "closed")
        home.router.unhold("a")
        assert home.state("a") == "closed"
        assert home.seen("a")["failures"] == 0
        await home.fail("a")
        assert home.state("a") == "open"


async def test_held_disabled() -> None:
    """Case 87: asked, and neither circuit nor window notices anything."""
    async with house("a", circuit=BRITTLE) as home:
        home.router.hold("a", "disabled")
        await home.fail("a", times=5)
        await home.fail("a", fault="rate_limit")
        await home.call()
        seen = home.seen("a")
        assert (seen["state"], seen["calls"], seen["hold"]) == ("closed", 0, "disabled")
        home.router.unhold("a")
        assert home.state("a") == "closed"


async def test_held_for_metrics_only() -> None:
    """Case 87: asked all the same, while the circuit shows what it would do."""
    async with house("a", circuit=BRITTLE) as home:
        home.router.hold("a", "metrics_only")
        await home.fail("a")
        assert (home.state("a"), home.total("circuit_state")) == ("open", 2)
        assert await home.call() == "a: q"
        await anyio.sleep(10.1)
        assert home.state("a") == "half_open"
        assert await home.call() == "a: q"
        assert home.state("a") == "closed"
        await home.fail("a")
        home.router.unhold("a")
        assert not (await home.outcome()).ok


async def test_bad_holds() -> None:
    """Case 87: unknown names and holds are refused, with the near miss."""
    async with house("openai") as home:
        with pytest.raises(UsageError, match="did you mean 'openai'"):
            home.router.hold("opneai", "open")
        with pytest.raises(UsageError, match="did you mean 'open'"):
            home.router.hold("openai", "opne")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="unknown provider"):
            home.router.unhold("x")


async def test_a_change_amid_calls() -> None:
    """Case 88: of 100 calls in flight each ends under the configuration it began with."""
    slow = [play(name, latency=5.0) for name in "ab"]
    async with house(*slow, circuit=BRITTLE) as home:
        scripts = {name: home[name] for name in "ab"}
        scripts["a"].then(*["error"] * 30)
        callers = [home.begin("a", "b") for _ in range(100)]
        await anyio.sleep(1)
        home.router.update("b", weight=7)
        home.router.add(play("c"))
        home.router.update("a", limits=LimitPolicy(in_flight=1))
        home.router.remove("b")
        outcomes = [await caller.end() for caller in callers]
        assert sum(outcome.provider == "b" for outcome in outcomes) == 30
        assert sum(outcome.provider == "a" for outcome in outcomes) == 70
        assert [provider.name for provider in home.router.providers] == ["a", "c"]
        with pytest.raises(UsageError, match="unknown provider 'b'"):
            await home.call("b")
        assert scripts["b"].in_flight == 0


async def test_circuits_are_kept() -> None:
    """Case 88: an update keeps state, era and the time of the reset; a new one starts afresh."""
    async with house("a", "b", circuit=BRITTLE) as home:
        await home.fail("a")
        await anyio.sleep(3)
        home.router.update("a", weight=9, circuit=CircuitPolicy(failures=2, open_duration=99))
        assert (home.state("a"), home.circuit("a").generation) == ("open", 1)
        assert home.seen("a")["reset_in"] == pytest.approx(7)
        await anyio.sleep(7)
        assert home.state("a") == "half_open"
        home.router.remove("a")
        home.router.add(play("a"))
        assert (home.state("a"), home.circuit("a").generation) == ("closed", 0)


async def test_a_removed_one_takes_its_reset_along() -> None:
    """Case 88: no task is left of a provider that was removed while its circuit was open."""
    async with house("a", "b", circuit=BRITTLE) as home:
        await home.fail("a")
        assert len(home.router._engine.resets) == 1
        home.router.remove("a")
        await anyio.sleep(0.1)
        assert len(home.router._engine.resets) == 0
        await anyio.sleep(20)
        assert home.news.transitions("a") == ["closed > open"]
        assert home.total("available", provider="a") == 0


async def test_a_late_result_of_a_removed_one() -> None:
    """Case 88: an attempt at a removed provider ends as it would have; nobody trips over it."""
    async with house(play("a", latency=5.0), "b", circuit=BRITTLE) as home:
        scripted = home["a"]
        scripted.then(Answer(after=5.0), "error")
        good, bad = await home.begun("a"), await home.begun("a")
        home.router.remove("a")
        assert (await good.end()).ok
        assert not (await bad.end()).ok
        home.router.add(play("a"))
        assert home.state("a") == "closed"


BAD: list[Any] = [
    lambda router: router.add(play("a")),
    lambda router: router.update("a", weight=-1),
    lambda router: router.update("a", wieght=1),
    lambda router: router.update("a", name="b"),
    lambda router: router.update("a", weight=0),
    lambda router: router.remove("b"),
    lambda router: router.add("c"),
    lambda router: router.update("x", weight=1),
    lambda router: router.remove("x"),
    lambda router: router.provider("late", weight="much")(ScriptedProvider("late")),
]


@pytest.mark.parametrize("change", BAD)
async def test_a_bad_change_changes_nothing(change: Any) -> None:
    """Case 88: it is refused, and the old configuration stays in force, whole."""
    routes = [Route("named", ["b"])]
    async with house("a", play("b", weight=0), routes=routes) as home:
        before = home.router.snapshot()
        with pytest.raises((ConfigurationError, UsageError)):
            change(home.router)
        assert home.router.snapshot() == before
        assert home.news.of("configured") == []
        assert await home.router.call("q", route="named") == "b: q"


async def test_changes_are_told() -> None:
    """Case 88: each change is one piece of news, and the gauges follow."""
    async with house("a") as home:
        home.router.add(play("b"))
        home.router.update("a", weight=2)
        home.router.remove("a")
        told = [(c.added, c.removed, c.updated) for c in home.news.of("configured")]
        assert told == [(("b",), (), ()), ((), (), ("a",)), ((), ("a",), ())]
        assert (home.total("available", provider="b"), home.router.names()) == (1, ("b",))


async def test_chaos_takes_the_way_of_real_faults() -> None:
    """Case 89: off by default; switched on its faults are classified, counted, failed over."""
    scripted = ScriptedProvider("a")
    gremlin = chaos(scripted, faults=["error"], seed=4)
    async with house("b", circuit=BRITTLE) as home:
        home.router.add(Provider("a", gremlin))
        for _ in range(50):
            await home.call("a", "b")
        assert (gremlin.injected, home["b"].count) == (0, 0)
        gremlin.rate = 0.5
        for _ in range(5):
            await home.call("a", "b")
        assert gremlin.injected == 1
        assert home.state("a") == "open"
        assert home.total("attempts_total", provider="a", outcome="failure") == 1
        assert home.total("failovers_total", provider="a", reason="server") == 1
        assert home["b"].count > 0


async def run_once() -> tuple[list[Any], str, list[Any]]:
    """One whole scenario with everything in it: its choices, metrics and logs."""
    providers = [
        play(name, latency=Exponential(0.3), error_rate=0.2, outages=[Outage(10, 20)], weight=w)
        for name, w in {"a": 3.0, "b": 2.0, "c": 1.0}.items()
    ]
    settings: dict[str, Any] = {
        "hedge": HedgePolicy(percentile=0.9),
        "retry": RetryPolicy(),
        "circuit": CircuitPolicy(failures=2),
        "rng": Random(11),
    }
    async with house(*providers, **settings) as home:
        start = anyio.current_time()
        for number in range(250):
            home.begin(request=number, wait=1.0)
            await anyio.sleep(0.2)
        await anyio.sleep(130)
        attempts = [
            (r.provider, r.role, str(r.verdict.kind), round(r.elapsed, 3), r.why)
            for r in home.news.attempts
        ]
        text = generate_latest(home.registry).decode()
        logs = [(level, event, repr(fields)) for level, event, fields in home.logger.told]
        assert anyio.current_time() - start > 150
    return attempts, re.sub(r".*_created.*\n", "", text), logs


@pytest.mark.backends("asyncio")
def test_one_seed_gives_one_run(virtual_clock: Any) -> None:
    """Case 90: the same seed, clock and script twice: the same choices, metrics and logs."""
    first, second = virtual_clock.run(run_once), virtual_clock.run(run_once)
    assert len(first[0]) > 120
    assert first[0] == second[0]
    assert first[1] == second[1]
    assert first[2] == second[2]
