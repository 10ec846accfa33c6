"""Attempts of a call as plain data, for headers, logs and the console."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from multirouter.console.traffic import Ending
from multirouter.model import AttemptRecord, CallResult

_ENDINGS: dict[CallResult, Ending] = {
    "success": "answered",
    "fallback": "failed",
    "failure": "failed",
    "rejected": "failed",
    "cancelled": "cancelled",
}


def entry_of(record: AttemptRecord) -> dict[str, Any]:
    """An attempt in short, as the header `X-Attempts` has it."""
    entry: dict[str, Any] = {
        "provider": record.provider,
        "verdict": record.verdict.kind.value,
        "ms": round(record.elapsed * 1000, 1),
        "why": record.why,
    }
    if record.verdict.reason:
        entry["reason"] = record.verdict.reason[:80]
    if record.role != "call":
        entry["role"] = record.role
    return entry


def details_of(record: AttemptRecord, started: float) -> dict[str, Any]:
    """What the console shows of an attempt beside that.

    Args:
        record: the attempt.
        started: loop time at which its call started, seconds.
    """
    details: dict[str, Any] = {"start_ms": round((record.started - started) * 1000, 1)}
    if record.model is not None:
        details["model"] = record.model
    if record.usage is not None:
        details["input_tokens"] = record.usage.input
        details["output_tokens"] = record.usage.output
    if record.priced:
        details["cost_usd"] = round(record.cost, 8)
    if record.first_content is not None:
        details["first_content_ms"] = round(record.first_content * 1000, 1)
    if record.verdict.status is not None:
        details["status"] = record.verdict.status
    if record.verdict.retry_after is not None:
        details["retry_after"] = record.verdict.retry_after
    return details


def has_failed(trail: Iterable[AttemptRecord]) -> bool:
    """Whether one of the attempts failed."""
    return any(record.outcome == "failure" for record in trail)


def ending_of(result: CallResult, trail: Iterable[AttemptRecord]) -> Ending:
    """How a call ended for its caller."""
    if result == "success" and has_failed(trail):
        return "failed_over"
    return _ENDINGS[result]
