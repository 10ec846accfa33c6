"""A gate against a simple model, under any interleaving of operations."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from multirouter.core.change_counter import ChangeCounter
from multirouter.core.circuit.gate import Gate
from multirouter.core.circuit.permits import Permit
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import CircuitChanged, CooldownStarted, HoldChanged
from multirouter.core.settings.failure_rules import CircuitEffect
from multirouter.core.settings.policies import CircuitPolicy, LimitPolicy
from multirouter.model import FailureKind, Verdict
from multirouter.testing import Recorder
from tests.properties.gate_model import RANDOM, GateModel, ModelPermit
from tests.properties.property_settings import NO_TIMEOUT, property_settings

# All durations are multiples of a power of two, so that times are exact and edges are hit.
POLICIES = st.builds(
    CircuitPolicy,
    failures=st.sampled_from([None, 1, 2, 3]),
    failure_rate=st.sampled_from([None, 0.25, 0.5, 1.0]),
    slow_after=st.sampled_from([None, 2.0]),
    slow_rate=st.sampled_from([0.5, 1.0]),
    minimum_calls=st.sampled_from([1, 3, 5]),
    window=st.sampled_from([10.0, 20.0, 40.0]),
    open_duration=st.sampled_from([4.0, 30.0]),
    growth=st.sampled_from([1.0, 2.0]),
    max_open_duration=st.sampled_from([2.0, 12.0]),
    jitter=st.sampled_from([0.0, 0.5]),
    half_open_max_calls=st.sampled_from([1, 2, 3]),
    half_open_wait=st.sampled_from([0.0, 5.0, 5.0]),
    exhausted_duration=st.just(64.0),
    cooldown=st.sampled_from([1.0, 5.0]),
    max_cooldown=st.sampled_from([2.0, 16.0]),
)
LIMITS = st.sampled_from([None, None, 1, 2, 4])
HOLDS = st.sampled_from(["open", "closed", "disabled", "metrics_only"])
RETRY_AFTERS = st.sampled_from([None, 3.0, 100.0])
LEASES = st.sampled_from([0.25, 2.0, 30.0])
TICKS = st.sampled_from([0.25, 1.0, 3.75, 16.0, 100.0])

Ticket = tuple[Permit, ModelPermit]


class ConstantRandom(Random):
    """Random numbers that are always the same, as in the model."""

    def random(self) -> float:
        return RANDOM


def limits(max_in_flight: int | None) -> LimitPolicy | None:
    return None if max_in_flight is None else LimitPolicy(in_flight=max_in_flight)


def as_model_event(event: Any) -> tuple[Any, ...]:
    """An event in the form of the model's."""
    if isinstance(event, CircuitChanged):
        _router, _provider, *change, _at = event
        return ("circuit", *change)
    if isinstance(event, CooldownStarted):
        return ("cooldown_started", event.seconds, event.from_retry_after)
    assert isinstance(event, HoldChanged)
    return ("hold_changed", event.hold)


class CircuitMachine(RuleBasedStateMachine):
    """A gate and its model, which perform the same operations."""

    tickets: Bundle[Ticket] = Bundle("tickets")

    @initialize(policy=POLICIES, max_in_flight=LIMITS)
    def build(self, policy: CircuitPolicy, max_in_flight: int | None) -> None:
        self.recorder = Recorder()
        self.errors: list[Exception] = []
        self.dispatcher = EventDispatcher(
            [self.recorder], lambda _, error: self.errors.append(error)
        )
        self.revision = ChangeCounter()
        self.gate = Gate(
            "a",
            policy,
            limits(max_in_flight),
            router="r",
            dispatcher=self.dispatcher,
            revision=self.revision,
            rng=ConstantRandom(),
        )
        self.model = GateModel(policy, max_in_flight)
        self.open_tickets: list[Ticket] = []
        self.max_trials = policy.half_open_max_calls
        self.promise: tuple[int, float, bool, bool] | None = None

    @property
    def now(self) -> float:
        return self.model.now

    # ── operations ──────────────────────────────────────────────────────────────────────────────

    @rule(
        target=tickets,
        lease=LEASES,
        panic=st.sampled_from([False, False, False, True]),
        join=st.booleans(),
    )
    def begin(self, lease: float, *, panic: bool, join: bool) -> Any:
        permit = self.gate.acquire(self.now, 0, lease, panic=panic, join=join)
        expected = self.model.begin(lease, panic=panic, join=join)
        assert (permit is None) == (expected is None)
        if permit is None or expected is None:
            return multiple()
        assert (permit.generation, permit.trial) == (expected.generation, expected.trial)
        if permit.trial and join:
            self.max_trials = max(self.max_trials, self.model.trials_in_flight)
        elif permit.trial:
            assert (
                self.model.trials_in_flight + self.model.passed
                <= self.model.policy.half_open_max_calls
            )
        self.open_tickets.append((permit, expected))
        return permit, expected

    def end(self, ticket: Ticket, *, late: bool, counted: bool) -> None:
        """A late result is reported as late, and no other one is."""
        assert late == (not counted and ticket[1].generation >= 0)
        self.open_tickets.remove(ticket)

    @rule(
        ticket=consumes(tickets), elapsed=st.sampled_from([0.5, 2.0, 8.0]), slow=st.integers(0, 9)
    )
    def succeed(self, ticket: Ticket, elapsed: float, slow: int) -> None:
        is_slow = slow == 9
        late = self.gate.release_answered(ticket[0], self.now, elapsed, slow=is_slow)
        self.end(ticket, late=late, counted=self.model.answered(ticket[1], elapsed, slow=is_slow))

    @rule(ticket=consumes(tickets), retry_after=RETRY_AFTERS)
    def fail(self, ticket: Ticket, retry_after: float | None) -> None:
        late = self.unanswered(ticket, FailureKind.SERVER, CircuitEffect.FAILURE, retry_after)
        self.end(ticket, late=late, counted=self.model.failed(ticket[1], retry_after))

    @rule(ticket=consumes(tickets))
    def fail_counted_as_success(self, ticket: Ticket) -> None:
        late = self.unanswered(ticket, FailureKind.NOT_FOUND, CircuitEffect.SUCCESS)
        self.end(ticket, late=late, counted=self.model.counted_as_success(ticket[1]))

    @rule(ticket=consumes(tickets), retry_after=RETRY_AFTERS)
    def start_cooldown(self, ticket: Ticket, retry_after: float | None) -> None:
        late = self.unanswered(ticket, FailureKind.RATE_LIMIT, CircuitEffect.COOLDOWN, retry_after)
        self.end(ticket, late=late, counted=self.model.cooldown_started(ticket[1], retry_after))

    @rule(ticket=consumes(tickets), retry_after=RETRY_AFTERS, certain=st.booleans())
    def trip(self, ticket: Ticket, retry_after: float | None, *, certain: bool) -> None:
        late = self.unanswered(
            ticket, FailureKind.CREDENTIALS, CircuitEffect.TRIP, retry_after, certain=certain
        )
        counted = self.model.tripped(ticket[1], "credentials", retry_after, certain=certain)
        self.end(ticket, late=late, counted=counted)

    @rule(
        ticket=consumes(tickets), kind=st.sampled_from([FailureKind.CANCELLED, FailureKind.REQUEST])
    )
    def cancel(self, ticket: Ticket, kind: FailureKind) -> None:
        late = self.unanswered(ticket, kind, CircuitEffect.NEUTRAL)
        self.end(ticket, late=late, counted=self.model.neutral(ticket[1]))

    @rule(ticket=consumes(tickets))
    def return_unused(self, ticket: Ticket) -> None:
        self.gate.return_unused(ticket[0])
        self.model.neutral(ticket[1])
        self.open_tickets.remove(ticket)

    def unanswered(
        self,
        ticket: Ticket,
        kind: FailureKind,
        effect: CircuitEffect,
        retry_after: float | None = None,
        *,
        certain: bool = True,
    ) -> bool:
        verdict = Verdict(kind, retry_after, certain=certain)
        return self.gate.release_unanswered(ticket[0], verdict, effect, self.now)

    @rule(ticket=tickets, lease=LEASES)
    def renew(self, ticket: Ticket, lease: float) -> None:
        if ticket[0].trial:
            ticket[0].renew(self.now, lease)
            self.model.renew(ticket[1], lease)

    @rule(ticket=tickets)
    def deliver(self, ticket: Ticket) -> None:
        ticket[0].delivering = ticket[1].delivering = ticket[0].trial

    @rule(ticket=tickets)
    def pass_trial(self, ticket: Ticket) -> None:
        if ticket[0].trial:
            self.gate.circuit.pass_trial(ticket[0], self.now)
            self.model.pass_trial(ticket[1])

    @rule(seconds=TICKS)
    def tick(self, seconds: float) -> None:
        self.model.now += seconds

    @precondition(
        lambda self: math.isfinite(self.model.half_open_at) and self.now < self.model.half_open_at
    )
    @rule(early=st.sampled_from([0.0, 0.0, 0.25]))
    def advance_to_half_open(self, early: float) -> None:
        self.model.now = max(self.now, self.model.half_open_at - early)

    @precondition(lambda self: any(t.lease_until > self.now for t in self.model.trials))
    @rule()
    def expire(self) -> None:
        """The next lease ends, at that exact instant."""
        self.model.now = min(t.lease_until for t in self.model.trials if t.lease_until > self.now)

    @precondition(lambda self: self.now < self.model.cooldown_until)
    @rule()
    def advance_to_the_end_of_the_cooldown(self) -> None:
        self.model.now = self.model.cooldown_until

    @rule()
    def fire_timer(self) -> None:
        """A half-open timer fires, which may happen at any time, for an old generation too."""
        self.gate.circuit.settle(self.now)
        self.model.settle()

    @rule(hold=HOLDS)
    def hold(self, hold: Any) -> None:
        self.gate.set_hold(hold, self.now)
        self.model.hold_changed(hold)

    @rule()
    def unhold(self) -> None:
        self.gate.set_hold(None, self.now)
        self.model.hold_changed(None)

    @rule(policy=POLICIES, max_in_flight=LIMITS)
    def update(self, policy: CircuitPolicy, max_in_flight: int | None) -> None:
        self.gate.apply(policy, limits(max_in_flight))
        self.model.apply(policy, max_in_flight)

    @rule(opened=st.integers(0, 3))
    def restore(self, opened: int) -> None:
        self.gate.circuit.restore_open(self.now, "failures", 8.0, opened)
        self.model.restored("failures", 8.0, opened)

    @rule(by=st.sampled_from([-4.0, 4.0, 1024.0]))
    def move_to_another_loop(self, by: float) -> None:
        if self.now + by >= 0.0:
            self.gate.shift(by)
            self.model.shift(by)

    # ── invariants ──────────────────────────────────────────────────────────────────────────────

    @invariant()
    def events_match_the_model(self) -> None:
        """Each change is reported once, in order, with its generation."""
        self.dispatcher.deliver()
        assert not self.errors
        assert [as_model_event(event) for _, event in self.recorder.events] == self.model.events
        self.recorder.clear()
        self.model.events.clear()

    @invariant()
    def state_matches_the_model(self) -> None:
        circuit, model = self.gate.circuit, self.model
        assert circuit.state(self.now) == model.current_state
        assert (circuit.generation, circuit.half_open_at) == (model.generation, model.half_open_at)
        assert (circuit.is_closed, circuit.consecutive_openings) == (
            model.state == "closed",
            model.opened,
        )
        assert self.gate.cooldown_until == model.cooldown_until
        failed, calls = model._window_counts(model.results)
        assert self.gate.unhealthy(self.now) == (model.state != "closed" or failed * 2 > calls)

    @invariant()
    def reading_matches_acquiring(self) -> None:
        gate, model, now = self.gate, self.model, self.now
        words = {"held": "held open", "open": "open", "trial": "half_open, trial in flight"}
        rejection = model.rejection()
        assert gate.rejection(now).split(" (")[0] == words.get(rejection, rejection)
        assert gate.admits(now) == (not rejection)
        no_cooldown = now >= model.cooldown_until
        selectable = (
            model.hold != "open" if model.hold else no_cooldown and model.current_state == "closed"
        )
        assert gate.selectable(now) == selectable
        assert gate.half_open(now) == (
            not model.hold and no_cooldown and model.current_state == "half_open"
        )
        assert model.current_state in gate.describe(now) or rejection
        wait = gate.ready_in(now)
        assert wait is None or gate.admits(now + wait)
        assert (wait is None) == model.needs_more_than_time()
        assert (wait == 0.0) == (not rejection)
        assert gate.earliest_in(now) <= (math.inf if wait is None else wait)
        joins = not rejection or (rejection == "trial" and model.may_join())
        assert (not gate.rejection(now, join=True)) == joins or model.max_in_flight is not None

    @invariant()
    def recheck_is_in_time(self) -> None:
        """Before `recheck_in` has passed, time alone admits nothing; in a few steps, it does."""
        gate, at = self.gate, self.now
        for _ in range(100):
            recheck = gate.recheck_in(at)
            assert (recheck == 0.0) == (not gate.rejection(at, join=True))
            if not recheck:
                break
            assert gate.rejection(at + recheck * 0.875, join=True)
            at += recheck
        else:
            raise AssertionError

    @invariant()
    def permits_add_up(self) -> None:
        """None is lost or left over, and HALF_OPEN never has too many trials in flight."""
        gate, model = self.gate, self.model
        assert gate.in_flight == model.in_flight == len(self.open_tickets)
        assert gate._limits is None or gate._limits.in_flight == len(self.open_tickets)
        self.max_trials = max(self.max_trials, model.policy.half_open_max_calls)
        if gate.circuit.trials.permits == []:
            self.max_trials = model.policy.half_open_max_calls
        alive = [trial for trial in gate.circuit.trials.permits if trial.lease_until > self.now]
        assert len(alive) == model.trials_in_flight <= self.max_trials
        assert not alive or model.state == "half_open"
        permits = gate.circuit.trials.permits
        assert all(trial.generation == gate.circuit.generation for trial in permits)

    @invariant()
    def revision_covers_every_change(self) -> None:
        """The eligibility stays the same until the revision rises or its time is over."""
        gate, now = self.gate, self.now
        selectable, trial = gate.selectable(now), gate.half_open(now)
        if self.promise is not None:
            revision, until, was_selectable, was_trial = self.promise
            if revision == self.revision.value and now < until:
                assert (selectable, trial) == (was_selectable, was_trial)
        self.promise = (self.revision.value, gate.changes_at(now), selectable, trial)

    def teardown(self) -> None:
        """When all attempts have ended, nothing is left."""
        for ticket in getattr(self, "open_tickets", [])[:]:
            self.cancel(ticket, FailureKind.CANCELLED)
        if hasattr(self, "gate"):
            assert self.gate.in_flight == 0
            assert self.gate.circuit.trials.permits == []


@NO_TIMEOUT
def test_gate_matches_its_model_under_any_interleaving() -> None:
    """Case 28: a gate matches its model, whatever happens to it in whatever order.

    Of begin, succeed, fail in each way, cancel, expire, tick, hold, unhold and update: never more
    than K trials are in flight in HALF_OPEN, in-flight counts match, the state is the model's, late
    results change nothing, and each change is reported exactly once.
    """
    run_state_machine_as_test(CircuitMachine, settings=property_settings(150, steps=50))
