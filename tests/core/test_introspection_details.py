"""Snapshots and explanations: budgets, alarms, models, learned limits, and what a request lacks."""

from __future__ import annotations

from multirouter.core.cost.budget import Budget
from multirouter.core.cost.price import Price
from multirouter.core.events import AlarmChanged
from multirouter.core.introspection import explain, snapshot
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import CircuitPolicy, LimitPolicy, RetryPolicy
from tests.core.kit import World, calm, provider

PRICE = Price(1.0, 1.0)


def test_budgets_of_a_route_have_their_owners() -> None:
    """Those of the route and of the router; a provider's own are the provider's."""
    world = World(
        [provider("a", price=PRICE, budget=Budget(3.0, per="day"))],
        [Route("r", ["a"], budget=Budget(1.0, per="day"))],
        budget=(Budget(2.0, per="month"),),
    )
    state = snapshot("tested", world.registry.all_routes(), world.now)
    found = [(one["owner"], one["per"], one["usd"]) for one in state["routes"]["r"]["budgets"]]
    assert found == [("route r", "day", 1.0), ("router", "month", 2.0)]
    (own,) = state["providers"]["a"]["budgets"]
    assert (own["per"], own["usd"], own["spent"]) == ("day", 3.0, 0.0)


def test_alarms_that_are_firing() -> None:
    """With the time for which they are."""
    event = AlarmChanged("tested", "slow", "a", True, 4.5, "a is slow", 60.0, 61.0)
    assert snapshot("tested", {}, 100.0, [event])["alarms"] == [
        {"alarm": "slow", "subject": "a", "value": 4.5, "text": "a is slow", "firing_for": 40.0}
    ]
    assert snapshot("tested", {}, 100.0)["alarms"] == []


def test_an_explanation_of_a_request() -> None:
    """A provider that lacks something has no share; the name, the answers and the rest stay."""
    world = World(
        [provider("text"), provider("vision", capabilities=["vision"])],
        [Route("r", [["text", "vision"]], requires=lambda request: request, timeout=7.0)],
    )
    for name in ("text", "vision", "vision", "vision"):
        world.member(name, "r").health.record_success(world.now)
    explained = explain(world.route("r"), world.now, ["vision"])
    lacking, other = explained.tiers[0]
    assert (lacking.provider, lacking.share, lacking.state) == ("text", 0.0, "lacks vision")
    assert (lacking.answers, other.answers) == (0.25, 0.75)
    assert (other.provider, other.share, other.state) == ("vision", 1.0, "closed")
    assert explained.timeout == 7.0
    assert [one.share for one in explain(world.route("r"), world.now).tiers[0]] == [0.5, 0.5]


def test_a_degraded_provider_is_explained_by_its_calls() -> None:
    """Their number and the share that succeeded."""
    world = calm("a", "b")
    health = world.member("a").health
    for number in range(20):
        health.record_failure(world.now) if number < 15 else health.record_success(world.now)
    state = explain(world.route(), world.now).tiers[0][0].state
    assert state == "closed, degraded (25% of 20 calls succeeded)"


def test_circuits_of_models_and_learned_limits() -> None:
    """Of the providers that have them."""
    world = World(
        [provider("a", limits=LimitPolicy(learn=True)), provider("b")],
        [Route("chain", ["a", "b"])],
        circuit=CircuitPolicy(failures=3, growth=1, open_duration=5.0),
        retry=RetryPolicy(attempts=1),
    )
    world.states.now = lambda: world.now
    for model, outcomes in (("good", ["ok"]), *[("bad", ["server", "ok"])] * 3):
        plan = world.plan("chain", request={"model": model})
        world.run_attempts(plan, *outcomes)
        world.next_outcome(plan)
    headers = {"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "30"}
    world.states.observe_headers("a", "good", headers)
    state = snapshot("tested", world.registry.all_routes(), world.now)["providers"]
    assert (state["a"]["models"], state["b"]["models"]) == ({"bad": "open"}, {})
    (learned,) = state["a"]["learned_limits"]
    assert (learned["source"], learned["remaining"], learned["resets_in"]) == ("headers", 5.0, 30.0)
    assert learned["model"] == "good"
    assert state["b"]["learned_limits"] == []
    assert state["a"]["half_open_in"] is None


def test_the_time_until_a_circuit_half_opens() -> None:
    """Also below a second; none for one that is half-open."""
    world = World([provider("a")], circuit=CircuitPolicy(failures=1, growth=1, open_duration=5.0))
    world.trip("a")
    for passed, left in ((0.0, 5.0), (4.5, 0.5), (0.5, None)):
        world.now += passed
        state = snapshot("tested", world.registry.all_routes(), world.now)["providers"]["a"]
        assert state["half_open_in"] == left
