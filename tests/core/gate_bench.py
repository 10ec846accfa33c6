"""Test bench of one gate: methods that make whole attempts, and the events it reported."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from multirouter.core.change_counter import ChangeCounter
from multirouter.core.circuit.gate import Gate
from multirouter.core.circuit.permits import Permit
from multirouter.core.circuit.states import CircuitState
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import CircuitChanged, CooldownStarted, HoldChanged, HoldName
from multirouter.core.listener import Listener
from multirouter.core.settings.failure_rules import CircuitEffect
from multirouter.core.settings.policies import CircuitPolicy, LimitPolicy
from multirouter.model import FailureKind, Verdict
from tests.core.circuit_bench import ARTICLE, LEASE

SERVER_ERROR = Verdict(FailureKind.SERVER, reason="status 500")
RATE_LIMITED = Verdict(FailureKind.RATE_LIMIT, reason="status 429")
FORBIDDEN = Verdict(FailureKind.CREDENTIALS, reason="status 403", certain=False)
BAD_REQUEST = Verdict(FailureKind.REQUEST, reason="status 400")
HOLDS: tuple[HoldName, ...] = ("open", "closed", "disabled", "metrics_only")


EXACT = replace(ARTICLE, jitter=0.0)
"""As ARTICLE, with cooldowns of exactly five seconds."""


class GateBench(Listener):
    """The gate of provider `a` in router `r`, its events, and methods that make whole attempts."""

    def __init__(self, policy: CircuitPolicy = EXACT, limits: LimitPolicy | None = None) -> None:
        self.events: list[Any] = []
        self.revision = ChangeCounter()
        self.dispatcher = EventDispatcher([self], lambda _, error: pytest.fail(str(error)))
        self.gate = Gate(
            "a",
            policy,
            limits,
            router="r",
            dispatcher=self.dispatcher,
            revision=self.revision,
            rng=Random(1),
        )

    def circuit_changed(self, event: CircuitChanged) -> None:
        self.events.append(event)

    def cooldown_started(self, event: CooldownStarted) -> None:
        self.events.append(event)

    def hold_changed(self, event: HoldChanged) -> None:
        self.events.append(event)

    def events_of(self, kind: type[Any]) -> list[Any]:
        """The events of one type, after all are delivered."""
        self.dispatcher.deliver()
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def changes(self) -> list[tuple[str, str, str]]:
        """The circuit's transitions: old state, new state, reason."""
        return [(event.old, event.new, event.reason) for event in self.events_of(CircuitChanged)]

    def acquire(self, now: float, **options: Any) -> Permit:
        """A permit, which the gate must give."""
        size, lease = options.pop("size", 0), options.pop("lease", LEASE)
        permit = self.gate.acquire(now, size, lease, **options)
        assert permit is not None
        return permit

    def succeed(self, now: float) -> bool:
        """An attempt that begins and is answered at `now`; returns whether it was late."""
        return self.gate.release_answered(self.acquire(now), now, 0.1)

    def end(self, permit: Permit, verdict: Verdict, effect: CircuitEffect, now: float) -> bool:
        """Ends an attempt without an answer; returns whether it was late."""
        return self.gate.release_unanswered(permit, verdict, effect, now)

    def fail(self, now: float, times: int = 1) -> None:
        """Attempts that begin and fail at `now`."""
        for _ in range(times):
            self.end(self.acquire(now), SERVER_ERROR, CircuitEffect.FAILURE, now)

    def cool_down(self, now: float, retry_after: float | None = None) -> float:
        """An attempt that gets a 429 at `now`; returns the seconds of cooldown that are left."""
        verdict = Verdict(FailureKind.RATE_LIMIT, retry_after, reason="status 429")
        self.end(self.acquire(now), verdict, CircuitEffect.COOLDOWN, now)
        return self.gate.cooldown_until - now

    def set_hold(self, hold: HoldName | None, now: float = 0.0) -> None:
        """Sets or releases a hold."""
        self.gate.set_hold(hold, now)

    def state(self, now: float) -> CircuitState:
        """The circuit's state at `now`."""
        return self.gate.circuit.state(now)


def half_open(**settings: Any) -> GateBench:
    """A bench whose circuit is half-open from 60 s on."""
    bench = GateBench(**settings)
    bench.fail(0.0, 3)
    assert bench.state(60.0) is CircuitState.HALF_OPEN
    return bench
