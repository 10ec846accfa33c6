"""Who is chosen by each strategy, how users bring their own, and what a broken one costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import count
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.core.cost.price import Price
from multirouter.core.health.latency_average import DECAY, PENALTY, LatencyAverage
from multirouter.core.routes.route import Route
from multirouter.core.selection.candidate import Candidate
from multirouter.core.selection.sticky import PLACES, Sticky
from multirouter.core.selection.strategies import COMPARED, NAMES, Balanced
from multirouter.core.selection.weighted import Choose, SelectionContext
from multirouter.core.settings.policies import CircuitPolicy, LimitPolicy
from multirouter.errors import ConfigurationError
from tests.core.kit import NEVER_TRIPS, World, provider


def world(strategy: Any, *providers: Any, **settings: Any) -> World:
    """Providers in one tier of the route `work`, under a strategy."""
    names = [one.name for one in providers]
    settings.setdefault("circuit", NEVER_TRIPS)
    return World(providers, [Route("work", [names], strategy=strategy)], **settings)


def chosen(of: World, request: Any = None) -> str:
    """Who is asked next; the attempt stays in flight."""
    return of.trying(of.plan("work", request=request)).member.name


def served(of: World, n: int, request: Any = None) -> Counter[str]:
    """Whom n calls, one after the other, are answered by."""
    names: Counter[str] = Counter()
    for _ in range(n):
        plan = of.plan("work", request=request)
        step = of.trying(plan)
        of.answers(plan, step)
        names[step.member.name] += 1
    return names


def learn(of: World, **latencies: float) -> None:
    """Lets providers have answered once, in so many seconds."""
    for name, seconds in latencies.items():
        speed = of.member(name, "work").speed
        assert speed is not None
        speed.learn(seconds, of.now)


# ── ranks ───────────────────────────────────────────────────────────────────────────────────────


def test_in_order() -> None:
    """The first is asked as long as he can be, then the second."""
    of = world("in_order", provider("a"), provider("b", weight=9), provider("c"))
    assert served(of, 20) == {"a": 20}
    assert of.asked(of.plan("work"), "server", "server", "ok") == ["a", "b", "c"]
    of.memory.gates["a"].hold_by_hand("open", of.now)
    step = of.trying(of.plan("work"))
    assert (step.member.name, step.why) == (
        "b",
        "first in order among 2; passed over: a held open",
    )


def test_cheapest() -> None:
    """The lowest price for a typical call; who has none is last; equals share by weight."""
    of = world(
        "cheapest",
        provider("unknown"),
        provider("dear", price=Price(10, 30)),
        provider("much out", price=Price(1, 5), weight=3),
        provider("even", price=Price(2, 2)),
        provider("per call", price=Price(0, 0, per_request=0.002)),
    )
    counts = served(of, 400)
    assert set(counts) == {"much out", "even", "per call"}
    assert counts["much out"] > counts["even"]
    plan = of.plan("work")
    names = of.asked(plan, *["server"] * 4, "ok")
    assert names[3:] == ["dear", "unknown"]


def test_highest_quality() -> None:
    """The highest number of the user's; who has none comes last."""
    of = world(
        "highest_quality",
        provider("none"),
        provider("good", quality=0.8),
        provider("best", quality=0.9),
    )
    assert of.asked(of.plan("work"), "server", "server", "ok") == ["best", "good", "none"]


# ── load and speed ──────────────────────────────────────────────────────────────────────────────


def test_least_in_flight() -> None:
    """Calls that stay in flight are spread as evenly as can be; ties go by weight."""
    of = world("least_in_flight", provider("a", weight=9), provider("b"), provider("c"))
    assert Counter(chosen(of) for _ in range(30)) == {"a": 10, "b": 10, "c": 10}
    idle = world("least_in_flight", provider("a", weight=9), provider("b"))
    assert served(idle, 200)["a"] > 150


def test_many_are_sampled() -> None:
    """Among a hundred the one asked is never far above the least: of 8 drawn the best."""
    of = world("least_in_flight", *(provider(f"p{i}") for i in range(100)))
    counts = Counter(chosen(of) for _ in range(1000))
    assert max(counts.values()) <= 13


def test_the_faster_of_two() -> None:
    """Of two the one that answers faster is asked; load counts as much as latency."""
    of = world("fastest", provider("slow"), provider("fast"))
    learn(of, slow=3.0, fast=1.0)
    assert [chosen(of) for _ in range(4)].count("slow") == 1  # 1, 2, 3 at fast: then 3 at slow
    of = world("fastest", *(provider(f"p{i}") for i in range(10)))
    learn(of, **{f"p{i}": 1.0 + i for i in range(10)})
    counts = served(of, 300)
    assert counts["p9"] == 0  # against anybody it loses
    assert counts["p0"] > 30


def test_newcomers_are_tried_once() -> None:
    """Who has not answered yet gets one call, and no more before he has."""
    of = world("fastest", provider("known"), provider("new"))
    learn(of, known=1.0)
    assert [chosen(of) for _ in range(3)] == ["new", "known", "known"]


def test_answers_and_timeouts_are_learned() -> None:
    """The speed is that of the answers; a timeout counts with the time it took."""
    of = world("fastest", provider("a"), provider("b"))
    plan = of.plan("work")
    step = of.trying(plan)
    of.answers(plan, step, after=2.0)
    assert step.member.speed is not None
    assert step.member.speed.latency(of.now) == 2.0
    plan = of.plan("work")
    other = of.trying(plan)
    assert other.member is not step.member
    of.fails(plan, other, "timeout", after=5.0)
    assert other.member.speed is not None
    assert other.member.speed.latency(of.now) == 5.0


@given(st.lists(st.tuples(st.floats(0.001, 100.0), st.floats(0.0, 30.0)), min_size=1, max_size=20))
def test_speed_jumps_up_and_sinks_down(answers: list[tuple[float, float]]) -> None:
    """A slow answer is believed at once, quick ones bit by bit; nothing exceeds what was seen."""
    speed, now, hold_changed = LatencyAverage(), 0.0, 0.0
    for seconds, rest in answers:
        before = speed.latency(now)
        speed.learn(seconds, now)
        after = speed.latency(now)
        assert min(before, seconds) - 1e-9 <= after <= max(hold_changed, seconds) + 1e-9
        if seconds >= before:
            assert after == seconds
        now, hold_changed = now + rest, after
        assert speed.latency(now) <= after
    assert speed.latency(now + 100 * DECAY) < 1e-6


def test_load() -> None:
    """The latency times the attempts there would be; an unknown one with attempts is far off."""
    speed = LatencyAverage()
    assert speed.load(0, 0.0) == 0.0
    assert speed.load(2, 0.0) == PENALTY + 2
    speed.learn(2.0, 0.0)
    assert speed.load(2, 0.0) == 6.0
    speed.shift(50.0)
    assert speed.load(0, 50.0) == 2.0


def test_balanced() -> None:
    """Speed, price and success weigh against each other; a power of 0 leaves one out."""

    def pair(strategy: Any) -> World:
        of = world(
            strategy,
            provider("quick", price=Price(8, 8)),
            provider("cheap", price=Price(1, 1)),
        )
        learn(of, quick=1.0, cheap=4.0)
        return of

    assert chosen(pair("balanced")) == "cheap"  # 4 times as slow, 8 times as cheap
    assert chosen(pair(Balanced(price=0.5))) == "quick"
    ill = pair("balanced")
    health = ill.member("cheap", "work").health
    for fine in (True, True, True, True, False):  # 0.8 ** 4 = 0.41: more than twice as dear
        health.answered(ill.now) if fine else health.failed(ill.now)
    assert chosen(ill) == "quick"
    assert chosen(pair(Balanced(price=0.5, speed=0.0))) == "cheap"


def test_balance_without_prices() -> None:
    """Where nobody has a price, or all are free, it decides nothing; an unknown is the dearest."""
    for price in (None, Price(0, 0)):
        of = world("balanced", provider("a", price=price), provider("b", price=price))
        learn(of, a=2.0, b=1.0)
        assert chosen(of) == "b"
    of = world("balanced", provider("a"), provider("b", price=Price(5, 5)))
    learn(of, a=1.0, b=2.0)
    assert chosen(of) == "a"


@pytest.mark.parametrize("power", [-1.0, 101.0, "much"])
def test_powers_are_checked(power: Any) -> None:
    """A power is a number from 0 to 100."""
    for name in ("speed", "price", "health"):
        with pytest.raises(ConfigurationError, match=f"Balanced.{name}"):
            Balanced(**{name: power})


# ── sticky ──────────────────────────────────────────────────────────────────────────────────────


def homes(of: World, keys: int = 300) -> dict[str, str]:
    """Where each key goes."""
    found = {}
    for key in map(str, range(keys)):
        plan = of.plan("work", request=key)
        step = of.trying(plan)
        found[key] = step.member.name
        plan.abandon(step)
    return found


def test_a_key_stays_where_it_is() -> None:
    """The same key goes to the same provider, in every process and under every seed."""
    many = [provider(f"p{i}") for i in range(10)]
    one = homes(world(Sticky(key=str), *many))
    assert homes(world(Sticky(key=str), *reversed(many), seed=2)) == one
    assert homes(world(Sticky(key=str.encode), *many)) == one
    assert len(set(one.values())) == 10


def test_only_what_must_moves() -> None:
    """When one is out only his keys move, and they come back with him."""
    of = world(Sticky(key=str), *(provider(f"p{i}") for i in range(10)))
    before = homes(of)
    of.memory.gates["p3"].hold_by_hand("open", of.now)
    without = homes(of)
    moved = {key for key in before if without[key] != before[key]}
    assert moved == {key for key, home in before.items() if home == "p3"}
    assert len({without[key] for key in moved}) > 3
    of.memory.gates["p3"].hold_by_hand("closed", of.now)
    assert homes(of) == before


def test_keys_follow_the_weights() -> None:
    """Of 3,000 keys weights 3 and 1 get their shares within 4 sigma (and the places' grain)."""
    of = world(Sticky(key=str), provider("a", weight=3), provider("b"))
    share = Counter(homes(of, 3000).values())["a"] / 3000
    assert share == pytest.approx(0.75, abs=0.04)


def test_most_are_out() -> None:
    """When all that a place remembers are out, the rest is weighed anew, and the same each time."""
    of = world(Sticky(key=str), *(provider(f"p{i}") for i in range(30)))
    for i in range(25):
        of.memory.gates[f"p{i}"].hold_by_hand("open", of.now)
    assert homes(of) == homes(of)
    assert set(homes(of).values()) == {f"p{i}" for i in range(25, 30)}


def test_failover_of_a_key() -> None:
    """A failed call goes on to the key's second choice, the same every time."""
    of = world(Sticky(key=str), *(provider(f"p{i}") for i in range(5)))
    ways = {tuple(of.asked(of.plan("work", request="k"), "server", "ok")) for _ in range(10)}
    assert len(ways) == 1


def test_no_key_is_drawn_by_weight() -> None:
    """A request without a key goes where chance sends it."""
    of = world(Sticky(key=lambda request: None), provider("a"), provider("b"))
    assert set(served(of, 50)) == {"a", "b"}


def test_a_key_is_read_by_a_function() -> None:
    """Anything else is refused; and the places are a power of two."""
    with pytest.raises(ConfigurationError, match="must be a function"):
        Sticky(key="user")  # type: ignore[arg-type]
    assert PLACES & (PLACES - 1) == 0


# ── all of them, and the user's own ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [*NAMES, "sticky"])
def test_every_strategy_keeps_the_promises(name: str) -> None:
    """Nobody barred is chosen, everybody is asked before the call fails, reserves are the last."""
    strategy = Sticky(key=str) if name == "sticky" else name
    of = world(
        strategy,
        provider("reserve", weight=0),
        *(provider(f"p{i}", limits=LimitPolicy(in_flight=5)) for i in range(3)),
    )
    for _ in range(5):
        asked = of.asked(of.plan("work", request="r"), "server", "server", "server", "ok")
        assert sorted(asked[:3]) == ["p0", "p1", "p2"]
        assert asked[3] == "reserve"
    for _ in range(15):
        assert chosen(of, "r") != "reserve"
    assert chosen(of, "r") == "reserve"  # all others are full


class RoundRobin:
    """A user's strategy: each in turn."""

    def prepare(self, members: Sequence[Candidate]) -> Choose:
        turn = count()
        return lambda candidates, asking: candidates[next(turn) % len(candidates)]


def test_users_bring_their_own() -> None:
    """An object with `prepare` is a strategy; its name stands in the trail."""
    of = world(RoundRobin(), provider("a"), provider("b"), provider("c"))
    steps = [of.trying(of.plan("work")) for _ in range(4)]
    assert [step.member.name for step in steps] == ["a", "b", "c", "a"]
    assert steps[0].why == "RoundRobin among 3"


def test_candidates_stay_the_same_object() -> None:
    """What depends on the candidates alone can be worked out once per change."""
    seen: list[Sequence[Candidate]] = []

    class Watching:
        how = "watched"

        def prepare(self, members: Sequence[Candidate]) -> Choose:
            def choose(candidates: Sequence[Candidate], asking: SelectionContext) -> Candidate:
                seen.append(candidates)
                assert (asking.request, asking.now) == ("q", of.now)
                assert asking.rng is of.rng
                return candidates[0]

            return choose

    of = world(Watching(), provider("a"), provider("b"), provider("c"))
    for _ in range(3):
        chosen(of, "q")
    of.memory.gates["a"].hold_by_hand("open", of.now)
    chosen(of, "q")
    assert seen[0] is seen[1] is seen[2]
    assert [member.name for member in seen[3]] == ["b", "c"]


@pytest.mark.parametrize("what", [None, "p0", ValueError("slip"), [1]])
def test_a_broken_strategy_costs_no_call(what: Any) -> None:
    """One that raises or names a stranger is told of, and the weights decide."""
    told: list[Exception] = []

    class Broken:
        def prepare(self, members: Sequence[Candidate]) -> Choose:
            def choose(candidates: Sequence[Candidate], asking: SelectionContext) -> Candidate:
                if isinstance(what, Exception):
                    raise what
                return what

            return choose

    of = world(Broken(), provider("a"), provider("b"), provider("c"))
    of.memory.hook_broken = lambda hook, error: told.append(error)
    of.configure(of.providers, of.routes)
    assert set(served(of, 30)) == {"a", "b", "c"}
    assert len(told) == 30
    assert of.asked(of.plan("work"), "server", "ok")


def test_whoever_was_asked_is_no_candidate() -> None:
    """A strategy that insists on one who failed gets somebody else."""

    class Insisting:
        def prepare(self, members: Sequence[Candidate]) -> Choose:
            return lambda candidates, asking: members[0]

    of = world(Insisting(), provider("a"), provider("b"), provider("c"))
    of.memory.hook_broken = lambda hook, error: None
    of.configure(of.providers, of.routes)
    first, second = of.asked(of.plan("work"), "server", "ok")
    assert first == "a"
    assert second != "a"


def test_each_tier_may_have_its_own() -> None:
    """A list names one strategy for each tier."""
    names = [["a", "b"], ["c", "d"]]
    route = Route("work", names, strategy=["in_order", "weighted"])
    firsts, thirds = set(), set()
    for seed in range(10):
        of = World([provider(n) for n in "abcd"], [route], circuit=NEVER_TRIPS, seed=seed)
        asked = of.asked(of.plan("work"), "server", "server", "ok")
        firsts.add(tuple(asked[:2]))
        thirds.add(asked[2])
    assert firsts == {("a", "b")}
    assert thirds == {"c", "d"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("fastes", "did you mean 'fastest'"),
        (Balanced, "an object with prepare"),
        (7, "an object with prepare"),
        (["fastest"], "names 1 strategies for 2 tiers"),
    ],
)
def test_what_is_no_strategy(given: Any, says: str) -> None:
    """It is refused where it is given, with the near miss."""
    with pytest.raises(ConfigurationError, match=says):
        Route("work", ["a", "b"], strategy=given)


def test_shares_are_a_matter_of_weights() -> None:
    """Where a strategy chooses there is no share to tell; who is out has none."""
    of = world("fastest", provider("a"), provider("b"), circuit=CircuitPolicy(failures=1))
    of.trip("b")
    table = of.route("work").tiers[0].table(of.now)
    assert [table.share(member) for member in of.route("work").members] == [None, 0.0]


def test_a_sample_is_small() -> None:
    """The number compared says what its comment says: one in two of three is of the best."""
    rng = Random(1)
    hits = sum(min(rng.random() for _ in range(COMPARED)) < 1 / 8 for _ in range(2000))
    assert hits / 2000 == pytest.approx(0.66, abs=0.04)


def test_speed_outlives_a_change_of_configuration() -> None:
    """What was learned of a provider stays when another joins; who leaves is forgotten."""
    of = world("fastest", provider("a"), provider("b"))
    learn(of, a=2.0, b=1.0)
    of.configure([*of.providers, provider("c")], of.routes)
    speed = of.member("a", "work").speed
    assert speed is not None
    assert speed.latency(of.now) == 2.0
    of.memory.forget("a")
    of.configure(of.providers, of.routes)
    fresh = of.member("a", "work").speed
    assert fresh is not None
    assert fresh.latency(of.now) == 0.0


def test_a_strategy_sees_what_is_in_flight() -> None:
    """A member tells how many attempts at it are under way."""
    of = world("in_order", provider("a"), provider("b"))
    chosen(of)
    assert [member.in_flight for member in of.route("work").members] == [1, 0]
