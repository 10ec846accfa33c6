"""Who is drawn: shares, extremes of chance, exclusion, last resorts, and tables made anew."""

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
from multirouter.core.selection.weighted import RAMP_START, REDRAWS
from multirouter.core.settings.policies import CircuitPolicy
from tests.core.kit import World, provider

WEIGHTS = st.lists(st.just(0.0) | st.floats(1e-9, 1e9), min_size=1, max_size=8).filter(any)

BELOW_ONE = math.nextafter(1.0, 0.0)


class Loaded(Random):
    """Chance that says the same at every throw."""

    def __init__(self, always: float) -> None:
        super().__init__(0)
        self.always = always

    def random(self) -> float:
        return self.always


def world(weights: Collection[float], **settings: Any) -> World:
    """Providers p0, p1, ... of these weights."""
    return World([provider(f"p{i}", weight=w) for i, w in enumerate(weights)], **settings)


def table(world: World, route: Any = None) -> TierTable:
    """The draw table of a route's first tier, now."""
    return world.route(route).tiers[0].table(world.now)


def within(counts: Counter[str], shares: dict[str, float], sigmas: float = 4.0) -> bool:
    """Whether each count is within so many standard deviations of its binomial's mean."""
    n = counts.total()
    return set(counts) <= set(shares) and all(
        abs(counts[name] - n * share) <= sigmas * math.sqrt(n * share * (1 - share))
        for name, share in shares.items()
    )


def draws(world: World, n: int, barred: Collection[str] = ()) -> list[str]:
    """The names of n draws."""
    rng, of = Random(world.seed), table(world)
    found = [of.healthy.pick(rng, barred, 0.0) for _ in range(n)]
    return [member.name for member in found if member is not None]


# ── shares ──────────────────────────────────────────────────────────────────────────────────────


def test_shares_follow_the_weights() -> None:
    """Case 49: of 100,000 draws by 5/3/2 each share is within 4 sigma; one seed, one sequence."""
    first = draws(world([5, 3, 2]), 100_000)
    assert within(Counter(first), {"p0": 0.5, "p1": 0.3, "p2": 0.2})
    assert draws(world([5, 3, 2]), 100_000) == first
    assert draws(world([5, 3, 2], seed=2), 100) != first[:100]


def test_the_others_share_by_their_own_weights() -> None:
    """Case 50: with the circuit of weight 5 open the others get 3/5 and 2/5, within 4 sigma."""
    three = world([5, 3, 2])
    three.trip("p0")
    assert within(Counter(draws(three, 20_000)), {"p1": 0.6, "p2": 0.4})
    assert [table(three).share(m) for m in three.route().members] == pytest.approx([0, 0.6, 0.4])


@pytest.mark.parametrize("barred", [{"p0"}, {"p0", "p1"}, {"p3"}])
def test_drawing_again_is_exact(barred: set[str]) -> None:
    """Excluding by redrawing gives the shares that weighing the rest exactly gives (4 sigma)."""
    weights = {"p0": 90.0, "p1": 5.0, "p2": 3.0, "p3": 2.0}
    left = {name: weight for name, weight in weights.items() if name not in barred}
    total = sum(left.values())
    found = Counter(draws(world(weights.values()), 20_000, barred))
    assert within(found, {name: weight / total for name, weight in left.items()})


def test_redrawing_is_bounded() -> None:
    """Chance that hits the barred one every time is asked a bounded number of times."""

    class Counting(Loaded):
        throws = 0

        def random(self) -> float:
            self.throws += 1
            return super().random()

    rng = Counting(0.0)
    found = table(world([1e9, 1, 1])).healthy.pick(rng, {"p0"}, 0.0)
    assert found is not None
    assert found.name == "p1"
    assert rng.throws == REDRAWS + 1


@given(weights=WEIGHTS, order=st.randoms(use_true_random=False))
def test_order_does_not_matter(weights: list[float], order: Random) -> None:
    """Case 52: shares depend on the weights alone, and a weight left out is 1 wherever it is."""
    named = {f"p{i}": weight for i, weight in enumerate(weights)}
    shuffled = list(named)
    order.shuffle(shuffled)
    for names in (list(named), shuffled):
        of = World([*(provider(n, weight=named[n]) for n in names), provider("plain")])
        total = math.fsum([*named.values(), 1.0])
        shares = {m.name: table(of).share(m) for m in of.route().members}
        assert shares == pytest.approx({n: w / total for n, w in [*named.items(), ("plain", 1)]})


# ── the extremes ────────────────────────────────────────────────────────────────────────────────


@given(weights=WEIGHTS, barred=st.sets(st.integers(0, 7)))
@pytest.mark.parametrize("throw", [0.0, 0.5, BELOW_ONE])
def test_chance_at_its_extremes(throw: float, weights: list[float], barred: set[int]) -> None:
    """Case 54: somebody is drawn while anybody is left, and never one of weight 0 before that."""
    out = {f"p{i}" for i in barred}
    found = table(world(weights)).healthy.pick(Loaded(throw), out, 0.0)
    left = {f"p{i}": weight for i, weight in enumerate(weights) if i not in barred}
    if not left:
        assert found is None
    else:
        assert found is not None
        assert found.name in left
        assert found.weight > 0 or not any(left.values())


def test_a_sum_that_rounds_up_draws_the_last() -> None:
    """Case 54: where random() times the total rounds to the total itself, the last is drawn."""
    for weights in ([0.1] * 10, [3.0, 1e-9], [1e9, 1e-9]):
        of = table(world(weights))
        assert of.healthy.pick(Loaded(BELOW_ONE), (), 0.0) in of.healthy.members
        assert of.healthy.pick(Loaded(1.0), (), 0.0) is of.healthy.members[-1]
        assert of.healthy.pick(Loaded(1.0), {"p0", "px"}, 0.0) in of.healthy.members[1:]


def test_weight_0_is_the_last_resort() -> None:
    """Case 51: weight 0 has no share and is drawn only when nobody else of its tier is left."""
    of = table(world([0, 2, 0, 1]))
    drawn = {of.healthy.pick(Random(i), (), 0.0).name for i in range(200)}
    assert drawn == {"p1", "p3"}
    assert of.healthy.pick(Random(1), {"p1", "p3"}, 0.0).name == "p0"
    assert of.healthy.pick(Random(1), {"p1", "p3", "p0"}, 0.0).name == "p2"
    assert of.healthy.pick(Random(1), {"p0", "p1", "p2", "p3"}, 0.0) is None
    assert of.share(of.healthy.members[0]) == pytest.approx(2 / 3)


def test_one_who_is_alone_takes_no_chance() -> None:
    """With a single candidate nothing is thrown, so its sequence of chance stays its own."""
    rng = Random(5)
    assert table(world([2])).healthy.pick(rng, (), 0.0).name == "p0"
    assert rng.random() == Random(5).random()


# ── who takes part ──────────────────────────────────────────────────────────────────────────────


def test_the_table_says_who_was_passed_over() -> None:
    """`why` names how many were drawn among, and each who is out with its reason."""
    of = world([5, 3, 2])
    assert table(of).healthy.why == "drawn by weight among 3"
    of.half_open("p1")
    of.hit("p2", "rate_limit")
    assert table(of).healthy.why == "only one; passed over: p1 on trial, p2 cooling down"
    assert [m.name for m in table(of).trials] == ["p1"]


def test_a_table_lasts_until_something_changes() -> None:
    """The same table serves until a door changes or time alone makes it stale."""
    of = world([5, 3, 2])
    before = table(of)
    of.now += 1000.0
    assert table(of) is before
    of.hit("p0", "rate_limit")
    cooldown = table(of)
    assert cooldown is not before
    of.now = math.nextafter(of.member("p0").gate.cooldown_until, 0.0)
    assert table(of) is cooldown
    of.now = of.member("p0").gate.cooldown_until
    assert [m.name for m in table(of).healthy.members] == ["p0", "p1", "p2"]


def test_a_recovered_provider_ramps_up() -> None:
    """Case 22: after recovery the weight grows from a tenth to the whole over `ramp` seconds."""
    ramp = CircuitPolicy(failures=1, growth=1, ramp=100.0)
    of = world([1, 1], circuit=ramp)
    of.half_open("p0")
    of.hit("p0", "success")
    start = of.now
    weights = []
    for seconds in range(0, 121, 5):
        of.now = start + seconds
        share = table(of).share(of.member("p0"))
        weights.append(share / (1 - share))
    assert weights[0] == pytest.approx(RAMP_START)
    assert weights == sorted(weights)
    assert weights[10] == pytest.approx(0.5, abs=0.11)
    assert weights[-1] == pytest.approx(1.0)
    assert table(of).valid_until == math.inf


def test_panic_ignores_circuits() -> None:
    """Cases 56 and 57: with less than the share closed everybody is drawn, except who is held."""
    of = world([1, 1, 1, 1], panic=0.5)
    of.trip("p0", "p1")
    assert not table(of).panic_started
    assert [m.name for m in table(of).healthy.members] == ["p2", "p3"]
    of.trip("p2")
    assert table(of).panic_started
    assert table(of).healthy.why == "panic: drawn by weight among 4"
    of.memory.gates["p3"].hold_by_hand("open", of.now)
    assert [m.name for m in table(of).healthy.members] == ["p0", "p1", "p2"]
    assert table(of).trials == []


def test_a_member_tells_its_state_in_a_line() -> None:
    """`repr` has name, weight and door."""
    assert repr(world([2]).member("p0")).startswith("<Member p0 weight=2 <Gate p0")
