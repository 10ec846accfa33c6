"""Costs of calls and streams, through a whole router."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry
from typing_extensions import override

from multirouter import (
    AttemptRecord,
    Budget,
    FailureKind,
    HedgePolicy,
    Listener,
    MultiProviderRouter,
    NoProviderAvailable,
    Price,
    Provider,
    Route,
    StreamPolicy,
    Usage,
    UsageError,
)
from tests.scenarios.harness import Logger

PRICE = Price(1.0, 2.0, per_request=0.5)
ANSWER = {"usage": {"prompt_tokens": 1_000_000, "completion_tokens": 500_000}}


async def answers(_: str) -> dict[str, Any]:
    return ANSWER


async def words(_: str) -> AsyncIterator[dict[str, Any]]:
    """A canonical stream whose usage comes after its end, as OpenAI sends it."""
    for text, finish in (("four", None), ("five", None), ("", "stop")):
        await anyio.sleep(1.0)
        yield {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}
    yield {"choices": [], **ANSWER}


def router_of(
    *providers: Provider[Any, Any, Any], **settings: Any
) -> MultiProviderRouter[Any, Any]:
    """A router with metrics and logs of its own."""
    settings.setdefault("registry", CollectorRegistry())
    settings.setdefault("logger", Logger())
    return MultiProviderRouter(providers, **settings)


async def test_cost_of_a_call() -> None:
    """The outcome has the cost of the call, and the metrics count it."""
    registry = CollectorRegistry()
    async with router_of(Provider("a", answers, price=PRICE), registry=registry) as router:
        outcome = await router.call_outcome("?")
        assert (outcome.cost, outcome.failover_cost) == (2.5, 0.0)
    labels = {"router": "default", "route": "default", "provider": "a", "model": ""}
    assert registry.get_sample_value("multirouter_cost_usd_total", labels) == 2.5


async def test_cost_of_a_complete_stream() -> None:
    """Usage that comes after the finish reason is read; the first content is timed."""
    registry = CollectorRegistry()
    async with router_of(Provider("a", stream=words, price=PRICE), registry=registry) as router:
        async with router.stream("?") as stream:
            assert len([chunk async for chunk in stream]) == 4
        assert stream.outcome is not None
        assert stream.outcome.cost == 2.5
        assert stream.outcome.attempts[0].usage == Usage(1_000_000, 500_000)
    labels = {"router": "default", "provider": "a"}
    first = "multirouter_first_content_seconds_sum"
    assert registry.get_sample_value(first, labels) == pytest.approx(1.0)
    rate = "multirouter_stream_tokens_per_second_sum"
    assert registry.get_sample_value(rate, labels) == pytest.approx(250_000)


async def test_cost_of_an_abandoned_stream() -> None:
    """Stopping early costs the request and the text that came, as an estimate."""
    async with router_of(Provider("a", stream=words, price=PRICE)) as router:
        async with router.stream("q" * 40) as stream:
            await anext(stream)
        assert stream.outcome is not None
        assert stream.outcome.attempts[0].usage == Usage(10, 1, estimated=True)


async def test_cost_of_a_continued_stream() -> None:
    """Both parts of a continued stream are charged, each by its own content."""

    async def interrupted(_: str) -> AsyncIterator[dict[str, Any]]:
        yield {"choices": [{"index": 0, "delta": {"content": "four"}}]}
        raise ConnectionResetError

    async with router_of(
        Provider("a", stream=interrupted, price=PRICE),
        Provider("b", stream=words, price=PRICE),
        routes=[Route("chain", ["a", "b"])],
        stream=StreamPolicy(on_interrupt="continue"),
    ) as router:
        async with router.stream("q" * 40, route="chain") as stream:
            assert [chunk async for chunk in stream]
        assert stream.outcome is not None
        reported = [record.usage for record in stream.outcome.attempts]
        assert reported == [Usage(10, 1, estimated=True), Usage(1_000_000, 500_000)]
        assert stream.outcome.cost == pytest.approx(0.5 + 12e-6 + 2.5)


async def test_cost_of_a_hedge_race() -> None:
    """The attempt that lost is charged as well."""

    async def sleeps(_: str) -> dict[str, Any]:
        await anyio.sleep(60.0)
        return ANSWER

    async with router_of(
        Provider("a", sleeps, price=PRICE),
        Provider("b", answers, price=PRICE),
        routes=[Route("chain", ["a", "b"])],
        hedge=HedgePolicy(after=1.0),
    ) as router:
        outcome = await router.call_outcome("q" * 40, route="chain")
        assert outcome.provider == "b"
        assert outcome.cost == pytest.approx(0.5 + 10e-6 + 2.5)
        assert outcome.failover_cost == pytest.approx(0.5 + 10e-6)


async def test_budget_of_the_router(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls are rejected when it is used up, and admitted on the next day."""
    wall = [1_800_000_000.0]
    monkeypatch.setattr("time.time", lambda: wall[0])
    logger = Logger()
    async with router_of(
        Provider("a", answers, price=PRICE), budget=Budget(5.0), logger=logger
    ) as router:
        for _ in range(2):
            await router.call("?")
        with pytest.raises(NoProviderAvailable, match="budget of 5 USD per day used up until"):
            await router.call("?")
        wall[0] += 86400.0
        await router.call("?")
    reported = {"router": "default", "owner": "router", "usd": 5.0, "per": "day"}
    assert logger.of("budget exhausted") == [{**reported, "spent": 5.0}]


async def test_budget_of_a_provider() -> None:
    """`explain` and `snapshot` show which provider is over budget, and until when."""
    async with router_of(
        Provider("a", answers, price=PRICE, budget=Budget(2.0)), Provider("b", answers, weight=1e-9)
    ) as router:
        assert (await router.call_outcome("?")).provider == "a"
        assert (await router.call_outcome("?")).provider == "b"
        status = router.explain().tiers[0][0]
        assert status.share == 0.0
        assert status.state.startswith("budget of 2 USD per day used up until ")
        shown = router.snapshot()["providers"]["a"]["budgets"]
        assert [(b["per"], b["usd"], b["spent"]) for b in shown] == [("day", 2.0, 2.5)]
        router.update("a", budget=Budget(20.0))
        assert (await router.call_outcome("?")).provider == "a"
        router.remove("a")
        assert (await router.call_outcome("?")).provider == "b"


async def test_misuse_costs_nothing() -> None:
    """A function that returns nothing to await, or iterate, sent no request: no estimate."""
    reported: list[AttemptRecord] = []

    class RecordingListener(Listener):
        @override
        def attempt_ended(self, record: AttemptRecord) -> None:
            reported.append(record)

    invalid = Provider[str, Any, Any]("a", lambda _: None, stream=lambda _: None, price=PRICE)  # type: ignore[arg-type,return-value]
    async with router_of(invalid, listeners=[RecordingListener()]) as router:
        with pytest.raises(UsageError):
            await router.call("q" * 40)
        with pytest.raises(UsageError):
            async with router.stream("q" * 40):
                pass
    assert [(record.verdict.kind, record.usage) for record in reported] == [
        (FailureKind.CANCELLED, None)
    ] * 2


async def test_cost_of_a_stream_with_a_failing_hook() -> None:
    """The provider has answered, so the attempt is charged."""
    reported: list[AttemptRecord] = []

    class RecordingListener(Listener):
        @override
        def attempt_ended(self, record: AttemptRecord) -> None:
            reported.append(record)

    def failing(_: Any) -> bool:
        raise LookupError("of the user's own")

    policy = StreamPolicy(content=failing)
    async with router_of(
        Provider("a", stream=words, price=PRICE), stream=policy, listeners=[RecordingListener()]
    ) as router:
        with pytest.raises(UsageError):
            async with router.stream("q" * 40):
                pass
    assert [record.usage for record in reported] == [Usage(10, 1, estimated=True)]


async def test_failing_usage_reader() -> None:
    """A `usage=` that raises is reported once, and its attempts are estimated."""
    logger = Logger()

    def failing_reader(answer: Any) -> Usage:
        return Usage(answer["no"])

    async with router_of(
        Provider("a", answers, price=PRICE), usage=failing_reader, logger=logger
    ) as router:
        for _ in range(2):
            outcome = await router.call_outcome("q" * 40)
            assert outcome.attempts[0].usage == Usage(10, estimated=True)
    assert [fields["error"] for fields in logger.of("hook failed")] == ["KeyError"]
