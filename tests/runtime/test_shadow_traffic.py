"""Shadow copies: answered calls repeated in the background, without effect on the calls."""

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
from tests.scenarios.harness import TRIPS_AT_ONCE, Harness, harness, scripted

ALWAYS = Shadow(["b"], share=1.0)
CHAIN = Route("default", ["a"])


def chain(**settings: Any):
    """A router whose calls go to `a`, with `b` as the shadow."""
    return harness(
        settings.pop("a", "a"),
        settings.pop("b", "b"),
        routes=[settings.pop("route", CHAIN)],
        **({"shadow": ALWAYS} | settings),
    )


def shadows(env: Harness, provider: str = "b") -> list[Any]:
    return [r for r in env.recorder.attempts if r.role == "shadow" and r.provider == provider]


# ── which calls are copied ────────────────────────────────────────────────────────────────────


async def test_a_copy_is_made_after_the_answer() -> None:
    """The copy begins when the caller has its answer; the caller does not wait for it."""
    async with chain(a=scripted("a", latency=1.0), b=scripted("b", latency=20.0)) as env:
        outcome = await env.outcome()
        assert (outcome.provider, outcome.elapsed) == ("a", 1.0)
        assert env["b"].count == 0
        await anyio.sleep(21)
        (request,) = env["b"].requests
        assert (request.at - outcome.started, request.request) == (1.0, "q")
        assert [r.role for r in outcome.attempts] == ["call"]
        (record,) = shadows(env)
        assert (record.route, record.ok, record.elapsed) == ("default", True, 20.0)


async def test_the_share_of_copies_is_kept() -> None:
    """Of 4,000 calls 5 % are copied, within four standard deviations (55)."""
    async with chain(shadow=Shadow(["b"]), rng=Random(7)) as env:
        for _ in range(4000):
            await env.call()
        await anyio.sleep(1)
        assert abs(env["b"].count - 200) < 55


async def test_calls_that_are_not_idempotent_are_not_copied() -> None:
    """`idempotent=False` is never copied."""
    async with chain() as env:
        await env.call(idempotent=False)
        await anyio.sleep(1)
        assert env["b"].count == 0


async def test_only_answered_calls_are_copied() -> None:
    """A call that failed, or was answered by `fallback=`, is not copied."""
    async with chain(a=scripted("a", "error", Fault("error", status=400)), fallback="sorry") as env:
        assert await env.call() == "sorry"
        await env.outcome()
        await anyio.sleep(1)
        assert env["b"].count == 0


async def test_a_provider_attempted_by_the_call_gets_no_copy() -> None:
    """The call itself has measured that provider already."""
    route = Route("default", ["b", "a"])
    async with chain(b=scripted("b", "error"), route=route) as env:
        assert (await env.outcome()).provider == "a"
        assert (await env.outcome()).provider == "b"
        await anyio.sleep(1)
        assert (env["b"].count, env["a"].count) == (2, 1)


async def test_a_routes_shadow_overrides_the_routers() -> None:
    """Each route may name its own shadow; `share=0` disables copies."""
    routes = [
        CHAIN,
        Route("other", ["a"], shadow=Shadow(["c"], share=1)),
        Route("none", ["a"], shadow=Shadow(["c"], share=0)),
    ]
    async with harness("a", "b", "c", routes=routes, shadow=ALWAYS) as env:
        for name in ("default", "other", "none"):
            await env.router.call("q", route=name)
        await anyio.sleep(1)
        assert [r.route for r in shadows(env, "b")] == ["default"]
        assert [r.route for r in shadows(env, "c")] == ["other"]


async def test_several_shadow_providers_share_the_copies() -> None:
    """Each copy goes to one of them, chosen with equal weights."""
    async with harness("a", "b", "c", routes=[CHAIN], shadow=Shadow(["b", "c"], share=1)) as env:
        for _ in range(400):
            await env.call()
        await anyio.sleep(1)
        assert env["b"].count + env["c"].count == 400
        assert abs(env["b"].count - 200) < 60


# ── isolation ─────────────────────────────────────────────────────────────────────────────────


async def test_copies_do_not_affect_circuits_trails_and_call_metrics() -> None:
    """Copies that always fail leave the circuit closed, its window empty and calls uncounted."""
    async with chain(b=scripted("b", error_rate=1.0), circuit=TRIPS_AT_ONCE) as env:
        for _ in range(50):
            assert (await env.outcome()).ok
            await anyio.sleep(1)
        assert len(shadows(env)) == 50
        assert env.state("b") == "closed"
        assert (env.circuit("b").window.calls, env.circuit("b").window.failures) == (0, 0)
        assert env.total("attempts_total", provider="b") == 0
        assert env.total("shadow_attempts_total", provider="b", outcome="failure") == 50
        assert env.total("calls_total", outcome="success") == 50
        assert {r.provider for call in env.recorder.calls for r in call.attempts} == {"a"}


async def test_unhealthy_providers_get_no_copies() -> None:
    """Open and half-open circuits, and a cooldown after a 429, get none."""
    async with chain(circuit=TRIPS_AT_ONCE) as env:
        await env.fail("b")
        await env.call()
        await anyio.sleep(10.5)
        assert env.state("b") == "half_open"
        await env.call()
        await anyio.sleep(1)
        assert env["b"].count == 1
        await env.outcome("b")
        await env.fail("b", fault="rate_limit")
        await env.call()
        await anyio.sleep(1)
        assert env["b"].count == 3


async def test_copies_respect_the_providers_limits() -> None:
    """A copy counts against its provider's limits and is skipped at a limit.

    Its end serves calls that wait for the provider.
    """
    b = scripted("b", latency=5.0, limits=LimitPolicy(in_flight=1))
    async with chain(b=b) as env:
        for _ in range(3):
            await env.call()
        waiter = await env.start("b", wait=60.0)
        assert (env["b"].count, env["b"].in_flight, waiter.ended) == (1, 1, False)
        outcome = await waiter.end()
        assert (outcome.ok, env["b"].count) == (True, 2)
        assert outcome.elapsed == pytest.approx(10.0, abs=0.1)


async def test_copies_in_flight_are_bounded() -> None:
    """While `max_in_flight` copies hang, calls are answered and no further copy is made."""
    shadow = Shadow(["b"], share=1, max_in_flight=3)
    async with chain(b=scripted("b", *["hang"] * 9), shadow=shadow, attempt_timeout=30) as env:
        for _ in range(20):
            await env.call()
            await anyio.sleep(0.1)
        assert env["b"].in_flight == env.router.in_flight("b") == 3
        await anyio.sleep(40)
        assert env["b"].in_flight == 0
        assert {str(r.verdict.kind) for r in shadows(env)} == {"timeout"}


async def test_closing_the_router_cancels_copies() -> None:
    """The router does not wait for copies; they end as cancelled, and nothing is left."""
    async with chain(b=scripted("b", "hang")) as env:
        await env.call()
        await anyio.sleep(1)
        assert env["b"].in_flight == 1
        before = anyio.current_time()
    assert anyio.current_time() == before
    assert [r.outcome for r in shadows(env)] == ["cancelled"]
    assert env["b"].ended == {"cancelled": 1}


# ── measurements ──────────────────────────────────────────────────────────────────────────────


async def test_copies_update_latencies() -> None:
    """Copies measure the shadow provider's latency on the route before its first call."""
    route = Route("default", ["a", "b"])
    async with chain(b=scripted("b", latency=2.0), route=route) as env:
        for _ in range(30):
            await env.call()
            await anyio.sleep(3)
        member = env.router._engine.registry.route(None).members[1]
        assert (member.name, member.latency.latencies.samples) == ("b", 30)
        assert member.latency.latencies.percentile(0.5) == pytest.approx(2.0, rel=0.1)


async def test_copies_update_the_latency_average() -> None:
    """Where the strategy is "fastest", latencies of copies are weighed as well."""
    route = Route("default", ["a", "b"], strategy="fastest")
    async with chain(b=scripted("b", latency=2.0), route=route) as env:
        for _ in range(3):
            await env.call()
            await anyio.sleep(3)
        route = env.router._engine.registry.route(None)
        assert route.shadow.members[0] is route.members[1]
        assert route.members[1].latency_average.latency > 1.0


async def test_copies_update_health() -> None:
    """Copies that fail make the shadow provider degraded on the route before its first call."""
    route = Route("default", ["a", "b"])
    async with chain(b=scripted("b", error_rate=1.0), route=route) as env:
        for _ in range(30):
            await env.call()
            await anyio.sleep(1)
        member = env.router._engine.registry.route(None).members[1]
        assert (member.name, member.health.calls, member.health.failures) == ("b", 30, 30)
        assert member.health.degraded
        env["b"].error_rate = 0.0
        for _ in range(130):
            await env.call()
            await anyio.sleep(1)
        assert not member.health.degraded


async def test_copies_are_priced_but_not_charged() -> None:
    """The record of a copy has its cost; no budget and no cost counter includes it."""
    price = Price(0.0, 0.0, per_request=0.5)
    route = Route("default", ["a", "b"], budget=Budget(1.0, "hour"))
    async with chain(b=scripted("b", price=price), route=route) as env:
        for _ in range(10):
            assert (await env.outcome()).cost == 0.0
            await anyio.sleep(1)
        assert {record.cost for record in shadows(env)} == {0.5}
        assert env.total("cost_usd_total") == 0.0


async def test_copies_have_metrics_of_their_own() -> None:
    """Shadow attempts have a counter and a histogram of their own, and appear in no others."""
    async with chain(b=scripted("b", "error", latency=2.0)) as env:
        for _ in range(3):
            await env.call()
            await anyio.sleep(3)
        found = {
            outcome: env.total("shadow_attempts_total", provider="b", outcome=outcome)
            for outcome in ("success", "failure", "cancelled")
        }
        assert found == {"success": 2, "failure": 1, "cancelled": 0}
        spent = env.total("shadow_attempt_duration_seconds_sum", outcome="success")
        assert spent == pytest.approx(4.0)


async def test_compare_receives_both_answers() -> None:
    """`compare` gets the request and both answers, or the copy's error; sync or async."""
    compared: list[tuple[Any, Any, Any]] = []

    async def later(*arguments: Any) -> None:
        await anyio.sleep(1)
        compared.append(arguments)

    for compare in (lambda *arguments: compared.append(arguments), later):
        b = scripted("b", Answer("from b"), "error", Answer("rubbish"))
        shadow = Shadow(["b"], share=1, compare=compare)

        def accept(answer: str) -> object:
            return answer != "rubbish" or "makes no sense"

        async with chain(b=b, shadow=shadow, accept=accept) as env:
            for _ in range(3):
                await env.call()
                await anyio.sleep(2)
        (_, _, error), (*_, rejected) = compared[1:]
        assert compared[0] == ("q", "a: q", "from b")
        assert isinstance(error, Exception)
        assert isinstance(rejected, ProviderError)
        assert rejected.kind == "invalid"
        assert "makes no sense" in str(rejected)
        compared.clear()


async def test_a_compare_that_raises_is_reported_once() -> None:
    """It affects neither call nor copy."""

    def compare(request: Any, answer: Any, shadow: Any) -> None:
        raise ZeroDivisionError

    async with chain(shadow=Shadow(["b"], share=1, compare=compare)) as env:
        for _ in range(3):
            assert (await env.outcome()).ok
            await anyio.sleep(1)
        (report,) = env.logger.of("hook failed")
        assert report["error"] == "ZeroDivisionError"
        assert len(shadows(env)) == 3


# ── settings ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Shadow("b"),
        lambda: Shadow([]),
        lambda: Shadow(["b", "b"]),
        lambda: Shadow(["b"], share=1.5),
        lambda: Shadow(["b"], max_in_flight=0),
        lambda: Shadow(["b"], compare="yes"),
    ],
)
def test_invalid_settings_raise(wrong) -> None:
    """An invalid setting raises at construction."""
    with pytest.raises(ConfigurationError, match="Shadow"):
        wrong()


def test_shadow_providers_must_exist_and_have_a_call_function() -> None:
    """An unknown name, or a provider that can only stream, raises at construction."""

    async def stream(request: str):
        yield request

    talker = Provider("talker", stream=stream)
    for name, why in (("bb", "did you mean 'b'"), ("talker", "call=")):
        with pytest.raises(ConfigurationError, match=why):
            MultiProviderRouter(
                [scripted("a"), scripted("b"), talker],
                shadow=Shadow([name]),
                registry=CollectorRegistry(),
            )


def test_repr_shows_the_providers_and_the_share() -> None:
    """The repr names the providers and the share."""
    assert repr(Shadow(["b"])) == "Shadow(['b'], share=0.05)"


@pytest.mark.parametrize(
    ("fault", "pause"),
    [
        (Fault("rate_limit", headers={"retry-after": "60"}), 60),
        (Fault("error", status=503, headers={"retry-after": "60"}), 60),
        (Fault("error", status=401), 300),
    ],
    ids=["429", "503 with Retry-After", "401"],
)
async def test_copies_obey_what_their_provider_asks_for(fault: Fault, pause: float) -> None:
    """After a 429 of a copy no further one is sent before its time; calls are not affected."""
    async with chain() as env:
        env["b"].then(fault)
        for _ in range(pause - 1):
            await env.call()
            await anyio.sleep(1)
        assert env["b"].count == 1
        assert (env.state("b"), env.router.available("b")) == ("closed", True)
        await anyio.sleep(2)
        await env.call()
        await anyio.sleep(1)
        assert env["b"].count == 2


async def test_a_copy_goes_to_a_provider_that_may_get_it() -> None:
    """While one shadow provider pauses, the other one gets all copies."""
    shadow = Shadow(["b", "c"], share=1.0)
    routes = [Route("default", ["a"], shadow=shadow)]
    async with harness("a", "b", "c", routes=routes) as env:
        env["b"].then(Fault("rate_limit", headers={"retry-after": "1000"}))
        for _ in range(40):
            await env.router.call("q")
            await anyio.sleep(1)
        assert env["b"].count == 1
        assert env["b"].count + env["c"].count == 40
