"""Attributes of the span of one attempt."""

from __future__ import annotations

from typing import Any

from multirouter.model import AttemptRecord, Verdict
from multirouter.telemetry import conventions as names


def requested_model(request: Any, member: Any) -> str:
    """The model that the attempt asks for: the target's, the provider's, or the request's."""
    model = member.pricing.model_of(request)
    return model if isinstance(model, str) else ""


def attempt_attributes(record: AttemptRecord) -> dict[str, Any]:
    """The attributes of an attempt that has ended."""
    attributes: dict[str, Any] = {"multirouter.verdict": record.verdict.kind.value}
    verdict: Verdict = record.verdict
    if verdict.status is not None:
        attributes[names.HTTP_STATUS] = verdict.status
    if record.outcome == "failure":
        attributes[names.ERROR_TYPE] = verdict.kind.value
    if record.model is not None:
        attributes[names.RESPONSE_MODEL] = record.model
    if record.first_content is not None:
        attributes[names.REQUEST_STREAM] = True
        attributes[names.TIME_TO_FIRST_CHUNK] = record.first_content
    usage = record.usage
    if usage is not None:
        attributes[names.INPUT_TOKENS] = usage.input
        attributes[names.OUTPUT_TOKENS] = usage.output
        details = {
            names.CACHE_READ_TOKENS: usage.cached,
            names.CACHE_CREATION_TOKENS: usage.written,
            names.REASONING_TOKENS: usage.reasoning,
        }
        attributes |= {name: tokens for name, tokens in details.items() if tokens}
    if record.cost:
        attributes["multirouter.cost_usd"] = record.cost
    return attributes
