"""Plays a world with a real router in virtual time, and watches it while it runs."""

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
    RUBBISH,
    Act,
    Call,
    Close,
    Come,
    Hold,
    Player,
    Update,
    World,
)


class Actor:
    """A provider's function, which may swallow cancellations.

    Attributes:
        begun: attempts it has seen, and `probed`: probes.
        in_flight: attempts under way in it.
    """

    def __init__(self, player: Player) -> None:
        self.begun = self.probed = self.in_flight = 0
        self._swallows = player.swallows
        self._scripted = ScriptedProvider(
            player.name,
            script=player.script,
            error_rate=player.error_rate,
            latency=player.latency,
        )

    async def __call__(self, request: Any) -> Any:
        self.begun += 1
        self.in_flight += 1
        try:
            return await self._stubbornly(request)
        finally:
            self.in_flight -= 1

    async def health_check(self) -> None:
        self.probed += 1
        await self._scripted("trial")

    async def _stubbornly(self, request: Any) -> Any:
        for left in range(self._swallows, -1, -1):
            try:
                return await self._scripted(request)
            except anyio.get_cancelled_exc_class():
                if not left:
                    raise
        raise AssertionError("unreachable")


@dataclass(eq=False)
class Caller:
    """A caller: what was asked, and what came of it and when."""

    call: Call
    started: float = math.nan
    ended: float = math.nan
    outcome: CallOutcome[Any] | None = None
    error: BaseException | None = None
    scope: Any = None
    task: Any = None


class Logger:
    """Keeps what is logged, in words."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __getattr__(self, level: str) -> Any:
        if level not in {"debug", "info", "warning", "error"}:
            raise AttributeError(level)
        return lambda event, **fields: self.told.append(f"{level} {event} {fields}")


class Watch(Listener):
    """Looks at all doors whenever an attempt starts or ends; what it finds is kept."""

    def __init__(self, stage: Stage) -> None:
        self.found: list[str] = []
        self.started: Counter[str] = Counter()
        self._stage = stage

    def attempt_started(self, provider: str, role: Role) -> None:
        self.started[provider] += 1
        self._look()

    def attempt_ended(self, record: AttemptRecord) -> None:
        self._look()

    def _look(self) -> None:
        stage = self._stage
        now = anyio.current_time()
        for gate in stage.gates:
            trials = sum(trial.lease_until > now for trial in gate.circuit._trials)
            if trials > 2 or (trials and gate.circuit.is_closed):
                self.found.append(f"{gate!r} has {trials} trials out")
            if not 0 <= gate.in_flight <= stage.most[gate.name]:
                self.found.append(f"{gate!r} lets in {stage.most[gate.name]}")
        for name, actor in stage.actors.items():
            inside = sum(gate.in_flight for gate in stage.gates if gate.name == name)
            if actor.in_flight > inside:
                self.found.append(f"{name} works for {actor.in_flight}, its door knows {inside}")


class Stage:
    """A router made for a world, its callers, and all that watches them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.actors = {player.name: Actor(player) for player in world.players}
        self.news = Recorder()
        self.logger = Logger()
        self.watch = Watch(self)
        self.registry = CollectorRegistry()
        self.callers: list[Caller] = []
        self.closed_at = math.inf
        self.left_over: list[str] = []
        self.most = {player.name: player.at_most or math.inf for player in world.players}
        chain = [name for name in world.names if name != GUEST] or world.names
        self.router: MultiProviderRouter[Any, Any, Any] = MultiProviderRouter(
            [self.provider(player) for player in world.players],
            routes=[
                Route("chain", chain, retries_per_provider=world.again),
                Route("default", ["*"], retries_per_provider=world.again),
            ],
            attempt_timeout=ATTEMPT_TIMEOUT,
            circuit=world.circuit,
            retry=world.retry,
            hedge=world.hedge,
            limits=None if world.at_most is None else LimitPolicy(in_flight=world.at_most),
            panic=world.panic,
            fallback=world.fallback,
            accept=lambda value: value != RUBBISH,
            listeners=[self.watch, self.news],
            registry=self.registry,
            logger=self.logger,
            rng=Random(world.seed),
        )
        self.gates: list[Gate] = list(self.router._engine.memory.gates.values())

    def provider(self, player: Player) -> Provider[Any, Any, Any]:
        actor = self.actors[player.name]
        limited = player.at_most is not None or player.per_minute is not None
        limits = LimitPolicy(in_flight=player.at_most, requests_per_minute=player.per_minute)
        return Provider(
            player.name,
            actor,
            weight=player.weight,
            limits=limits if limited else None,
            health_check=actor.health_check if player.health_check else None,
        )

    # ── the play ─────────────────────────────────────────────────────────────────────────────

    async def play(self) -> Stage:
        """Lets everything happen, waits for every caller, and closes the router."""
        async with self.router, anyio.create_task_group() as group:
            for pause, act in self.world.acts:
                await anyio.sleep(pause)
                self.happens(act, group)
        self.left_over = _tasks_of_the_router()
        return self

    def happens(self, act: Act, group: TaskGroup) -> None:
        if isinstance(act, Call):
            for _ in range(act.times):
                caller = Caller(act)
                self.callers.append(caller)
                group.start_soon(self.calls, caller, group)
        elif isinstance(act, Hold):
            if act.name in self.router.names():
                self.router.unhold(act.name) if act.how is None else self.router.hold(
                    act.name, act.how
                )
        elif isinstance(act, Update):
            self.updates(act)
        elif isinstance(act, Come):
            self.comes_or_goes()
        elif self.closed_at == math.inf:
            self.closed_at = anyio.current_time()
            group.start_soon(self.closes, act)

    def updates(self, act: Update) -> None:
        if act.name not in self.router.names():
            return
        self.most[act.name] = max(self.most[act.name], act.at_most or math.inf)
        self.router.update(
            act.name,
            weight=act.weight,
            limits=None if act.at_most is None else LimitPolicy(in_flight=act.at_most),
            circuit=CircuitPolicy(
                failures=act.failures, half_open_max_calls=act.half_open_max_calls
            ),
        )

    def comes_or_goes(self) -> None:
        guest = next((player for player in self.world.players if player.name == GUEST), None)
        if guest is None:
            return
        try:
            if GUEST in self.router.names():
                self.router.remove(GUEST)
            else:
                self.most[GUEST] = math.inf  # those of its first stay may still be under way
                self.router.add(self.provider(guest))
                self.gates.append(self.router._engine.memory.gates[GUEST])
        except ConfigurationError:
            assert self.world.names == [GUEST], "only the last provider cannot leave"

    async def closes(self, act: Close) -> None:
        await self.router.aclose(grace=act.grace)

    async def calls(self, caller: Caller, group: TaskGroup) -> None:
        call = caller.call
        caller.started = anyio.current_time()
        if call.leaves is not None:
            group.start_soon(self.leaves, caller, call.leaves)
        if self.world.natively:
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
            assert self.world.natively
            caller.error = error
        except UsageError as error:
            caller.error = error
        caller.ended = anyio.current_time()

    async def leaves(self, caller: Caller, after: float) -> None:
        await anyio.sleep(after)
        if math.isnan(caller.ended):
            (caller.task or caller.scope).cancel()

    # ── what it came to ──────────────────────────────────────────────────────────────────────

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples of a metric that have these labels."""
        return sum(
            sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == f"multirouter_{name}" and labels.items() <= sample.labels.items()
        )

    def trail(self) -> list[str]:
        """All that was told, logged and counted, in words, without the time of the wall."""
        told = [f"{kind} {news!r} {_words(news)}" for kind, news in self.news.news]
        counted = [
            str(sample)
            for family in self.registry.collect()
            for sample in family.samples
            if not sample.name.endswith("_created")
        ]
        return told + self.logger.told + counted


def _words(news: Any) -> str:
    """The error in a piece of news; a cancellation speaks of addresses, which are chance."""
    error = getattr(news, "error", None)
    return repr(error) if isinstance(error, Exception) else type(error).__name__


def _tasks_of_the_router() -> list[str]:
    """What still runs besides the play; trio's nurseries let nothing outlive them."""
    try:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
    except RuntimeError:
        return []
    return [repr(task) for task in tasks]
