"""Section G: the choice among providers."""

from __future__ import annotations

import math
from collections import Counter
from random import Random
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import (
    ConfigurationError,
    MultiProviderRouter,
    NoProviderAvailable,
    Provider,
    RetryPolicy,
    UsageError,
)
from tests.scenarios.kit import BRITTLE, House, Logger, house, play


async def answer(request: object) -> object:
    return request


def weighted(**weights: float) -> list[Provider[Any, Any, Any]]:
    return [Provider(name, answer, weight=weight) for name, weight in weights.items()]


async def served(providers: list[Provider[Any, Any, Any]], calls: int, seed: int = 7) -> list[str]:
    """Who answered each of so many calls."""
    registry = CollectorRegistry()
    settings: dict[str, Any] = {"registry": registry, "rng": Random(seed), "logger": Logger()}
    names: list[str] = []
    async with MultiProviderRouter(providers, **settings) as router:
        for _ in range(calls):
            names.append((await router.call_outcome("q")).provider or "nobody")
    return names


def within(count: int, share: float, calls: int, sigmas: float = 4.0) -> bool:
    """Whether a binomial count is as near to its mean as chance allows."""
    return abs(count - share * calls) <= sigmas * math.sqrt(calls * share * (1 - share))


@pytest.mark.backends("asyncio")
async def test_shares_follow_the_weights() -> None:
    """Case 49: 100,000 calls at 5/3/2: each share within four sigma (at most 632 calls)."""
    count = Counter(await served(weighted(a=5, b=3, c=2), 100_000))
    for name, share in {"a": 0.5, "b": 0.3, "c": 0.2}.items():
        assert within(count[name], share, 100_000)


async def test_a_seed_gives_one_sequence() -> None:
    """Case 49: the same seed gives the same choices, and another one gives others."""
    first = await served(weighted(a=5, b=3, c=2), 500)
    assert first == await served(weighted(a=5, b=3, c=2), 500)
    assert first != await served(weighted(a=5, b=3, c=2), 500, seed=8)


async def test_shares_renormalise_over_who_is_left() -> None:
    """Case 50: with the weight of 5 held open the others get 3/5 and 2/5, four sigma, n=4,000."""
    providers = [play("a", weight=5), play("b", weight=3), play("c", weight=2)]
    async with house(*providers, circuit=BRITTLE) as home:
        await home.fail("a")
        shares = {s.provider: s.share for s in home.router.explain().tiers[0]}
        assert shares == pytest.approx({"a": 0, "b": 0.6, "c": 0.4})
        for _ in range(4000):
            await home.call()
        assert home["a"].count == 1
        assert within(home["b"].count, 0.6, 4000)


async def test_weight_0_is_the_last_resort() -> None:
    """Case 51: it is never drawn while another one can be asked, and serves when none can."""
    async with house(play("a"), play("b"), play("spare", weight=0), circuit=BRITTLE) as home:
        for _ in range(200):
            await home.call()
        assert home["spare"].count == 0
        home["a"].then("error")
        home["b"].then("error")
        assert await home.call() == "spare: q"


def test_all_weights_0_are_refused() -> None:
    """Case 51: when nobody can be drawn, that is an error at construction."""
    with pytest.raises(ConfigurationError, match="all weights are 0"):
        MultiProviderRouter(weighted(a=0, b=0), registry=CollectorRegistry())


@pytest.mark.parametrize("order", ["abc", "bca", "cab"])
async def test_a_weight_left_out_is_1(order: str) -> None:
    """Case 52: wherever it stands in the list."""
    made = {"a": Provider("a", answer), "b": play("b", weight=2), "c": play("c", weight=1)}
    async with house(*(made[name] for name in order)) as home:
        shares = {s.provider: s.share for s in home.router.explain().tiers[0]}
        assert shares == pytest.approx({"a": 0.25, "b": 0.5, "c": 0.25})


@pytest.mark.parametrize("bad", [-1, math.nan, math.inf, -math.inf, True, "3", None, 1j])
def test_bad_weights_are_refused_by_name(bad: Any) -> None:
    """Case 53: the error names the provider."""
    with pytest.raises(ConfigurationError) as caught:
        Provider("openai", answer, weight=bad)
    assert caught.value.what == "Provider('openai').weight"


async def test_names_twice_and_empty_routers() -> None:
    """Case 53: duplicate names are refused; an empty router may wait for `add`, but not for calls.

    An empty router is what `@router.provider` starts from.
    """
    registry = CollectorRegistry()
    with pytest.raises(ConfigurationError, match=r"Provider\('a'\): is there twice"):
        MultiProviderRouter([*weighted(a=1), *weighted(a=2)], registry=registry)
    with pytest.raises(ConfigurationError, match="must be Provider objects"):
        MultiProviderRouter([answer], registry=registry)  # type: ignore[list-item]
    async with house() as home:
        with pytest.raises(UsageError, match="no providers"):
            await home.call()
        home.router.provider("late")(answer)
        assert await home.call() == "q"


class Edge(Random):
    """Chance at its extremes, by turns."""

    def __init__(self) -> None:
        super().__init__(0)
        self.turn = 0

    def random(self) -> float:
        self.turn += 1
        return 0.0 if self.turn % 2 else math.nextafter(1.0, 0.0)


async def test_the_extremes_of_chance_choose_somebody() -> None:
    """Case 54: 0.0 and the largest double below 1 choose the first and the last with a weight."""
    weights = {"none": 0.0, "first": 0.1, "middle": 0.2, "last": 0.3, "nil": 0.0}
    async with house(*(play(n, weight=w) for n, w in weights.items()), rng=Edge()) as home:
        for _ in range(50):
            await home.call()
        assert {name: home[name].count for name in weights} == {
            "none": 0,
            "first": 25,
            "middle": 0,
            "last": 25,
            "nil": 0,
        }


async def test_nobody_is_asked_twice_while_another_is_untried() -> None:
    """Case 55: each failover goes to somebody new, whatever the weights."""
    names = ["a", "b", "c", "d"]
    providers = [play(name, weight=10.0**i, error_rate=1.0) for i, name in enumerate(names)]
    async with house(*providers, retry=RetryPolicy(attempts=2, base=0)) as home:
        for _ in range(20):
            outcome = await home.outcome()
            asked = [record.provider for record in outcome.attempts]
            assert sorted(asked[:4]) == names[: len(asked)] or len(set(asked[:4])) == len(asked[:4])
        first = home.news.calls[0]
        assert sorted(record.provider for record in first.attempts[:4]) == names


async def test_all_open_fails_at_once() -> None:
    """Case 56: nobody is awaited, no time passes, and the error says when to come back."""
    async with house("a", "b", "c", circuit=BRITTLE) as home:
        for name in "abc":
            await home.fail(name)
            await anyio.sleep(1)
        asked = [home[name].count for name in "abc"]
        refused = await home.outcome()
        assert isinstance(refused.error, NoProviderAvailable)
        assert refused.elapsed == 0
        assert refused.error.retry_after == pytest.approx(7)
        assert [home[name].count for name in "abc"] == asked
        assert home.total("calls_total", outcome="refused") == 1


async def test_panic_asks_everybody() -> None:
    """Case 56: with panic mode on all are eligible, each choice is counted, no circuit moves."""
    async with house("a", "b", "c", circuit=BRITTLE, panic=0.5) as home:
        for name in "abc":
            await home.fail(name)
        eras = [home.circuit(name).generation for name in "abc"]
        for _ in range(60):
            assert (await home.outcome()).ok
        assert min(home[name].count for name in "abc") > 5
        assert home.total("panics_total") >= 60
        assert [home.circuit(name).generation for name in "abc"] == eras
        assert "panic" in home.records("a")[-1].why


async def test_the_share_of_circuits_that_are_out_is_bounded() -> None:
    """Case 57: of three bad ones with panic at 0.5, one may be out; from the second on all serve.

    The share is counted after the ejection: 2 of 3 closed is above the bound, 1 of 3 below.
    """
    async with house("a", "b", "c", circuit=BRITTLE, panic=0.5) as home:
        await home.fail("a")
        assert shares(home) == pytest.approx([0, 0.5, 0.5])
        await home.fail("b")
        assert shares(home) == pytest.approx([1 / 3, 1 / 3, 1 / 3])


def shares(home: House) -> list[float]:
    return [standing.share for standing in home.router.explain().tiers[0]]


async def test_held_open_is_out_in_panic_too() -> None:
    """Case 57: who was taken out by hand stays out."""
    async with house("a", "b", circuit=BRITTLE, panic=1.0) as home:
        home.router.hold("a", "open")
        assert shares(home) == [0, 1]
        await home.fail("b")
        assert shares(home) == [0, 1]
        assert await home.call() == "b: q"


async def test_a_slow_provider_delays_its_own_callers_only() -> None:
    """Case 58: while fifty calls wait for one, calls to another pass at once."""
    async with house(play("slow", latency=20.0), play("quick")) as home:
        waiting = [home.begin("slow") for _ in range(50)]
        await anyio.sleep(1)
        before = anyio.current_time()
        for _ in range(50):
            assert (await home.outcome("quick")).elapsed == 0
        assert anyio.current_time() == before
        assert not any(caller.ended for caller in waiting)
        assert all([(await caller.end()).ok for caller in waiting])
