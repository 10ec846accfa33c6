"""Candidate: one provider at its place in a route."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from multirouter.core.circuit.gate import Gate
from multirouter.core.health.adaptive_timeout import LatencyTracker
from multirouter.core.health.degraded import HealthWindow
from multirouter.core.health.latency_average import LatencyAverage
from multirouter.core.request_transform import transformed
from multirouter.core.settings.failure_rules import CircuitEffect
from multirouter.core.settings.provider import Provider
from multirouter.model import FailureKind


class Candidate:
    """A provider at its place in a route: whom to call, at which door, with which weight.

    Attributes:
        name: the provider's name.
        provider: the provider as this configuration knows it.
        call: its coroutine function, behind its transforms; None for one that can only stream.
        stream: its async generator function, likewise; None for one that can only call.
        gate: its door, shared with the other routes and with later configurations.
        weight: its weight on this route, at least 0.
        pace: its latencies on this route.
        health: its successes and failures on this route.
        speed: its newest latencies on this route; None when no strategy asks.
        timeout: what one attempt may take at the most, seconds; of a stream, up to its first
            content.
        idle: what a stream may rest between two chunks, seconds.
    """

    __slots__ = (
        "_speed",
        "call",
        "gate",
        "health",
        "idle",
        "latency",
        "name",
        "provider",
        "speed",
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
        weight: float,
        timeout: float,
        idle: float = math.inf,
        speed: Callable[[], LatencyAverage] = LatencyAverage,
        transforms: tuple[Callable[[Any], Any], ...] = (),
    ) -> None:
        self.name: str = provider.name
        self.provider: Provider[Any, Any, Any] = provider
        self.call: Any = transformed(provider.name, provider.call, transforms)
        self.stream: Any = transformed(provider.name, provider.stream, transforms)
        self.gate: Gate = gate
        self.latency: LatencyTracker = latency
        self.health: HealthWindow = health
        self.speed: LatencyAverage | None = None
        self._speed = speed
        self.weight: float = weight
        self.timeout: float = timeout
        self.idle: float = idle

    @property
    def in_flight(self) -> int:
        """Attempts at the provider that are under way, on whatever route."""
        return self.gate.in_flight

    @property
    def degraded(self) -> bool:
        """Whether it is asked after the others; what a hand holds is not judged."""
        return self.health.degraded and self.gate.hold is None

    def watch(self) -> None:
        """Lets `speed` follow its answers from here on."""
        self.speed = self._speed()

    def look(self, now: float) -> None:
        """Brings its health up to date."""
        circuit = self.gate.circuit
        if circuit.is_closed:
            self.health.look(now, circuit.generation)

    def learn(self, kind: FailureKind, effect: CircuitEffect, elapsed: float, now: float) -> None:
        """Learns from an attempt that brought no answer what it says about the provider."""
        if effect in {CircuitEffect.FAILURE, CircuitEffect.TRIP}:
            self.health.failed(now)
        elif effect is CircuitEffect.SUCCESS:
            self.health.answered(now)
        if self.speed is not None and kind is FailureKind.TIMEOUT:
            self.speed.learn(elapsed, now)  # a bound, but nobody knows better

    def __repr__(self) -> str:
        return f"<Member {self.name} weight={self.weight:g} {self.gate!r}>"
