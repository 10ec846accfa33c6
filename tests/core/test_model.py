"""The nouns of a call: what they say of themselves."""

from __future__ import annotations

import pytest

from multirouter.model import CANCELLED, SUCCESS, AttemptRecord, CallOutcome, FailureKind, Verdict

BROKEN = Verdict(FailureKind.SERVER, reason="status 500", status=500)


def record(provider: str = "a", verdict: Verdict = BROKEN, **settings) -> AttemptRecord:
    """An attempt's record; a call's unless it says otherwise."""
    role = settings.pop("role", "call")
    return AttemptRecord(
        provider, "default", role, verdict, None, 1.0, 0.25, "only one", **settings
    )


def outcome(result: str = "success", *, value=None, error=None, attempts=(), provider="a"):
    """A call's outcome."""
    return CallOutcome(result, value, error, provider, "default", tuple(attempts), 1.0, 0.5)


def test_a_verdict_says_little_by_default() -> None:
    """It is certain, was sent, was not retried, and names neither time nor status."""
    verdict = Verdict(FailureKind.TIMEOUT)
    assert (verdict.retry_after, verdict.reason, verdict.status) == (None, "", None)
    assert (verdict.unsent, verdict.certain, verdict.retried) == (False, True, False)


def test_a_verdict_keeps_what_it_is_told() -> None:
    """Each sign stands under its own name."""
    verdict = Verdict(
        FailureKind.CREDENTIALS,
        3.0,
        reason="r",
        status=403,
        unsent=True,
        certain=False,
        retried=True,
    )
    assert (verdict.kind, verdict.retry_after, verdict.reason) == (
        FailureKind.CREDENTIALS,
        3.0,
        "r",
    )
    assert (verdict.status, verdict.unsent, verdict.certain, verdict.retried) == (
        403,
        True,
        False,
        True,
    )
    assert repr(verdict) == "Verdict(credentials, retry_after=3, reason='r')"
    assert repr(Verdict(FailureKind.TIMEOUT)) == "Verdict(timeout)"
    assert repr(Verdict(FailureKind.RATE_LIMIT, 0.0)) == "Verdict(rate_limit, retry_after=0)"


@pytest.mark.parametrize("kind", list(FailureKind), ids=str)
def test_an_attempt_counts_as_one_of_three(kind: FailureKind) -> None:
    """Success and cancelled are themselves; every other kind is a failure in the metrics."""
    entry = record(verdict=Verdict(kind))
    expected = {FailureKind.SUCCESS: "success", FailureKind.CANCELLED: "cancelled"}.get(
        kind, "failure"
    )
    assert entry.outcome == expected
    assert entry.ok is (kind is FailureKind.SUCCESS)


def test_the_shared_verdicts_are_what_they_are_called() -> None:
    """One success and one cancellation are enough for all calls."""
    assert (SUCCESS.kind, CANCELLED.kind) == (FailureKind.SUCCESS, FailureKind.CANCELLED)


def test_a_record_is_told_in_one_line() -> None:
    """Role, provider, kind, time and why; late ones say so."""
    assert repr(record()) == "<call a: server in 0.250 s, only one>"
    assert repr(record(late=True)) == "<call a: server late in 0.250 s, only one>"
    assert record().late is False


def test_an_answer_is_the_value() -> None:
    """`value` gives the answer, None included, and raises the error where there is one."""
    assert outcome(value="x").value == "x"
    assert outcome(value=None).value is None
    error = ConnectionError("x")
    failed = outcome("failure", error=error, provider=None)
    with pytest.raises(ConnectionError) as caught:
        _ = failed.value
    assert caught.value is error


@pytest.mark.parametrize("result", ["failure", "cancelled", "fallback", "refused"])
def test_only_a_provider_makes_a_call_ok(result: str) -> None:
    """A substitute is a value and no success."""
    assert outcome().ok
    assert not outcome(result, value="substitute").ok
    assert outcome("fallback", value="substitute").value == "substitute"


@pytest.mark.parametrize(
    ("asked", "failovers"),
    [("", 0), ("a", 0), ("aa", 0), ("ab", 1), ("aab", 1), ("aba", 2), ("abc", 2)],
)
def test_failovers_are_moves_between_providers(asked: str, failovers: int) -> None:
    """Asking the same one again is no failover; hedges, probes and shadows are none either."""
    trail = [record(name) for name in asked]
    for role in ("hedge", "trial", "shadow"):
        trail.insert(len(trail) // 2, record("z", role=role))
    assert outcome(attempts=trail).failovers == failovers


def test_an_outcome_is_told_in_one_line() -> None:
    """Result, who answered, route, attempts and time."""
    assert repr(outcome(attempts=[record()])) == (
        "<CallOutcome success by a route=default attempts=1 in 0.500 s>"
    )
    assert "by" not in repr(outcome("refused", provider=None))
