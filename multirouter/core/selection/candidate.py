"""Candidate: a provider as a member of one route."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any

from multirouter.core.circuit.gate import Gate
from multirouter.core.cost.metering import ProviderPricing
from multirouter.core.health.degraded import HealthWindow
from multirouter.core.health.latency_average import LatencyAverage
from multirouter.core.health.latency_tracker import LatencyTracker
from multirouter.core.limits.header_reports import Headers, ReportingCall, ReportingStream
from multirouter.core.request_transform import Dropping, Lacks, with_transforms
from multirouter.core.selection.attempt_rules import AttemptRules
from multirouter.core.settings.failure_rules import CircuitEffect
from multirouter.core.settings.operation import Operation
from multirouter.core.settings.provider import Provider
from multirouter.model import FailureKind

_NO_RULES = AttemptRules()
"""Those of a candidate that is on no route."""


class Candidate:
    """A provider as a member of one route: its functions, gate, weight and timeouts.

    Attributes:
        name: the provider's name.
        key: identifies it among the candidates of its route: the provider's name; on a chain that
            has the provider with several models, the name and the model.
        provider: the provider's settings in this configuration.
        call: its coroutine function with its transforms; None for one that can only stream.
        stream: its async generator function, likewise; None for one that can only call.
        gate: its gate, shared with the other routes and with later configurations.
        weight: its weight on this route, at least 0.
        latency: its latency tracker on this route.
        health: its successes and failures on this route.
        latency_average: its recent latency on this route; None unless a strategy tracks it.
        timeout: timeout of one attempt, seconds; of a stream, up to its first content.
        idle: timeout between two chunks of a stream, seconds.
        lacks: what of a request it cannot express; None when it is not known before an attempt.
        dropping: leaves out what it cannot express before each attempt, and has its transforms;
            None on routes that do not drop.
        on_headers: reads the headers of an answer of a model; None for a provider whose limits are
            not learned.
        pricing: its models, prices and usage reader.
        rules: what applies to its attempts on this route.
    """

    __slots__ = (
        "_new_latency_average",
        "call",
        "dropping",
        "gate",
        "health",
        "idle",
        "key",
        "lacks",
        "latency",
        "latency_average",
        "name",
        "on_headers",
        "pricing",
        "provider",
        "rules",
        "stream",
        "timeout",
        "weight",
    )

    def __init__(
        self,
        provider: Provider[Any, Any, Any],
        gate: Gate,
        latency: LatencyTracker,
        health: HealthWindow,
        *,
        pricing: ProviderPricing,
        weight: float,
        timeout: float,
        idle: float = math.inf,
        latency_average: Callable[[str], LatencyAverage] | None = None,
        transforms: tuple[Callable[[Any], Any], ...] = (),
        operation: Operation | None = None,
        drops: bool = False,
        on_headers: Callable[[str, Headers], None] | None = None,
    ) -> None:
        self.name: str = provider.name
        self.key: str = provider.name
        self.provider: Provider[Any, Any, Any] = provider
        functions = provider if operation is None else operation
        lacks: Lacks | None = functions.lacks
        self.lacks: Lacks | None = None if transforms else lacks
        self.dropping: Dropping | None = None
        if drops and lacks is not None:
            self.dropping, transforms = Dropping(lacks, transforms), ()
        self.call: Any = with_transforms(functions.call, transforms)
        self.stream: Any = with_transforms(functions.stream, transforms)
        self.on_headers: Callable[[str, Headers], None] | None = on_headers
        if on_headers is not None:
            reader = partial(_reader, on_headers, pricing)
            self.call = self.call and ReportingCall(self.call, reader)
            self.stream = self.stream and ReportingStream(self.stream, reader)
        self.gate: Gate = gate
        self.latency: LatencyTracker = latency
        self.health: HealthWindow = health
        self.latency_average: LatencyAverage | None = None
        self._new_latency_average = latency_average
        self.weight: float = weight
        self.timeout: float = timeout
        self.idle: float = idle
        self.pricing: ProviderPricing = pricing
        self.rules: AttemptRules = _NO_RULES

    def for_target(
        self,
        key: str,
        pricing: ProviderPricing,
        transforms: tuple[Callable[[Any], Any], ...],
        timeout: float,
    ) -> Candidate:
        """The same provider as a candidate of a chain: with another key, model and timeout.

        It shares the gate, the latency and the health.

        Args:
            key: see `key`.
            pricing: its pricing, for the target's model.
            transforms: applied to the request before its own transforms.
            timeout: an upper limit of its timeout, seconds.
        """
        twin = copy(self)
        twin.key, twin.pricing = key, pricing
        twin.call = with_transforms(self.call, transforms)
        twin.stream = with_transforms(self.stream, transforms)
        twin.timeout = min(self.timeout, timeout)
        twin.latency_average = None
        return twin

    def limit_model(self, request: Any) -> str:
        """The model whose learned limits an attempt counts for; "" where none are learned."""
        return "" if self.on_headers is None else self.pricing.model_of(request) or ""

    @property
    def in_flight(self) -> int:
        """Attempts at the provider that are under way, on all routes."""
        return self.gate.in_flight

    @property
    def degraded(self) -> bool:
        """Whether it is attempted after the others; a provider with a hold never is."""
        return self.health.degraded and self.gate.hold is None

    def degraded_at(self, now: float) -> bool:
        """`degraded` at `now` (loop time, seconds), without changing anything."""
        circuit = self.gate.circuit
        generation = circuit.generation if circuit.is_closed else None
        return self.gate.hold is None and self.health.degraded_at(now, generation)

    def track_latency(self) -> None:
        """Starts to keep `latency_average` up to date."""
        new = self._new_latency_average
        self.latency_average = LatencyAverage() if new is None else new(self.name)

    def refresh(self, now: float) -> None:
        """Brings its health window up to `now` (loop time, seconds)."""
        circuit = self.gate.circuit
        if circuit.is_closed:
            self.health.refresh(now, circuit.generation)

    def record_failure(
        self,
        kind: FailureKind,
        effect: CircuitEffect,
        elapsed: float,
        now: float,
        *,
        stalled: bool = False,
    ) -> None:
        """Records an attempt without an answer in health and latency.

        Args:
            kind: the verdict's kind.
            effect: what it does to the circuit; health counts the same, and invalid answers.
            elapsed: the attempt's duration, seconds.
            now: loop time, seconds.
            stalled: whether the event loop stalled meanwhile: its duration then says nothing.
        """
        if effect in {CircuitEffect.FAILURE, CircuitEffect.TRIP} or kind is FailureKind.INVALID:
            self.health.record_failure(now)
        elif effect is CircuitEffect.SUCCESS:
            self.health.record_success(now)
        if self.latency_average is not None and kind is FailureKind.TIMEOUT and not stalled:
            # A lower bound of its latency, the best that is known.
            self.latency_average.record(elapsed, now, self.gate.in_flight)

    def __repr__(self) -> str:
        return f"<Candidate {self.name} weight={self.weight:g} {self.gate!r}>"


def _reader(
    on_headers: Callable[[str, Headers], None], pricing: ProviderPricing, request: Any
) -> Callable[[Headers], None]:
    """Reads the headers of the answer to a request."""
    return partial(on_headers, pricing.model_of(request) or "")
