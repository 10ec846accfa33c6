"""Tier tables: shares, extremes of chance, exclusion, reserves and rebuilds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.core.selection.tier_tables import TierTable
from multirouter.core.selection.weighted import MAX_REDRAWS, RAMP_START
from multirouter.core.settings.policies import CircuitPolicy
from tests.core.kit import World, provider

WEIGHTS = st.lists(st.just(0.0) | st.floats(1e-9, 1e9), min_size=1, max_size=8).filter(any)

BELOW_ONE = math.nextafter(1.0, 0.0)


class Constant(Random):
    """A generator that returns the same number each time."""

    def __init__(self, always: float) -> None:
        super().__init__(0)
        self.always = always

    def random(self) -> float:
        return self.always


def world_of(weights: Collection[float], **settings: Any) -> World:
    """Providers p0, p1, ... of these weights."""
    return World([provider(f"p{i}", weight=w) for i, w in enumerate(weights)], **settings)


def table_of(world: World, route: Any = None) -> TierTable:
    """The table of a route's first tier, now."""
    return world.route(route).tiers[0].table(world.now)


def within(counts: Counter[str], shares: dict[str, float], sigmas: float = 4.0) -> bool:
    """Whether each count is within so many standard deviations of its binomial's mean."""
    n = counts.total()
    return set(counts) <= set(shares) and all(
        abs(counts[name] - n * share) <= sigmas * math.sqrt(n * share * (1 - share))
        for name, share in shares.items()
    )


def draws(world: World, n: int, excluded: Collection[str] = ()) -> list[str]:
    """The names of n choices."""
    rng, table = Random(world.seed), table_of(world)
    found = [table.healthy.pick(rng, excluded, 0.0) for _ in range(n)]
    return [member.name for member in found if member is not None]


# ── shares ────────────────────────────────────────────────────────────────────────────────────────


def test_shares_follow_the_weights() -> None:
    """Case 49: of 100,000 choices by 5/3/2 each share is within 4 sigma; a seed repeats them."""
    first = draws(world_of([5, 3, 2]), 100_000)
    assert within(Counter(first), {"p0": 0.5, "p1": 0.3, "p2": 0.2})
    assert draws(world_of([5, 3, 2]), 100_000) == first
    assert draws(world_of([5, 3, 2], seed=2), 100) != first[:100]


def test_available_providers_share_by_their_own_weights() -> None:
    """Case 50: with the circuit of weight 5 open the others get 3/5 and 2/5, within 4 sigma."""
    three = world_of([5, 3, 2])
    three.trip("p0")
    assert within(Counter(draws(three, 20_000)), {"p1": 0.6, "p2": 0.4})
    assert [table_of(three).share(m) for m in three.route().members] == pytest.approx([0, 0.6, 0.4])


@pytest.mark.parametrize("excluded", [{"p0"}, {"p0", "p1"}, {"p3"}])
def test_redraws_keep_the_shares(excluded: set[str]) -> None:
    """Excluding by redraws gives the shares of an exact choice among the others (4 sigma)."""
    weights = {"p0": 90.0, "p1": 5.0, "p2": 3.0, "p3": 2.0}
    left = {name: weight for name, weight in weights.items() if name not in excluded}
    total = sum(left.values())
    found = Counter(draws(world_of(weights.values()), 20_000, excluded))
    assert within(found, {name: weight / total for name, weight in left.items()})


def test_redraws_are_bounded() -> None:
    """Even if every draw hits an excluded provider."""

    class Counting(Constant):
        calls = 0

        def random(self) -> float:
            self.calls += 1
            return super().random()

    rng = Counting(0.0)
    found = table_of(world_of([1e9, 1, 1])).healthy.pick(rng, {"p0"}, 0.0)
    assert found is not None
    assert found.name == "p1"
    assert rng.calls == MAX_REDRAWS + 1


@given(weights=WEIGHTS, order=st.randoms(use_true_random=False))
def test_order_does_not_matter(weights: list[float], order: Random) -> None:
    """Case 52: shares depend on the weights alone, and a weight that is left out is 1."""
    named = {f"p{i}": weight for i, weight in enumerate(weights)}
    shuffled = list(named)
    order.shuffle(shuffled)
    for names in (list(named), shuffled):
        world = World([*(provider(n, weight=named[n]) for n in names), provider("plain")])
        total = math.fsum([*named.values(), 1.0])
        shares = {m.name: table_of(world).share(m) for m in world.route().members}
        assert shares == pytest.approx({n: w / total for n, w in [*named.items(), ("plain", 1)]})


# ── extremes ──────────────────────────────────────────────────────────────────────────────────────


@given(weights=WEIGHTS, excluded=st.sets(st.integers(0, 7)))
@pytest.mark.parametrize("number", [0.0, 0.5, BELOW_ONE])
def test_extreme_random_numbers(number: float, weights: list[float], excluded: set[int]) -> None:
    """Case 54: a provider is chosen while one is left, and weight 0 only after all others."""
    out = {f"p{i}" for i in excluded}
    found = table_of(world_of(weights)).healthy.pick(Constant(number), out, 0.0)
    left = {f"p{i}": weight for i, weight in enumerate(weights) if i not in excluded}
    if not left:
        assert found is None
    else:
        assert found is not None
        assert found.name in left
        assert found.weight > 0 or not any(left.values())


def test_a_product_that_rounds_up_chooses_the_last() -> None:
    """Case 54: random() times the total may round to the total itself."""
    for weights in ([0.1] * 10, [3.0, 1e-9], [1e9, 1e-9]):
        table = table_of(world_of(weights))
        assert table.healthy.pick(Constant(BELOW_ONE), (), 0.0) in table.healthy.members
        assert table.healthy.pick(Constant(1.0), (), 0.0) is table.healthy.members[-1]
        assert table.healthy.pick(Constant(1.0), {"p0", "px"}, 0.0) in table.healthy.members[1:]


def test_equal_weights_divide_the_random_numbers_evenly() -> None:
    """Of n equal weights, member i is chosen by the numbers from i/n to (i+1)/n, in any unit."""
    for weight in (1.0, 0.1, 7e5):
        table = table_of(world_of([weight] * 9))
        for at, member in enumerate(table.healthy.members):
            for number in (at / 9 + 1e-9, (at + 1) / 9 - 1e-9):
                assert table.healthy.pick(Constant(number), (), 0.0) is member


def test_weight_0_is_a_reserve() -> None:
    """Case 51: it has no share and is chosen only when no other provider of its tier is left."""
    table = table_of(world_of([0, 2, 0, 1]))
    chosen = {table.healthy.pick(Random(i), (), 0.0).name for i in range(200)}
    assert chosen == {"p1", "p3"}
    assert table.healthy.pick(Random(1), {"p1", "p3"}, 0.0).name == "p0"
    assert table.healthy.pick(Random(1), {"p1", "p3", "p0"}, 0.0).name == "p2"
    assert table.healthy.pick(Random(1), {"p0", "p1", "p2", "p3"}, 0.0) is None
    assert table.share(table.healthy.members[0]) == pytest.approx(2 / 3)


def test_a_single_candidate_draws_no_random_number() -> None:
    """The sequence of random numbers does not change."""
    rng = Random(5)
    assert table_of(world_of([2])).healthy.pick(rng, (), 0.0).name == "p0"
    assert rng.random() == Random(5).random()


# ── candidates ────────────────────────────────────────────────────────────────────────────────────


def test_why_names_the_skipped_providers() -> None:
    """`why` has the number of candidates, and each skipped provider with its reason."""
    world = world_of([5, 3, 2])
    assert table_of(world).healthy.why == "chosen by weight among 3"
    world.half_open("p1")
    world.run_call("p2", "rate_limit")
    assert table_of(world).healthy.why == "only candidate; skipped: p1 half-open, p2 cooling down"
    assert [m.name for m in table_of(world).half_open] == ["p1"]


def test_a_table_is_valid_until_something_changes() -> None:
    """The same table serves until a gate changes or time alone makes it stale."""
    world = world_of([5, 3, 2])
    before = table_of(world)
    world.now += 1000.0
    assert table_of(world) is before
    world.run_call("p0", "rate_limit")
    cooldown = table_of(world)
    assert cooldown is not before
    world.now = math.nextafter(world.member("p0").gate.cooldown_until, 0.0)
    assert table_of(world) is cooldown
    world.now = world.member("p0").gate.cooldown_until
    assert [m.name for m in table_of(world).healthy.members] == ["p0", "p1", "p2"]


def test_a_recovered_provider_ramps_up() -> None:
    """Case 22: after recovery the weight grows from a tenth to the whole over `ramp` seconds."""
    ramp = CircuitPolicy(failures=1, growth=1, ramp=100.0)
    world = world_of([1, 1], circuit=ramp)
    world.half_open("p0")
    world.run_call("p0", "success")
    start = world.now
    weights = []
    for seconds in range(0, 121, 5):
        world.now = start + seconds
        share = table_of(world).share(world.member("p0"))
        weights.append(share / (1 - share))
    assert weights[0] == pytest.approx(RAMP_START)
    assert weights == sorted(weights)
    assert weights[10] == pytest.approx(0.5, abs=0.11)
    assert weights[-1] == pytest.approx(1.0)
    assert table_of(world).valid_until == math.inf


def test_panic_ignores_circuits() -> None:
    """Cases 56 and 57: below the threshold every provider is a candidate, unless held open."""
    world = world_of([1, 1, 1, 1], panic=0.5)
    world.trip("p0", "p1")
    assert not table_of(world).panic
    assert [m.name for m in table_of(world).healthy.members] == ["p2", "p3"]
    world.trip("p2")
    assert table_of(world).panic
    assert table_of(world).healthy.why == "panic: chosen by weight among 4"
    world.states.gates["p3"].set_hold("open", world.now)
    assert [m.name for m in table_of(world).healthy.members] == ["p0", "p1", "p2"]
    assert table_of(world).half_open == []


def test_repr_of_a_candidate() -> None:
    """It has name, weight and gate."""
    assert repr(world_of([2]).member("p0")).startswith("<Candidate p0 weight=2 <Gate p0")
