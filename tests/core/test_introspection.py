"""The state of a router as text and as plain data."""

from __future__ import annotations

import json
import math

import pytest

from multirouter.core.introspection import explain, snapshot
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import CircuitPolicy
from tests.core.kit import World, provider


def world() -> World:
    """Three providers, one of them without timeout."""
    return World(
        [
            provider("openai", weight=3),
            provider("anthropic", weight=1),
            provider("local", weight=0, attempt_timeout=math.inf),
        ],
        [Route("chain", ["local", ["openai", "anthropic"]])],
        circuit=CircuitPolicy(failures=1, growth=1, open_duration=5.0, jitter=0),
    )


def test_explain_is_a_table() -> None:
    """Each tier in order, each provider with its share now and why it has none."""
    scene = world()
    assert str(explain(scene.route("chain"), scene.now)) == (
        "route 'chain'\n"
        "  tier 1\n"
        "    local    0.0%  closed\n"
        "  tier 2\n"
        "    openai      75.0%  closed\n"
        "    anthropic   25.0%  closed"
    )
    scene.trip("openai")
    scene.now += 1.0
    state = explain(scene.route("chain"), scene.now)
    assert [(s.provider, s.share) for s in state.tiers[1]] == [("openai", 0.0), ("anthropic", 1.0)]
    assert state.tiers[1][0].state == "open (failures; last failure: server), half-open in 4.0 s"


def test_snapshot_is_plain_data() -> None:
    """`json.dumps` accepts it, infinities and unknown percentiles included."""
    scene = world()
    scene.trip("openai")
    scene.run_call("anthropic", "rate_limit")
    scene.states.gates["local"].set_hold("open", scene.now)
    plan = scene.plan(["anthropic"])
    routes = scene.registry.all_routes()
    state = snapshot("tested", routes, scene.now)
    assert json.loads(json.dumps(state, allow_nan=False)) == state
    assert (state["router"], state["at"], set(state["routes"])) == (
        "tested",
        scene.now,
        {"default", "chain"},
    )
    openai = state["providers"]["openai"]
    assert openai == {
        "models": {},
        "state": "open",
        "available": False,
        "generation": 1,
        "consecutive_openings": 1,
        "half_open_in": pytest.approx(5.0),
        "cooldown_remaining": 0.0,
        "hold": None,
        "in_flight": 0,
        "calls": 1,
        "failures": 1,
        "last_failure": "server",
        "budgets": [],
        "learned_limits": [],
    }
    assert state["providers"]["anthropic"]["cooldown_remaining"] == pytest.approx(5.0)
    assert state["providers"]["local"]["half_open_in"] is None
    assert state["providers"]["local"]["hold"] == "open"
    assert plan.attempts == []


def test_snapshot_counts_the_current_window() -> None:
    """Counts are those of the window that ends now; times that passed are not negative."""
    scene = world()
    scene.trip("openai")
    scene.run_call("anthropic", "rate_limit")
    scene.now += 3600.0
    state = snapshot("tested", scene.registry.all_routes(), scene.now)["providers"]
    assert (state["openai"]["calls"], state["openai"]["half_open_in"]) == (0, None)
    assert state["openai"]["state"] == "half_open"
    assert state["anthropic"]["cooldown_remaining"] == 0.0


def test_snapshot_has_latencies_and_timeout() -> None:
    """Percentiles once latencies are known; the timeout is None when infinite."""
    scene = world()
    plan = scene.plan(["openai"])
    step = scene.next_attempt(plan)
    scene.succeed(plan, step, after=2.0)
    (tier,) = snapshot("tested", {"r": scene.route(["openai"])}, scene.now)["routes"]["r"]["tiers"]
    assert tier[0]["p50"] == tier[0]["p99"] == pytest.approx(2.0, rel=0.1)
    assert (tier[0]["weight"], tier[0]["share"], tier[0]["timeout"]) == (3.0, 1.0, 30.0)
    local = snapshot("tested", scene.registry.all_routes(), scene.now)["routes"]["chain"]["tiers"][
        0
    ][0]
    assert (local["p50"], local["p99"], local["timeout"]) == (None, None, None)
