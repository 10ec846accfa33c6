"""Random interleavings of attempts, time and holds, checked against a model of the rules."""

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
    """The rules of states.py, written a second time and as simply as possible."""

    def __init__(self, half_open_max_calls: int) -> None:
        self.half_open_max_calls = half_open_max_calls
        self.state = "closed"
        self.generation = 0
        self.consecutive_failures = 0
        self.passed = 0
        self.half_open_at = math.inf
        self.trials: dict[int, float] = {}

    def enter(self, state: str, half_open_at: float = math.inf) -> None:
        """Enters a state, and with it a generation."""
        self.state, self.half_open_at = state, half_open_at
        self.generation += 1
        self.consecutive_failures = self.passed = 0
        self.trials = {}

    def tick(self, now: float) -> None:
        """Half-opens when the open duration has passed."""
        if self.state == "open" and now >= self.half_open_at:
            self.enter("half_open")

    def begin(self, number: int, now: float) -> bool:
        """Begins an attempt; returns whether it is admitted."""
        self.tick(now)
        if self.state == "half_open":
            self.trials = {n: until for n, until in self.trials.items() if until > now}
            if self.passed + len(self.trials) >= self.half_open_max_calls:
                return False
            self.trials[number] = now + LEASE
        return self.state != "open"

    def end(self, number: int, generation: int, trial: bool, how: str, now: float) -> bool:
        """Ends an attempt; returns whether it counted."""
        if generation != self.generation or (trial and number not in self.trials):
            return False
        self.trials.pop(number, None)
        if how == "failure" and (trial or self.consecutive_failures + 1 >= FAILURES):
            self.enter("open", now + OPEN_FOR)
        elif how == "failure":
            self.consecutive_failures += 1
        elif how == "success" and trial:
            self.passed += 1
            if self.passed >= self.half_open_max_calls:
                self.enter("closed")
        elif how == "success":
            self.consecutive_failures = 0
        return True

    def force(self, signal: Signal, now: float) -> None:
        """Applies a hold."""
        self.tick(now)
        if signal is Signal.FORCE_OPEN:
            self.enter("open")
        elif signal is Signal.FORCE_CLOSED and self.state != "closed":
            self.enter("closed")
        elif signal is Signal.FORCE_HALF_OPEN and self.state == "open":
            self.enter("half_open")


class CircuitMachine(RuleBasedStateMachine):
    """Case 28: trials in flight are from 0 to K, and the state is the model's."""

    @initialize(half_open_max_calls=st.integers(1, 3))
    def start(self, half_open_max_calls: int) -> None:
        """Begins closed, with K trials when half-open."""
        self.now = 0.0
        self.model = Model(half_open_max_calls)
        policy = CircuitPolicy(
            failures=FAILURES,
            half_open_max_calls=half_open_max_calls,
            open_duration=OPEN_FOR,
            growth=1,
        )
        self.generations: list[int] = []
        self.circuit = CircuitBreaker(policy, Random(1), self.on_transition)
        self.permits: dict[int, Permit] = {}
        self.begun = 0

    def on_transition(
        self, old: Any, new: Any, reason: str, open_duration: float, now: float
    ) -> None:
        """Records the generation of each transition."""
        self.generations.append(self.circuit.generation)

    @precondition(lambda self: len(self.permits) < 6)
    @rule()
    def begin(self) -> None:
        """An attempt begins, if it is admitted."""
        self.begun += 1
        admitted = self.circuit.admits(self.now)
        permit = self.circuit.acquire(self.now, LEASE)
        assert (permit is not None) is admitted
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
            "success": lambda: self.circuit.record_success(permit, self.now, 0.1),
            "failure": lambda: self.circuit.record_failure(permit, self.now),
            "neutral": lambda: self.circuit.release(permit),
        }[how]()
        assert counted is self.model.end(number, permit.generation, permit.trial, how, self.now)

    @rule(seconds=st.sampled_from([0.5, 1.0, 4.0, 8.0]))
    def tick(self, seconds: float) -> None:
        """Time passes; the circuit is not called."""
        self.now += seconds

    @rule()
    def run_timer(self) -> None:
        """The half-open timer runs, on time or not."""
        self.circuit.settle(self.now)
        self.model.tick(self.now)

    @rule(signal=st.sampled_from([Signal.FORCE_OPEN, Signal.FORCE_CLOSED, Signal.FORCE_HALF_OPEN]))
    def force(self, signal: Signal) -> None:
        """A hold opens, closes or half-opens it."""
        self.circuit.force(signal, "held", self.now)
        self.model.force(signal, self.now)

    @rule(by=st.sampled_from([-64.0, 64.0]))
    def shift(self, by: float) -> None:
        """The router moves to the clock of another loop."""
        self.now += by
        self.circuit.shift(by)
        self.model.half_open_at += by
        self.model.trials = {n: until + by for n, until in self.model.trials.items()}

    @invariant()
    def agree(self) -> None:
        """State, generation and trials are the model's; each generation is reported once."""
        circuit, model = self.circuit, self.model
        lazily = model.state == "open" and self.now >= model.half_open_at
        assert str(circuit.state(self.now)) == ("half_open" if lazily else model.state)
        assert circuit.generation == model.generation
        assert self.generations == list(range(1, model.generation + 1))
        out = sum(p.generation == circuit.generation for p in circuit.trials.permits)
        assert out == len(circuit.trials.permits) == len(model.trials)
        assert 0 <= len(circuit.trials.in_flight(self.now)) <= model.half_open_max_calls


TestCircuitMachine = CircuitMachine.TestCase
TestCircuitMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
