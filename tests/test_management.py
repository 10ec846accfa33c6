"""Looking at a router: snapshot, explain, repr."""

from __future__ import annotations

import json

import anyio
import pytest

from multirouter import LimitPolicy, Route, UsageError
from multirouter.testing import Fault
from tests.scenarios.kit import BRITTLE, house, play


async def test_a_snapshot_is_plain_data() -> None:
    """It survives JSON, and knows every provider and route."""
    routes = [Route("chain", ["a", ["b", "c"]])]
    async with house("a", "b", "c", routes=routes, circuit=BRITTLE) as home:
        await home.call()
        await home.fail("a")
        await home.fail("b", fault=Fault("rate_limit", headers={"retry-after": "9"}))
        seen = json.loads(json.dumps(home.router.snapshot()))
        assert seen["router"] == "default"
        a, b, c = (seen["providers"][name] for name in "abc")
        assert (a["state"], a["available"], a["reset_in"]) == ("open", False, 10)
        assert (a["last_failure"], a["opened"], a["era"]) == ("status 500", 1, 1)
        assert (b["state"], b["available"], b["cooldown_for"]) == ("closed", False, 9)
        assert (c["state"], c["available"], c["hold"]) == ("closed", True, None)
        tiers = seen["routes"]["chain"]["tiers"]
        assert [[seat["provider"] for seat in tier] for tier in tiers] == [["a"], ["b", "c"]]
        assert [seat["share"] for seat in tiers[1]] == [0, 1]


async def test_an_explanation_reads_like_one() -> None:
    """Who is out, why and until when, in the words that an operator needs."""
    async with house("a", "b", play("c", limits=LimitPolicy(in_flight=1)), circuit=BRITTLE) as home:
        await home.fail("a")
        await home.fail("b", fault=Fault("rate_limit", headers={"retry-after": "9"}))
        home["c"].then("hang")
        caller = await home.begun("c")
        text = str(home.router.explain())
        assert "open (failures, last status 500), resets in" in text
        assert "cooling down for 9.0 s (status 429)" in text
        assert "full (1 in flight)" in text
        await caller.cancel()
        await anyio.sleep(10)
        await home.router.call_outcome("q", route=["c"])
        text = str(home.router.explain())
        assert "100.0%  closed" in text or "50.0%  closed" in text
        assert "half_open" in text
        home.router.hold("c", "disabled")
        assert "held disabled, closed" in str(home.router.explain())


async def test_an_explanation_of_an_unknown_route() -> None:
    """It is refused with the near miss."""
    async with house("a", routes=[Route("coding", ["a"])]) as home:
        with pytest.raises(UsageError, match="did you mean 'coding'"):
            home.router.explain("codng")
        assert home.router.explain(["a"]).route == "adhoc"


async def test_a_repr_tells_the_state_in_a_line() -> None:
    """Whoever prints a router sees its providers and their doors."""
    async with house("a", circuit=BRITTLE) as home:
        assert repr(home.router) == "<MultiProviderRouter 'default' a: closed>"
        await home.fail("a")
        assert "open (failures, last status 500)" in repr(home.router)
        home.router.remove("a")
        assert repr(home.router) == "<MultiProviderRouter 'default' without providers>"
