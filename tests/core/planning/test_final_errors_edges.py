"""Edges of the errors that end a call: trail, time, and words for an answer that is a failure."""

from __future__ import annotations

from multirouter.core.planning import final_errors as endings
from multirouter.core.settings.policies import LimitPolicy
from multirouter.model import AttemptRecord, FailureKind
from tests.core.kit import World, failing, provider


def failed(kind: FailureKind, error: Exception | None = None) -> AttemptRecord:
    """A failed attempt at `a`."""
    return AttemptRecord("a", "default", "call", failing(kind), error, 100.0, 0.5, "only one")


def test_errors_carry_the_trail_and_the_time() -> None:
    """Whether all failed or the time was up, the error has every attempt and what it all took."""
    world = World([provider("a")])
    trail = [failed(FailureKind.SERVER, OSError("broken"))]
    for error in (
        endings.all_failed(world.route(), trail, None, 107.0, 100.0),
        endings.timed_out(world.route(), trail, 107.0, 100.0, 107.0),
    ):
        assert error.attempts == tuple(trail)  # type: ignore[attr-defined]
        assert error.elapsed == 7.0  # type: ignore[attr-defined]
        assert error.__cause__ is trail[0].error


def test_an_answer_that_is_the_requests_fault_is_said_to_be_one() -> None:
    """Where nothing was raised, the error names the kind, and its note the attempt."""
    record = failed(FailureKind.CONTEXT_LENGTH)
    world = World([provider("a")])
    error = endings.all_failed(world.route(), [record, record], None, 1.0, 0.0)
    assert str(error) == "the answer counts as context_length"
    assert error.__notes__[0].startswith("multirouter: attempt 2 at 'a' on route 'default'")


def test_a_time_to_come_back_is_for_the_requests_size() -> None:
    """Who needs twenty tokens and finds ten waits for ten more."""
    tokens = LimitPolicy(tokens_per_minute=60, size=len)
    world = World([provider("a", limits=tokens)])
    world.trying(world.plan(size=50))
    members = world.route().members
    assert endings.soonest(members, world.now, 20) == 10.0
    assert endings.soonest(members, world.now, 10) == 0.0
    world.trying(world.plan(size=10))
    failure = endings.all_failed(
        world.route(), [failed(FailureKind.SERVER)], None, world.now, 100.0
    )
    assert failure.retry_after == 0.0  # type: ignore[attr-defined]
