"""Harness of the scenarios: a real router with scripted providers, metrics, logs and events."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import anyio
from anyio.abc import TaskGroup
from prometheus_client import CollectorRegistry

from multirouter import CallOutcome, CircuitPolicy, MultiProviderRouter, Provider, RetryPolicy
from multirouter.core.circuit.breaker import CircuitBreaker
from multirouter.core.circuit.gate import Gate
from multirouter.model import AttemptRecord
from multirouter.testing import Fault, Recorder, ScriptedProvider

TICK = 0.01
"""Seconds in which every ready task runs, and no timer of a test fires."""

TRIPS_AT_ONCE = CircuitPolicy(failures=1, open_duration=10.0, growth=1.0)
"""Opens at the first failure, for exactly ten seconds."""

TRIPS_AFTER_3 = CircuitPolicy(failures=3, open_duration=10.0, growth=1.0)
"""Opens at the third failure in a row, for exactly ten seconds."""

NO_RETRIES = RetryPolicy(attempts=1)
"""No retries; failover to another healthy provider still happens, once each."""

REQUEST_FAULT = Fault("error", status=400)
"""A failure caused by the request: neutral for circuits, and the end of the call."""

AnyProvider = Provider[Any, Any, Any]


def scripted(name: str, *script: Any, weight: float = 1.0, **settings: Any) -> AnyProvider:
    """A provider that follows a script; settings are ScriptedProvider's and Provider's."""
    own = {"latency", "error_rate", "error", "outages", "answer", "seed"}
    scripted = ScriptedProvider(
        name, script=script, **{key: settings.pop(key) for key in own & settings.keys()}
    )
    return Provider(name, scripted, weight=weight, **settings)


class Logger:
    """Logger that keeps its entries as (level, event, fields)."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str, dict[str, Any]]] = []

    def __getattr__(self, level: str) -> Any:
        if level not in {"debug", "info", "warning", "error"}:
            raise AttributeError(level)
        return lambda event, **fields: self.entries.append((level, event, fields))

    def of(self, event: str) -> list[dict[str, Any]]:
        """The fields of each event of this name."""
        return [fields for _, logged, fields in self.entries if logged == event]


class Caller:
    """A call that runs in a task of its own.

    Attributes:
        outcome: the call's outcome; None before its end, or when it was cancelled.
        error: the exception that `call_outcome` itself raised, or None.
    """

    def __init__(self) -> None:
        self.outcome: CallOutcome[Any] | None = None
        self.error: BaseException | None = None
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()

    async def run(
        self, router: MultiProviderRouter[Any, Any, Any], options: dict[str, Any]
    ) -> None:
        try:
            with self._scope:
                self.outcome = await router.call_outcome(options.pop("request", "q"), **options)
        except Exception as error:
            self.error = error
        finally:
            self._ended.set()

    @property
    def ended(self) -> bool:
        """Whether the call is over."""
        return self._ended.is_set()

    async def cancel(self) -> None:
        """Cancels the call and waits for its end."""
        self._scope.cancel()
        await self._ended.wait()

    async def end(self) -> CallOutcome[Any]:
        """Waits for the outcome."""
        await self._ended.wait()
        if self.error is not None:
            raise self.error
        assert self.outcome is not None
        return self.outcome


class Harness:
    """A router with its recorder, metrics and logs.

    Attributes:
        router: the router.
        recorder: all its events.
        registry: its metrics.
        logger: its logs.
    """

    def __init__(self, providers: tuple[AnyProvider | str, ...], settings: dict[str, Any]) -> None:
        built = [scripted(p) if isinstance(p, str) else p for p in providers]
        self.recorder = Recorder()
        self.registry = settings.setdefault("registry", CollectorRegistry())
        self.logger: Logger = settings.setdefault("logger", Logger())
        settings.setdefault("retry", NO_RETRIES)
        settings.setdefault("rng", Random(1))
        listeners = [self.recorder, *settings.pop("listeners", ())]
        self.router: MultiProviderRouter[Any, Any, Any] = MultiProviderRouter(
            built, listeners=listeners, **settings
        )
        self.group: TaskGroup

    def __getitem__(self, name: str) -> ScriptedProvider:
        """The scripted provider of this name."""
        provider = next(p for p in self.router.providers if p.name == name)
        assert isinstance(provider.call, ScriptedProvider)
        return provider.call

    # -- calls -----------------------------------------------------------------------------------

    async def call(self, *route: str, **options: Any) -> Any:
        """Makes one call, on these providers only if any are named."""
        return await self.router.call("q", route=route or None, **options)

    async def outcome(self, *route: str, **options: Any) -> CallOutcome[Any]:
        """As `call`, but returns the outcome."""
        return await self.router.call_outcome("q", route=route or None, **options)

    def start_soon(self, *route: str, **options: Any) -> Caller:
        """Starts a call; it runs from the next await on."""
        caller = Caller()
        options = {"route": route or None} | options
        self.group.start_soon(caller.run, self.router, options)
        return caller

    async def start(self, *route: str, **options: Any) -> Caller:
        """Starts a call and lets it run as far as it can."""
        caller = self.start_soon(*route, **options)
        await anyio.sleep(TICK)
        return caller

    async def fail(self, name: str, times: int = 1, fault: Any = "error") -> CallOutcome[Any]:
        """Makes calls to this provider alone, which fails them."""
        assert times
        for _ in range(times):
            self[name].then(fault)
            outcome = await self.outcome(name)
            assert not outcome.ok
        return outcome

    async def half_open(self, name: str) -> None:
        """Opens a `TRIPS_AT_ONCE` circuit and waits until it is half-open."""
        await self.fail(name)
        assert self.state(name) == "open"
        await anyio.sleep(10)
        assert self.state(name) == "half_open"

    # -- results ---------------------------------------------------------------------------------

    def state(self, name: str) -> str:
        return self.router.circuit_state(name)

    def provider_snapshot(self, name: str) -> dict[str, Any]:
        """The provider's part of the snapshot."""
        seen: dict[str, Any] = self.router.snapshot()["providers"][name]
        return seen

    def gate(self, name: str) -> Gate:
        return self.router._engine.states.gates[name]

    def circuit(self, name: str) -> CircuitBreaker:
        return self.gate(name).circuit

    def openings(self, name: str) -> int:
        """Number of times the circuit opened."""
        changes = self.recorder.of("circuit_changed")
        return sum(c.provider == name and c.new == "open" for c in changes)

    def records(self, name: str) -> list[AttemptRecord]:
        return [record for record in self.recorder.attempts if record.provider == name]

    def total(self, sample: str, **labels: str) -> float:
        """The sum of the samples of this metric with these labels."""
        families = self.registry.restricted_registry([f"multirouter_{sample}"]).collect()
        return sum(
            found.value
            for family in families
            for found in family.samples
            if labels.items() <= found.labels.items()
        )

    def check_metrics(self) -> None:
        """Cases 81 and 85, after every scenario: metrics match the events, nothing is in flight."""
        recorder = self.recorder
        assert self.total("calls_total") == len(recorder.calls)
        assert self.total("call_duration_seconds_count") == len(recorder.calls)
        shadows = sum(record.role == "shadow" for record in recorder.attempts)
        attempts = len(recorder.attempts) - shadows
        assert self.total("attempts_total") == attempts
        assert self.total("attempt_duration_seconds_count") == attempts
        assert self.total("shadow_attempts_total") == shadows
        assert self.total("shadow_attempt_duration_seconds_count") == shadows
        recorded = {id(record) for record in recorder.attempts}
        assert all(id(record) in recorded for call in recorder.calls for record in call.attempts)
        for name, gate in self.router._engine.states.gates.items():
            assert gate.in_flight == 0, f"{name} still has attempts in flight"
            assert not gate.circuit.trials.permits, f"{name} still has trials in flight"


@asynccontextmanager
async def harness(*providers: AnyProvider | str, **settings: Any) -> AsyncGenerator[Harness]:
    """Runs a router; at its end no timer is left and the metrics match the events.

    Args:
        providers: scripted ones, or names of such.
        settings: the router's; left out, there are no retries, and the random seed is fixed.
    """
    env = Harness(providers, settings)
    async with env.router, anyio.create_task_group() as env.group:
        yield env
    assert len(env.router._engine.half_open_timers) == 0
    env.check_metrics()
