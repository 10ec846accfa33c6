"""Plans of sticky routes: a conversation that has moved stays where its prompt is cached."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.cost.price import Price
from multirouter.core.planning.admission import HOLDS_PROMPT, MOVED
from multirouter.core.routes.chain import Chain, Target
from multirouter.core.routes.route import Route
from multirouter.core.selection.sticky import Sticky
from multirouter.core.settings.policies import LimitPolicy
from multirouter.errors import ConfigurationError
from multirouter.model import CallOutcome
from tests.core.kit import FIXED, World, provider

TOKENS = 50_000
PRICE = Price(3.0, 15.0, cached_input=0.3, cache_write=3.75)


def world(
    sticky: Any = None,
    *,
    second: Price | None = PRICE,
    first: Price | None = PRICE,
    **settings: Any,
) -> World:
    """A route with two tiers of one provider each: `home` before `backup`."""
    settings.setdefault("circuit", FIXED)
    return World(
        [provider("home", price=first), provider("backup", price=second)],
        [Route("work", [["home"], ["backup"]], strategy=sticky or Sticky(key=str))],
        **settings,
    )


def answer(cached: int = 0, tokens: int = TOKENS, output: int = 200) -> dict[str, Any]:
    """An answer that reports its usage."""
    details = {"cached_tokens": cached}
    usage = {"prompt_tokens": tokens, "completion_tokens": output, "prompt_tokens_details": details}
    return {"choices": [], "usage": usage}


def call(
    world: World, request: Any = "k", *, route: Any = "work", cached: int = 0
) -> CallOutcome[Any]:
    """One call whose first attempt answers."""
    plan = world.plan(route, request=request)
    world.succeed(plan, world.next_attempt(plan), answer(cached), after=1.0)
    return world.next_outcome(plan)


def fail_over(world: World, request: Any = "k") -> CallOutcome[Any]:
    """One call that fails at the first provider and is answered by the next."""
    plan = world.plan("work", request=request)
    world.fail(plan, world.next_attempt(plan))
    world.succeed(plan, world.next_attempt(plan), answer(), after=1.0)
    return world.next_outcome(plan)


def test_a_conversation_stays_where_its_prompt_is_cached() -> None:
    """After a failover it stays; other conversations keep to their own provider."""
    tested = world()
    fail_over(tested)
    outcome = call(tested, cached=TOKENS)
    assert (outcome.provider, outcome.attempts[0].why) == ("backup", HOLDS_PROMPT)
    assert call(tested, "other").provider == "home"


def test_it_returns_when_its_own_provider_holds_the_prompt_as_well() -> None:
    """A short failure costs nothing: the cache at home is as warm as the other."""
    tested = world()
    call(tested)
    fail_over(tested)
    assert call(tested).provider == "home"


def test_it_returns_when_the_cache_has_expired() -> None:
    """After `cache_ttl` without a call; each call prolongs it."""
    tested = world(Sticky(key=str, cache_ttl=60.0))
    fail_over(tested)
    for _ in range(3):
        tested.now += 50.0
        assert call(tested).provider == "backup"
    tested.now += 61.0
    assert call(tested).provider == "home"


def test_it_returns_to_a_cheaper_provider_despite_the_lost_cache() -> None:
    """The prices of the next calls outweigh the prompt that is written once more."""
    tested = world(second=Price(30.0, 150.0, cached_input=3.0))
    fail_over(tested)
    assert call(tested).provider == "home"


@pytest.mark.parametrize("prices", [(PRICE, None), (None, PRICE), (None, None)])
def test_without_prices_the_tokens_decide(prices: tuple[Price | None, Price | None]) -> None:
    """It stays while the other does not hold the prompt, and returns when it does."""
    tested = world(first=prices[0], second=prices[1], usage=None)
    fail_over(tested)
    assert call(tested).provider == "backup"
    call(tested, route=["home"])  # another route, which is not sticky
    assert call(tested).provider == "backup"
    tested = world(first=prices[0], second=prices[1])
    call(tested)
    fail_over(tested)
    assert call(tested).provider == "home"


def test_at_once() -> None:
    """It returns with the next call."""
    tested = world(Sticky(key=str, returns="at_once"))
    fail_over(tested)
    assert call(tested).provider == "home"


def test_a_provider_that_timed_out_holds_nothing() -> None:
    """Its usage is estimated for the bill, but whether it read the prompt is not known."""
    tested = world()
    for _ in range(2):
        plan = tested.plan("work", request="k" * 400_000)
        step = tested.next_attempt(plan)
        if step.member.name == "home":
            tested.fail(plan, step, "timeout", after=1.0)
            step = tested.next_attempt(plan)
        tested.succeed(plan, step, answer())
        assert tested.next_outcome(plan).provider == "backup"
    assert [record.provider for record in plan.attempts] == ["backup"]


def test_when_idle() -> None:
    """It stays even where its own provider is cheaper and holds the prompt."""
    sticky = Sticky(key=str, returns="when_idle")
    tested = world(sticky, second=Price(30.0, 150.0))
    call(tested)
    fail_over(tested)
    assert call(tested).provider == "backup"
    tested.now += 301.0
    assert call(tested).provider == "home"


def test_an_unavailable_provider_is_left() -> None:
    """A cache is no reason to attempt a provider that is open."""
    tested = world()
    fail_over(tested)
    tested.states.gates["backup"].set_hold("open", tested.now)
    assert call(tested).provider == "home"


def test_a_provider_that_left_the_route_is_left() -> None:
    """So is one that the router no longer has."""
    tested = world()
    fail_over(tested)
    tested.configure(
        [provider("home", price=PRICE)], [Route("work", ["home"], strategy=Sticky(str))]
    )
    assert call(tested).provider == "home"


def test_without_usage_it_returns_at_once() -> None:
    """Nothing is known of a cache then."""
    tested = world(first=None, second=None)
    plan = tested.plan("work", request="k")
    tested.run_attempts(plan, "server", "ok")
    tested.next_outcome(plan)
    assert call(tested).provider == "home"


def test_trials_go_on_beside_conversations_that_stay() -> None:
    """Otherwise the circuit of their own provider would never close."""
    tested = world()
    plan = tested.plan("work", request="k")
    for _ in range(3):
        tested.run_call("home")
    tested.succeed(plan, tested.next_attempt(plan), answer())
    tested.next_outcome(plan)
    tested.now += 6.0
    plan = tested.plan("work", request="k")
    step = tested.next_attempt(plan)
    assert step.member.name == "backup"
    assert [trial.member.name for trial in step.trials] == ["home"]
    tested.succeed(plan, step.trials[0], answer())
    tested.succeed(plan, step, answer())
    tested.next_outcome(plan)
    assert call(tested).provider == "home"  # the copy warmed its cache


def test_a_call_that_must_not_be_duplicated_is_the_trial() -> None:
    """As on other routes: the circuit would never be tried otherwise."""
    tested = world()
    for _ in range(3):
        tested.run_call("home")
    call(tested)
    tested.now += 6.0
    plan = tested.plan("work", request="k", idempotent=False)
    assert tested.next_attempt(plan).member.name == "home"


def test_leaves_when_cheaper() -> None:
    """A conversation moves within its tier when the next calls cost less elsewhere."""
    cheap = Price(0.1, 0.4)
    names = ["dear", "cheap", "unpriced"]
    providers = [
        provider("dear", price=PRICE, weight=1000),
        provider("cheap", price=cheap, weight=0.001),
        provider("unpriced", weight=0.001),
    ]
    for leaves, expected in (("on_failure", "dear"), ("when_cheaper", "cheap")):
        sticky = Sticky(key=str, leaves=leaves)  # type: ignore[arg-type]
        tested = World(providers, [Route("work", [names], strategy=sticky)])
        assert call(tested).provider == "dear"
        outcome = call(tested)
        assert outcome.provider == expected
        assert (outcome.attempts[0].why == MOVED) is (expected == "cheap")
        assert call(tested).provider == expected


def test_leaves_nowhere_without_a_price_of_its_own() -> None:
    """Costs that are not known are not compared."""
    providers = [provider("a", weight=1000), provider("b", weight=0.001, price=Price(0.1, 0.1))]
    sticky = Sticky(key=str, leaves="when_cheaper")
    tested = World(providers, [Route("work", [["a", "b"]], strategy=sticky)])
    assert [call(tested).provider for _ in range(3)] == ["a"] * 3


def test_a_provider_at_its_limit_is_left_for_one_call() -> None:
    """The permit decides last: then the usual choice applies."""
    limits = LimitPolicy(tokens_per_minute=1_000.0, size=len)
    tested = World(
        [provider("home"), provider("backup", limits=limits)],
        [Route("work", [["home"], ["backup"]], strategy=Sticky(key=lambda _: "k"))],
        circuit=FIXED,
    )
    plan = tested.plan("work", request="k", size=100)
    tested.fail(plan, tested.next_attempt(plan))
    tested.succeed(plan, tested.next_attempt(plan), answer())
    tested.next_outcome(plan)
    plan = tested.plan("work", request="k", size=5_000)
    assert tested.next_attempt(plan).member.name == "home"
    plan = tested.plan("work", request="k", size=100)
    assert tested.next_attempt(plan).member.name == "backup"


def test_a_chain_keeps_conversations_as_its_first_target_says() -> None:
    """Its candidates are those of the targets."""
    tested = World(
        [provider("home", price=PRICE), provider("backup", price=PRICE)],
        [
            Route("first", ["home"], strategy=Sticky(key=lambda request: request["id"])),
            Route("second", ["backup"]),
        ],
    )
    chain = Chain([Target("first"), Target("second", "m")])
    plan = tested.plan(chain, request={"id": "k"})
    tested.fail(plan, tested.next_attempt(plan))
    tested.succeed(plan, tested.next_attempt(plan), answer())
    tested.next_outcome(plan)
    assert call(tested, {"id": "k"}, route=chain).provider == "backup"
    assert call(tested, {"id": "k"}, route="first").provider == "home"


def test_a_key_function_that_raises_fails_no_call() -> None:
    """The strategy's choice reports it; weights decide."""

    def key(request: Any) -> str:
        raise LookupError(request)

    tested = world(Sticky(key=key))
    assert call(tested).provider == "home"


def test_failover_cost_has_the_lost_cache() -> None:
    """The same call at home, with its prompt cached, would have cost a tenth."""
    tested = world()
    call(tested)
    outcome = fail_over(tested)
    uncached = PRICE.of(outcome.attempts[-1].usage)  # type: ignore[arg-type]
    cached = PRICE.of(PRICE.prompt_usage(TOKENS, 200, TOKENS))
    assert outcome.failover_cost == pytest.approx(uncached - cached)
    assert outcome.failover_cost > 0.1
    tested.states.gates["home"].set_hold("open", tested.now)
    assert call(tested, cached=TOKENS).failover_cost == pytest.approx(0.0, abs=1e-9)


def test_returning_has_a_cost_as_well() -> None:
    """A conversation that returns to a cold cache has lost the warm one."""
    tested = world(Sticky(key=str, returns="at_once"))
    fail_over(tested)
    outcome = call(tested)
    assert outcome.failover_cost is not None
    assert outcome.failover_cost > 0.1
    assert call(tested, cached=TOKENS).failover_cost == 0.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"returns": "never"},
            "Sticky.returns: must be one of 'when_cheaper', 'when_idle', 'at_once'",
        ),
        ({"leaves": "at_once"}, "Sticky.leaves: must be one of 'on_failure', 'when_cheaper'"),
        ({"cache_ttl": 0}, "Sticky.cache_ttl"),
    ],
)
def test_invalid_settings(settings: dict[str, Any], message: str) -> None:
    """They are rejected when the strategy is made."""
    with pytest.raises(ConfigurationError, match=message):
        Sticky(**settings)
