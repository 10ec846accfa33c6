"""Section B: a half-open circuit and its trials."""

from __future__ import annotations

from random import Random
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import CircuitPolicy, LimitPolicy, NoProviderAvailable, Route
from multirouter.testing import Answer, Fault, StatusError
from tests.scenarios.kit import BRITTLE, FAULTY, House, house, play


def trials(many: int, **settings: Any) -> CircuitPolicy:
    """A brittle circuit with this many trials."""
    return CircuitPolicy(
        failures=1, open_duration=10.0, growth=1.0, half_open_max_calls=many, **settings
    )


async def test_of_a_crowd_few_get_through() -> None:
    """Case 11: of 50 calls at once two are let through as trials, and 48 are refused at once."""
    async with house(play("a", latency=1.0), circuit=trials(2)) as home:
        await home.half_open("a")
        asked = home["a"].count
        callers = [home.begin() for _ in range(50)]
        outcomes = [await caller.end() for caller in callers]
        assert home["a"].count - asked == 2
        assert sum(outcome.ok for outcome in outcomes) == 2
        refused = [o for o in outcomes if isinstance(o.error, NoProviderAvailable)]
        assert len(refused) == 48
        assert all(outcome.elapsed == 0 for outcome in refused)
        assert home.state("a") == "closed"


async def test_a_crowd_is_served_elsewhere() -> None:
    """Case 11: beside a healthy provider the two trials are copies, and all 50 are answered."""
    async with house(play("a", latency=1.0), "b", circuit=trials(2)) as home:
        await home.half_open("a")
        asked = home["a"].count
        callers = [home.begin() for _ in range(50)]
        assert {(await caller.end()).provider for caller in callers} == {"b"}
        await anyio.sleep(1.1)
        assert home["a"].count - asked == 2
        assert {record.role for record in home.records("a")[1:]} == {"trial"}
        assert home.state("a") == "closed"


async def test_a_cancelled_trial_gives_its_permit_back() -> None:
    """Case 12: it is half-open as before, and the next call is the trial."""
    async with house(play("a"), circuit=trials(1)) as home:
        await home.half_open("a")
        home["a"].then("hang")
        caller = await home.begun()
        assert not home.router.available("a")
        await caller.cancel()
        assert (home.state("a"), home.router.available("a")) == ("half_open", True)
        assert await home.call() == "a: q"
        assert home.news.transitions("a")[-1] == "half_open > closed"


async def test_a_neutral_trial_decides_nothing() -> None:
    """Case 13: a faulty request leaves it half-open, and the next call is the trial."""
    async with house("a", circuit=trials(1)) as home:
        await home.half_open("a")
        for _ in range(3):
            home["a"].then(FAULTY)
            with pytest.raises(StatusError):
                await home.call()
            assert (home.state("a"), home.router.available("a")) == ("half_open", True)
        assert await home.call() == "a: q"
        assert home.state("a") == "closed"


async def test_a_trial_that_never_ends_loses_its_permit() -> None:
    """Case 14: after the lease, the attempt's timeout and a second, another trial is let out."""
    let_go = anyio.Event()
    deafness: list[bool] = []

    async def deaf(request: object) -> str:
        stuck = bool(deafness)
        while stuck and not let_go.is_set():
            try:
                with anyio.CancelScope(shield=True):
                    await let_go.wait()
            except anyio.get_cancelled_exc_class():
                continue
        return "fine"

    async with house("b", circuit=trials(1), attempt_timeout=5) as home:
        home.router.add(play("a").replace(call=deaf))
        home.router.hold("a", "open")
        home.router.unhold("a")
        deafness.append(True)
        caller = await home.begun("a")
        deafness.clear()
        await anyio.sleep(5.9)
        refused = await home.outcome("a")
        assert isinstance(refused.error, NoProviderAvailable)
        await anyio.sleep(0.1)
        assert await home.call("a") == "fine"
        assert home.state("a") == "closed"
        let_go.set()
        await caller.end()
        assert [record.late for record in home.records("a")] == [False, True]
        assert home.state("a") == "closed"


async def test_one_failed_trial_of_three_opens_it_again() -> None:
    """Case 15: any failed trial re-opens it, once, with one event."""
    async with house(play("a", latency=1.0), circuit=trials(3)) as home:
        await home.half_open("a")
        home["a"].then(Answer(), Answer(), Fault("error", after=2.0))
        callers = [await home.begun() for _ in range(3)]
        assert [(await caller.end()).ok for caller in callers] == [True, True, False]
        assert home.state("a") == "open"
        assert home.news.transitions("a")[2:] == ["half_open > open"]


async def test_three_of_three_close_it() -> None:
    """Case 15: three successes close it, the third and not an earlier one."""
    async with house("a", circuit=trials(3)) as home:
        await home.half_open("a")
        states = []
        for _ in range(3):
            await home.call()
            states.append(home.state("a"))
        assert states == ["half_open", "half_open", "closed"]


async def test_a_sibling_that_succeeds_later_closes_nothing() -> None:
    """Case 16: once a trial has failed, the success of the other one is late."""
    async with house("a", circuit=trials(2)) as home:
        await home.half_open("a")
        home["a"].then(Fault("error", after=1.0), Answer(after=2.0))
        callers = [await home.begun() for _ in range(2)]
        assert [(await caller.end()).ok for caller in callers] == [False, True]
        assert home.state("a") == "open"
        assert [record.late for record in home.records("a")[1:]] == [False, True]


async def test_looking_takes_no_permit() -> None:
    """Case 17: after every way of looking, the only permit is still there to be taken."""
    async with house("a", circuit=trials(1)) as home:
        await home.half_open("a")
        for _ in range(5):
            home.router.explain()
            home.router.snapshot()
            repr(home.router)
            assert home.router.available("a")
            home.total("available")
        assert await home.call() == "a: q"


async def test_only_the_chosen_one_pays_with_a_permit() -> None:
    """Case 17: of two half-open providers one is tried, and the other keeps its permit."""
    async with house(play("a", latency=1.0), play("b", latency=1.0), circuit=trials(1)) as home:
        await home.fail("b")
        await home.half_open("a")
        caller = await home.begun(idempotent=False)
        free = [name for name in "ab" if home.router.available(name)]
        assert len(free) == 1
        assert (await caller.end()).provider not in free


@pytest.mark.parametrize("whose", ["provider", "route", "router"])
async def test_a_trial_refused_by_a_limit_gives_its_permit_back(whose: str) -> None:
    """Case 18: while a limit refuses no permit is held, and the trial goes out when it allows."""
    one = LimitPolicy(requests_per_minute=60, burst=1 / 60)
    limits = {whose: one}
    route = Route("default", ["a"], limits=limits.get("route"))
    async with house(
        play("a", limits=limits.get("provider")),
        routes=[route],
        limits=limits.get("router"),
        circuit=trials(1),
    ) as home:
        home["a"].then("error")
        assert not (await home.router.call_outcome("q")).ok
        await anyio.sleep(10)
        home["a"].then(FAULTY)
        assert isinstance((await home.router.call_outcome("q")).error, StatusError)
        refused = await home.router.call_outcome("q")
        assert isinstance(refused.error, NoProviderAvailable)
        assert "requests_per_minute used up" in refused.error.states["a"]
        assert refused.error.retry_after == pytest.approx(1)
        await anyio.sleep(1)
        assert await home.router.call("q") == "a: q"
        assert home.state("a") == "closed"


async def opening(home: House) -> float:
    """Fails once more and returns the open time that follows."""
    await home.fail("a")
    span: float = home.news.of("circuit_changed")[-1].open_duration
    await anyio.sleep(span)
    return span


async def test_open_time_grows_to_its_cap_and_starts_over() -> None:
    """Case 19: 5, 10, 20, 20 s and up to a fifth more by jitter; after recovery 5 s again."""
    policy = CircuitPolicy(failures=1, open_duration=5.0, growth=2.0, max_open_duration=20.0)
    async with house("a", circuit=policy) as home:
        for base in (5, 10, 20, 20):
            span = await opening(home)
            assert base <= span <= base * 1.2
            assert span != base
        await home.call()
        assert home.state("a") == "closed"
        await anyio.sleep(policy.window)
        assert 5 <= await opening(home) <= 6


async def test_a_relapse_is_no_recovery() -> None:
    """Case 19: a circuit that closed a moment ago goes on with the longer open time."""
    policy = CircuitPolicy(failures=1, open_duration=5.0, growth=2.0, jitter=0.0)
    async with house("a", circuit=policy) as home:
        assert await opening(home) == 5
        await home.call()
        await anyio.sleep(1)
        assert await opening(home) == 10


@pytest.mark.backends("asyncio")
async def test_a_fleet_does_not_probe_in_one_tick() -> None:
    """Case 20: of 100 circuits that opened in one tick, the resets spread over the jitter."""
    policy = CircuitPolicy(failures=1, open_duration=10.0, jitter=0.5)
    registry = CollectorRegistry()
    resets = []
    for seed in range(100):
        home = House(("a",), {"circuit": policy, "registry": registry, "rng": Random(seed)})
        async with home.router:
            await home.fail("a")
            resets.append(home.seen("a")["reset_in"])
    assert all(10 <= reset <= 15 for reset in resets)
    tenths = {int((reset - 10) / 0.5) for reset in resets}
    assert tenths == set(range(10))


@pytest.mark.parametrize("idempotent", [True, False])
async def test_a_small_weight_does_not_starve(idempotent: bool) -> None:
    """Case 21: with a thousandth of the weight it is tried by the next call all the same."""
    async with house(play("a", weight=1), play("b", weight=999), circuit=BRITTLE) as home:
        await home.half_open("a")
        await home.router.call("q", idempotent=idempotent)
        await anyio.sleep(0.1)
        assert home.state("a") == "closed"
        assert home.records("a")[-1].role == ("trial" if idempotent else "call")


async def test_a_recovered_provider_is_ramped_up() -> None:
    """Case 22: it starts with a tenth of its weight and has all of it after `ramp` seconds."""
    async with house("a", "b", circuit=trials(1, ramp=10.0)) as home:
        await home.half_open("a")
        await home.call("a")
        shares = []
        for _ in range(3):
            shares.append(home.router.explain().tiers[0][0].share)
            await anyio.sleep(5)
        assert shares == pytest.approx([0.1 / 1.1, 0.5 / 1.5, 0.5], abs=0.02)
        callers = [await home.outcome() for _ in range(400)]
        assert 140 <= sum(c.provider == "a" for c in callers) <= 260
