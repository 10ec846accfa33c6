"""Inspection of a router: snapshot, explain, repr."""

from __future__ import annotations

import json

import anyio
import pytest

from multirouter import LimitPolicy, Route, UsageError
from multirouter.testing import Fault
from tests.scenarios.harness import TRIPS_AT_ONCE, harness, scripted


async def test_snapshot_is_plain_data() -> None:
    """It survives JSON, and has every provider and route."""
    routes = [Route("chain", ["a", ["b", "c"]])]
    async with harness("a", "b", "c", routes=routes, circuit=TRIPS_AT_ONCE) as env:
        await env.call()
        await env.fail("a")
        await env.fail("b", fault=Fault("rate_limit", headers={"retry-after": "9"}))
        snapshot = json.loads(json.dumps(env.router.snapshot()))
        assert snapshot["router"] == "default"
        a, b, c = (snapshot["providers"][name] for name in "abc")
        assert (a["state"], a["available"], a["half_open_in"]) == ("open", False, 10)
        assert (a["last_failure"], a["consecutive_openings"], a["generation"]) == (
            "status 500",
            1,
            1,
        )
        assert (b["state"], b["available"], b["cooldown_remaining"]) == ("closed", False, 9)
        assert (c["state"], c["available"], c["hold"]) == ("closed", True, None)
        tiers = snapshot["routes"]["chain"]["tiers"]
        assert [[member["provider"] for member in tier] for tier in tiers] == [["a"], ["b", "c"]]
        assert [member["share"] for member in tiers[1]] == [0, 1]


async def test_explain_text() -> None:
    """Which providers are unavailable, why and until when."""
    async with harness(
        "a", "b", scripted("c", limits=LimitPolicy(in_flight=1)), circuit=TRIPS_AT_ONCE
    ) as env:
        await env.fail("a")
        await env.fail("b", fault=Fault("rate_limit", headers={"retry-after": "9"}))
        env["c"].then("hang")
        caller = await env.start("c")
        text = str(env.router.explain())
        assert "open (failures; last failure: status 500), half-open in" in text
        assert "cooling down for 9.0 s (status 429)" in text
        assert "at its limit (1 in flight)" in text
        await caller.cancel()
        await anyio.sleep(10)
        await env.router.call_outcome("q", route=["c"])
        text = str(env.router.explain())
        assert "100.0%  closed" in text or "50.0%  closed" in text
        assert "half_open" in text
        env.router.hold("c", "disabled")
        assert "held disabled, closed" in str(env.router.explain())


async def test_explain_of_an_unknown_route() -> None:
    """It raises with a suggestion."""
    async with harness("a", routes=[Route("coding", ["a"])]) as env:
        with pytest.raises(UsageError, match="did you mean 'coding'"):
            env.router.explain("codng")
        assert env.router.explain(["a"]).route == "adhoc"


async def test_repr_shows_the_state() -> None:
    """The repr of a router has its providers and their states."""
    async with harness("a", circuit=TRIPS_AT_ONCE) as env:
        assert repr(env.router) == "<MultiProviderRouter 'default' a: closed>"
        await env.fail("a")
        assert "open (failures; last failure: status 500)" in repr(env.router)
        env.router.remove("a")
        assert repr(env.router) == "<MultiProviderRouter 'default' without providers>"
