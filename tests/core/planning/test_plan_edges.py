"""Edges of a plan: what records say, what the paces are told, and attempts cut off early."""

from __future__ import annotations

from typing import Any, ClassVar

from multirouter.core.health.adaptive_timeout import LatencyTracker
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import CircuitPolicy
from multirouter.model import FailureKind
from tests.core.kit import NEVER_TRIPS, World, failing, provider

FIXED = CircuitPolicy(failures=1, growth=1, open_duration=5.0)


class Spy(LatencyTracker):
    """A pace of two seconds that notes what it is told."""

    __slots__ = ()
    limit = 2.0
    told: ClassVar[list[tuple[Any, ...]]] = []

    def answered(self, seconds: float, *now: float, trial: bool = False) -> bool:
        self.told.append(("answered", seconds, *now, trial))
        return False

    def timed_out(self, seconds: float, *now: float, trial: bool = False) -> None:
        self.told.append(("timed out", seconds, *now, trial))


def spied(names: str, **settings: Any) -> World:
    """Providers whose paces are watched."""
    Spy.told.clear()
    world = World([provider(name) for name in names], **settings)
    for name in names:
        world.member(name).latency.__class__ = Spy
    return world


def test_a_requests_own_fault_ends_as_a_failure() -> None:
    """What nobody can mend is a failure of the call, in these words."""
    world = World([provider("a")])
    plan = world.plan()
    error = world.fails(plan, world.trying(plan), "request")
    outcome = world.ended(plan)
    assert (outcome.result, outcome.error) == ("failure", error)


def test_rests_are_not_taken_in_the_line() -> None:
    """Before the same provider, before a next round and after an early bell: nobody is in line."""
    for retries in (0, 1):
        routes = [Route("r", ["a"], retries_per_provider=retries)]
        world = World([provider("a")], routes, circuit=NEVER_TRIPS)
        plan = world.plan("r")
        world.fails(plan, world.trying(plan))
        assert world.waiting(plan).for_room is False
        assert world.waiting(plan).for_room is False


def test_a_record_knows_when_it_began_and_that_it_was_late() -> None:
    """An answer of an old era is marked late; its start, and that of its call, are loop time."""
    world = World([provider("a")], circuit=FIXED)
    plan = world.plan()
    step = world.trying(plan)
    world.trip("a")
    world.answers(plan, step, after=2.0)
    record, outcome = plan.attempts[0], world.ended(plan)
    assert (record.late, record.started, record.elapsed) == (True, 100.0, 2.0)
    assert (outcome.started, outcome.elapsed, outcome.route) == (100.0, 2.0, "default")


def test_a_pace_is_told_of_answers_and_of_time_outs() -> None:
    """It learns what they took, and whether they were trials."""
    world = spied("a", circuit=FIXED)
    plan = world.plan()
    world.answers(plan, world.trying(plan), after=0.5)
    assert (Spy.told[0][:2], Spy.told[0][-1]) == (("answered", 0.5), False)
    world.half_open("a")
    plan = world.plan()
    world.fails(plan, world.trying(plan), "timeout", after=2.0)
    assert (Spy.told[1][:2], Spy.told[1][-1]) == (("timed out", 2.0), True)
    world.now = world.memory.gates["a"].circuit.half_open_at
    plan = world.plan()
    world.answers(plan, world.trying(plan), after=1.0)
    assert (Spy.told[2][:2], Spy.told[2][-1]) == (("answered", 1.0), True)


def test_a_slow_answer_reaches_the_circuit() -> None:
    """What an answer took is what the circuit's own mark for slowness is held against."""
    policy = CircuitPolicy(failures=9, slow_after=1.0, minimum_calls=1)
    world = World([provider("a")], circuit=policy)
    plan = world.plan()
    world.answers(plan, world.trying(plan), after=5.0)
    assert not world.memory.gates["a"].circuit.is_closed


def test_who_was_cut_off_early_may_be_asked_again() -> None:
    """Cut off by its own past, a provider is out of this round alone; by its timeout, for good."""
    for limit, out in ((2.0, False), (30.0, True)):
        world = spied("ab", circuit=NEVER_TRIPS)
        plan = world.plan()
        first = world.trying(plan)
        first.deadline = first.started + limit
        world.fails(plan, first, failing(FailureKind.TIMEOUT), after=limit)
        assert plan._repetition is not None
        assert (first.member.name in plan._repetition.out) == out
