"""What of a provider's state follows a change of settings, and what a route makes of `accept=`."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.cost.budget import Budget
from multirouter.core.cost.price import Price
from multirouter.core.events import PriceMissing
from multirouter.core.registry.state_changes import StateChanges
from multirouter.core.registry.updates import _policy
from multirouter.core.routes.resolved_route import _judge_of, _refusal_check
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import CircuitPolicy, LimitPolicy, RetryPolicy
from multirouter.errors import ConfigurationError, UsageError
from multirouter.model import FailureKind, Verdict
from tests.core.kit import World, provider


def test_a_gate_follows_the_policies_of_its_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them when it changes, and neither when none does."""
    circuit, limits = CircuitPolicy(failures=4), LimitPolicy(in_flight=4)
    world = World([provider("a", circuit=circuit, limits=limits)])
    gate = world.states.gates["a"]
    applied: list[tuple[Any, ...]] = []
    make = StateChanges.make

    def recording(self: StateChanges, change: Any, *arguments: Any) -> None:
        if change == gate.apply:
            applied.append(arguments)
        make(self, change, *arguments)

    monkeypatch.setattr(StateChanges, "make", recording)
    world.configure([provider("a", circuit=circuit, limits=limits)])
    assert applied == []
    wider, stricter = LimitPolicy(in_flight=8), CircuitPolicy(failures=2)
    world.configure([provider("a", circuit=circuit, limits=wider)])
    world.configure([provider("a", circuit=stricter, limits=wider)])
    world.configure([provider("a", circuit=stricter)])
    assert applied == [(circuit, wider), (stricter, wider), (stricter, None)]
    assert (gate.circuit.policy, gate.limits) == (stricter, None)
    assert world.states.gates["a"] is gate


def test_a_budget_needs_a_price() -> None:
    """On a route of the router; a route passed with a call has no budget."""
    budget = Budget(1.0, per="day")
    with pytest.raises(ConfigurationError) as caught:
        World([provider("a")], [Route("r", ["a"], budget=budget)])
    expected = "Route('r').budget: requires a provider with price=, and there is none"
    assert str(caught.value) == expected
    world = World([provider("a", price=Price(1.0, 1.0))], [Route("r", ["a"], budget=budget)])
    assert set(world.states.accounts.by_owner) == {"route r"}
    with pytest.raises(UsageError, match=r"^the call's route: Route\('x'\)\.budget is allowed"):
        world.route(Route("x", ["a"], budget=budget))
    world.route(Route("r2", ["a"]))
    assert set(world.states.accounts.by_owner) == {"route r"}


def test_an_account_leaves_with_its_provider() -> None:
    """A model without a price is reported with the router's name."""
    own = provider("a", price={"m": Price(1.0, 1.0)}, budget=Budget(1.0, per="day"))
    world = World([own, provider("b")])
    assert set(world.states.accounts.by_owner) == {"provider a"}
    pricing = world.member("a").pricing
    assert pricing.price_of(None, "unknown") is None
    world.context.dispatcher.deliver()
    assert world.recorder.of("price_missing") == [PriceMissing("tested", "a", "unknown")]
    world.states.remove_provider("a")
    assert world.states.accounts.by_owner == {}


def test_the_reader_of_a_policy() -> None:
    """One of the kind is kept; None is the default; anything else is an error with the name."""
    read, own = _policy("retry", RetryPolicy, RetryPolicy), RetryPolicy(attempts=9)
    assert read(own) is own
    assert read(None) == RetryPolicy()
    assert _policy("hedge", RetryPolicy)(None) is None
    with pytest.raises(ConfigurationError, match=r"^retry: must be "):
        read(3)


def test_how_answers_are_judged() -> None:
    """By a function of the answer, or of the answer and the request, or by a schema's function."""
    assert _judge_of(None, None) is None
    by_answer = _judge_of(lambda answer: answer == 1, None)
    by_both = _judge_of(lambda answer, request: answer == request, None)
    by_schema = _judge_of({"const": 3}, lambda schema: lambda answer: answer == schema["const"])
    assert by_answer is not None
    assert by_both is not None
    assert by_schema is not None
    assert [by_answer(1, 0), by_answer(2, 0)] == [True, False]
    assert [by_both(1, 1), by_both(1, 2)] == [True, False]
    assert [by_schema(3, 0), by_schema(4, 0)] == [True, False]
    with pytest.raises(ConfigurationError) as caught:
        _judge_of({"const": 3}, None)
    assert str(caught.value) == "accept: a JSON Schema is not supported here, use a function"


def test_refusals_that_fail() -> None:
    """Those with a listed sign, or all; then the route's own check decides."""
    refused = {"choices": [{"message": {"refusal": "no"}, "finish_reason": "stop"}]}
    found = _refusal_check(None, None)(refused, None)
    assert isinstance(found, Verdict)
    assert found.kind is FailureKind.REFUSAL
    sign = found.reason
    assert isinstance(_refusal_check(None, {sign})(refused, None), Verdict)
    assert _refusal_check(None, {"another"})(refused, None) is True
    assert _refusal_check(lambda answer, request: False, {"another"})(refused, None) is False
    assert _refusal_check(None, None)("an answer", None) is True
