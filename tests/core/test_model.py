"""Types that describe a call: defaults, properties and text forms."""

from __future__ import annotations

import pytest

from multirouter.model import CANCELLED, SUCCESS, AttemptRecord, CallOutcome, FailureKind, Verdict

SERVER_ERROR = Verdict(FailureKind.SERVER, reason="status 500", status=500)


def record(provider: str = "a", verdict: Verdict = SERVER_ERROR, **settings) -> AttemptRecord:
    """A record of an attempt, with the role `call` unless another is set."""
    role = settings.pop("role", "call")
    return AttemptRecord(
        provider, "default", role, verdict, None, 1.0, 0.25, "only candidate", **settings
    )


def outcome(result: str = "success", *, value=None, error=None, attempts=(), provider="a"):
    """A call's outcome."""
    return CallOutcome(result, value, error, provider, "default", tuple(attempts), 1.0, 0.5)


def test_defaults_of_a_verdict() -> None:
    """It is certain, sent, not retried, and has neither retry_after nor status."""
    verdict = Verdict(FailureKind.TIMEOUT)
    assert (verdict.retry_after, verdict.reason, verdict.status) == (None, "", None)
    assert (verdict.unsent, verdict.certain, verdict.retried) == (False, True, False)


def test_a_verdict_keeps_its_arguments() -> None:
    """Each argument is an attribute, and the main ones are in the text form."""
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
def test_outcome_label_of_an_attempt(kind: FailureKind) -> None:
    """Every kind except success and cancelled is labelled failure."""
    entry = record(verdict=Verdict(kind))
    expected = {FailureKind.SUCCESS: "success", FailureKind.CANCELLED: "cancelled"}.get(
        kind, "failure"
    )
    assert entry.outcome == expected
    assert entry.ok is (kind is FailureKind.SUCCESS)


def test_shared_verdicts() -> None:
    """All calls share one verdict for success and one for cancellation."""
    assert (SUCCESS.kind, CANCELLED.kind) == (FailureKind.SUCCESS, FailureKind.CANCELLED)


def test_text_form_of_a_record() -> None:
    """Role, provider, kind, whether it was late, duration and reason of the choice."""
    assert repr(record()) == "<call a: server in 0.250 s, only candidate>"
    assert repr(record(late=True)) == "<call a: server late in 0.250 s, only candidate>"
    assert record().late is False


def test_value_returns_the_answer_or_raises_the_error() -> None:
    """`value` returns the answer, even None, and raises the error when there is one."""
    assert outcome(value="x").value == "x"
    assert outcome(value=None).value is None
    error = ConnectionError("x")
    failed = outcome("failure", error=error, provider=None)
    with pytest.raises(ConnectionError) as caught:
        _ = failed.value
    assert caught.value is error


@pytest.mark.parametrize("result", ["failure", "cancelled", "fallback", "rejected"])
def test_only_an_answer_of_a_provider_is_ok(result: str) -> None:
    """A fallback has a value, but is no success."""
    assert outcome().ok
    assert not outcome(result, value="substitute").ok
    assert outcome("fallback", value="substitute").value == "substitute"


@pytest.mark.parametrize(
    ("providers", "failovers"),
    [("", 0), ("a", 0), ("aa", 0), ("ab", 1), ("aab", 1), ("aba", 2), ("abc", 2)],
)
def test_failovers_count_changes_of_provider(providers: str, failovers: int) -> None:
    """A retry of the same provider is no failover; hedges, trials and shadows do not count."""
    attempts = [record(name) for name in providers]
    for role in ("hedge", "trial", "shadow"):
        attempts.insert(len(attempts) // 2, record("z", role=role))
    assert outcome(attempts=attempts).failovers == failovers


def test_text_form_of_an_outcome() -> None:
    """Result, answering provider, route, number of attempts and duration."""
    assert repr(outcome(attempts=[record()])) == (
        "<CallOutcome success by a route=default attempts=1 in 0.500 s>"
    )
    assert "by" not in repr(outcome("rejected", provider=None))
