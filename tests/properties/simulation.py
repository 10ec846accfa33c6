"""Simulation of a world with a real router in virtual time, with checks while it runs."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Any

import anyio
from anyio.abc import TaskGroup
from prometheus_client import CollectorRegistry

from multirouter import (
    CallOutcome,
    CircuitPolicy,
    ConfigurationError,
    LimitPolicy,
    Listener,
    MultiProviderRouter,
    Provider,
    Route,
    UsageError,
)
from multirouter.core.circuit.gate import Gate
from multirouter.model import AttemptRecord, Role
from multirouter.testing import Recorder, ScriptedProvider
from tests.properties.worlds import (
    ATTEMPT_TIMEOUT,
    GUEST,
    INVALID_ANSWER,
    Action,
    Call,
    Close,
    Hold,
    ProviderSpec,
    ToggleGuest,
    Update,
    World,
)


class SimulatedProvider:
    """Function of one provider, which may swallow cancellations.

    Attributes:
        started: number of attempts.
        health_checks: number of health checks.
        in_flight: number of attempts in flight.
    """

    def __init__(self, spec: ProviderSpec) -> None:
        self.started = self.health_checks = self.in_flight = 0
        self._swallows = spec.swallowed_cancellations
        self._scripted = ScriptedProvider(
            spec.name,
            script=spec.script,
            error_rate=spec.error_rate,
            latency=spec.latency,
        )

    async def __call__(self, request: Any) -> Any:
        self.started += 1
        self.in_flight += 1
        try:
            return await self._call_swallowing(request)
        finally:
            self.in_flight -= 1

    async def health_check(self) -> None:
        self.health_checks += 1
        await self._scripted("trial")

    async def _call_swallowing(self, request: Any) -> Any:
        for left in range(self._swallows, -1, -1):
            try:
                return await self._scripted(request)
            except anyio.get_cancelled_exc_class():
                if not left:
                    raise
        raise AssertionError("unreachable")


@dataclass(eq=False)
class Caller:
    """A caller: its call, and how and when it ended."""

    call: Call
    started: float = math.nan
    ended: float = math.nan
    outcome: CallOutcome[Any] | None = None
    error: BaseException | None = None
    scope: Any = None
    task: Any = None


class Logger:
    """Logger that keeps its entries as text."""

    def __init__(self) -> None:
        self.entries: list[str] = []

    def __getattr__(self, level: str) -> Any:
        if level not in {"debug", "info", "warning", "error"}:
            raise AttributeError(level)
        return lambda event, **fields: self.entries.append(f"{level} {event} {fields}")


class GateWatcher(Listener):
    """Listener that checks all gates whenever an attempt starts or ends; keeps what is wrong."""

    def __init__(self, simulation: Simulation) -> None:
        self.found: list[str] = []
        self.started: Counter[str] = Counter()
        self._simulation = simulation

    def attempt_started(self, provider: str, role: Role) -> None:
        self.started[provider] += 1
        self._check()

    def attempt_ended(self, record: AttemptRecord) -> None:
        self._check()

    def _check(self) -> None:
        simulation = self._simulation
        now = anyio.current_time()
        for gate in simulation.gates:
            trials = sum(trial.lease_until > now for trial in gate.circuit.trials.permits)
            joined = gate.circuit.policy.half_open_wait > 0.0
            if (trials > 2 and not joined) or (trials and gate.circuit.is_closed):
                self.found.append(f"{gate!r} has {trials} trials in flight")
            if not 0 <= gate.in_flight <= simulation.max_in_flight[gate.name]:
                self.found.append(
                    f"{gate!r} admits more than {simulation.max_in_flight[gate.name]}"
                )
        for name, simulated in simulation.simulated.items():
            inside = sum(gate.in_flight for gate in simulation.gates if gate.name == name)
            if simulated.in_flight > inside:
                self.found.append(
                    f"{name} has {simulated.in_flight} attempts, its gates count {inside}"
                )


class Simulation:
    """A router built for a world, its callers, and its observers."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.simulated = {spec.name: SimulatedProvider(spec) for spec in world.providers}
        self.recorder = Recorder()
        self.logger = Logger()
        self.watch = GateWatcher(self)
        self.registry = CollectorRegistry()
        self.callers: list[Caller] = []
        self.closed_at = math.inf
        self.leftover_tasks: list[str] = []
        self.max_in_flight = {spec.name: spec.max_in_flight or math.inf for spec in world.providers}
        chain = [name for name in world.names if name != GUEST] or world.names
        self.router: MultiProviderRouter[Any, Any, Any] = MultiProviderRouter(
            [self.provider(spec) for spec in world.providers],
            routes=[
                Route("chain", chain, retries_per_provider=world.retries),
                Route("default", ["*"], retries_per_provider=world.retries),
            ],
            attempt_timeout=ATTEMPT_TIMEOUT,
            circuit=world.circuit,
            retry=world.retry,
            hedge=world.hedge,
            limits=None
            if world.max_in_flight is None
            else LimitPolicy(in_flight=world.max_in_flight),
            panic=world.panic,
            fallback=world.fallback,
            accept=lambda value: value != INVALID_ANSWER,
            listeners=[self.watch, self.recorder],
            registry=self.registry,
            logger=self.logger,
            rng=Random(world.seed),
        )
        self.gates: list[Gate] = list(self.router._engine.states.gates.values())

    def provider(self, spec: ProviderSpec) -> Provider[Any, Any, Any]:
        simulated = self.simulated[spec.name]
        limited = spec.max_in_flight is not None or spec.per_minute is not None
        limits = LimitPolicy(in_flight=spec.max_in_flight, requests_per_minute=spec.per_minute)
        return Provider(
            spec.name,
            simulated,
            weight=spec.weight,
            limits=limits if limited else None,
            health_check=simulated.health_check if spec.health_check else None,
        )

    # ── the run ─────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> Simulation:
        """Runs all actions, waits for every caller, and closes the router."""
        async with self.router, anyio.create_task_group() as group:
            for pause, action in self.world.actions:
                await anyio.sleep(pause)
                self.apply(action, group)
        self.leftover_tasks = _leftover_tasks()
        return self

    def apply(self, action: Action, group: TaskGroup) -> None:
        if isinstance(action, Call):
            for _ in range(action.times):
                caller = Caller(action)
                self.callers.append(caller)
                group.start_soon(self.make_call, caller, group)
        elif self.closed_at < math.inf:
            return  # a closed router cannot be changed
        elif isinstance(action, Hold):
            if action.name in self.router.names():
                self.router.unhold(action.name) if action.how is None else self.router.hold(
                    action.name, action.how
                )
        elif isinstance(action, Update):
            self.update(action)
        elif isinstance(action, ToggleGuest):
            self.toggle_guest()
        else:
            self.closed_at = anyio.current_time()
            group.start_soon(self.close, action)

    def update(self, action: Update) -> None:
        if action.name not in self.router.names():
            return
        self.max_in_flight[action.name] = max(
            self.max_in_flight[action.name], action.max_in_flight or math.inf
        )
        self.router.update(
            action.name,
            weight=action.weight,
            limits=None
            if action.max_in_flight is None
            else LimitPolicy(in_flight=action.max_in_flight),
            circuit=CircuitPolicy(
                failures=action.failures, half_open_max_calls=action.half_open_max_calls
            ),
        )

    def toggle_guest(self) -> None:
        guest = next((spec for spec in self.world.providers if spec.name == GUEST), None)
        if guest is None:
            return
        try:
            if GUEST in self.router.names():
                self.router.remove(GUEST)
            else:
                # Attempts from before its removal may still be in flight.
                self.max_in_flight[GUEST] = math.inf
                self.router.add(self.provider(guest))
                self.gates.append(self.router._engine.states.gates[GUEST])
        except ConfigurationError:
            assert self.world.names == [GUEST], "only the last provider cannot be removed"

    async def close(self, action: Close) -> None:
        await self.router.aclose(grace=action.grace)

    async def make_call(self, caller: Caller, group: TaskGroup) -> None:
        call = caller.call
        caller.started = anyio.current_time()
        if call.cancel_after is not None:
            group.start_soon(self.cancel, caller, call.cancel_after)
        if self.world.native_cancel:
            caller.task = asyncio.current_task()
        try:
            with anyio.CancelScope() as caller.scope:
                caller.outcome = await self.router.call_outcome(
                    "q",
                    route=call.route,
                    timeout=call.timeout,
                    wait=call.wait,
                    idempotent=call.idempotent,
                )
        except asyncio.CancelledError as error:
            assert self.world.native_cancel
            caller.error = error
        except UsageError as error:
            caller.error = error
        caller.ended = anyio.current_time()

    async def cancel(self, caller: Caller, after: float) -> None:
        await anyio.sleep(after)
        if math.isnan(caller.ended):
            (caller.task or caller.scope).cancel()

    # ── results ─────────────────────────────────────────────────────────────────────────────────

    def total(self, name: str, **labels: str) -> float:
        """Sum of the samples of a metric that have these labels."""
        return sum(
            sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == f"multirouter_{name}" and labels.items() <= sample.labels.items()
        )

    def trail(self) -> list[str]:
        """All events, log entries and metrics as text, without wall-clock times."""
        events = [f"{kind} {event!r} {_error_text(event)}" for kind, event in self.recorder.events]
        counted = [
            str(sample)
            for family in self.registry.collect()
            for sample in family.samples
            if not sample.name.endswith("_created")
        ]
        return events + self.logger.entries + counted


def _error_text(event: Any) -> str:
    """Text of an event's error; that of a cancellation has addresses, which are random."""
    error = getattr(event, "error", None)
    return repr(error) if isinstance(error, Exception) else type(error).__name__


def _leftover_tasks() -> list[str]:
    """Tasks that still run besides the simulation; trio's nurseries leave none."""
    try:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
    except RuntimeError:
        return []
    return [repr(task) for task in tasks]
