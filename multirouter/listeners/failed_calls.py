"""What the log event of a failed call says: its level, its attempts, and where a bug was raised."""

from __future__ import annotations

from typing import Any

from multirouter.core.failures.exception_details import location_of
from multirouter.errors import MultirouterError
from multirouter.model import REQUEST_KINDS, AttemptRecord, CallOutcome, FailureKind


def level_of(outcome: CallOutcome[Any]) -> str:
    """Level of `call failed`: error if the caller got no answer and the request was valid."""
    if outcome.result == "cancelled":
        return "debug"  # the caller cancelled
    if outcome.result == "fallback":
        return "warning"
    last = outcome.attempts[-1].verdict.kind if outcome.attempts else None
    return "warning" if last in REQUEST_KINDS else "error"


def attempt_summary(attempt: AttemptRecord) -> str:
    """Provider, kind of failure and status of one attempt: `openai: server 503`."""
    verdict = attempt.verdict
    status = "" if verdict.status is None else f" {verdict.status}"
    if verdict.kind is FailureKind.UNKNOWN:  # its reason is the class of the exception and a place
        status = f" ({verdict.reason})"
    return f"{attempt.provider}: {verdict.kind.value}{status}"


def place_of_bug(attempt: AttemptRecord) -> str:
    """Where the exception of an attempt was raised, when no service and no adapter reported it."""
    error, verdict = attempt.error, attempt.verdict
    foreign = isinstance(error, Exception) and not isinstance(error, MultirouterError)
    if error is None or not foreign or verdict.status is not None:
        return ""
    local = verdict.kind in REQUEST_KINDS or verdict.kind is FailureKind.UNKNOWN
    return location_of(error) if local else ""
