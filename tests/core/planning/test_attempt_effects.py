"""What the end of an attempt does: to the trail, the circuit, the health and the account."""

from __future__ import annotations

import pytest

from multirouter.core.cost.price import Price
from multirouter.core.health.latency_tracker import LatencyTracker
from multirouter.core.planning import final_errors
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import CircuitPolicy
from multirouter.model import AttemptRecord, FailureKind
from tests.core.kit import NEVER_TRIPS, World, calm, failing, provider


class AlwaysSlow(LatencyTracker):
    """A tracker that finds every answer slow."""

    __slots__ = ()

    def record(self, seconds: float, now: float, trial: bool = False) -> bool:
        assert seconds == 3.0
        assert now > 100.0
        return True


def slow_answers(names: str, held: str = "", *, stalled: bool = False) -> bool:
    """Whether the circuit of `a` is closed after three answers that count as slow."""
    circuit = CircuitPolicy(failures=3, growth=1, open_duration=5.0)
    world = World([provider(name) for name in names], [Route("r", list(names))], circuit=circuit)
    for name in held:
        world.states.gates[name].set_hold("open", world.now)
    world.member("a", "r").latency.__class__ = AlwaysSlow
    for _ in range(3):
        plan = world.plan("r")
        step = world.next_attempt(plan)
        if step.member.name != "a":
            break
        step.stalled = stalled
        world.succeed(plan, step, after=3.0)
    return world.states.gates["a"].circuit.is_closed


def test_a_slow_provider_trips_only_when_another_is_left() -> None:
    """The only one left serves, however slowly."""
    assert slow_answers("a")
    assert slow_answers("ab", held="b")
    assert not slow_answers("ab")


def test_an_answer_during_a_stall_is_not_slow() -> None:
    """Its time is not the provider's: it enters no latency."""
    assert slow_answers("ab", stalled=True)


def test_the_record_of_an_attempt() -> None:
    """It names the provider, the route and the role."""
    world = World([provider("a")], [Route("r", ["a"])])
    plan = world.plan("r")
    world.succeed(plan, world.next_attempt(plan), after=2.0)
    (record,) = plan.attempts
    assert (record.provider, record.route, record.role) == ("a", "r", "call")
    assert (record.started, record.elapsed, record.late) == (100.0, 2.0, False)


def test_a_plain_answer_costs_its_request() -> None:
    """A text for a text has no usage, but the provider may have a price for each request."""
    world = World([provider("a", price=Price(0.0, 0.0, per_request=0.25))])
    plan = world.plan(request="text")
    world.succeed(plan, world.next_attempt(plan), "answer")
    assert world.next_outcome(plan).cost == 0.25


@pytest.mark.parametrize(("kind", "failures"), [("invalid", 1), ("server", 1), ("request", 0)])
def test_the_health_counts_what_the_attempt_was(kind: str, failures: int) -> None:
    """Also an answer that was rejected, which the circuit does not count."""
    world = calm("a", routes=[Route("r", ["a"])])
    plan = world.plan("r")
    world.fail(plan, world.next_attempt(plan), kind)
    assert world.member("a", "r").health.failures == failures


def test_the_end_of_an_attempt_whose_loop_is_gone_is_late() -> None:
    """Nothing is counted: its permit was forgotten with the loop."""
    world = World([provider("a")], circuit=CircuitPolicy(failures=1))
    plan = world.plan()
    step = world.next_attempt(plan)
    world.context.lost = True
    world.fail(plan, step)
    assert plan.attempts[0].late
    assert world.states.gates["a"].circuit.is_closed


# ── errors ────────────────────────────────────────────────────────────────────────────────────────


def record(kind: str, error: Exception | None = None, *, stalled: bool = False) -> AttemptRecord:
    """A failed attempt at `a`."""
    made = AttemptRecord("a", "r", "call", failing(kind), error, 100.0, 0.5, "")
    made.stalled = stalled
    return made


def test_a_request_that_no_provider_can_serve() -> None:
    """The error has the trail, its time and the last failure as its cause."""
    route = calm("a", "b").route()
    trail = [record("unsupported", ValueError(text)) for text in ("one", "two", "three")]
    error = final_errors.request_unsupported(route, {"a": "no", "b": "no"}, trail, 107.0, 100.0)
    assert error.elapsed == 7.0  # type: ignore[attr-defined]
    assert error.__cause__ is trail[-1].error
    assert str(error) == "no provider of route 'default' can serve the request (a: no; b: no)"


def test_whether_only_the_request_is_at_fault() -> None:
    """With one failure at least, and none of another kind."""
    assert not final_errors.only_about_the_request([])
    every = [record(kind) for kind in final_errors.REQUEST_KINDS]
    assert final_errors.only_about_the_request(every)
    assert final_errors.only_about_the_request(every[:1])
    assert not final_errors.only_about_the_request([*every, record("server")])


def test_why_a_provider_rejected_a_request() -> None:
    """The kind, and the message if there is one."""
    assert final_errors.rejection_of(record("request")) == "request"
    assert final_errors.rejection_of(record("request", ValueError())) == "request"
    assert final_errors.rejection_of(record("request", ValueError("slip"))) == "request: slip"


def test_a_failure_during_a_stall_is_excused_in_the_error() -> None:
    """If the stall may be its cause."""
    route = calm("a").route()
    for kind, stalled, excused in (
        ("timeout", True, True),
        ("timeout", False, False),
        ("credentials", True, False),
    ):
        trail = [record(kind, OSError("x"), stalled=stalled)]
        error = final_errors.all_failed(route, trail, None, 101.0, 100.0)
        assert ("while the event loop stalled" in str(error)) is excused


def test_a_provider_that_is_held_open_becomes_ready_by_no_time() -> None:
    """The others decide; where more than time decides, nothing is reported."""
    world = World([provider(name) for name in "ab"], circuit=NEVER_TRIPS)
    gates, members = world.states.gates, world.route().members
    gates["a"].cooldown_until = world.now + 4.0
    gates["b"].set_hold("open", world.now)
    assert final_errors.earliest_ready_in(members, world.now, 0) == 4.0
    gates["a"].set_hold("open", world.now)
    assert final_errors.earliest_ready_in(members, world.now, 0) is None
    assert final_errors.earliest_ready_in([], world.now, 0) is None
    assert FailureKind.REQUEST in final_errors.REQUEST_KINDS
