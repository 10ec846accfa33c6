"""Few words for the scenarios: a real router in a house of providers that fail to order."""

from __future__ import annotations

import asyncio
import sys
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
"""Seconds in which whatever is ready happens, and nothing else."""

BRITTLE = CircuitPolicy(failures=1, open_duration=10.0, growth=1.0)
"""Trips on the first failure, for ten seconds exactly."""

STEADY = CircuitPolicy(failures=3, open_duration=10.0, growth=1.0)
"""Trips on the third failure in a row, for ten seconds exactly."""

ONCE = RetryPolicy(attempts=1)
"""Nobody is asked twice; another healthy provider still is, once."""

FAULTY = Fault("error", status=400)
"""The request's own fault: neutral for circuits, and the end of the call."""

Played = Provider[Any, Any, Any]


def play(name: str, *script: Any, weight: float = 1.0, **settings: Any) -> Played:
    """A provider that plays a script; settings are ScriptedProvider's and Provider's."""
    own = {"latency", "error_rate", "error", "outages", "answer", "seed"}
    scripted = ScriptedProvider(
        name, script=script, **{key: settings.pop(key) for key in own & settings.keys()}
    )
    return Provider(name, scripted, weight=weight, **settings)


class Logger:
    """Keeps what is logged as (level, event, fields)."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, dict[str, Any]]] = []

    def __getattr__(self, level: str) -> Any:
        if level not in {"debug", "info", "warning", "error"}:
            raise AttributeError(level)
        return lambda event, **fields: self.told.append((level, event, fields))

    def of(self, event: str) -> list[dict[str, Any]]:
        """The fields of each event of this name."""
        return [fields for _, told, fields in self.told if told == event]


class Caller:
    """A call under way in a task of its own.

    Attributes:
        outcome: how it ended, None before, or when it was cancelled.
        error: what `call_outcome` itself raised.
    """

    def __init__(self) -> None:
        self.outcome: CallOutcome[Any] | None = None
        self.error: BaseException | None = None
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()

    async def run(self, router: MultiProviderRouter[Any, Any, Any], terms: dict[str, Any]) -> None:
        try:
            with self._scope:
                self.outcome = await router.call_outcome(terms.pop("request", "q"), **terms)
        except Exception as error:
            self.error = error
        finally:
            self._ended.set()

    @property
    def ended(self) -> bool:
        """Whether the call is over."""
        return self._ended.is_set()

    async def cancel(self) -> None:
        """Has its caller leave, and waits until it is gone."""
        self._scope.cancel()
        await self._ended.wait()

    async def end(self) -> CallOutcome[Any]:
        """Waits for its outcome."""
        await self._ended.wait()
        if self.error is not None:
            raise self.error
        assert self.outcome is not None
        return self.outcome


class House:
    """A router with all that watches it.

    Attributes:
        router: the router.
        news: everything it told.
        registry: its metrics.
        logger: its logs.
    """

    def __init__(self, providers: tuple[Played | str, ...], settings: dict[str, Any]) -> None:
        made = [play(p) if isinstance(p, str) else p for p in providers]
        self.news = Recorder()
        self.registry = settings.setdefault("registry", CollectorRegistry())
        self.logger: Logger = settings.setdefault("logger", Logger())
        settings.setdefault("retry", ONCE)
        settings.setdefault("rng", Random(1))
        listeners = [self.news, *settings.pop("listeners", ())]
        self.router: MultiProviderRouter[Any, Any, Any] = MultiProviderRouter(
            made, listeners=listeners, **settings
        )
        self.group: TaskGroup

    def __getitem__(self, name: str) -> ScriptedProvider:
        """The script behind a provider."""
        provider = next(p for p in self.router.providers if p.name == name)
        assert isinstance(provider.call, ScriptedProvider)
        return provider.call

    # -- calls ------------------------------------------------------------------------------

    async def call(self, *route: str, **terms: Any) -> Any:
        """One call, over these providers only if any are named."""
        return await self.router.call("q", route=route or None, **terms)

    async def outcome(self, *route: str, **terms: Any) -> CallOutcome[Any]:
        """The same, as an outcome."""
        return await self.router.call_outcome("q", route=route or None, **terms)

    def begin(self, *route: str, **terms: Any) -> Caller:
        """Starts a call; it takes its first step at the next await."""
        caller = Caller()
        wanted = {"route": route or None} | terms
        self.group.start_soon(caller.run, self.router, wanted)
        return caller

    async def begun(self, *route: str, **terms: Any) -> Caller:
        """Starts a call and lets it come as far as it can."""
        caller = self.begin(*route, **terms)
        await anyio.sleep(TICK)
        return caller

    async def fail(self, name: str, times: int = 1, fault: Any = "error") -> CallOutcome[Any]:
        """Has a provider fail calls that nobody else may answer."""
        assert times
        for _ in range(times):
            self[name].then(fault)
            outcome = await self.outcome(name)
            assert not outcome.ok
        return outcome

    async def half_open(self, name: str) -> None:
        """Trips a brittle circuit and waits until it is half-open."""
        await self.fail(name)
        assert self.state(name) == "open"
        await anyio.sleep(10)
        assert self.state(name) == "half_open"

    # -- what it came to --------------------------------------------------------------------

    def state(self, name: str) -> str:
        return self.router.circuit_state(name)

    def seen(self, name: str) -> dict[str, Any]:
        """The provider's part of the snapshot."""
        seen: dict[str, Any] = self.router.snapshot()["providers"][name]
        return seen

    def gate(self, name: str) -> Gate:
        return self.router._engine.memory.gates[name]

    def circuit(self, name: str) -> CircuitBreaker:
        return self.gate(name).circuit

    def opened(self, name: str) -> int:
        """How many times the circuit opened."""
        changes = self.news.of("circuit_changed")
        return sum(c.provider == name and c.new == "open" for c in changes)

    def records(self, name: str) -> list[AttemptRecord]:
        return [record for record in self.news.attempts if record.provider == name]

    def total(self, sample: str, **labels: str) -> float:
        """The sum of the samples of this metric with these labels."""
        return sum(
            found.value
            for family in self.registry.collect()
            for found in family.samples
            if found.name == f"multirouter_{sample}" and labels.items() <= found.labels.items()
        )

    def check_books(self) -> None:
        """Cases 81 and 85, after every scenario: all add up, and nothing is left in flight."""
        news = self.news
        assert self.total("calls_total") == len(news.calls)
        assert self.total("call_duration_seconds_count") == len(news.calls)
        shadows = sum(record.role == "shadow" for record in news.attempts)
        made = len(news.attempts) - shadows
        assert self.total("attempts_total") == made
        assert self.total("attempt_duration_seconds_count") == made
        assert self.total("shadow_attempts_total") == shadows
        assert self.total("shadow_attempt_duration_seconds_count") == shadows
        told = {id(record) for record in news.attempts}
        assert all(id(record) in told for call in news.calls for record in call.attempts)
        for name, gate in self.router._engine.memory.gates.items():
            assert gate.in_flight == 0, f"{name} still has attempts in flight"
            assert not gate.circuit._trials, f"{name} still has trials out"


@asynccontextmanager
async def house(*providers: Played | str, **settings: Any) -> AsyncGenerator[House]:
    """A router in a room of its own; at its end nothing may be left, and the books must balance.

    Args:
        providers: scripted ones, or names of such.
        settings: the router's; left out: nobody is asked twice, and chance has a seed.
    """
    home = House(providers, settings)
    async with home.router, anyio.create_task_group() as home.group:
        yield home
    assert len(home.router._engine.resets) == 0
    home.check_books()


def suspend(seconds: float) -> None:
    """Lets time jump while nothing can run, as when the machine sleeps or the loop is blocked."""
    trio = sys.modules.get("trio")
    try:
        loop: Any = asyncio.get_running_loop()
    except RuntimeError:
        assert trio is not None
        trio.lowlevel.current_clock().jump(seconds)
    else:
        loop._now += seconds
