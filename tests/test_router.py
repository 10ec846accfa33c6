"""First use of the router: examples, decorator, outcomes, routes, settings."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics

from multirouter import (
    AllProvidersFailed,
    CircuitPolicy,
    MultiProviderRouter,
    Provider,
    RetryPolicy,
    Route,
    Rule,
)
from multirouter.core.settings.failure_rules import CircuitEffect, Failover, Retry
from tests.scenarios.harness import REQUEST_FAULT, TRIPS_AT_ONCE, Logger, harness, scripted


async def call_openai(prompt: str) -> str:
    return f"openai on {prompt}"


async def call_anthropic(prompt: str) -> str:
    return f"anthropic on {prompt}"


async def call_local(prompt: str) -> str:
    raise ConnectionRefusedError("not started")


def example(**settings: Any) -> MultiProviderRouter[str, str]:
    return MultiProviderRouter(
        [
            Provider("openai", call_openai, weight=3),
            Provider("anthropic", call_anthropic, weight=2),
            Provider("local", call_local, weight=1),
        ],
        registry=CollectorRegistry(),
        logger=Logger(),
        **settings,
    )


async def test_first_example() -> None:
    """Three providers with weights, one of them down: every call is answered."""
    async with example() as router:
        answers = {await router.call("entanglement") for _ in range(100)}
        assert answers == {"openai on entanglement", "anthropic on entanglement"}


@pytest.mark.backends("asyncio", "uvloop")
async def test_first_example_without_a_block() -> None:
    """On asyncio a router is usable at once."""
    router = example()
    assert (await router.call("entanglement")).endswith("on entanglement")
    await router.aclose()


async def test_breaker_with_a_fixed_duration() -> None:
    """Three failures open for exactly a minute; then calls go to the other provider."""
    policy = CircuitPolicy(failures=3, open_duration=60, growth=1)
    async with harness("a", "b", circuit=policy) as env:
        await env.fail("a", times=3)
        assert env.recorder.of("circuit_changed")[0].open_duration == 60
        assert all([(await env.outcome()).provider == "b" for _ in range(20)])


async def test_decorator_registers() -> None:
    """`@router.provider` adds the function, and returns it unchanged."""
    async with harness() as env:

        @env.router.provider("late", weight=2)
        async def late(request: str) -> str:
            return f"late {request}"

        assert await env.call() == await late("q") == "late q"
        assert env.router.providers[0].weight == 2


async def test_decorated_generator_is_a_stream() -> None:
    """An async generator function is registered as `stream=`."""
    async with harness("a") as env:

        @env.router.provider("streaming")
        async def streaming(request: str) -> Any:
            yield request

        assert env.router.providers[1].stream is streaming
        assert env.router.providers[1].call is None


async def test_outcome_attributes() -> None:
    """Provider, failovers, start, duration, and the reason of each choice."""
    async with harness(scripted("a", "error"), scripted("b", latency=1.5)) as env:
        outcome = await env.outcome("a", "b")
        assert (outcome.ok, outcome.value, outcome.provider) == (True, "b: q", "b")
        assert (outcome.route, outcome.failovers) == ("adhoc", 1)
        assert outcome.elapsed == pytest.approx(1.5, abs=0.01)
        assert [record.ok for record in outcome.attempts] == [False, True]
        assert "b" in repr(outcome)
        assert "server" in repr(outcome.attempts[0])


async def test_named_routes_have_their_own_settings() -> None:
    """Weights, rules and retries of a route apply to it alone."""
    fail_over = Rule(
        retry=Retry.NEVER,
        failover=Failover.AT_ONCE,
        circuit=CircuitEffect.NEUTRAL,
        side_effects_possible=False,
    )
    routes = [
        Route("only-b", [["a", "b"]], weights={"a": 0}),
        Route("lenient", ["a", "b"], rules={"request": fail_over}),
    ]
    async with harness("a", "b", routes=routes) as env:
        for _ in range(30):
            assert await env.router.call("q", route="only-b") == "b: q"
        env["a"].then(REQUEST_FAULT)
        assert await env.router.call("q", route="lenient") == "b: q"
        env["a"].then(REQUEST_FAULT)
        assert not (await env.outcome("a", "b")).ok


async def test_rules_of_the_router_apply_to_all_routes() -> None:
    """The rule of a failure kind may be replaced."""
    strict = Rule(
        retry=Retry.NEVER,
        failover=Failover.AT_ONCE,
        circuit=CircuitEffect.TRIP,
        side_effects_possible=False,
    )
    async with harness("a", "b", rules={"request": strict}) as env:
        env["a"].then(REQUEST_FAULT)
        assert await env.call("a", "b") == "b: q"
        assert env.state("a") == "open"


async def test_route_object_passed_with_a_call() -> None:
    """For one call alone, with all of its settings."""
    async with harness("a", "b") as env:
        env["a"].then("hang")
        route = Route("quick", ["a", "b"], attempt_timeout=1)
        outcome = await env.router.call_outcome("q", route=route)
        assert (outcome.provider, outcome.route) == ("b", "adhoc")
        assert outcome.elapsed == pytest.approx(1, abs=0.01)


async def test_call_failed_attributes() -> None:
    """CallFailed has its fields for every kind of failure."""
    async with harness("a", circuit=TRIPS_AT_ONCE, retry=RetryPolicy(attempts=1)) as env:
        failed = (await env.fail("a")).error
        assert isinstance(failed, AllProvidersFailed)
        assert len(failed.attempts) == 1
        assert failed.elapsed == 0
        assert failed.retry_after == pytest.approx(10)


@pytest.mark.parametrize("answer", [None, 0, "", [], False])
async def test_falsy_answers(answer: object) -> None:
    """Falsy values are returned as they are."""

    async def falsy(request: object) -> object:
        return answer

    async with harness() as env:
        env.router.add(Provider("a", falsy))
        outcome = await env.outcome()
        assert outcome.ok
        assert outcome.value is answer


async def test_exemplar_of_a_timing() -> None:
    """`exemplar=` of the router returns the labels at the bucket of a call's timing."""
    registry = CollectorRegistry()
    async with MultiProviderRouter(
        [Provider("openai", call_openai)],
        registry=registry,
        exemplar=lambda: {"trace_id": "4bf92f"},
    ) as router:
        await router.call("entanglement")
    lines = [line for line in openmetrics(registry).decode().splitlines() if "4bf92f" in line]
    assert any(line.startswith("multirouter_call_duration_seconds_bucket") for line in lines)


@pytest.mark.parametrize(("enabled", "quoted"), [(True, True), (False, False)])
async def test_error_messages_are_opt_in(enabled: bool, quoted: bool) -> None:
    """`error_messages=True` of the router quotes errors in its log events."""
    logger = Logger()
    async with MultiProviderRouter(
        [Provider("local", call_local)],
        registry=CollectorRegistry(),
        logger=logger,
        retry=RetryPolicy(attempts=1),
        error_messages=enabled,
    ) as router:
        with pytest.raises(AllProvidersFailed):
            await router.call("entanglement")
    assert ("not started" in repr(logger.entries)) is quoted
