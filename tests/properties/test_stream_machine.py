"""Streams of a whole router in virtual time, in random worlds."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import anyio
from anyio.abc import TaskGroup
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from multirouter import (
    LimitPolicy,
    MultiProviderRouter,
    Provider,
    Stream,
    StreamInterrupted,
    StreamRestarted,
    UsageError,
)
from multirouter.core.chat import completions as chat
from multirouter.testing import Recorder, VirtualClock
from tests.properties.property_settings import NO_TIMEOUT, property_settings
from tests.properties.stream_providers import SimulatedProvider, as_data
from tests.properties.stream_worlds import (
    ARGUMENTS,
    CALL_TIMEOUT,
    TEXTS,
    ConsumerSpec,
    World,
    worlds,
)

STEP = 1e-6
"""Tolerance for rounding, seconds."""

HELD = 3
"""Chunks that may be in memory at most: a restart, a role, and all the text with its end."""

REQUEST: dict[str, Any] = {"messages": [{"role": "user", "content": "count"}]}


# ── consumers ───────────────────────────────────────────────────────────────────────────────────


class Consumer:
    """A consumer at work: what it received, when, and how it ended."""

    def __init__(self, spec: ConsumerSpec) -> None:
        self.spec = spec
        self.chunks: list[Any] = []
        self.error: Exception | None = None
        self.complete = False
        self.entered = False
        self.stream: Stream[Any] | None = None
        self.requested = self.opened = self.ended = math.nan
        self._scope: Any = None

    async def run(self, router: MultiProviderRouter[Any, Any, Any], group: TaskGroup) -> None:
        spec = self.spec
        await anyio.sleep(spec.start)
        self.requested = anyio.current_time()
        for after, end_early in (
            (spec.cancel_after, self._cancel),
            (spec.close_after, self._close),
        ):
            if after is not None:
                group.start_soon(self._later, after, end_early)
        self.stream = router.stream(
            REQUEST, timeout=CALL_TIMEOUT, wait=spec.wait, idempotent=spec.idempotent
        )
        try:
            with anyio.CancelScope() as self._scope:
                await self._read(self.stream)
        except Exception as error:
            self.error = error
        self.ended = anyio.current_time()

    async def _read(self, stream: Stream[Any]) -> None:
        async with stream:
            self.opened = anyio.current_time()
            async for chunk in stream:
                self.chunks.append(chunk)
                if self.spec.stops is not None and len(self.chunks) > self.spec.stops:
                    return
                await anyio.sleep(self.spec.pause)
            self.complete = self.spec.reads_all

    async def _later(self, after: float, end_early: Any) -> None:
        await anyio.sleep(after)
        if math.isnan(self.ended):
            await end_early()

    async def _cancel(self) -> None:
        self._scope.cancel()

    async def _close(self) -> None:
        if self.stream is not None:
            await self.stream.aclose()

    @property
    def answer(self) -> list[Any]:
        """The chunks that are not void, as plain data."""
        restarts = [n for n, chunk in enumerate(self.chunks) if isinstance(chunk, StreamRestarted)]
        return list(map(as_data, self.chunks[restarts[-1] + 1 :] if restarts else self.chunks))

    @property
    def text(self) -> str:
        return "".join(map(chat.text_of, self.answer))

    @property
    def arguments(self) -> tuple[str, ...]:
        """The received arguments of each of the parallel tool calls."""
        calls = [
            call
            for chunk in self.answer
            for choice in chunk["choices"]
            for call in choice["delta"].get("tool_calls") or ()
        ]
        return tuple(
            "".join(call["function"]["arguments"] for call in calls if call["index"] == index)
            for index in range(len(ARGUMENTS))
        )


class Simulation:
    """A router built for a world, and its consumers."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.recorder = Recorder()
        self.simulated = {p.name: SimulatedProvider(p, tools=world.tools) for p in world.providers}
        self.consumers = [Consumer(spec) for spec in world.consumers]
        self.router: MultiProviderRouter[Any, Any, Any] = MultiProviderRouter(
            [
                Provider(
                    spec.name,
                    stream=self.simulated[spec.name],
                    limits=None if spec.max_in_flight is None else LimitPolicy(in_flight=1),
                    capabilities=["prefill"] if spec.prefill[0] else [],
                )
                for spec in world.providers
            ],
            stream=world.policy,
            hedge=world.hedge,
            circuit=world.circuit,
            retry=world.retry,
            listeners=[self.recorder],
            registry=CollectorRegistry(),
            logger=SilentLogger(),
            rng=Random(world.seed),
        )

    async def run(self) -> Simulation:
        async with self.router, anyio.create_task_group() as group:
            for consumer in self.consumers:
                group.start_soon(consumer.run, self.router, group)
            if self.world.closes is not None:
                await anyio.sleep(self.world.closes)
                await self.router.aclose(grace=1.0)
        return self


class SilentLogger:
    """Logger that discards its entries."""

    def __getattr__(self, level: str) -> Any:
        if level not in {"debug", "info", "warning", "error"}:
            raise AttributeError(level)
        return lambda event, **fields: None


# ── checks ──────────────────────────────────────────────────────────────────────────────────────


def check(simulation: Simulation) -> None:
    check_nothing_is_held(simulation)
    check_events(simulation)
    for consumer in simulation.consumers:
        check_answer(simulation.world, consumer)
        check_deadlines(simulation.world, consumer)


def check_nothing_is_held(simulation: Simulation) -> None:
    """Permits, limits and the providers' own streams are all returned."""
    engine = simulation.router._engine
    for gate in engine.states.gates.values():
        assert gate.in_flight == 0, gate
        assert gate.circuit.trials.permits == [], gate
        assert gate._limits is None or gate._limits.in_flight == 0, gate
    assert engine._provider_closing.calls == 0
    assert len(engine.wait_queue) == 0
    assert not engine.background._pending
    assert all(simulated.in_flight == 0 for simulated in simulation.simulated.values())


def check_events(simulation: Simulation) -> None:
    """Each stream that started is reported to have ended, once, and so is each attempt."""
    started = [
        c for c in simulation.consumers if c.stream is not None and c.stream.outcome is not None
    ]
    reported = [id(outcome) for outcome in simulation.recorder.calls]
    assert sorted(reported) == sorted(id(c.stream.outcome) for c in started if c.stream)
    assert len({id(record) for record in simulation.recorder.attempts}) == len(
        simulation.recorder.attempts
    )
    for name, simulated in simulation.simulated.items():
        records = [record for record in simulation.recorder.attempts if record.provider == name]
        # A continuation may send several requests to one provider, as one attempt.
        assert len(records) <= simulated.started or simulation.world.closes is not None


def check_answer(world: World, consumer: Consumer) -> None:
    """A consumer received one whole answer, or the beginning of one and an error."""
    text, arguments = consumer.text, consumer.arguments
    assert any(complete.startswith(text) for complete in TEXTS), text
    for complete, received in zip(ARGUMENTS, arguments, strict=True):
        assert complete.startswith(received), arguments
    if consumer.complete and consumer.error is None:
        assert text in TEXTS
        assert arguments == (ARGUMENTS if world.tools else ("", ""))
        assert consumer.answer[-1]["choices"][0]["finish_reason"]
        assert sum("role" in c["choices"][0]["delta"] for c in consumer.answer) == 1
        assert consumer.stream is not None
        assert consumer.stream.outcome is not None
        assert consumer.stream.outcome.ok
    if world.policy.on_interrupt != "restart":
        assert len(consumer.answer) == len(consumer.chunks)


def check_deadlines(world: World, consumer: Consumer) -> None:
    """Every stream ends by its limits, with a cause where it was interrupted."""
    error, spec = consumer.error, consumer.spec
    if isinstance(error, UsageError):
        assert world.closes is not None
        return
    if math.isnan(consumer.opened):
        elapsed = consumer.ended - consumer.requested
        limits = (CALL_TIMEOUT, spec.cancel_after, spec.close_after)
        assert elapsed <= min(limit for limit in limits if limit is not None) + STEP
    else:
        elapsed = consumer.ended - consumer.opened
        in_memory = HELD if error is None else 1  # the rest of a complete answer is passed on
        assert elapsed <= world.policy.total + in_memory * spec.pause + STEP
    if isinstance(error, StreamInterrupted):
        assert error.__cause__ is not None
        delivered = [c for c in consumer.chunks if not isinstance(c, StreamRestarted)]
        assert error.chunks == len(delivered)
        assert error.attempts
    if not spec.idempotent and consumer.stream is not None:
        served = [a for a in consumer.stream.attempts if a.first_content is not None]
        assert len(served) <= 1


# ── the properties ──────────────────────────────────────────────────────────────────────────────


@NO_TIMEOUT
@property_settings(150)
@given(world=worlds(), shuffle=st.integers(0, 999))
def test_streams_in_random_worlds(world: World, shuffle: int) -> None:
    """Case 80: permits and events add up, limits hold, and no text or tool call is lost.

    Whatever providers and consumers do, a consumer receives one whole answer, or its beginning and
    an error; a stream that would wait for ever ends the run with a Deadlock.
    """
    check(VirtualClock(shuffle_seed=shuffle).run(Simulation(world).run))


@NO_TIMEOUT
@property_settings(40)
@given(world=worlds())
def test_streams_in_random_worlds_on_trio(world: World) -> None:
    """The same holds on trio."""
    check(VirtualClock(backend="trio").run(Simulation(world).run))
