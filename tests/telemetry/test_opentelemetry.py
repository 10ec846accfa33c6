"""Spans and metrics of calls, as OpenTelemetry's SDK receives them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes, http_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.semconv.attributes import error_attributes
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest

from multirouter import (
    HedgePolicy,
    MultiProviderRouter,
    NoProviderAvailable,
    OpenTelemetry,
    Price,
    Provider,
    Route,
)
from multirouter.listeners.metrics.bounded_labels import MAX_MODELS, OTHER
from multirouter.providers import OpenAI, chat
from multirouter.telemetry import conventions
from multirouter.testing.fakes import FakeProvider
from tests.gateway.harness import PROMPT, running_gateway

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Recorded:
    """An `OpenTelemetry` with an SDK in memory, and what that has received."""

    def __init__(self, **settings: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        meters = MeterProvider(metric_readers=[self.reader])
        self.telemetry = OpenTelemetry(
            tracer_provider=self.tracers, meter_provider=meters, **settings
        )

    def spans(self) -> list[ReadableSpan]:
        """All ended spans, in the order of their starts."""
        return sorted(
            self.exporter.get_finished_spans(),
            key=lambda span: (span.start_time or 0, span.kind is SpanKind.CLIENT),
        )

    def metrics(self) -> dict[str, list[Any]]:
        data = self.reader.get_metrics_data()
        return {
            metric.name: list(metric.data.data_points)
            for resource in (data.resource_metrics if data else [])
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


async def answer(request: Any) -> Any:
    return {
        "id": "answer-1",
        "model": "gpt-5-2025-08-07",
        "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7},
    }


async def fail(request: Any) -> Any:
    raise ConnectionResetError


def ids(span: ReadableSpan) -> tuple[int, int]:
    return span.context.trace_id, span.context.span_id


async def test_a_call_and_its_attempts() -> None:
    """A call is a span, and each of its attempts a CLIENT span below it, in the caller's trace."""
    recorded = Recorded()
    providers = [
        Provider("broken", fail, domains=["mistral"], model="mistral-large"),
        Provider("good", answer, domains=["openai"], model="gpt-5", price=Price(1, 10)),
    ]
    request = {"messages": [], "temperature": 0.5, "max_tokens": 9, "stop": "x", "n": 1}
    async with MultiProviderRouter(
        providers,
        routes=[Route("main", ["broken", "good"])],
        telemetry=recorded.telemetry,
        registry=CollectorRegistry(),
    ) as router:
        tracer = recorded.tracers.get_tracer("caller")
        with tracer.start_as_current_span("caller"):
            await router.call(request, route="main")
            assert trace.get_current_span().name == "caller"  # type: ignore[attr-defined]
    caller, call, first, second = recorded.spans()
    assert (call.name, call.kind) == ("route main", SpanKind.INTERNAL)
    assert call.parent is not None
    assert call.parent.span_id == caller.context.span_id
    for attempt in (first, second):
        assert attempt.kind is SpanKind.CLIENT
        assert attempt.parent is not None
        assert (attempt.parent.trace_id, attempt.parent.span_id) == ids(call)
    assert (first.name, second.name) == ("chat mistral-large", "chat gpt-5")
    assert first.status.status_code is StatusCode.ERROR
    assert first.attributes is not None
    assert first.attributes["error.type"] == "transport"
    assert first.attributes["gen_ai.provider.name"] == "mistral_ai"
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5",
        "gen_ai.response.model": "gpt-5",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.stop_sequences": ("x",),
        "gen_ai.response.id": "answer-1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 7,
        "multirouter.provider": "good",
        "multirouter.role": "call",
        "multirouter.verdict": "success",
    }
    assert second.attributes is not None
    assert expected.items() <= dict(second.attributes).items()
    assert "gen_ai.input.messages" not in second.attributes
    assert call.attributes is not None
    assert call.attributes["multirouter.result"] == "success"
    assert call.attributes["multirouter.failovers"] == 1
    assert call.status.status_code is StatusCode.UNSET


async def test_content_only_when_opted_in() -> None:
    """Messages are recorded when content is opted in, and only then."""
    for content in (True, False):
        recorded = Recorded(content=content)
        async with MultiProviderRouter(
            [Provider("a", answer)], telemetry=recorded.telemetry, registry=CollectorRegistry()
        ) as router:
            await router.call({"messages": [{"role": "user", "content": "secret words"}]})
        attributes = dict(recorded.spans()[1].attributes or {})
        assert ("secret words" in str(attributes)) is content
        if content:
            assert json.loads(attributes["gen_ai.input.messages"]) == [  # type: ignore[arg-type]
                {"role": "user", "parts": [{"type": "text", "content": "secret words"}]}
            ]
            (message,) = json.loads(attributes["gen_ai.output.messages"])  # type: ignore[arg-type]
            assert message["parts"] == [{"type": "text", "content": "Hi"}]


def test_content_by_the_conventions_own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable that instrumentations share opts in; an argument overrides it."""
    name = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
    assert name not in os.environ
    assert "content=False" in repr(OpenTelemetry())
    monkeypatch.setenv(name, "true")
    assert "content=True" in repr(OpenTelemetry())
    assert "content=False" in repr(OpenTelemetry(content=False))


@pytest.mark.parametrize(
    "request_",
    [
        "text",
        None,
        7,
        {"messages": "no list", "temperature": "hot", "stop": [1], "max_tokens": True, "n": "x"},
        {"messages": [None, {"role": 7, "content": [{"type": "image_url"}, None]}]},
        {"messages": [{"role": "tool", "tool_call_id": "c", "content": "4"}]},
        {"messages": [{"tool_calls": [None, {"id": "c", "function": {"name": "f"}}]}]},
        {"messages": [{"role": "user", "content": {1, 2}}]},
    ],
)
async def test_any_request_can_be_traced(request_: Any) -> None:
    """A request or an answer of any shape is traced, and changes nothing for the caller."""
    recorded = Recorded(content=True)

    async def echo(request: Any) -> Any:
        return {"choices": [None, {"message": 3}], "id": 5, "usage": "none"}

    async with MultiProviderRouter(
        [Provider("a", echo)], telemetry=recorded.telemetry, registry=CollectorRegistry()
    ) as router:
        assert (await router.call(request_))["id"] == 5
    assert len(recorded.spans()) == 2


async def test_calls_that_fail() -> None:
    """Calls that fail, are cancelled, or are never attempted, end their spans."""
    recorded = Recorded()

    async def hang(request: Any) -> Any:
        await anyio.sleep(60)

    async with MultiProviderRouter(
        [Provider("a", fail), Provider("b", hang)],
        routes=[Route("a", ["a"]), Route("b", ["b"])],
        telemetry=recorded.telemetry,
        registry=CollectorRegistry(),
    ) as router:
        with pytest.raises(ConnectionResetError) if False else pytest.raises(Exception):
            await router.call("x", route="a")
        with anyio.move_on_after(1):
            await router.call("x", route="b")
        router.hold("a", "open")
        with pytest.raises(NoProviderAvailable):
            await router.call("x", route="a")
    calls = [span for span in recorded.spans() if span.kind is SpanKind.INTERNAL]
    results = [dict(span.attributes or {})["multirouter.result"] for span in calls]
    assert results == ["failure", "cancelled", "rejected"]
    codes = [span.status.status_code for span in calls]
    assert codes == [StatusCode.ERROR, StatusCode.UNSET, StatusCode.ERROR]
    attempts = [span for span in recorded.spans() if span.kind is SpanKind.CLIENT]
    assert all(span.end_time for span in attempts)


async def test_spans_of_the_provider_are_below_its_attempt() -> None:
    """What a provider's own code traces is below its attempt, also beside a hedge."""
    recorded = Recorded()
    tracer = recorded.tracers.get_tracer("provider")

    def provider(name: str, seconds: float) -> Provider[Any, Any]:
        async def call(request: Any) -> Any:
            with tracer.start_as_current_span(f"inside {name}"):
                await anyio.sleep(seconds)
            return name

        return Provider(name, call)

    async with MultiProviderRouter(
        [provider("slow", 10), provider("quick", 0.1)],
        routes=[Route("main", ["slow", "quick"])],
        hedge=HedgePolicy(after=1.0),
        telemetry=recorded.telemetry,
        registry=CollectorRegistry(),
    ) as router:
        assert await router.call("x", route="main") == "quick"
        assert not trace.get_current_span().get_span_context().is_valid
    spans = {span.name: span for span in recorded.spans()}
    for name in ("slow", "quick"):
        inside = spans[f"inside {name}"]
        assert inside.parent is not None
        assert inside.parent.span_id == spans[f"chat {name}"].context.span_id
    roles = [
        dict(spans[f"chat {n}"].attributes or {})["multirouter.role"] for n in ("slow", "quick")
    ]
    assert roles == ["call", "hedge"]


async def test_a_stream() -> None:
    """A stream's attempt lasts until its end, and the consumer's context has no span of it."""
    recorded = Recorded()
    seen: list[Any] = []

    async def stream(request: Any) -> AsyncIterator[str]:
        seen.append(trace.get_current_span())
        for text in ("one ", "two"):
            await anyio.sleep(1)
            yield text
        seen.append(trace.get_current_span())

    async with MultiProviderRouter(
        [Provider("a", stream=stream)], telemetry=recorded.telemetry, registry=CollectorRegistry()
    ) as router:
        async for _ in router.stream("x"):
            assert not trace.get_current_span().get_span_context().is_valid
    call, attempt = recorded.spans()
    assert {span.get_span_context().span_id for span in seen} == {attempt.context.span_id}
    attributes = dict(attempt.attributes or {})
    assert attributes["gen_ai.request.stream"] is True
    assert attributes["gen_ai.response.time_to_first_chunk"] == pytest.approx(1)
    assert call.parent is None
    (point,) = recorded.metrics()["gen_ai.client.operation.time_to_first_chunk"]
    assert point.sum == pytest.approx(1)


async def test_metrics() -> None:
    """Durations and tokens are measured by operation, provider, model and error."""
    recorded = Recorded()
    async with MultiProviderRouter(
        [Provider("broken", fail), Provider("good", answer, model="gpt-5", price=Price(1, 2))],
        routes=[Route("main", ["broken", "good"])],
        telemetry=recorded.telemetry,
        registry=CollectorRegistry(),
    ) as router:
        await router.call("x", route="main")
    metrics = recorded.metrics()
    durations = {
        dict(p.attributes)["gen_ai.provider.name"]: dict(p.attributes)
        for p in metrics["gen_ai.client.operation.duration"]
    }
    assert durations["broken"]["error.type"] == "transport"
    assert durations["good"]["gen_ai.response.model"] == "gpt-5"
    tokens = {
        dict(p.attributes)["gen_ai.token.type"]: p.sum for p in metrics["gen_ai.client.token.usage"]
    }
    assert tokens == {"input": 11, "output": 7}


@pytest.mark.parametrize("status", [0, 404])
async def test_invented_models_have_a_bounded_number_of_metrics(status: int) -> None:
    """Whether the provider answers or does not know them; spans have the names as they are."""
    recorded = Recorded()

    async def call(request: Any) -> Any:
        if status:
            raise FailedRequest
        return {"model": request["model"]}

    class FailedRequest(Exception):
        status_code = status

    async with MultiProviderRouter(
        [Provider("a", call)], telemetry=recorded.telemetry, registry=CollectorRegistry()
    ) as router:
        for number in range(MAX_MODELS + 20):
            await router.call_outcome({"model": f"invented-{number}"})
    points = recorded.metrics()["gen_ai.client.operation.duration"]
    models = {point.attributes["gen_ai.request.model"] for point in points}
    assert len(models) == (1 if status else MAX_MODELS + 1)
    assert OTHER in models
    named = [span for span in recorded.spans() if span.kind is SpanKind.CLIENT]
    assert len({(span.attributes or {})["gen_ai.request.model"] for span in named}) == len(named)


def test_names_are_those_of_the_registry() -> None:
    """Every name of the conventions that is used is in their registry, and so are the values."""
    registered = {
        value
        for module in (gen_ai_attributes, http_attributes, error_attributes, gen_ai_metrics)
        for value in vars(module).values()
        if isinstance(value, str)
    }
    used = {
        value
        for name, value in vars(conventions).items()
        if name.isupper() and isinstance(value, str)
    }
    used |= set(conventions._NUMBERS.values()) | set(conventions._INTEGERS.values())
    assert used <= registered
    assert len(used) > 20
    vendors = {vendor.value for vendor in gen_ai_attributes.GenAiProviderNameValues}
    assert set(conventions._PROVIDERS.values()) <= vendors
    operations = {operation.value for operation in gen_ai_attributes.GenAiOperationNameValues}
    assert set(conventions._OPERATIONS.values()) <= operations
    assert conventions.provider_name("mine", ("unheard-of",)) == "unheard-of"
    assert conventions.provider_name("mine", ()) == "mine"


async def test_exemplars_of_the_current_span() -> None:
    """The router's Prometheus metrics name the trace of each observation."""
    recorded, registry = Recorded(), CollectorRegistry()
    async with MultiProviderRouter(
        [Provider("a", answer)], telemetry=recorded.telemetry, registry=registry
    ) as router:
        await router.call("x")
    trace_id = trace.format_trace_id(recorded.spans()[0].context.trace_id)
    assert f'trace_id="{trace_id}"'.encode() in generate_latest(registry)


@pytest.mark.backends("asyncio")
async def test_from_the_client_to_the_provider() -> None:
    """One trace leads from the client's header through the gateway to the provider's header."""
    recorded = Recorded()
    async with running_gateway(telemetry=recorded.telemetry) as harness:
        harness.router._engine.attach_tracer(recorded.telemetry)
        answer = await harness.send(headers={"traceparent": TRACEPARENT})
        streamed = await harness.send(headers={"traceparent": TRACEPARENT}, stream=True)
        assert (answer.status, streamed.done) == (200, 1)
        sent = [request.headers["traceparent"] for request in harness.fakes[0].requests]
    server, call, attempt, *streaming = recorded.spans()
    assert (server.name, server.kind) == ("POST /v1/chat/completions", SpanKind.SERVER)
    assert server.parent is not None
    assert f"{server.parent.span_id:016x}" == TRACEPARENT.split("-")[2]
    assert call.parent is not None
    assert call.parent.span_id == server.context.span_id
    assert sent[0].split("-")[1] == TRACEPARENT.split("-")[1]
    assert sent[0].split("-")[2] == f"{attempt.context.span_id:016x}"
    assert sent[1].split("-")[2] == f"{streaming[-1].context.span_id:016x}"
    assert dict(server.attributes or {})["http.response.status_code"] == 200
    assert PROMPT not in str([dict(span.attributes or {}) for span in recorded.spans()])


@pytest.mark.backends("asyncio")
async def test_headers_are_sent_only_when_wanted() -> None:
    """Without telemetry, or with `propagate=False`, providers get no header of a trace."""
    for telemetry in (None, Recorded(propagate=False).telemetry):
        async with FakeProvider() as fake:
            provider = OpenAI("a", model="m", api_key="k", base_url=f"{fake.url}/v1")
            async with MultiProviderRouter(
                [provider], telemetry=telemetry, registry=CollectorRegistry()
            ) as router:
                await router.call(chat("Hello?"))
            assert "traceparent" not in fake.requests[0].headers


async def test_without_telemetry_contexts_are_untouched() -> None:
    """A router without telemetry enters no context, and keeps nothing on its calls."""
    seen: list[Any] = []

    async def call(request: Any) -> str:
        seen.append(otel_context.get_current())
        return "x"

    async with MultiProviderRouter([Provider("a", call)], registry=CollectorRegistry()) as router:
        assert router._engine.context.tracer is None
        await router.call("x")
    assert seen == [{}]


def test_the_conventions_names_are_documented() -> None:
    """The page about traces names every attribute and metric of the conventions that is used."""
    page = (Path(__file__).parents[2] / "docs/reference/traces.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_.]+)`", page))
    used = {
        value
        for name, value in vars(conventions).items()
        if name.isupper() and isinstance(value, str)
    }
    assert used | set(conventions._NUMBERS.values()) | set(conventions._INTEGERS.values()) <= named


@pytest.fixture(autouse=True)
def no_span_is_left() -> Iterator[None]:
    """No test leaves a span as the current one of its process."""
    yield
    assert not trace.get_current_span().get_span_context().is_valid
