"""The errors a call ends with: what they say, hold and are caused by."""

from __future__ import annotations

import pytest

from multirouter.core.planning import final_errors as endings
from multirouter.core.planning.retrying import Refusal
from multirouter.core.settings.policies import CircuitPolicy, LimitPolicy
from multirouter.errors import AllProvidersFailed, ProviderError
from multirouter.model import CANCELLED, AttemptRecord, FailureKind, Verdict
from tests.core.kit import World, failing, provider


def record(
    name: str, verdict: Verdict, error: BaseException | None = None, elapsed: float = 0.5
) -> AttemptRecord:
    """An ended attempt."""
    return AttemptRecord(name, "default", "call", verdict, error, 1.0, elapsed, "only one")


def world() -> World:
    """Two providers, the first with one place."""
    return World(
        [provider("a", limits=LimitPolicy(in_flight=1)), provider("b")],
        circuit=CircuitPolicy(failures=1, growth=1, open_duration=5.0),
    )


def test_nobody_available_names_each_state() -> None:
    """Case 37: the words and `states` say for each provider why it could not be asked."""
    of = world()
    of.trying(of.plan(["a"]))
    of.trip("b")
    error = endings.nobody_available(of.route(), "", of.now, of.now - 2.0, 3.0)
    assert str(error) == (
        "no provider of route 'default' can be asked "
        "(a: full (1 in flight), b: open (failures, last server), resets in 5.0 s)"
    )
    assert error.states["a"] == "full (1 in flight)"
    assert (error.elapsed, error.retry_after) == (2.0, 3.0)


def test_a_shared_limit_speaks_for_all() -> None:
    """Where the route's own limit refuses, that is each provider's state."""
    of = world()
    error = endings.nobody_available(of.route(), "full (9 in flight)", of.now, of.now, None)
    assert error.states == {"a": "full (9 in flight)", "b": "full (9 in flight)"}
    assert error.retry_after is None


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (None, ""),
        ("budget", "; the retry budget is used up"),
        ("attempts", "; RetryPolicy.attempts is used up"),
        ("deadline", "; another try would have passed the call's timeout"),
        (
            "not_idempotent",
            "; idempotent=False bars another try, this one may have had an effect",
        ),
    ],
)
def test_all_failed_says_why_it_stopped(refusal: Refusal | None, words: str) -> None:
    """Case 75: each failure by provider, kind and sign, then why there was no further try."""
    of = world()
    first, last = OSError("x"), ValueError("y")
    trail = [
        record("a", failing("server", reason="status 503"), first),
        record("b", CANCELLED, BaseException()),
        record("b", failing("unknown"), last),
    ]
    error = endings.all_failed(of.route(), trail, refusal, of.now, of.now - 1.0)
    assert isinstance(error, AllProvidersFailed)
    told = "a: server (status 503); b: unknown (ValueError)"
    assert str(error) == f"all attempts on route 'default' failed: {told}{words}"
    assert error.__cause__ is last
    assert error.attempts == tuple(trail)
    assert (error.elapsed, error.retry_after) == (1.0, 0.0)


def test_all_failed_without_a_failure() -> None:
    """A trail of nothing but cancelled attempts has no cause, and is no fault of the request."""
    of = world()
    trail = [record("a", CANCELLED, BaseException())]
    error = endings.all_failed(of.route(), trail, None, of.now, of.now)
    assert isinstance(error, AllProvidersFailed)
    assert error.__cause__ is None


def test_timed_out_tells_the_trail() -> None:
    """A timeout names the span, each attempt with its length, and the last error as its cause."""
    of = world()
    last = OSError()
    trail = [record("a", failing("server"), last, 1.5), record("b", CANCELLED, None, 0.5)]
    error = endings.timed_out(of.route(), trail, 102.0, 100.0, 102.0)
    assert str(error) == (
        "route 'default' gave no answer within timeout=2 s "
        "(a server after 1.50 s, b cancelled after 0.50 s)"
    )
    assert error.__cause__ is last
    nobody = endings.timed_out(of.route(), [], 102.0, 100.0, 102.0)
    assert str(nobody).endswith("(nobody could be asked)")
    assert nobody.__cause__ is None


def test_own_fault_of_an_answer() -> None:
    """An answer that counts as the request's fault has an error that stands for it."""
    error = endings.own_fault(record("a", failing("request")), 3)
    assert isinstance(error, ProviderError)
    assert (error.provider, error.kind) == ("a", FailureKind.REQUEST)
    assert error.__notes__[0].startswith("multirouter: attempt 3 at 'a' on route 'default'; ")


def test_soonest() -> None:
    """The first who is back by time alone; None when nobody is by that."""
    of = world()
    of.trip("a", "b")
    of.memory.gates["b"].circuit.half_open_at += 10.0
    members = of.route().members
    assert endings.soonest(members, of.now, 0) == pytest.approx(5.0)
    for gate in of.memory.gates.values():
        gate.hold_by_hand("open", of.now)
    assert endings.soonest(members, of.now, 0) is None
    assert endings.soonest((), of.now, 0) is None
