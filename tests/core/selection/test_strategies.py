"""Strategies: which provider each one chooses."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest

from multirouter.core.cost.price import Price
from multirouter.core.routes.route import Route
from multirouter.core.selection.exploration import SAMPLE_SIZE
from multirouter.core.selection.sticky import Sticky
from multirouter.core.selection.strategies import STRATEGIES, Balanced, Fastest
from multirouter.core.selection.weighted import SelectionContext
from multirouter.core.settings.policies import CircuitPolicy, LimitPolicy
from multirouter.errors import ConfigurationError
from tests.core.kit import NEVER_TRIPS, World, provider
from tests.core.strategy_bench import chosen, one_tier, record_latencies, served

FREE = Price(0, 0)

# ── ranks ─────────────────────────────────────────────────────────────────────────────────────────


def test_in_order() -> None:
    """The first is attempted while it is available, then the second."""
    world = one_tier("in_order", provider("a"), provider("b", weight=9), provider("c"))
    assert served(world, 20) == {"a": 20}
    assert world.run_attempts(world.plan("work"), "server", "server", "ok") == ["a", "b", "c"]
    world.states.gates["a"].set_hold("open", world.now)
    step = world.next_attempt(world.plan("work"))
    assert (step.member.name, step.why) == (
        "b",
        "first in order among 2; skipped: a held open",
    )


def test_cheapest() -> None:
    """The lowest price for a typical call; without a price comes last; equals share by weight."""
    world = one_tier(
        "cheapest",
        provider("unknown"),
        provider("expensive", price=Price(10, 30)),
        provider("much out", price=Price(1, 5), weight=3),
        provider("even", price=Price(2, 2)),
        provider("per call", price=Price(0, 0, per_request=0.002)),
    )
    counts = served(world, 400)
    assert set(counts) == {"much out", "even", "per call"}
    assert counts["much out"] > counts["even"]
    plan = world.plan("work")
    names = world.run_attempts(plan, *["server"] * 4, "ok")
    assert names[3:] == ["expensive", "unknown"]


def test_highest_quality() -> None:
    """The highest `quality`; without one comes last."""
    world = one_tier(
        "highest_quality",
        provider("none"),
        provider("good", quality=0.8),
        provider("best", quality=0.9),
    )
    assert world.run_attempts(world.plan("work"), "server", "server", "ok") == [
        "best",
        "good",
        "none",
    ]


# ── load and latency ──────────────────────────────────────────────────────────────────────────────


def test_least_in_flight() -> None:
    """Calls that stay in flight are spread evenly; equals share by weight."""
    world = one_tier("least_in_flight", provider("a", weight=9), provider("b"), provider("c"))
    assert Counter(chosen(world) for _ in range(30)) == {"a": 10, "b": 10, "c": 10}
    idle = one_tier("least_in_flight", provider("a", weight=9), provider("b"))
    assert served(idle, 200)["a"] > 150


def test_many_candidates_are_sampled() -> None:
    """Of a hundred, the chosen one is the least loaded of 8 random ones."""
    world = one_tier("least_in_flight", *(provider(f"p{i}") for i in range(100)))
    counts = Counter(chosen(world) for _ in range(1000))
    assert max(counts.values()) <= 13


def answered(world: World, seconds: dict[str, float], n: int) -> Counter[str]:
    """How many of n calls each provider answers, in so many seconds, one call after the other."""
    names: Counter[str] = Counter()
    for _ in range(n):
        plan = world.plan("work")
        step = world.next_attempt(plan)
        world.succeed(plan, step, after=seconds[step.member.name])
        names[step.member.name] += 1
    return names


@pytest.mark.parametrize("strategy", ["fastest", "balanced"])
@pytest.mark.parametrize("latencies", [(0.1, 1.0, 5.0), (5.0, 1.0, 0.1), (1.0, 0.1, 5.0)])
def test_nearly_all_calls_go_to_the_clearly_faster_provider(
    strategy: str, latencies: tuple[float, ...]
) -> None:
    """At 0.1, 1 and 5 seconds, one in a hundred calls goes to the slower ones."""
    seconds = dict(zip("abc", latencies, strict=True))
    world = one_tier(strategy, *map(provider, seconds))
    counts = answered(world, seconds, 1000)
    fast = min(seconds, key=seconds.__getitem__)
    assert counts[fast] > 970
    assert min(counts.values()) > 1


@pytest.mark.parametrize("strategy", ["fastest", "balanced"])
def test_a_provider_that_becomes_faster_is_noticed(strategy: str) -> None:
    """Then nearly all calls go there; how slow it was before does not matter."""
    world = one_tier(strategy, provider("usual"), provider("changed"))
    before = answered(world, {"usual": 1.0, "changed": 50.0}, 300)
    assert before["usual"] > 280
    answered(world, {"usual": 1.0, "changed": 0.2}, 1000)
    assert answered(world, {"usual": 1.0, "changed": 0.2}, 300)["changed"] > 285


def test_a_provider_that_slows_down_is_left_at_once() -> None:
    """A few slow answers are enough where answers are rare."""
    world = one_tier("fastest", provider("changed"), provider("usual"))
    answered(world, {"changed": 1.0, "usual": 2.0}, 100)
    assert answered(world, {"changed": 20.0, "usual": 2.0}, 100)["changed"] < 10


def test_fastest_counts_a_burst_of_attempts() -> None:
    """More attempts than usual make the fast provider slower: the tenth goes elsewhere."""
    world = one_tier("fastest", provider("slow"), provider("fast"))
    record_latencies(world, slow=1.0, fast=0.11)
    names = [chosen(world) for _ in range(30)]
    assert 9 <= names.index("slow") <= 11  # the fast one may be explored first
    assert names.count("slow") < 6


def test_fastest_stays_with_the_best_of_many() -> None:
    """Of a hundred providers eight random ones are compared with the best so far."""
    names = [f"p{number}" for number in range(100)]
    seconds = {name: 1.0 + number for number, name in enumerate(names)}
    world = one_tier("fastest", *map(provider, names))
    record_latencies(world, **seconds)
    counts = answered(world, seconds, 1000)
    assert counts["p0"] > 850
    world.states.gates["p0"].set_hold("open", world.now)
    assert answered(world, seconds, 500)["p1"] > 300


def test_fastest_gives_a_new_provider_one_attempt() -> None:
    """It gets no more before it has answered."""
    world = one_tier("fastest", provider("known"), provider("new"))
    record_latencies(world, known=1.0)
    assert [chosen(world) for _ in range(3)] == ["new", "known", "known"]


def test_answers_and_timeouts_update_the_latency_average() -> None:
    """A timeout counts with the time it took."""
    world = one_tier("fastest", provider("a"), provider("b"))
    plan = world.plan("work")
    step = world.next_attempt(plan)
    world.succeed(plan, step, after=2.0)
    assert step.member.latency_average is not None
    assert step.member.latency_average.latency == 2.0
    plan = world.plan("work")
    other = world.next_attempt(plan)
    assert other.member is not step.member
    world.fail(plan, other, "timeout", after=5.0)
    assert other.member.latency_average is not None
    assert other.member.latency_average.latency == 5.0


def test_balanced() -> None:
    """Speed, price and success are weighed; a power of 0 leaves one out."""

    def pair(strategy: Any) -> World:
        world = one_tier(
            strategy,
            provider("quick", price=Price(8, 8)),
            provider("cheap", price=Price(1, 1)),
        )
        record_latencies(world, quick=1.0, cheap=4.0)
        return world

    assert chosen(pair("balanced")) == "cheap"  # 4 times as slow, 8 times as cheap
    assert chosen(pair(Balanced(price=0.5))) == "quick"
    failing = pair("balanced")
    health = failing.member("cheap", "work").health
    for succeeded in (True, True, True, True, False):  # 0.8 ** 4 = 0.41: more than twice the score
        health.record_success(failing.now) if succeeded else health.record_failure(failing.now)
    assert chosen(failing) == "quick"
    assert chosen(pair(Balanced(price=0.5, speed=0.0))) == "cheap"


def test_high_powers_of_balanced() -> None:
    """A power beyond the range of a float is the worst score, not an error."""
    world = one_tier(Balanced(speed=100.0), provider("slow"), provider("fast"))
    record_latencies(world, slow=1e5, fast=2.0)
    assert chosen(world) == "fast"


def test_balanced_without_prices() -> None:
    """Without prices, or if all are free, it decides nothing; an unknown one is the highest."""
    for price in (None, Price(0, 0)):
        world = one_tier("balanced", provider("a", price=price), provider("b", price=price))
        record_latencies(world, a=2.0, b=1.0)
        assert chosen(world) == "b"
    world = one_tier("balanced", provider("a"), provider("b", price=Price(5, 5)))
    record_latencies(world, a=1.0, b=2.0)
    assert chosen(world) == "a"


@pytest.mark.parametrize("power", [-1.0, 101.0, "much"])
def test_powers_of_balanced_are_validated(power: Any) -> None:
    """A power is a number from 0 to 100."""
    for name in ("speed", "price", "health"):
        with pytest.raises(ConfigurationError, match=f"Balanced.{name}"):
            Balanced(**{name: power})


@pytest.mark.parametrize(
    ("strategy", "settings", "remark"),
    [
        ("cheapest", [{}, {}], "no provider has price=, so weights decide"),
        ("cheapest", [{"price": FREE}, {}], "without price=, chosen last: b"),
        ("cheapest", [{"price": FREE}, {"price": FREE}], ""),
        ("cheapest", [{}], ""),
        ("highest_quality", [{}, {}], "no provider has quality=, so weights decide"),
        ("highest_quality", [{}, {"quality": 1}], "without quality=, chosen last: a"),
        ("balanced", [{}, {}], "no provider has price=, so prices do not count"),
        ("balanced", [{}, {"price": FREE}], "without price=, counted as the most expensive: a"),
        (Balanced(price=0.0), [{}, {}], ""),
        ("in_order", [{}, {}], ""),
        ("fastest", [{}, {}], ""),
        (None, [{}, {}], ""),
    ],
)
def test_missing_settings_are_remarked(strategy: Any, settings: list[Any], remark: str) -> None:
    """A strategy says which providers lack what it compares; one provider needs no comparison."""
    providers = [provider(name, **more) for name, more in zip("ab", settings, strict=False)]
    world = one_tier(strategy, *providers)
    assert world.route("work").tiers[0].policy.remark == remark


def test_the_price_of_the_default_model_is_compared() -> None:
    """With prices by model, that of the model of requests that name none."""
    by_model = {"large": Price(9, 9), "small": Price(1, 1)}

    def required(request: dict[str, str]) -> str:
        return request["model"]

    world = one_tier(
        "cheapest",
        provider("a", price=by_model, model="large"),
        provider("b", price=by_model, model=lambda _: "small"),
        provider("c", price=Price(2, 2)),
        provider("d", price=by_model, model=required),
        provider("e", price=by_model),
    )
    assert served(world, 20, {"model": "large"}) == {"b": 20}
    assert world.route("work").tiers[0].policy.remark == "without price=, chosen last: d, e"


@pytest.mark.parametrize(
    ("strategy", "first"),
    [
        (None, "ab"),
        ("fastest", "ab"),
        ("in_order", "a"),
        ("cheapest", "b"),
        ("highest_quality", "a"),
    ],
)
def test_the_first_choice_of_a_tier(strategy: Any, first: str) -> None:
    """The providers that are chosen when all are available: by rank the best, never a reserve."""
    world = one_tier(
        strategy,
        provider("a", price=Price(2, 2), quality=2),
        provider("b", price=Price(1, 1), quality=1),
        provider("c", price=FREE, quality=3, weight=0),
    )
    assert world.route("work").tiers[0].policy.first_choice == set(first)


def test_only_reserves_are_the_first_choice_of_their_tier() -> None:
    """A tier whose weights are all 0 has no other members."""
    world = World([provider("a", weight=0), provider("b")], [Route("work", ["a", "b"])])
    assert world.route("work").tiers[0].policy.first_choice == {"a"}


def test_exploring_needs_another_candidate() -> None:
    """A strategy may be called with one candidate, by a strategy of the user."""
    world = one_tier("fastest", provider("a"), provider("b"))
    members = world.route("work").members
    choose = Fastest().prepare(members)
    context = SelectionContext(None, 0.0, Random(1))
    assert choose(members[:1], context) is members[0]


# ── all strategies ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [*STRATEGIES, "sticky"])
def test_every_strategy_respects_exclusion_and_reserves(name: str) -> None:
    """No excluded provider is chosen, all are attempted before the call fails, reserves last."""
    strategy = Sticky(key=str) if name == "sticky" else name
    world = one_tier(
        strategy,
        provider("reserve", weight=0),
        *(provider(f"p{i}", limits=LimitPolicy(in_flight=5)) for i in range(3)),
    )
    for _ in range(4):  # one less than makes them degraded
        attempted = world.run_attempts(
            world.plan("work", request="r"), "server", "server", "server", "ok"
        )
        assert sorted(attempted[:3]) == ["p0", "p1", "p2"]
        assert attempted[3] == "reserve"
    for _ in range(15):
        assert chosen(world, "r") != "reserve"
    assert chosen(world, "r") == "reserve"  # all others are at their limit


def test_each_tier_may_have_its_own_strategy() -> None:
    """A list has one strategy for each tier."""
    names = [["a", "b"], ["c", "d"]]
    route = Route("work", names, strategy=["in_order", "weighted"])
    firsts, thirds = set(), set()
    for seed in range(10):
        world = World([provider(n) for n in "abcd"], [route], circuit=NEVER_TRIPS, seed=seed)
        attempted = world.run_attempts(world.plan("work"), "server", "server", "ok")
        firsts.add(tuple(attempted[:2]))
        thirds.add(attempted[2])
    assert firsts == {("a", "b")}
    assert thirds == {"c", "d"}


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ("fastes", "did you mean 'fastest'"),
        (Balanced, "an object with prepare"),
        (7, "an object with prepare"),
        (["fastest"], "must have one strategy for each of 2 tiers, got 1"),
    ],
)
def test_invalid_strategies_are_rejected(strategy: Any, message: str) -> None:
    """With a suggestion for an unknown name."""
    with pytest.raises(ConfigurationError, match=message):
        Route("work", ["a", "b"], strategy=strategy)


def test_no_shares_under_a_strategy() -> None:
    """Candidates have no share, unavailable providers a share of 0."""
    world = one_tier("fastest", provider("a"), provider("b"), circuit=CircuitPolicy(failures=1))
    world.trip("b")
    table = world.route("work").tiers[0].table(world.now)
    assert [table.share(member) for member in world.route("work").members] == [None, 0.0]


def test_the_sample_size_is_as_documented() -> None:
    """One of the best eighth is in two of three samples."""
    rng = Random(1)
    hits = sum(min(rng.random() for _ in range(SAMPLE_SIZE)) < 1 / 8 for _ in range(2000))
    assert hits / 2000 == pytest.approx(0.66, abs=0.04)


def test_latency_average_survives_a_change_of_configuration() -> None:
    """That of a removed provider does not."""
    world = one_tier("fastest", provider("a"), provider("b"))
    record_latencies(world, a=2.0, b=1.0)
    world.configure([*world.providers, provider("c")], world.routes)
    average = world.member("a", "work").latency_average
    assert average is not None
    assert average.latency == 2.0
    world.states.remove_provider("a")
    world.configure(world.providers, world.routes)
    fresh = world.member("a", "work").latency_average
    assert fresh is not None
    assert fresh.latency == 0.0


def test_candidates_have_attempts_in_flight() -> None:
    """`in_flight` is the number of attempts under way at the provider."""
    world = one_tier("in_order", provider("a"), provider("b"))
    chosen(world)
    assert [member.in_flight for member in world.route("work").members] == [1, 0]
