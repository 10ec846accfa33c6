"""Detects whole answers in which the model refuses, in the formats of OpenAI, Anthropic and Gemini.

Plain data and the objects of the SDKs are read alike. A sign is what the format calls the reason.
Source: the API references of OpenAI (`message.refusal`, `finish_reason` content_filter; of the
Responses API the part `refusal` and `incomplete_details.reason`), Anthropic (`stop_reason` refusal)
and Gemini (FinishReason, BlockedReason).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multirouter.core.chat.sdk_chunks import FieldGetter, stored_fields

SAFETY_FINISH_REASONS = (
    "SAFETY",
    "RECITATION",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "LANGUAGE",
    "MODEL_ARMOR",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
)
"""Finish reasons of Gemini that stop an answer because of its content."""


def refusal_of(answer: Any) -> str:
    """The sign of a refusal in a whole answer; "" when it is none, or of another format.

    An answer with several choices is a refusal when each of them is one.
    """
    field = stored_fields(answer)
    if field("stop_reason") == "refusal":
        return "refusal"
    feedback = stored_fields(_either(field, "promptFeedback", "prompt_feedback"))
    if _either(feedback, "blockReason", "block_reason"):
        return "blocked prompt"
    if isinstance(output := field("output"), list):
        return _refused_response(field, output)
    choices, sign = field("choices"), _refused_choice
    if not isinstance(choices, list):
        choices, sign = field("candidates"), _refused_candidate
    if not isinstance(choices, list) or not choices:
        return ""
    signs = [sign(stored_fields(choice)) for choice in choices]
    return signs[0] if all(signs) else ""


_REFUSED = frozenset({"content_filter", "refusal", "blocked", *SAFETY_FINISH_REASONS})
"""Finish reasons of chat chunks, and of other formats' chunks as chat chunks."""


def refusal_in_chunk(chunk: Mapping[str, Any]) -> str:
    """The sign of a refusal in a chunk of a stream that has had no content so far, or "".

    Args:
        chunk: a chat chunk. Several choices are a refusal when each of them is one.
    """
    choices = chunk.get("choices") or ()
    signs = [_refused_delta(choice) for choice in choices]
    return signs[0] if signs and all(signs) else ""


def _refused_delta(choice: Mapping[str, Any]) -> str:
    delta = choice.get("delta") or {}
    native = choice.get("native_finish_reason")
    native = native if isinstance(native, str) else ""
    if delta.get("refusal"):
        return native or "message.refusal"
    reason = choice.get("finish_reason")
    refused = isinstance(reason, str) and reason in _REFUSED and not delta.get("content")
    return str(native or reason) if refused else ""


def _refused_choice(field: FieldGetter) -> str:
    native = field("native_finish_reason")
    if field("finish_reason") == "content_filter" and isinstance(native, str) and native:
        return native
    if stored_fields(field("message"))("refusal"):
        return "message.refusal"
    return "content_filter" if field("finish_reason") == "content_filter" else ""


def _refused_response(field: FieldGetter, output: list[Any]) -> str:
    """Each part of the messages refuses, or the service cut the answer for its content."""
    if stored_fields(field("incomplete_details"))("reason") == "content_filter":
        return "content_filter"
    contents = [stored_fields(item)("content") for item in output]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    refused = bool(parts) and all(stored_fields(part)("type") == "refusal" for part in parts)
    return "message.refusal" if refused else ""


def _refused_candidate(field: FieldGetter) -> str:
    reason = _either(field, "finishReason", "finish_reason")
    return next((name for name in SAFETY_FINISH_REASONS if reason == name), "")


def _either(field: FieldGetter, name: str, other: str) -> Any:
    value = field(name)
    return field(other) if value is None else value
