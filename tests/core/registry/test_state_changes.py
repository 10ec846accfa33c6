"""A configuration that is rejected leaves the state that outlives it as it was."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.cost.budget import Budget
from multirouter.core.cost.price import Price
from multirouter.core.registry.state_changes import StateChanges
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import (
    CircuitPolicy,
    HealthPolicy,
    LatencyPolicy,
    LimitPolicy,
)
from multirouter.errors import ConfigurationError
from tests.core.kit import World, provider

PRICED = provider("a", price=Price(1, 1), budget=Budget(5), limits=LimitPolicy(in_flight=1))


def state_of(world: World) -> tuple[Any, ...]:
    """What outlives a configuration, with its policies."""
    states = world.states
    trackers = states._latencies, states._healths, states._latency_averages
    return (
        {
            name: (id(gate), gate.circuit.policy, gate.account)
            for name, gate in states.gates.items()
        },
        {name: gate._limits and gate._limits.policy for name, gate in states.gates.items()},
        [{key: id(value) for key, value in tracker.items()} for tracker in trackers],
        {key: (each.policy, each.group) for key, each in states._latencies.items()},
        {key: each.policy for key, each in states._healths.items()},
        {owner: limits.policy for owner, limits in states._limits.items()},
        set(states._diversions),
        {
            owner: [period.budget for period in account.periods]
            for owner, account in states.accounts.by_owner.items()
        },
        states.revision.value,
    )


def test_rejected_configuration_changes_nothing() -> None:
    """An error in the last route leaves gates, limits, accounts, latencies and health unchanged."""
    world = World(
        [PRICED],
        [Route("r", ["a"], limits=LimitPolicy(in_flight=2), budget=Budget(9))],
        budget=(Budget(50),),
    )
    world.defaults = world.defaults._replace(
        circuit=CircuitPolicy(failures=9),
        latency=LatencyPolicy(floor=3.0),
        health=HealthPolicy(window=77.0),
        budget=(),
    )
    before = state_of(world)
    changed = PRICED.replace(budget=Budget(6), limits=None)
    providers = [changed, provider("b", limits=LimitPolicy(in_flight=1))]
    routes = [
        Route("r", ["a"], limits=LimitPolicy(in_flight=7), budget=Budget(8)),
        Route("s", ["b"], limits=LimitPolicy(in_flight=7), strategy="fastest"),
        Route("t", ["b"], budget=Budget(1)),
    ]
    error = pytest.raises(ConfigurationError, match="requires a provider with price=")
    with error, world.states.changes.together():
        world.configure(providers, routes)
    assert state_of(world) == before


def test_accepted_configuration_changes_everything_at_the_end() -> None:
    """Within the block nothing of what is in force has changed; after it all of it has."""
    world = World([PRICED], [Route("r", ["a"], limits=LimitPolicy(in_flight=2))])
    gate = world.states.gates["a"]
    world.defaults = world.defaults._replace(latency=LatencyPolicy(floor=3.0))
    before = state_of(world)
    with world.states.changes.together():
        world.configure(
            [PRICED.replace(circuit=CircuitPolicy(failures=9), limits=None, budget=None)],
            [Route("r", ["a"], limits=LimitPolicy(in_flight=7))],
        )
        assert state_of(world) == before
    assert (gate.circuit.policy.failures, gate.limits, gate.account) == (9, None, None)
    assert world.states.accounts.by_owner == {}
    assert [limits.policy.in_flight for limits in world.route("r").limits] == [7]
    assert world.member("a", "r").latency.policy.floor == 3.0


def test_changes_outside_of_a_block_are_made_at_once() -> None:
    """Without a block, and after one that raised, a change does not wait."""
    changes, store = StateChanges(), dict[str, int]()
    with pytest.raises(KeyError), changes.together():
        changes.add(store, "a", 1)
        changes.make(store.update, {"b": 2})
        raise KeyError
    assert store == {}
    changes.add(store, "a", 1)
    changes.make(store.update, {"b": 2})
    assert store == {"a": 1, "b": 2}
