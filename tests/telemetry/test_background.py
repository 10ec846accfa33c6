"""Spans of what no caller waits for: shadow copies, trials and health checks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import CollectorRegistry

from multirouter import CircuitPolicy, MultiProviderRouter, Provider, Route, Shadow
from multirouter.providers import OpenAI, chat
from multirouter.testing.fakes import FakeProvider
from tests.telemetry.test_opentelemetry import Recorded, answer

CIRCUIT = CircuitPolicy(failures=1, open_duration=10.0, jitter=0.0)


def attributes(span: Any) -> dict[str, Any]:
    return dict(span.attributes or {})


def checked_router(
    check: Callable[[], Awaitable[bool]], recorded: Recorded
) -> MultiProviderRouter[Any, Any]:
    """A router of one provider that fails, and is checked while its circuit is open."""

    async def fail(_request: Any) -> str:
        raise ConnectionResetError

    return MultiProviderRouter(
        [Provider("a", fail, health_check=check)],
        circuit=CIRCUIT,
        telemetry=recorded.telemetry,
        registry=CollectorRegistry(),
    )


async def test_a_shadow_copy_is_in_the_trace_of_its_call() -> None:
    """Below the call's span, and current for the provider alone; it is no metric of the calls."""
    recorded = Recorded()
    seen: list[Any] = []

    async def copy(_request: Any) -> Any:
        seen.append(trace.get_current_span())
        await anyio.sleep(1)
        raise ConnectionResetError

    def compare(_request: Any, _answer: Any, _shadow: Any) -> None:
        seen.append(trace.get_current_span())

    shadow = Shadow(["copy"], share=1.0, compare=compare)
    async with MultiProviderRouter(
        [Provider("main", answer), Provider("copy", copy)],
        routes=[Route("r", ["main"], shadow=shadow)],
        telemetry=recorded.telemetry,
        registry=CollectorRegistry(),
    ) as router:
        tracer = recorded.tracers.get_tracer("caller")
        with tracer.start_as_current_span("caller"):
            await router.call("x", route="r")
        await anyio.sleep(2)
    caller, call, attempt, copied = recorded.spans()
    assert copied.parent is not None
    assert copied.parent.span_id == call.context.span_id
    assert copied.context.trace_id == caller.context.trace_id
    assert (copied.kind, copied.status.status_code) == (SpanKind.CLIENT, StatusCode.ERROR)
    assert attributes(copied)["multirouter.role"] == "shadow"
    assert attributes(copied)["error.type"] == "transport"
    assert [span.get_span_context().span_id for span in seen] == [
        copied.context.span_id,
        caller.context.span_id,  # as in the call's context, in which `compare=` runs
    ]
    assert attributes(attempt)["multirouter.role"] == "call"
    (point,) = recorded.metrics()["gen_ai.client.operation.duration"]
    assert point.attributes["gen_ai.provider.name"] == "main"


@pytest.mark.backends("asyncio")
@pytest.mark.parametrize("propagated", [True, False])
async def test_a_shadow_copy_sends_the_headers_of_its_own_span(*, propagated: bool) -> None:
    """By the rules of calls: the provider's `traceparent` names the copy, or is not sent."""
    recorded = Recorded(propagate=propagated)
    async with FakeProvider() as fake:
        copy = OpenAI("copy", model="m", api_key="k", base_url=f"{fake.url}/v1")
        async with MultiProviderRouter(
            [Provider("main", answer), copy],
            routes=[Route("r", ["main"], shadow=Shadow(["copy"], share=1.0))],
            telemetry=recorded.telemetry,
            registry=CollectorRegistry(),
        ) as router:
            await router.call(chat("Hello?"), route="r")
            while len(recorded.spans()) < 3:
                await anyio.sleep(0.1)
        sent = fake.requests[0].headers.get("traceparent", "")
    span_id = f"{recorded.spans()[-1].context.span_id:016x}"
    assert (span_id in sent) is propagated
    assert bool(sent) is propagated


async def test_a_trial_is_below_the_call_that_it_copies() -> None:
    """A background trial of a half-open circuit; the call is answered by another provider."""
    recorded = Recorded()
    broken = True

    async def first(_request: Any) -> str:
        if broken:
            raise ConnectionResetError
        await anyio.sleep(1)
        return "first"

    async with MultiProviderRouter(
        [Provider("first", first), Provider("second", answer)],
        routes=[Route("r", ["first", "second"])],
        circuit=CIRCUIT,
        telemetry=recorded.telemetry,
        registry=CollectorRegistry(),
    ) as router:
        await router.call("x", route="r")
        broken = False
        await anyio.sleep(11)
        recorded.exporter.clear()
        await router.call("x", route="r")
        await anyio.sleep(2)
        assert router.snapshot()["providers"]["first"]["state"] == "closed"
    call, *attempts = recorded.spans()
    roles = {attributes(span)["multirouter.role"]: span for span in attempts}
    assert set(roles) == {"call", "trial"}
    assert {span.parent.span_id for span in attempts if span.parent} == {call.context.span_id}
    assert attributes(roles["trial"])["multirouter.provider"] == "first"


async def test_a_health_check_is_a_trace_of_its_own() -> None:
    """No call caused it; what its own code traces is below it, and a failure is an error."""
    recorded = Recorded()
    tracer = recorded.tracers.get_tracer("check")
    results = iter([False, ConnectionResetError(), True])

    async def check() -> bool:
        with tracer.start_as_current_span("inside"):
            result = next(results)
            if isinstance(result, Exception):
                raise result
            return result

    async with checked_router(check, recorded) as router:
        with tracer.start_as_current_span("caller"):
            await router.call_outcome("x")
        await anyio.sleep(90)
        assert router.snapshot()["providers"]["a"]["state"] == "closed"
    assert not trace.get_current_span().get_span_context().is_valid
    spans = recorded.spans()
    checks = [span for span in spans if span.name == "health check a"]
    inside = [span for span in spans if span.name == "inside"]
    assert [span.parent for span in checks] == [None] * 3
    assert [span.status.status_code for span in checks] == [
        StatusCode.ERROR,
        StatusCode.ERROR,
        StatusCode.UNSET,
    ]
    verdicts = [attributes(span)["multirouter.verdict"] for span in checks]
    assert verdicts == ["unknown", "transport", "success"]
    assert attributes(checks[1])["error.type"] == "transport"
    assert [s.parent.span_id for s in inside if s.parent] == [s.context.span_id for s in checks]


async def test_a_health_check_that_ends_with_the_router() -> None:
    """Its span ends as well, without an error."""
    recorded = Recorded()

    async def check() -> bool:
        await anyio.sleep_forever()
        return True

    async with checked_router(check, recorded) as router:
        await router.call_outcome("x")
        await anyio.sleep(15)
    span = recorded.spans()[-1]
    assert (span.name, span.status.status_code) == ("health check a", StatusCode.UNSET)
    assert attributes(span)["multirouter.verdict"] == "cancelled"
