"""Final errors: message, attributes and cause."""

from __future__ import annotations

import pytest

from multirouter.core.planning import final_errors
from multirouter.core.planning.retrying import DenialReason
from multirouter.core.settings.policies import CircuitPolicy, LimitPolicy
from multirouter.errors import AllProvidersFailed, ProviderError
from multirouter.model import CANCELLED, AttemptRecord, FailureKind, Verdict
from tests.core.kit import World, failing, provider


def record(
    name: str, verdict: Verdict, error: BaseException | None = None, elapsed: float = 0.5
) -> AttemptRecord:
    """An ended attempt."""
    return AttemptRecord(name, "default", "call", verdict, error, 1.0, elapsed, "only candidate")


def world() -> World:
    """Two providers, the first limited to one attempt in flight."""
    return World(
        [provider("a", limits=LimitPolicy(in_flight=1)), provider("b")],
        circuit=CircuitPolicy(failures=1, growth=1, open_duration=5.0),
    )


def test_no_provider_available_lists_each_state() -> None:
    """Case 37: message and `states` say for each provider why it was not available."""
    scene = world()
    scene.next_attempt(scene.plan(["a"]))
    scene.trip("b")
    error = final_errors.no_provider_available(scene.route(), "", scene.now, scene.now - 2.0, 3.0)
    assert str(error) == (
        "no provider of route 'default' is available "
        "(a: at its limit (1 in flight); "
        "b: open (failures; last failure: server), half-open in 5.0 s)"
    )
    assert error.states["a"] == "at its limit (1 in flight)"
    assert (error.elapsed, error.retry_after) == (2.0, 3.0)


def test_equal_attempts_in_a_row_are_counted() -> None:
    """A call that retried one provider lists its failure once, with the number of attempts."""
    down = Verdict(FailureKind.SERVER, reason="status 500")
    attempts = [record("a", down), record("b", down), record("b", down), record("a", down)]
    error = final_errors.all_failed(world().route(), attempts, None, 9.0, 1.0)
    assert str(error) == (
        "all attempts on route 'default' failed: a: server (status 500); "
        "b: server (status 500), 2 times; a: server (status 500)"
    )
    late = final_errors.timed_out(world().route(), attempts[1:3], 9.0, 1.0, 9.0)
    assert "(b: server after 0.50 s, 2 times)" in str(late)


def test_shared_limit_is_every_providers_state() -> None:
    """A limit of the route is each provider's state."""
    scene = world()
    error = final_errors.no_provider_available(
        scene.route(), "at its limit (9 in flight)", scene.now, scene.now, None
    )
    assert error.states == {"a": "at its limit (9 in flight)", "b": "at its limit (9 in flight)"}
    assert error.retry_after is None


def test_rate_limited_are_calls_that_only_rate_limits_reject() -> None:
    """A cooldown of each provider after a 429; not one after a 503, an open circuit or a limit."""

    def rejected(*kinds: str, limit: str = "", unable: str = "") -> bool:
        scene = World([provider("a"), provider("b")], circuit=CircuitPolicy(failures=1))
        for name, kind in zip("ab", kinds, strict=True):
            plan = scene.plan([name])
            failure = FailureKind.RATE_LIMIT if kind == "rate" else FailureKind.OVERLOADED
            verdict = Verdict(failure, retry_after=None if kind == "open" else 9.0)
            scene.fail(plan, scene.next_attempt(plan), verdict)
        ineligible = {unable: "too long"} if unable else {}
        error = final_errors.no_provider_available(
            scene.route(), limit, scene.now, scene.now, None, ineligible=ineligible
        )
        return error.rate_limited

    assert rejected("rate", "rate")
    assert not rejected("rate", "unavailable")
    assert not rejected("rate", "open")
    assert not rejected("rate", "rate", limit="at its limit (9 in flight)")
    assert not rejected("rate", "rate", unable="b")


@pytest.mark.parametrize(
    ("denial", "words"),
    [
        (None, ""),
        ("budget", "; no retry: the retry budget is used up"),
        ("attempts", "; no retry: RetryPolicy.attempts is reached"),
        ("deadline", "; no retry: it would exceed the call's timeout"),
        (
            "not_idempotent",
            "; no retry: idempotent=False, and the attempt may have had side effects",
        ),
    ],
)
def test_all_failed_says_why_there_was_no_retry(denial: DenialReason | None, words: str) -> None:
    """Case 75: lists each failure by provider, kind and reason, then why there was no retry."""
    scene = world()
    first, last = OSError("x"), ValueError("y")
    trail = [
        record("a", failing("server", reason="status 503"), first),
        record("b", CANCELLED, BaseException()),
        record("b", failing("unknown"), last),
    ]
    error = final_errors.all_failed(scene.route(), trail, denial, scene.now, scene.now - 1.0)
    assert isinstance(error, AllProvidersFailed)
    listed = "a: server (status 503); b: unknown (ValueError)"
    assert str(error) == f"all attempts on route 'default' failed: {listed}{words}"
    assert error.__cause__ is last
    assert error.attempts == tuple(trail)
    assert (error.elapsed, error.retry_after) == (1.0, 0.0)


def test_all_failed_without_a_failure() -> None:
    """A trail of cancelled attempts alone has no cause, and is not the request's fault."""
    scene = world()
    trail = [record("a", CANCELLED, BaseException())]
    error = final_errors.all_failed(scene.route(), trail, None, scene.now, scene.now)
    assert isinstance(error, AllProvidersFailed)
    assert error.__cause__ is None


def test_timed_out_lists_the_attempts() -> None:
    """A timeout names the seconds and each attempt; its cause is the last error."""
    scene = world()
    last = OSError()
    trail = [record("a", failing("server"), last, 1.5), record("b", CANCELLED, None, 0.5)]
    error = final_errors.timed_out(scene.route(), trail, 102.0, 100.0, 102.0)
    assert str(error) == (
        "no answer on route 'default' within timeout=2 s "
        "(a: server after 1.50 s; b: cancelled after 0.50 s)"
    )
    assert error.__cause__ is last
    empty = final_errors.timed_out(scene.route(), [], 102.0, 100.0, 102.0)
    assert str(empty).endswith("(no provider was available)")
    assert empty.__cause__ is None


def test_request_at_fault_of_an_answer() -> None:
    """An answer classified as the request's fault becomes a ProviderError."""
    error = final_errors.own_error(record("a", failing("request")))
    assert isinstance(error, ProviderError)
    assert (error.provider, error.kind) == ("a", FailureKind.REQUEST)


def test_a_reason_that_repeats_the_kind_is_replaced_by_the_message() -> None:
    """The text `transport (transport)` would say nothing; the message does."""
    scene = world()
    kind = FailureKind.TRANSPORT
    trail = [
        record(
            name, failing(kind, reason="transport"), ProviderError(text, provider=name, kind=kind)
        )
        for name, text in (("a", "no\nroute"), ("b", ""))
    ]
    error = final_errors.all_failed(scene.route(), trail, None, scene.now, scene.now)
    assert "a: transport (no route); b: transport (ProviderError)" in str(error)


def test_earliest_ready_in() -> None:
    """The first provider available by time alone; None when there is none."""
    scene = world()
    scene.trip("a", "b")
    scene.states.gates["b"].circuit.half_open_at += 10.0
    members = scene.route().members
    assert final_errors.earliest_ready_in(members, scene.now, 0) == pytest.approx(5.0)
    for gate in scene.states.gates.values():
        gate.set_hold("open", scene.now)
    assert final_errors.earliest_ready_in(members, scene.now, 0) is None
    assert final_errors.earliest_ready_in((), scene.now, 0) is None
