"""Any interleaving of attempts, time and hands, against a model that knows only the rules."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from multirouter.core.circuit.breaker import CircuitBreaker
from multirouter.core.circuit.permits import Permit
from multirouter.core.circuit.states import Signal
from multirouter.core.settings.policies import CircuitPolicy

FAILURES = 2
OPEN_FOR = 8.0
LEASE = 4.0


class Model:
    """The rules of states.py, spelt out a second time and as plainly as can be."""

    def __init__(self, half_open_max_calls: int) -> None:
        self.half_open_max_calls = half_open_max_calls
        self.state = "closed"
        self.generation = 0
        self.run = 0
        self.passed = 0
        self.half_open_at = math.inf
        self.trials: dict[int, float] = {}

    def go(self, state: str, half_open_at: float = math.inf) -> None:
        """Enters a state, and with it an era."""
        self.state, self.half_open_at = state, half_open_at
        self.generation += 1
        self.run = self.passed = 0
        self.trials = {}

    def tick(self, now: float) -> None:
        """Opens half when the time is up."""
        if self.state == "open" and now >= self.half_open_at:
            self.go("half_open")

    def begin(self, number: int, now: float) -> bool:
        """Lets an attempt in or not."""
        self.tick(now)
        if self.state == "half_open":
            self.trials = {n: until for n, until in self.trials.items() if until > now}
            if self.passed + len(self.trials) >= self.half_open_max_calls:
                return False
            self.trials[number] = now + LEASE
        return self.state != "open"

    def end(self, number: int, generation: int, trial: bool, how: str, now: float) -> bool:
        """Ends an attempt; whether it counted."""
        if generation != self.generation or (trial and number not in self.trials):
            return False
        self.trials.pop(number, None)
        if how == "failure" and (trial or self.run + 1 >= FAILURES):
            self.go("open", now + OPEN_FOR)
        elif how == "failure":
            self.run += 1
        elif how == "success" and trial:
            self.passed += 1
            if self.passed >= self.half_open_max_calls:
                self.go("closed")
        elif how == "success":
            self.run = 0
        return True

    def force(self, signal: Signal, now: float) -> None:
        """Obeys a hand."""
        self.tick(now)
        if signal is Signal.FORCE_OPEN:
            self.go("open")
        elif signal is Signal.FORCE_CLOSED and self.state != "closed":
            self.go("closed")
        elif signal is Signal.FORCE_TRIAL and self.state == "open":
            self.go("half_open")


class AnyInterleaving(RuleBasedStateMachine):
    """Case 28: permits never exceed K nor fall below 0, and the state is the model's."""

    @initialize(half_open_max_calls=st.integers(1, 3))
    def start(self, half_open_max_calls: int) -> None:
        """Begins closed, with K permits to give when half-open."""
        self.now = 0.0
        self.model = Model(half_open_max_calls)
        policy = CircuitPolicy(
            failures=FAILURES,
            half_open_max_calls=half_open_max_calls,
            open_duration=OPEN_FOR,
            growth=1,
        )
        self.eras: list[int] = []
        self.circuit = CircuitBreaker(policy, Random(1), self.heard)
        self.permits: dict[int, Permit] = {}
        self.begun = 0

    def heard(self, old: Any, new: Any, reason: str, open_duration: float, now: float) -> None:
        """Notes the era of each news."""
        self.eras.append(self.circuit.generation)

    @precondition(lambda self: len(self.permits) < 6)
    @rule()
    def begin(self) -> None:
        """An attempt asks to begin."""
        self.begun += 1
        asked = self.circuit.admits(self.now)
        permit = self.circuit.acquire(self.now, LEASE)
        assert (permit is not None) is asked
        assert (permit is not None) is self.model.begin(self.begun, self.now)
        if permit is not None:
            assert permit.generation == self.model.generation
            self.permits[self.begun] = permit

    @precondition(lambda self: self.permits)
    @rule(data=st.data(), how=st.sampled_from(["success", "failure", "neutral"]))
    def end(self, data: Any, how: str) -> None:
        """One of the attempts under way ends, with a verdict or cancelled."""
        number = data.draw(st.sampled_from(sorted(self.permits)))
        permit = self.permits.pop(number)
        counted = {
            "success": lambda: self.circuit.succeeded(permit, self.now, 0.1),
            "failure": lambda: self.circuit.failed(permit, self.now),
            "neutral": lambda: self.circuit.returned(permit),
        }[how]()
        assert counted is self.model.end(number, permit.generation, permit.trial, how, self.now)

    @rule(seconds=st.sampled_from([0.5, 1.0, 4.0, 8.0]))
    def tick(self, seconds: float) -> None:
        """Time passes, and nobody tells the circuit."""
        self.now += seconds

    @rule()
    def ring(self) -> None:
        """The bell of the reset rings, on time or not."""
        self.circuit.settle(self.now)
        self.model.tick(self.now)

    @rule(signal=st.sampled_from([Signal.FORCE_OPEN, Signal.FORCE_CLOSED, Signal.FORCE_TRIAL]))
    def force(self, signal: Signal) -> None:
        """A hand opens, closes or half-opens it."""
        self.circuit.force(signal, "hold_changed", self.now)
        self.model.force(signal, self.now)

    @rule(by=st.sampled_from([-64.0, 64.0]))
    def move(self, by: float) -> None:
        """The router moves to the clock of another loop."""
        self.now += by
        self.circuit.shift(by)
        self.model.half_open_at += by
        self.model.trials = {n: until + by for n, until in self.model.trials.items()}

    @invariant()
    def agree(self) -> None:
        """State, era and trials under way are the model's; each era was told, once, in order."""
        circuit, model = self.circuit, self.model
        lazily = model.state == "open" and self.now >= model.half_open_at
        assert str(circuit.state(self.now)) == ("half_open" if lazily else model.state)
        assert circuit.generation == model.generation
        assert self.eras == list(range(1, model.generation + 1))
        out = sum(p.generation == circuit.generation for p in circuit._trials)
        assert out == len(circuit._trials) == len(model.trials)
        assert 0 <= circuit._trials_out(self.now) <= model.half_open_max_calls


TestAnyInterleaving = AnyInterleaving.TestCase
TestAnyInterleaving.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
