"""Shadows: copies of answered calls that nobody waits for and no circuit hears of."""

from __future__ import annotations

from random import Random
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import (
    Budget,
    ConfigurationError,
    LimitPolicy,
    MultiProviderRouter,
    Price,
    Provider,
    ProviderError,
    Route,
    Shadow,
)
from multirouter.testing import Answer, Fault
from tests.scenarios.kit import BRITTLE, House, house, play

ALWAYS = Shadow(["b"], share=1.0)
CHAIN = Route("default", ["a"])


def chain(**settings: Any):
    """A house whose calls go to a, with b in the wings."""
    return house(
        settings.pop("a", "a"),
        settings.pop("b", "b"),
        routes=[settings.pop("route", CHAIN)],
        **({"shadow": ALWAYS} | settings),
    )


def shadows(home: House, provider: str = "b") -> list[Any]:
    return [r for r in home.news.attempts if r.role == "shadow" and r.provider == provider]


# ── which calls ─────────────────────────────────────────────────────────────────────────────────


async def test_a_copy_is_made_after_the_answer_and_its_caller_waits_for_nothing() -> None:
    """The copy begins when the caller has its answer; how long it takes is no matter to him."""
    async with chain(a=play("a", latency=1.0), b=play("b", latency=20.0)) as home:
        outcome = await home.outcome()
        assert (outcome.provider, outcome.elapsed) == ("a", 1.0)
        assert home["b"].count == 0
        await anyio.sleep(21)
        (asked,) = home["b"].asked
        assert (asked.at - outcome.started, asked.request) == (1.0, "q")
        assert [r.role for r in outcome.attempts] == ["call"]
        (record,) = shadows(home)
        assert (record.route, record.ok, record.elapsed) == ("default", True, 20.0)


async def test_the_share_is_kept() -> None:
    """Of 4,000 calls 5 % are copied, within four standard deviations (55)."""
    async with chain(shadow=Shadow(["b"]), rng=Random(7)) as home:
        for _ in range(4000):
            await home.call()
        await anyio.sleep(1)
        assert abs(home["b"].count - 200) < 55


async def test_what_must_not_be_asked_twice_is_not_copied() -> None:
    """`idempotent=False` is never copied."""
    async with chain() as home:
        await home.call(idempotent=False)
        await anyio.sleep(1)
        assert home["b"].count == 0


async def test_only_answered_calls_are_copied() -> None:
    """A call that failed, or got a substitute, is no measure for anybody."""
    async with chain(a=play("a", "error", Fault("error", status=400)), fallback="sorry") as home:
        assert await home.call() == "sorry"
        await home.outcome()
        await anyio.sleep(1)
        assert home["b"].count == 0


async def test_who_was_asked_gets_no_copy() -> None:
    """A provider that the call itself has asked has fresh figures already."""
    route = Route("default", ["b", "a"])
    async with chain(b=play("b", "error"), route=route) as home:
        assert (await home.outcome()).provider == "a"
        assert (await home.outcome()).provider == "b"
        await anyio.sleep(1)
        assert (home["b"].count, home["a"].count) == (2, 1)


async def test_a_routes_shadow_goes_before_the_routers() -> None:
    """Each route may say who its understudy is; share=0 is none."""
    routes = [
        CHAIN,
        Route("other", ["a"], shadow=Shadow(["c"], share=1)),
        Route("none", ["a"], shadow=Shadow(["c"], share=0)),
    ]
    async with house("a", "b", "c", routes=routes, shadow=ALWAYS) as home:
        for name in ("default", "other", "none"):
            await home.router.call("q", route=name)
        await anyio.sleep(1)
        assert [r.route for r in shadows(home, "b")] == ["default"]
        assert [r.route for r in shadows(home, "c")] == ["other"]


async def test_several_understudies_share_the_copies() -> None:
    """Each copy goes to one of them, drawn evenly."""
    async with house("a", "b", "c", routes=[CHAIN], shadow=Shadow(["b", "c"], share=1)) as home:
        for _ in range(400):
            await home.call()
        await anyio.sleep(1)
        assert home["b"].count + home["c"].count == 400
        assert abs(home["b"].count - 200) < 60


# ── whom it must not harm ───────────────────────────────────────────────────────────────────────


async def test_no_circuit_no_trail_and_no_count_hears_of_it() -> None:
    """Copies that fail for ever leave the circuit closed, its window empty and calls uncounted."""
    async with chain(b=play("b", error_rate=1.0), circuit=BRITTLE) as home:
        for _ in range(50):
            assert (await home.outcome()).ok
            await anyio.sleep(1)
        assert len(shadows(home)) == 50
        assert home.state("b") == "closed"
        assert (home.circuit("b").window.calls, home.circuit("b").window.failures) == (0, 0)
        assert home.total("attempts_total", provider="b") == 0
        assert home.total("shadow_attempts_total", provider="b", outcome="failure") == 50
        assert home.total("calls_total", outcome="success") == 50
        assert {r.provider for call in home.news.calls for r in call.attempts} == {"a"}


async def test_who_is_unwell_is_left_alone() -> None:
    """An open circuit, one on trial, and one that rests after a 429 get no copies."""
    async with chain(circuit=BRITTLE) as home:
        await home.fail("b")
        await home.call()
        await anyio.sleep(10.5)
        assert home.state("b") == "half_open"
        await home.call()
        await anyio.sleep(1)
        assert home["b"].count == 1
        await home.outcome("b")
        await home.fail("b", fault="rate_limit")
        await home.call()
        await anyio.sleep(1)
        assert home["b"].count == 3


async def test_it_takes_no_more_than_the_providers_limits_leave() -> None:
    """A copy counts against its provider's limits and gives way when there is no room.

    Its end gives the room back to who waits for it.
    """
    b = play("b", latency=5.0, limits=LimitPolicy(in_flight=1))
    async with chain(b=b) as home:
        for _ in range(3):
            await home.call()
        waiter = await home.begun("b", wait=60.0)
        assert (home["b"].count, home["b"].in_flight, waiter.ended) == (1, 1, False)
        outcome = await waiter.end()
        assert (outcome.ok, home["b"].count) == (True, 2)
        assert outcome.elapsed == pytest.approx(10.0, abs=0.1)


async def test_copies_in_flight_have_a_bound() -> None:
    """While `at_most` copies hang, calls are answered and no further copy is made."""
    shadow = Shadow(["b"], share=1, at_most=3)
    async with chain(b=play("b", *["hang"] * 9), shadow=shadow, attempt_timeout=30) as home:
        for _ in range(20):
            await home.call()
            await anyio.sleep(0.1)
        assert home["b"].in_flight == home.router.in_flight("b") == 3
        await anyio.sleep(40)
        assert home["b"].in_flight == 0
        assert {str(r.verdict.kind) for r in shadows(home)} == {"timeout"}


async def test_closing_cancels_what_is_under_way() -> None:
    """The router does not wait for copies; they end as cancelled, and nothing is left."""
    async with chain(b=play("b", "hang")) as home:
        await home.call()
        await anyio.sleep(1)
        assert home["b"].in_flight == 1
        before = anyio.current_time()
    assert anyio.current_time() == before
    assert [r.outcome for r in shadows(home)] == ["cancelled"]
    assert home["b"].ended == {"cancelled": 1}


# ── what it is good for ─────────────────────────────────────────────────────────────────────────


async def test_its_latencies_are_known() -> None:
    """What copies take is the understudy's pace on the route, before it is ever asked."""
    route = Route("default", ["a", "b"])
    async with chain(b=play("b", latency=2.0), route=route) as home:
        for _ in range(30):
            await home.call()
            await anyio.sleep(3)
        member = home.router._engine.roster.route(None).members[1]
        assert (member.name, member.latency.latencies.samples) == ("b", 30)
        assert member.latency.latencies.percentile(0.5) == pytest.approx(2.0, rel=0.1)


async def test_its_speed_is_known() -> None:
    """Where a route asks the fastest, what copies take is weighed as well."""
    route = Route("default", ["a", "b"], strategy="fastest")
    async with chain(b=play("b", latency=2.0), route=route) as home:
        for _ in range(3):
            await home.call()
            await anyio.sleep(3)
        compiled = home.router._engine.roster.route(None)
        assert compiled.shadow.members[0] is compiled.members[1]
        assert compiled.members[1].speed.latency(anyio.current_time()) > 1.0


async def test_its_health_is_known() -> None:
    """Copies that fail make the understudy degraded on the route before it is ever asked."""
    route = Route("default", ["a", "b"])
    async with chain(b=play("b", error_rate=1.0), route=route) as home:
        for _ in range(30):
            await home.call()
            await anyio.sleep(1)
        member = home.router._engine.roster.route(None).members[1]
        assert (member.name, member.health.calls, member.health.failures) == ("b", 30, 30)
        assert member.health.degraded
        home["b"].error_rate = 0.0
        for _ in range(130):
            await home.call()
            await anyio.sleep(1)
        assert not member.health.degraded


async def test_it_is_priced_and_charged_to_nobody() -> None:
    """A copy's record tells what it cost; no budget and no counter of dollars does."""
    price = Price(0.0, 0.0, per_request=0.5)
    route = Route("default", ["a", "b"], budget=Budget(1.0, "hour"))
    async with chain(b=play("b", price=price), route=route) as home:
        for _ in range(10):
            assert (await home.outcome()).cost == 0.0
            await anyio.sleep(1)
        assert {record.cost for record in shadows(home)} == {0.5}
        assert home.total("cost_usd_total") == 0.0


async def test_metrics_time_it_apart() -> None:
    """Shadow attempts have a counter and a histogram of their own, and no others."""
    async with chain(b=play("b", "error", latency=2.0)) as home:
        for _ in range(3):
            await home.call()
            await anyio.sleep(3)
        found = {
            outcome: home.total("shadow_attempts_total", provider="b", outcome=outcome)
            for outcome in ("success", "failure", "cancelled")
        }
        assert found == {"success": 2, "failure": 1, "cancelled": 0}
        spent = home.total("shadow_attempt_duration_seconds_sum", outcome="success")
        assert spent == pytest.approx(4.0)


async def test_both_answers_can_be_compared() -> None:
    """`compare` gets the request and both answers, or what the copy ended with; async or not."""
    compared: list[tuple[Any, Any, Any]] = []

    async def later(*given: Any) -> None:
        await anyio.sleep(1)
        compared.append(given)

    for compare in (lambda *given: compared.append(given), later):
        b = play("b", Answer("from b"), "error", Answer("rubbish"))
        shadow = Shadow(["b"], share=1, compare=compare)

        def accept(answer: str) -> object:
            return answer != "rubbish" or "makes no sense"

        async with chain(b=b, shadow=shadow, accept=accept) as home:
            for _ in range(3):
                await home.call()
                await anyio.sleep(2)
        (_, _, error), (*_, refused) = compared[1:]
        assert compared[0] == ("q", "a: q", "from b")
        assert isinstance(error, Exception)
        assert isinstance(refused, ProviderError)
        assert refused.kind == "invalid"
        assert "makes no sense" in str(refused)
        compared.clear()


async def test_a_compare_that_breaks_is_reported_once() -> None:
    """It harms neither call nor copy."""

    def compare(request: Any, answer: Any, shadow: Any) -> None:
        raise ZeroDivisionError

    async with chain(shadow=Shadow(["b"], share=1, compare=compare)) as home:
        for _ in range(3):
            assert (await home.outcome()).ok
            await anyio.sleep(1)
        (report,) = home.logger.of("hook broken")
        assert report["error"] == "ZeroDivisionError"
        assert len(shadows(home)) == 3


# ── settings ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Shadow("b"),
        lambda: Shadow([]),
        lambda: Shadow(["b", "b"]),
        lambda: Shadow(["b"], share=1.5),
        lambda: Shadow(["b"], at_most=0),
        lambda: Shadow(["b"], compare="yes"),
    ],
)
def test_wrong_settings_are_refused(wrong) -> None:
    """A setting that makes no sense is refused where it is made."""
    with pytest.raises(ConfigurationError, match="Shadow"):
        wrong()


def test_understudies_must_be_there_and_able_to_answer() -> None:
    """A name that is nobody's, or somebody's who can only stream, is refused at construction."""

    async def stream(request: str):
        yield request

    talker = Provider("talker", stream=stream)
    for name, why in (("bb", "did you mean 'b'"), ("talker", "call=")):
        with pytest.raises(ConfigurationError, match=why):
            MultiProviderRouter(
                [play("a"), play("b"), talker],
                shadow=Shadow([name]),
                registry=CollectorRegistry(),
            )


def test_a_shadow_shows_itself() -> None:
    """Its repr says who gets which share."""
    assert repr(Shadow(["b"])) == "Shadow(['b'], share=0.05)"
