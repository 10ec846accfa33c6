"""The router in words and in plain data."""

from __future__ import annotations

import json
import math

import pytest

from multirouter.core.introspection import explain, snapshot
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import CircuitPolicy
from tests.core.kit import World, provider


def world() -> World:
    """Three providers, one of them slow to be cut off."""
    return World(
        [
            provider("openai", weight=3),
            provider("anthropic", weight=1),
            provider("local", weight=0, attempt_timeout=math.inf),
        ],
        [Route("chain", ["local", ["openai", "anthropic"]])],
        circuit=CircuitPolicy(failures=1, growth=1, open_duration=5.0),
    )


def test_explain_reads_like_a_table() -> None:
    """Each tier in order, each provider with its share now and why it has none."""
    of = world()
    assert str(explain(of.route("chain"), of.now)) == (
        "route 'chain'\n"
        "  tier 1\n"
        "    local    0.0%  closed\n"
        "  tier 2\n"
        "    openai      75.0%  closed\n"
        "    anthropic   25.0%  closed"
    )
    of.trip("openai")
    of.now += 1.0
    told = explain(of.route("chain"), of.now)
    assert [(s.provider, s.share) for s in told.tiers[1]] == [("openai", 0.0), ("anthropic", 1.0)]
    assert told.tiers[1][0].state == "open (failures, last server), resets in 4.0 s"


def test_snapshot_is_plain_data() -> None:
    """`json.dumps` takes it as it is, infinities and unknown percentiles included."""
    of = world()
    of.trip("openai")
    of.hit("anthropic", "rate_limit")
    of.memory.gates["local"].hold_by_hand("open", of.now)
    plan = of.plan(["anthropic"])
    routes = of.roster.all_routes()
    told = snapshot("tested", routes, of.now)
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert (told["router"], told["at"], set(told["routes"])) == (
        "tested",
        of.now,
        {"default", "chain"},
    )
    openai = told["providers"]["openai"]
    assert openai == {
        "state": "open",
        "available": False,
        "era": 1,
        "opened": 1,
        "reset_in": pytest.approx(5.0),
        "cooldown_for": 0.0,
        "hold": None,
        "in_flight": 0,
        "calls": 1,
        "failures": 1,
        "last_failure": "server",
        "budgets": [],
    }
    assert told["providers"]["anthropic"]["cooldown_for"] == pytest.approx(5.0)
    assert told["providers"]["local"]["reset_in"] is None
    assert told["providers"]["local"]["hold"] == "open"
    assert plan.attempts == []


def test_snapshot_forgets_what_is_old() -> None:
    """Counts are those of the window that ends now, and what is over is not negative."""
    of = world()
    of.trip("openai")
    of.hit("anthropic", "rate_limit")
    of.now += 3600.0
    told = snapshot("tested", of.roster.all_routes(), of.now)["providers"]
    assert (told["openai"]["calls"], told["openai"]["reset_in"]) == (0, None)
    assert told["openai"]["state"] == "half_open"
    assert told["anthropic"]["cooldown_for"] == 0.0


def test_a_seat_tells_speed_and_limit() -> None:
    """Percentiles once answers are known, and the limit of one attempt, None when endless."""
    of = world()
    plan = of.plan(["openai"])
    step = of.trying(plan)
    of.answers(plan, step, after=2.0)
    (tier,) = snapshot("tested", {"r": of.route(["openai"])}, of.now)["routes"]["r"]["tiers"]
    assert tier[0]["p50"] == tier[0]["p99"] == pytest.approx(2.0, rel=0.1)
    assert (tier[0]["weight"], tier[0]["share"], tier[0]["limit"]) == (3.0, 1.0, 30.0)
    local = snapshot("tested", of.roster.all_routes(), of.now)["routes"]["chain"]["tiers"][0][0]
    assert (local["p50"], local["p99"], local["limit"]) == (None, None, None)
