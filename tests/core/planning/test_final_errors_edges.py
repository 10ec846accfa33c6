"""Edge cases of final errors: trail, elapsed time, answers classified as failures."""

from __future__ import annotations

from multirouter.core.planning import final_errors
from multirouter.core.settings.policies import LimitPolicy
from multirouter.model import AttemptRecord, FailureKind
from tests.core.kit import World, failing, provider


def failed(kind: FailureKind, error: Exception | None = None) -> AttemptRecord:
    """A failed attempt at `a`."""
    return AttemptRecord("a", "default", "call", failing(kind), error, 100.0, 0.5, "only candidate")


def test_errors_have_attempts_and_elapsed() -> None:
    """AllProvidersFailed and CallTimeout have every attempt and the elapsed time."""
    world = World([provider("a")])
    trail = [failed(FailureKind.SERVER, OSError("broken"))]
    for error in (
        final_errors.all_failed(world.route(), trail, None, 107.0, 100.0),
        final_errors.timed_out(world.route(), trail, 107.0, 100.0, 107.0),
    ):
        assert error.attempts == tuple(trail)
        assert error.elapsed == 7.0
        assert error.__cause__ is trail[0].error


def test_answer_at_fault_is_named_by_kind() -> None:
    """Without an exception the error names the kind."""
    record = failed(FailureKind.CONTEXT_LENGTH)
    world = World([provider("a")])
    error = final_errors.request_unsupported(world.route(), {"a": ""}, [record], 1.0, 0.0)
    assert str(error) == "the answer is classified as context_length"


def test_ready_in_depends_on_the_size() -> None:
    """A request of twenty tokens with ten available waits for ten more."""
    tokens = LimitPolicy(tokens_per_minute=60, size=len)
    world = World([provider("a", limits=tokens)])
    world.next_attempt(world.plan(size=50))
    members = world.route().members
    assert final_errors.earliest_ready_in(members, world.now, 20) == 10.0
    assert final_errors.earliest_ready_in(members, world.now, 10) == 0.0
    world.next_attempt(world.plan(size=10))
    failure = final_errors.all_failed(
        world.route(), [failed(FailureKind.SERVER)], None, world.now, 100.0
    )
    assert failure.retry_after == 0.0  # type: ignore[attr-defined]
