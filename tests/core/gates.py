"""A provider's door with the news it told, and verbs that make whole attempts at it."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from multirouter.core.change_counter import ChangeCounter
from multirouter.core.circuit.gate import Gate
from multirouter.core.circuit.permits import Permit
from multirouter.core.circuit.states import CircuitState
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import CircuitChanged, CooldownStarted, HoldChanged, HoldName, Listener
from multirouter.core.settings.failure_rules import CircuitEffect
from multirouter.core.settings.policies import CircuitPolicy, LimitPolicy
from multirouter.model import FailureKind, Verdict
from tests.core.candidates import ARTICLE, LEASE

BROKEN = Verdict(FailureKind.SERVER, reason="status 500")
TOO_MANY = Verdict(FailureKind.RATE_LIMIT, reason="status 429")
MAYBE_BAD = Verdict(FailureKind.CREDENTIALS, reason="status 403", certain=False)
REFUSED = Verdict(FailureKind.REQUEST, reason="status 400")
HOLDS: tuple[HoldName, ...] = ("open", "closed", "disabled", "metrics_only")


class Door(Listener):
    """A gate, the news it told, and verbs that make whole attempts."""

    def __init__(self, policy: CircuitPolicy = ARTICLE, limits: LimitPolicy | None = None) -> None:
        self.news: list[Any] = []
        self.revision = ChangeCounter()
        self.dispatcher = EventDispatcher([self], lambda hear, error: pytest.fail(str(error)))
        self.gate = Gate(
            "a",
            policy,
            limits,
            router="r",
            dispatcher=self.dispatcher,
            revision=self.revision,
            rng=Random(1),
        )

    def circuit_changed(self, news: CircuitChanged) -> None:
        self.news.append(news)

    def cooldown_started(self, news: CooldownStarted) -> None:
        self.news.append(news)

    def hold_changed(self, news: HoldChanged) -> None:
        self.news.append(news)

    def told(self, kind: type[Any]) -> list[Any]:
        """The news of one kind, delivered now."""
        self.dispatcher.deliver()
        return [news for news in self.news if isinstance(news, kind)]

    @property
    def changes(self) -> list[tuple[str, str, str]]:
        """The circuit's changes: from, to, why."""
        return [(news.old, news.new, news.reason) for news in self.told(CircuitChanged)]

    def enter(self, now: float, **how: Any) -> Permit:
        """A permit that must be there."""
        permit = self.gate.acquire(now, how.pop("size", 0), how.pop("lease", LEASE), **how)
        assert permit is not None
        return permit

    def pass_(self, now: float) -> bool:
        """An attempt that begins and is answered at `now`."""
        return self.gate.release_answered(self.enter(now), now, 0.1)

    def end(self, permit: Permit, verdict: Verdict, effect: CircuitEffect, now: float) -> bool:
        """The end of an attempt without an answer."""
        return self.gate.release_unanswered(permit, verdict, effect, now)

    def fail(self, now: float, times: int = 1) -> None:
        """Attempts that begin and fail at `now`."""
        for _ in range(times):
            self.end(self.enter(now), BROKEN, CircuitEffect.FAILURE, now)

    def cool(self, now: float, retry_after: float | None = None) -> float:
        """An attempt that meets a 429 at `now`; seconds of rest that are left then."""
        verdict = Verdict(FailureKind.RATE_LIMIT, retry_after, reason="status 429")
        self.end(self.enter(now), verdict, CircuitEffect.COOL, now)
        return self.gate.cooldown_until - now

    def hold(self, how: HoldName | None, now: float = 0.0) -> None:
        """What a hand does."""
        self.gate.hold_by_hand(how, now)

    def state(self, now: float) -> CircuitState:
        """The circuit's state."""
        return self.gate.circuit.state(now)


def half_open(**settings: Any) -> Door:
    """A door whose circuit is half-open from 60 s on."""
    door = Door(**settings)
    door.fail(0.0, 3)
    assert door.state(60.0) is CircuitState.HALF_OPEN
    return door
