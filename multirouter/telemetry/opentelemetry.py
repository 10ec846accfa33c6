"""Spans and metrics of one router: a span per call, and a span per attempt within it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import metrics, propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from multirouter.core import validation
from multirouter.core.planning.steps import AttemptStep
from multirouter.core.routes.chain import Chain
from multirouter.core.selection.candidate import Candidate
from multirouter.listeners.metrics.bounded_labels import ModelLabels
from multirouter.model import AttemptRecord, CallOutcome, FailureKind, Verdict
from multirouter.providers.transport.http import TRACE_HEADERS
from multirouter.telemetry import conventions as names
from multirouter.telemetry.attributes import attempt_attributes, requested_model
from multirouter.telemetry.content import input_messages, output_messages
from multirouter.telemetry.request_span import RequestSpan

_NAME = "multirouter"
_NANOSECONDS = 1_000_000_000


class _Call:
    """The span of one call, and the context in which its attempts begin."""

    __slots__ = ("context", "span")

    def __init__(self, span: Span) -> None:
        self.span: Span = span
        self.context: Any = trace.set_span_in_context(span)


class _Attempt:
    """The span of one attempt.

    Attributes:
        span: the span.
        context: the context of the provider's code.
        attributes: what its metrics have in common.
        leave: leaves the context; None in a context that is not left.
    """

    __slots__ = ("attributes", "context", "leave", "span")

    def __init__(self, span: Span, context: Any, attributes: dict[str, Any]) -> None:
        self.span: Span = span
        self.context: Any = context
        self.attributes: dict[str, Any] = attributes
        self.leave: Callable[[], None] | None = None


class OpenTelemetry:
    """Traces the calls of routers, and measures them: `MultiProviderRouter(telemetry=...)`.

    A call is a span of kind INTERNAL, in the trace of its caller; each of its attempts is a span
    of kind CLIENT below it, with the attributes and metrics of the semantic conventions for
    generative AI. While an attempt runs, its span is the current one, so that spans of the
    provider's own code are below it; providers of `multirouter.providers` send its `traceparent`.
    Only the API of OpenTelemetry is used; without an SDK nothing is recorded.

    Args:
        content: whether spans have the messages of requests and whole answers, which may be
            private; None does what the variable
            `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` says, and no without it.
        propagate: whether providers are sent the trace's headers.
        tracer_provider: None is the global one.
        meter_provider: None is the global one.

    Raises:
        ConfigurationError: `content` or `propagate` is no bool.
    """

    def __init__(
        self,
        *,
        content: bool | None = None,
        propagate: bool = True,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        validation.instance("OpenTelemetry.content", content, bool)
        validation.instance("OpenTelemetry.propagate", propagate, bool)
        self._content: bool = _content_wanted() if content is None else content
        self._propagate = propagate
        self._tracer_provider = tracer_provider
        self._tracer = trace.get_tracer(_NAME, tracer_provider=tracer_provider)
        meter = metrics.get_meter(_NAME, meter_provider=meter_provider)
        self._durations = meter.create_histogram(
            names.DURATION_METRIC,
            unit="s",
            description="GenAI operation duration.",
            explicit_bucket_boundaries_advisory=names.DURATION_BUCKETS,
        )
        self._first_chunks = meter.create_histogram(
            names.FIRST_CHUNK_METRIC,
            unit="s",
            description="Time to receive the first chunk.",
            explicit_bucket_boundaries_advisory=names.DURATION_BUCKETS,
        )
        self._tokens = meter.create_histogram(
            names.TOKEN_METRIC,
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=names.TOKEN_BUCKETS,
        )
        self._models = ModelLabels(lambda _provider, _models: None)
        self._exemplar: dict[str, str] | None = None

    def __repr__(self) -> str:
        return f"OpenTelemetry(content={self._content}, propagate={self._propagate})"

    @property
    def records(self) -> bool:
        """Whether spans are recorded: an SDK is set up, here or for the whole process."""
        given = self._tracer_provider or trace.get_tracer_provider()
        return not isinstance(given, trace.ProxyTracerProvider)

    def exemplar(self) -> dict[str, str] | None:
        """The ids of the span that ended last, for the router's Prometheus metrics."""
        return self._exemplar

    @contextmanager
    def request(self, method: str, headers: Mapping[str, str]) -> Generator[RequestSpan]:
        """A span of kind SERVER for a request to the gateway, in the trace that its headers name.

        Args:
            method: its HTTP method.
            headers: its headers.
        """
        parent = propagate.extract(headers)
        with self._tracer.start_as_current_span(
            method, context=parent, kind=SpanKind.SERVER, record_exception=False
        ) as span:
            yield RequestSpan(span, method)

    # -- see `core.planning.steps.CallTracer` ------------------------------------------------

    def attempt_started(self, plan: Any, step: AttemptStep, request: Any) -> None:
        """Starts the span of an attempt, and that of its call before the first."""
        now = time.time_ns()
        call: _Call | None = getattr(plan, "observation", None)
        if call is None:
            waited = int(max(0.0, step.started - plan.started) * _NANOSECONDS)
            call = plan.observation = self._start_call(plan.route.name, now - waited)
        chain = plan.route.chain if plan.route.is_chain else None
        self._start_attempt(call, chain, step, request, now)

    def copy_started(self, call: Any, step: AttemptStep, request: Any) -> None:
        """Starts the span of a shadow copy, below that of its call, and makes it the current one.

        The call has ended by then: the copy is in its trace, after its span.
        """
        self._start_attempt(call, None, step, request, time.time_ns())
        self.enter(step)

    def check_started(self, member: Candidate) -> _Attempt:
        """Starts the span of a health check, and makes it the current one.

        It is the first of a trace: no call waits for it, and a timer starts it.
        """
        span = self._tracer.start_span(
            f"health check {member.name}",
            context=otel_context.Context(),
            attributes={"multirouter.provider": member.name, "multirouter.role": "trial"},
        )
        check = _Attempt(span, trace.set_span_in_context(span, otel_context.Context()), {})
        self._enter(check)
        return check

    def check_ended(self, check: _Attempt, verdict: Verdict) -> None:
        """Ends the span of a health check."""
        if check.leave is not None:
            check.leave()
        span = check.span
        span.set_attribute("multirouter.verdict", verdict.kind.value)
        if verdict.status is not None:
            span.set_attribute(names.HTTP_STATUS, verdict.status)
        if verdict.kind not in {FailureKind.SUCCESS, FailureKind.CANCELLED}:
            span.set_attribute(names.ERROR_TYPE, verdict.kind.value)
            span.set_status(Status(StatusCode.ERROR, verdict.reason or verdict.kind.value))
        self._note_exemplar(span)
        span.end()

    def _start_attempt(
        self, call: _Call, chain: Chain | None, step: AttemptStep, request: Any, now: int
    ) -> None:
        member = step.member
        operation = names.operation_name("" if chain is None else chain.operation)
        model = requested_model(request, member)
        attributes: dict[str, Any] = {
            names.OPERATION: operation,
            names.PROVIDER: names.provider_name(member.name, member.provider.domains),
        }
        if model:
            attributes[names.REQUEST_MODEL] = model
        span = self._tracer.start_span(
            f"{operation} {model or member.name}",
            context=call.context,
            kind=SpanKind.CLIENT,
            attributes=attributes,
            start_time=now,
        )
        if span.is_recording():
            span.set_attributes(
                {
                    "multirouter.provider": member.name,
                    "multirouter.role": step.role,
                    "multirouter.why": step.why,
                    **dict(names.request_attributes(request)),
                }
            )
            messages = input_messages(request) if self._content else None
            if messages is not None:
                span.set_attribute(names.INPUT_MESSAGES, messages)
        context = trace.set_span_in_context(span, call.context)
        step.observation = _Attempt(span, context, attributes)

    def enter(self, step: AttemptStep) -> None:
        """Makes the span of an attempt the current one, until it ends."""
        self._enter(step.observation)

    def _enter(self, attempt: _Attempt) -> None:
        token = otel_context.attach(attempt.context)
        headers = TRACE_HEADERS.set(self._headers())

        def leave() -> None:
            TRACE_HEADERS.reset(headers)
            otel_context.detach(token)

        attempt.leave = leave

    def enter_copy(self, step: AttemptStep) -> None:
        """The same in a context that is not left."""
        otel_context.attach(step.observation.context)
        TRACE_HEADERS.set(self._headers())

    def attempt_ended(self, step: AttemptStep, record: AttemptRecord, value: object) -> None:
        """Ends the span of an attempt, and measures it."""
        attempt: _Attempt | None = getattr(step, "observation", None)
        if attempt is None:
            return
        if attempt.leave is not None:
            attempt.leave()
        span, verdict = attempt.span, record.verdict
        if span.is_recording():
            span.set_attributes(attempt_attributes(record))
            span.set_attributes(dict(names.response_attributes(value)))
            messages = output_messages(value) if self._content else None
            if messages is not None:
                span.set_attribute(names.OUTPUT_MESSAGES, messages)
            if record.outcome == "failure":
                span.set_status(Status(StatusCode.ERROR, verdict.reason or verdict.kind.value))
        if record.role != "shadow":
            self._measure(attempt, record)
        self._note_exemplar(span)
        span.end()

    def call_ended(self, plan: Any, outcome: CallOutcome[Any]) -> None:
        """Ends the span of a call; one that was never attempted gets it now."""
        call: _Call | None = getattr(plan, "observation", None)
        now = time.time_ns()
        if call is None:
            call = self._start_call(outcome.route, now - int(outcome.elapsed * _NANOSECONDS))
        span = call.span
        if span.is_recording():
            attributes: dict[str, Any] = {
                "multirouter.result": outcome.result,
                "multirouter.attempts": len(outcome.attempts),
                "multirouter.failovers": outcome.failovers,
            }
            if outcome.provider is not None:
                attributes["multirouter.provider"] = outcome.provider
            if outcome.cost:
                attributes["multirouter.cost_usd"] = outcome.cost
            span.set_attributes(attributes)
            if outcome.result in {"failure", "rejected"}:
                error = type(outcome.error).__qualname__
                span.set_attribute(names.ERROR_TYPE, error)
                span.set_status(Status(StatusCode.ERROR, error))
        self._note_exemplar(span)
        span.end(now)

    # -- inside -----------------------------------------------------------------------------

    def _start_call(self, route: str, at: int) -> _Call:
        span = self._tracer.start_span(
            f"route {route}", start_time=at, attributes={"multirouter.route": route}
        )
        return _Call(span)

    def _headers(self) -> dict[str, str] | None:
        if not self._propagate:
            return None
        headers: dict[str, str] = {}
        propagate.inject(headers)
        return headers

    def _measure(self, attempt: _Attempt, record: AttemptRecord) -> None:
        attributes, context = {**attempt.attributes}, attempt.context
        requested = attributes.get(names.REQUEST_MODEL)
        if requested is not None:
            attributes[names.REQUEST_MODEL] = self._models.of_attempt(record, requested)
        if record.model is not None:
            attributes[names.RESPONSE_MODEL] = self._models.of_attempt(record, record.model)
        if record.usage is not None:
            for kind, tokens in (("input", record.usage.input), ("output", record.usage.output)):
                typed = {**attributes, names.TOKEN_TYPE: kind}
                self._tokens.record(tokens, typed, context=context)
        if record.first_content is not None:
            self._first_chunks.record(record.first_content, attributes, context=context)
        if record.outcome != "success":
            attributes = {**attributes, names.ERROR_TYPE: record.verdict.kind.value}
        self._durations.record(record.elapsed, attributes, context=context)

    def _note_exemplar(self, span: Span) -> None:
        ids = span.get_span_context()
        self._exemplar = (
            {
                "trace_id": trace.format_trace_id(ids.trace_id),
                "span_id": trace.format_span_id(ids.span_id),
            }
            if ids.is_valid and ids.trace_flags.sampled
            else None
        )


def _content_wanted() -> bool:
    wanted = os.environ.get("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "")
    return wanted.strip().lower() in {"1", "true", "yes", "on", "span_only", "span_and_event"}
