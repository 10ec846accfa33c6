"""The router as its users meet it first."""

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
from tests.scenarios.kit import BRITTLE, FAULTY, Logger, house, play


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


async def test_the_first_example() -> None:
    """Three providers with weights, one of them dead: every call is answered."""
    async with example() as router:
        answers = {await router.call("entanglement") for _ in range(100)}
        assert answers == {"openai on entanglement", "anthropic on entanglement"}


@pytest.mark.backends("asyncio", "uvloop")
async def test_the_first_example_without_a_block() -> None:
    """On asyncio a router is usable at once."""
    router = example()
    assert (await router.call("entanglement")).endswith("on entanglement")
    await router.aclose()


async def test_the_articles_breaker() -> None:
    """Three failures open for a minute exactly; then one success closes it again."""
    policy = CircuitPolicy(failures=3, open_duration=60, growth=1)
    async with house("a", "b", circuit=policy) as home:
        await home.fail("a", times=3)
        assert home.news.of("circuit_changed")[0].open_duration == 60
        assert all([(await home.outcome()).provider == "b" for _ in range(20)])


async def test_a_decorator_registers() -> None:
    """`@router.provider` adds the function, and gives it back as it was."""
    async with house() as home:

        @home.router.provider("late", weight=2)
        async def late(request: str) -> str:
            return f"late {request}"

        assert await home.call() == await late("q") == "late q"
        assert home.router.providers[0].weight == 2


async def test_a_decorated_generator_is_a_stream() -> None:
    """An async generator function is registered as `stream=`."""
    async with house("a") as home:

        @home.router.provider("streaming")
        async def streaming(request: str) -> Any:
            yield request

        assert home.router.providers[1].stream is streaming
        assert home.router.providers[1].call is None


async def test_an_outcome_tells_all() -> None:
    """Who answered, after how many failovers, when, how long, and why there."""
    async with house(play("a", "error"), play("b", latency=1.5)) as home:
        outcome = await home.outcome("a", "b")
        assert (outcome.ok, outcome.value, outcome.provider) == (True, "b: q", "b")
        assert (outcome.route, outcome.failovers) == ("adhoc", 1)
        assert outcome.elapsed == pytest.approx(1.5, abs=0.01)
        assert [record.ok for record in outcome.attempts] == [False, True]
        assert "b" in repr(outcome)
        assert "server" in repr(outcome.attempts[0])


async def test_named_routes_have_their_own_terms() -> None:
    """Weights, rules and retries of a route hold on it alone."""
    anyway = Rule(
        retry=Retry.NEVER,
        failover=Failover.AT_ONCE,
        circuit=CircuitEffect.NEUTRAL,
        side_effects_possible=False,
    )
    routes = [
        Route("only-b", [["a", "b"]], weights={"a": 0}),
        Route("stubborn", ["a", "b"], rules={"request": anyway}),
    ]
    async with house("a", "b", routes=routes) as home:
        for _ in range(30):
            assert await home.router.call("q", route="only-b") == "b: q"
        home["a"].then(FAULTY)
        assert await home.router.call("q", route="stubborn") == "b: q"
        home["a"].then(FAULTY)
        assert not (await home.outcome("a", "b")).ok


async def test_rules_of_the_router_hold_on_all_routes() -> None:
    """A kind may be made to count as the user wants."""
    strict = Rule(
        retry=Retry.NEVER,
        failover=Failover.AT_ONCE,
        circuit=CircuitEffect.TRIP,
        side_effects_possible=False,
    )
    async with house("a", "b", rules={"request": strict}) as home:
        home["a"].then(FAULTY)
        assert await home.call("a", "b") == "b: q"
        assert home.state("a") == "open"


async def test_a_route_object_may_be_given_with_a_call() -> None:
    """For one call alone, with all of its settings."""
    async with house("a", "b") as home:
        home["a"].then("hang")
        route = Route("quick", ["a", "b"], attempt_timeout=1)
        outcome = await home.router.call_outcome("q", route=route)
        assert (outcome.provider, outcome.route) == ("b", "adhoc")
        assert outcome.elapsed == pytest.approx(1, abs=0.01)


async def test_one_error_for_a_web_handler() -> None:
    """CallFailed's fields are there whatever went wrong."""
    async with house("a", circuit=BRITTLE, retry=RetryPolicy(attempts=1)) as home:
        failed = (await home.fail("a")).error
        assert isinstance(failed, AllProvidersFailed)
        assert len(failed.attempts) == 1
        assert failed.elapsed == 0
        assert failed.retry_after == pytest.approx(10)


@pytest.mark.parametrize("answer", [None, 0, "", [], False])
async def test_an_empty_answer_is_an_answer(answer: object) -> None:
    """Falsy values are answered as they are."""

    async def falsy(request: object) -> object:
        return answer

    async with house() as home:
        home.router.add(Provider("a", falsy))
        outcome = await home.outcome()
        assert outcome.ok
        assert outcome.value is answer


async def test_a_timing_is_tied_to_its_trace() -> None:
    """`exemplar=` of the router gives the labels that stand at the bucket of a call's timing."""
    registry = CollectorRegistry()
    async with MultiProviderRouter(
        [Provider("openai", call_openai)],
        registry=registry,
        exemplar=lambda: {"trace_id": "4bf92f"},
    ) as router:
        await router.call("entanglement")
    tied = [line for line in openmetrics(registry).decode().splitlines() if "4bf92f" in line]
    assert any(line.startswith("multirouter_call_duration_seconds_bucket") for line in tied)


@pytest.mark.parametrize(("asked", "quoted"), [(True, True), (False, False)])
async def test_what_errors_say_is_logged_when_asked_for(asked: bool, quoted: bool) -> None:
    """`error_messages=True` of the router quotes errors in its events; left out, nothing does."""
    logger = Logger()
    async with MultiProviderRouter(
        [Provider("local", call_local)],
        registry=CollectorRegistry(),
        logger=logger,
        retry=RetryPolicy(attempts=1),
        error_messages=asked,
    ) as router:
        with pytest.raises(AllProvidersFailed):
            await router.call("entanglement")
    assert ("not started" in repr(logger.told)) is quoted
