"""One provider's door against a simple model, under any interleaving of what can happen to it."""

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
from tests.properties.effort import PATIENT, effort
from tests.properties.model import DRAW, Door, Pass

# All spans are multiples of a power of two, so that instants are exact and edges are hit.
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
    exhausted_duration=st.just(64.0),
    cooldown=st.sampled_from([1.0, 5.0]),
    max_cooldown=st.sampled_from([2.0, 16.0]),
)
LIMITS = st.sampled_from([None, None, 1, 2, 4])
HOLDS = st.sampled_from(["open", "closed", "disabled", "metrics_only"])
ASKED = st.sampled_from([None, 3.0, 100.0])
LEASES = st.sampled_from([0.25, 2.0, 30.0])
TICKS = st.sampled_from([0.25, 1.0, 3.75, 16.0, 100.0])

Ticket = tuple[Permit, Pass]


class Even(Random):
    """A chance that says the same each time, as the model's does."""

    def random(self) -> float:
        return DRAW


def limits(at_most: int | None) -> LimitPolicy | None:
    return None if at_most is None else LimitPolicy(in_flight=at_most)


def as_told(news: Any) -> tuple[Any, ...]:
    """A piece of news as the model tells it."""
    if isinstance(news, CircuitChanged):
        return ("circuit", news.old, news.new, news.reason, news.generation, news.open_duration)
    if isinstance(news, CooldownStarted):
        return ("cooldown_started", news.seconds, news.asked)
    assert isinstance(news, HoldChanged)
    return ("hold_changed", news.hold)


class CircuitMachine(RuleBasedStateMachine):
    """A gate and its model, which live through the same things."""

    tickets: Bundle[Ticket] = Bundle("tickets")

    @initialize(policy=POLICIES, at_most=LIMITS)
    def build(self, policy: CircuitPolicy, at_most: int | None) -> None:
        self.heard = Recorder()
        self.broken: list[Exception] = []
        self.dispatcher = EventDispatcher([self.heard], lambda _, error: self.broken.append(error))
        self.revision = ChangeCounter()
        self.gate = Gate(
            "a",
            policy,
            limits(at_most),
            router="r",
            dispatcher=self.dispatcher,
            revision=self.revision,
            rng=Even(),
        )
        self.door = Door(policy, at_most)
        self.out: list[Ticket] = []
        self.most_probes = policy.half_open_max_calls
        self.promised: tuple[int, float, bool, bool] | None = None

    @property
    def now(self) -> float:
        return self.door.now

    # ── what can happen ──────────────────────────────────────────────────────────────────────

    @rule(target=tickets, lease=LEASES, panic=st.sampled_from([False, False, False, True]))
    def begin(self, lease: float, *, panic: bool) -> Any:
        permit = self.gate.acquire(self.now, 0, lease, panic=panic)
        expected = self.door.begin(lease, panic=panic)
        assert (permit is None) == (expected is None)
        if permit is None or expected is None:
            return multiple()
        assert (permit.generation, permit.trial) == (expected.generation, expected.trial)
        if permit.trial:
            assert self.door.out + self.door.passed <= self.door.policy.half_open_max_calls
        self.out.append((permit, expected))
        return permit, expected

    def end(self, ticket: Ticket, *, late: bool, counted: bool) -> None:
        """What came too late is told so, and nothing else is."""
        assert late == (not counted and ticket[1].generation >= 0)
        self.out.remove(ticket)

    @rule(
        ticket=consumes(tickets), elapsed=st.sampled_from([0.5, 2.0, 8.0]), slow=st.integers(0, 9)
    )
    def succeed(self, ticket: Ticket, elapsed: float, slow: int) -> None:
        ill = slow == 9
        late = self.gate.release_answered(ticket[0], self.now, elapsed, slow=ill)
        self.end(ticket, late=late, counted=self.door.answered(ticket[1], elapsed, slow=ill))

    @rule(ticket=consumes(tickets))
    def fail(self, ticket: Ticket) -> None:
        late = self.unanswered(ticket, FailureKind.SERVER, CircuitEffect.FAILURE)
        self.end(ticket, late=late, counted=self.door.failed(ticket[1]))

    @rule(ticket=consumes(tickets))
    def fail_alive(self, ticket: Ticket) -> None:
        late = self.unanswered(ticket, FailureKind.NOT_FOUND, CircuitEffect.SUCCESS)
        self.end(ticket, late=late, counted=self.door.alive(ticket[1]))

    @rule(ticket=consumes(tickets), asked=ASKED)
    def cool(self, ticket: Ticket, asked: float | None) -> None:
        late = self.unanswered(ticket, FailureKind.RATE_LIMIT, CircuitEffect.COOL, asked)
        self.end(ticket, late=late, counted=self.door.cooldown_started(ticket[1], asked))

    @rule(ticket=consumes(tickets), asked=ASKED, certain=st.booleans())
    def trip(self, ticket: Ticket, asked: float | None, *, certain: bool) -> None:
        late = self.unanswered(
            ticket, FailureKind.CREDENTIALS, CircuitEffect.TRIP, asked, certain=certain
        )
        counted = self.door.tripped(ticket[1], "credentials", asked, certain=certain)
        self.end(ticket, late=late, counted=counted)

    @rule(
        ticket=consumes(tickets), kind=st.sampled_from([FailureKind.CANCELLED, FailureKind.REQUEST])
    )
    def cancel(self, ticket: Ticket, kind: FailureKind) -> None:
        late = self.unanswered(ticket, kind, CircuitEffect.NEUTRAL)
        self.end(ticket, late=late, counted=self.door.nothing(ticket[1]))

    @rule(ticket=consumes(tickets))
    def give_back(self, ticket: Ticket) -> None:
        self.gate.give_back(ticket[0])
        self.door.nothing(ticket[1])
        self.out.remove(ticket)

    def unanswered(
        self,
        ticket: Ticket,
        kind: FailureKind,
        effect: CircuitEffect,
        asked: float | None = None,
        *,
        certain: bool = True,
    ) -> bool:
        verdict = Verdict(kind, asked, certain=certain)
        return self.gate.release_unanswered(ticket[0], verdict, effect, self.now)

    @rule(ticket=tickets, lease=LEASES)
    def renew(self, ticket: Ticket, lease: float) -> None:
        if ticket[0].trial:
            self.gate.circuit.renew(ticket[0], self.now, lease)
            self.door.renewed(ticket[1], lease)

    @rule(ticket=tickets)
    def prove(self, ticket: Ticket) -> None:
        if ticket[0].trial:
            self.gate.circuit.prove(ticket[0], self.now)
            self.door.proven(ticket[1])

    @rule(seconds=TICKS)
    def tick(self, seconds: float) -> None:
        self.door.now += seconds

    @precondition(
        lambda self: math.isfinite(self.door.half_open_at) and self.now < self.door.half_open_at
    )
    @rule(early=st.sampled_from([0.0, 0.0, 0.25]))
    def come_to_the_reset(self, early: float) -> None:
        self.door.now = max(self.now, self.door.half_open_at - early)

    @precondition(lambda self: any(t.lease_until > self.now for t in self.door.trials))
    @rule()
    def expire(self) -> None:
        """The next lease ends, to the instant."""
        self.door.now = min(t.lease_until for t in self.door.trials if t.lease_until > self.now)

    @precondition(lambda self: self.now < self.door.cooldown_until)
    @rule()
    def come_to_the_end_of_cooling(self) -> None:
        self.door.now = self.door.cooldown_until

    @rule()
    def ring(self) -> None:
        """The bell of a reset, which may ring at any time, for an old era too."""
        self.gate.circuit.settle(self.now)
        self.door.settle()

    @rule(hold=HOLDS)
    def hold(self, hold: Any) -> None:
        self.gate.hold_by_hand(hold, self.now)
        self.door.hold_changed(hold)

    @rule()
    def unhold(self) -> None:
        self.gate.hold_by_hand(None, self.now)
        self.door.hold_changed(None)

    @rule(policy=POLICIES, at_most=LIMITS)
    def update(self, policy: CircuitPolicy, at_most: int | None) -> None:
        self.gate.adopt(policy, limits(at_most))
        self.door.adopts(policy, at_most)

    @rule(opened=st.integers(0, 3))
    def restore(self, opened: int) -> None:
        self.gate.circuit.restore_open(self.now, "failures", 8.0, opened)
        self.door.restored("failures", 8.0, opened)

    @rule(by=st.sampled_from([-4.0, 4.0, 1024.0]))
    def move_to_another_loop(self, by: float) -> None:
        if self.now + by >= 0.0:
            self.gate.shift(by)
            self.door.moves(by)

    # ── what holds after each of it ──────────────────────────────────────────────────────────

    @invariant()
    def the_news_are_the_models(self) -> None:
        """Each change is told once, in order, with its era."""
        self.dispatcher.deliver()
        assert not self.broken
        assert [as_told(news) for _, news in self.heard.news] == self.door.news
        self.heard.clear()
        self.door.news.clear()

    @invariant()
    def the_state_is_the_models(self) -> None:
        circuit, door = self.gate.circuit, self.door
        assert circuit.state(self.now) == door.seen
        assert (circuit.generation, circuit.half_open_at) == (door.generation, door.half_open_at)
        assert (circuit.is_closed, circuit.opened) == (door.state == "closed", door.opened)
        assert self.gate.cooldown_until == door.cooldown_until
        failed, calls = door._counted(door.results)
        assert self.gate.ill(self.now) == (door.state != "closed" or failed * 2 > calls)

    @invariant()
    def asking_takes_nothing_and_says_what_entering_would(self) -> None:
        gate, door, now = self.gate, self.door, self.now
        words = {"hold_changed": "held open", "open": "open", "trial": "half_open, trial out"}
        refusal = door.refuses()
        assert gate.refuses(now).split(" (")[0] == words.get(refusal, refusal)
        assert gate.admits(now) == (not refusal)
        calm = now >= door.cooldown_until
        part = door.hold != "open" if door.hold else calm and door.seen == "closed"
        assert gate.closed(now) == part
        assert gate.on_trial(now) == (not door.hold and calm and door.seen == "half_open")
        assert door.seen in gate.describe(now) or refusal
        wait = gate.ready_in(now)
        assert wait is None or gate.admits(now + wait)
        assert (wait is None) == door.waits_for_more_than_time()
        assert (wait == 0.0) == (not refusal)

    @invariant()
    def permits_add_up(self) -> None:
        """None is lost, none is left over, and HALF_OPEN never has more out than it may."""
        gate, door = self.gate, self.door
        assert gate.in_flight == door.in_flight == len(self.out)
        assert gate._limits is None or gate._limits.in_flight == len(self.out)
        self.most_probes = max(self.most_probes, door.policy.half_open_max_calls)
        if gate.circuit._trials == []:
            self.most_probes = door.policy.half_open_max_calls
        alive = [trial for trial in gate.circuit._trials if trial.lease_until > self.now]
        assert len(alive) == door.out <= self.most_probes
        assert not alive or door.state == "half_open"
        assert all(trial.generation == gate.circuit.generation for trial in gate.circuit._trials)

    @invariant()
    def draw_tables_are_told_of_every_change(self) -> None:
        """What a table holds stays true until the revision rises or its time is over."""
        gate, now = self.gate, self.now
        part, trial = gate.closed(now), gate.on_trial(now)
        if self.promised is not None:
            revision, until, was_part, was_trial = self.promised
            if revision == self.revision.value and now < until:
                assert (part, trial) == (was_part, was_trial)
        self.promised = (self.revision.value, gate.changes_at(now), part, trial)

    def teardown(self) -> None:
        """When all have ended, nothing is left."""
        for ticket in getattr(self, "out", [])[:]:
            self.cancel(ticket, FailureKind.CANCELLED)
        if hasattr(self, "gate"):
            assert self.gate.in_flight == 0
            assert self.gate.circuit._trials == []


@PATIENT
def test_a_door_follows_the_model_under_any_interleaving() -> None:
    """Case 28: a door follows the model, whatever happens to it in whatever order.

    Of begin, succeed, fail in each way, cancel, expire, tick, hold, unhold and update: never more
    than K permits are out in HALF_OPEN, in-flight is what is out, the state is the model's, late
    results move nothing, and each change is told exactly once.
    """
    run_state_machine_as_test(CircuitMachine, settings=effort(150, steps=50))
