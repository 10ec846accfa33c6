"""Streams of a whole router in virtual time, in worlds drawn at random."""

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
from tests.properties.actors import Actor, as_data
from tests.properties.effort import PATIENT, effort
from tests.properties.stream_worlds import (
    ARGUMENTS,
    CALL_TIMEOUT,
    TEXTS,
    Reader,
    World,
    worlds,
)

STEP = 1e-6
"""Seconds that rounding may cost."""

ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "count"}]}


# ── who reads ────────────────────────────────────────────────────────────────────────────────────


class Consumer:
    """A reader at work: what it got, when, and how that ended."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.chunks: list[Any] = []
        self.error: Exception | None = None
        self.whole = False
        self.entered = False
        self.stream: Stream[Any] | None = None
        self.asked = self.opened = self.ended = math.nan
        self._scope: Any = None

    async def run(self, router: MultiProviderRouter[Any, Any, Any], group: TaskGroup) -> None:
        reader = self.reader
        await anyio.sleep(reader.begins)
        self.asked = anyio.current_time()
        for after, leave in ((reader.leaves, self._cancel), (reader.closed, self._close)):
            if after is not None:
                group.start_soon(self._later, after, leave)
        self.stream = router.stream(
            ASKED, timeout=CALL_TIMEOUT, wait=reader.wait, idempotent=reader.idempotent
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
                if self.reader.stops is not None and len(self.chunks) > self.reader.stops:
                    return
                await anyio.sleep(self.reader.pause)
            self.whole = self.reader.stays

    async def _later(self, after: float, leave: Any) -> None:
        await anyio.sleep(after)
        if math.isnan(self.ended):
            await leave()

    async def _cancel(self) -> None:
        self._scope.cancel()

    async def _close(self) -> None:
        if self.stream is not None:
            await self.stream.aclose()

    @property
    def answer(self) -> list[Any]:
        """The chunks that are not void, as plain data."""
        begins = [n for n, chunk in enumerate(self.chunks) if isinstance(chunk, StreamRestarted)]
        return list(map(as_data, self.chunks[begins[-1] + 1 :] if begins else self.chunks))

    @property
    def text(self) -> str:
        return "".join(map(chat.text_of, self.answer))

    @property
    def arguments(self) -> tuple[str, ...]:
        """What came of the arguments of each of the parallel calls."""
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


class Stage:
    """A router made for a world, and its consumers."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.news = Recorder()
        self.actors = {p.name: Actor(p, tools=world.tools) for p in world.players}
        self.consumers = [Consumer(reader) for reader in world.readers]
        self.router: MultiProviderRouter[Any, Any, Any] = MultiProviderRouter(
            [
                Provider(
                    player.name,
                    stream=self.actors[player.name],
                    limits=None if player.at_most is None else LimitPolicy(in_flight=1),
                    capabilities=["prefill"] if player.prefill[0] else [],
                )
                for player in world.players
            ],
            stream=world.policy,
            hedge=world.hedge,
            circuit=world.circuit,
            retry=world.retry,
            listeners=[self.news],
            registry=CollectorRegistry(),
            logger=Quiet(),
            rng=Random(world.seed),
        )

    async def play(self) -> Stage:
        async with self.router, anyio.create_task_group() as group:
            for consumer in self.consumers:
                group.start_soon(consumer.run, self.router, group)
            if self.world.closes is not None:
                await anyio.sleep(self.world.closes)
                await self.router.aclose(grace=1.0)
        return self


class Quiet:
    """A logger that says nothing."""

    def __getattr__(self, level: str) -> Any:
        if level not in {"debug", "info", "warning", "error"}:
            raise AttributeError(level)
        return lambda event, **fields: None


# ── what holds for each run ──────────────────────────────────────────────────────────────────────


def check(stage: Stage) -> None:
    check_nothing_is_held(stage)
    check_books(stage)
    for consumer in stage.consumers:
        check_answer(stage.world, consumer)
        check_end(stage.world, consumer)


def check_nothing_is_held(stage: Stage) -> None:
    """Permits, slots and the providers' own streams are all given back."""
    engine = stage.router._engine
    for gate in engine.memory.gates.values():
        assert gate.in_flight == 0, gate
        assert gate.circuit._trials == [], gate
        assert gate._limits is None or gate._limits.in_flight == 0, gate
    assert engine.residence.calls == 0
    assert len(engine.waiting) == 0
    assert not engine.background._pending
    assert all(actor.in_flight == 0 for actor in stage.actors.values())


def check_books(stage: Stage) -> None:
    """Each stream that began is told to have ended, once, and so is each attempt."""
    began = [c for c in stage.consumers if c.stream is not None and c.stream.outcome is not None]
    told = [id(outcome) for outcome in stage.news.calls]
    assert sorted(told) == sorted(id(c.stream.outcome) for c in began if c.stream)
    assert len({id(record) for record in stage.news.attempts}) == len(stage.news.attempts)
    for name, actor in stage.actors.items():
        records = [record for record in stage.news.attempts if record.provider == name]
        # A continuation may ask one provider in several ways, as one attempt.
        assert len(records) <= actor.begun or stage.world.closes is not None


def check_answer(world: World, consumer: Consumer) -> None:
    """What was delivered is the whole of one answer, or the beginning of one and an error."""
    text, arguments = consumer.text, consumer.arguments
    assert any(whole.startswith(text) for whole in TEXTS), text
    for whole, came in zip(ARGUMENTS, arguments, strict=True):
        assert whole.startswith(came), arguments
    if consumer.whole and consumer.error is None:
        assert text in TEXTS
        assert arguments == (ARGUMENTS if world.tools else ("", ""))
        assert consumer.answer[-1]["choices"][0]["finish_reason"]
        assert sum("role" in c["choices"][0]["delta"] for c in consumer.answer) == 1
        assert consumer.stream is not None
        assert consumer.stream.outcome is not None
        assert consumer.stream.outcome.ok
    if world.policy.on_interrupt != "restart":
        assert len(consumer.answer) == len(consumer.chunks)


def check_end(world: World, consumer: Consumer) -> None:
    """Every stream ends by its limits, with a cause where it broke."""
    error, reader = consumer.error, consumer.reader
    if isinstance(error, UsageError):
        assert world.closes is not None
        return
    if math.isnan(consumer.opened):
        took = consumer.ended - consumer.asked
        limits = (CALL_TIMEOUT, reader.leaves, reader.closed)
        assert took <= min(limit for limit in limits if limit is not None) + STEP
    else:
        took = consumer.ended - consumer.opened
        assert took <= world.policy.total + reader.pause + STEP
    if isinstance(error, StreamInterrupted):
        assert error.__cause__ is not None
        delivered = [c for c in consumer.chunks if not isinstance(c, StreamRestarted)]
        assert error.chunks == len(delivered)
        assert error.attempts
    if not reader.idempotent and consumer.stream is not None:
        served = [a for a in consumer.stream.attempts if a.first_content is not None]
        assert len(served) <= 1


# ── the properties ───────────────────────────────────────────────────────────────────────────────


@PATIENT
@effort(150)
@given(world=worlds(), shuffle=st.integers(0, 999))
def test_streams_are_right_in_every_world(world: World, shuffle: int) -> None:
    """Case 80: permits come back, books balance, limits hold, and no text or tool call is lost.

    Whatever providers and consumers do, what a consumer got is the whole of one answer, or its
    beginning and an error; whoever would wait for ever ends the run with a Deadlock.
    """
    check(VirtualClock(shuffle_seed=shuffle).run(Stage(world).play))


@PATIENT
@effort(40)
@given(world=worlds())
def test_streams_are_right_on_trio(world: World) -> None:
    """The same holds on trio."""
    check(VirtualClock(backend="trio").run(Stage(world).play))
