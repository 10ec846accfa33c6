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
from tests.scenarios.harness import TRIPS_AT_ONCE, Harness, Logger, harness, scripted


async def answer(request: object) -> object:
    return request


def weighted(**weights: float) -> list[Provider[Any, Any, Any]]:
    return [Provider(name, answer, weight=weight) for name, weight in weights.items()]


async def providers_of_calls(
    providers: list[Provider[Any, Any, Any]], calls: int, seed: int = 7
) -> list[str]:
    """Names of the providers that answered so many calls."""
    registry = CollectorRegistry()
    settings: dict[str, Any] = {"registry": registry, "rng": Random(seed), "logger": Logger()}
    names: list[str] = []
    async with MultiProviderRouter(providers, **settings) as router:
        for _ in range(calls):
            names.append((await router.call_outcome("q")).provider or "none")
    return names


def within_sigmas(count: int, share: float, calls: int, sigmas: float = 4.0) -> bool:
    """Whether a binomial count is within so many standard deviations of its mean."""
    return abs(count - share * calls) <= sigmas * math.sqrt(calls * share * (1 - share))


@pytest.mark.backends("asyncio")
async def test_shares_follow_the_weights() -> None:
    """Case 49: 100,000 calls at 5/3/2: each share within four sigma (at most 632 calls)."""
    count = Counter(await providers_of_calls(weighted(a=5, b=3, c=2), 100_000))
    for name, share in {"a": 0.5, "b": 0.3, "c": 0.2}.items():
        assert within_sigmas(count[name], share, 100_000)


async def test_seed_determines_the_choices() -> None:
    """Case 49: the same seed gives the same choices, and another one gives others."""
    first = await providers_of_calls(weighted(a=5, b=3, c=2), 500)
    assert first == await providers_of_calls(weighted(a=5, b=3, c=2), 500)
    assert first != await providers_of_calls(weighted(a=5, b=3, c=2), 500, seed=8)


async def test_shares_are_renormalised() -> None:
    """Case 50: with the weight of 5 open the others get 3/5 and 2/5, four sigma, n=4,000."""
    providers = [scripted("a", weight=5), scripted("b", weight=3), scripted("c", weight=2)]
    async with harness(*providers, circuit=TRIPS_AT_ONCE) as env:
        await env.fail("a")
        shares = {s.provider: s.share for s in env.router.explain().tiers[0]}
        assert shares == pytest.approx({"a": 0, "b": 0.6, "c": 0.4})
        for _ in range(4000):
            await env.call()
        assert env["a"].count == 1
        assert within_sigmas(env["b"].count, 0.6, 4000)


async def test_weight_0_is_the_last_resort() -> None:
    """Case 51: it is never chosen while another is available, and serves when none is."""
    async with harness(
        scripted("a"), scripted("b"), scripted("spare", weight=0), circuit=TRIPS_AT_ONCE
    ) as env:
        for _ in range(200):
            await env.call()
        assert env["spare"].count == 0
        env["a"].then("error")
        env["b"].then("error")
        assert await env.call() == "spare: q"


def test_all_weights_0_are_invalid() -> None:
    """Case 51: weights that are all 0 raise at construction."""
    with pytest.raises(ConfigurationError, match="at least one weight must be > 0"):
        MultiProviderRouter(weighted(a=0, b=0), registry=CollectorRegistry())


@pytest.mark.parametrize("order", ["abc", "bca", "cab"])
async def test_default_weight_is_1(order: str) -> None:
    """Case 52: in any place of the list."""
    providers = {
        "a": Provider("a", answer),
        "b": scripted("b", weight=2),
        "c": scripted("c", weight=1),
    }
    async with harness(*(providers[name] for name in order)) as env:
        shares = {s.provider: s.share for s in env.router.explain().tiers[0]}
        assert shares == pytest.approx({"a": 0.25, "b": 0.5, "c": 0.25})


@pytest.mark.parametrize("invalid", [-1, math.nan, math.inf, -math.inf, True, "3", None, 1j])
def test_invalid_weights_name_the_provider(invalid: Any) -> None:
    """Case 53: the error names the provider."""
    with pytest.raises(ConfigurationError) as caught:
        Provider("openai", answer, weight=invalid)
    assert caught.value.what == "Provider('openai').weight"


async def test_duplicate_names_and_empty_routers() -> None:
    """Case 53: duplicate names raise; an empty router is valid, but a call on it raises.

    An empty router is what `@router.provider` starts from.
    """
    registry = CollectorRegistry()
    with pytest.raises(ConfigurationError, match=r"Provider\('a'\): duplicate name"):
        MultiProviderRouter([*weighted(a=1), *weighted(a=2)], registry=registry)
    with pytest.raises(ConfigurationError, match="must be Provider objects"):
        MultiProviderRouter([answer], registry=registry)  # type: ignore[list-item]
    async with harness() as env:
        with pytest.raises(UsageError, match="no providers"):
            await env.call()
        env.router.provider("late")(answer)
        assert await env.call() == "q"


class ExtremeRandom(Random):
    """Random numbers at their extremes, in turns."""

    def __init__(self) -> None:
        super().__init__(0)
        self.turn = 0

    def random(self) -> float:
        self.turn += 1
        return 0.0 if self.turn % 2 else math.nextafter(1.0, 0.0)


async def test_extreme_random_numbers_choose_a_provider() -> None:
    """Case 54: 0.0 and the largest double below 1 choose the first and the last with a weight."""
    weights = {"none": 0.0, "first": 0.1, "middle": 0.2, "last": 0.3, "nil": 0.0}
    async with harness(
        *(scripted(n, weight=w) for n, w in weights.items()), rng=ExtremeRandom()
    ) as env:
        for _ in range(50):
            await env.call()
        assert {name: env[name].count for name in weights} == {
            "none": 0,
            "first": 25,
            "middle": 0,
            "last": 25,
            "nil": 0,
        }


async def test_no_provider_is_attempted_twice_before_all() -> None:
    """Case 55: each failover goes to an untried provider, whatever the weights."""
    names = ["a", "b", "c", "d"]
    providers = [scripted(name, weight=10.0**i, error_rate=1.0) for i, name in enumerate(names)]
    async with harness(*providers, retry=RetryPolicy(attempts=2, base=0)) as env:
        for _ in range(20):
            outcome = await env.outcome()
            attempted = [record.provider for record in outcome.attempts]
            assert sorted(attempted[:4]) == names[: len(attempted)] or len(
                set(attempted[:4])
            ) == len(attempted[:4])
        first = env.recorder.calls[0]
        assert sorted(record.provider for record in first.attempts[:4]) == names


async def test_all_open_rejects_at_once() -> None:
    """Case 56: no attempt, no waiting, and the error says when to retry."""
    async with harness("a", "b", "c", circuit=TRIPS_AT_ONCE) as env:
        for name in "abc":
            await env.fail(name)
            await anyio.sleep(1)
        attempted = [env[name].count for name in "abc"]
        rejected = await env.outcome()
        assert isinstance(rejected.error, NoProviderAvailable)
        assert rejected.elapsed == 0
        assert rejected.error.retry_after == pytest.approx(7)
        assert [env[name].count for name in "abc"] == attempted
        assert env.total("calls_total", outcome="rejected") == 1


async def test_panic_uses_all_providers() -> None:
    """Case 56: in panic mode all are candidates, each choice is counted, no circuit changes."""
    async with harness("a", "b", "c", circuit=TRIPS_AT_ONCE, panic=0.5) as env:
        for name in "abc":
            await env.fail(name)
        generations = [env.circuit(name).generation for name in "abc"]
        for _ in range(60):
            assert (await env.outcome()).ok
        assert min(env[name].count for name in "abc") > 5
        assert env.total("panics_total") >= 60
        assert [env.circuit(name).generation for name in "abc"] == generations
        assert "panic" in env.records("a")[-1].why


async def test_panic_limits_the_share_of_open_circuits() -> None:
    """Case 57: of three with panic at 0.5, one may be open; from the second on all serve.

    The share is counted after the opening: 2 of 3 closed is above the limit, 1 of 3 below.
    """
    async with harness("a", "b", "c", circuit=TRIPS_AT_ONCE, panic=0.5) as env:
        await env.fail("a")
        assert shares(env) == pytest.approx([0, 0.5, 0.5])
        await env.fail("b")
        assert shares(env) == pytest.approx([1 / 3, 1 / 3, 1 / 3])


def shares(env: Harness) -> list[float]:
    return [status.share for status in env.router.explain().tiers[0]]


async def test_held_open_stays_out_in_panic() -> None:
    """Case 57: a provider held open by hand stays out."""
    async with harness("a", "b", circuit=TRIPS_AT_ONCE, panic=1.0) as env:
        env.router.hold("a", "open")
        assert shares(env) == [0, 1]
        await env.fail("b")
        assert shares(env) == [0, 1]
        assert await env.call() == "b: q"


async def test_slow_provider_delays_only_its_callers() -> None:
    """Case 58: while fifty calls wait for one, calls to another pass at once."""
    async with harness(scripted("slow", latency=20.0), scripted("quick")) as env:
        callers = [env.start_soon("slow") for _ in range(50)]
        await anyio.sleep(1)
        before = anyio.current_time()
        for _ in range(50):
            assert (await env.outcome("quick")).elapsed == 0
        assert anyio.current_time() == before
        assert not any(caller.ended for caller in callers)
        assert all([(await caller.end()).ok for caller in callers])
