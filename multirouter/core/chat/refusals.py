"""Detects whole answers in which the model refuses, in the formats of OpenAI, Anthropic and Gemini.

Plain data and the objects of the SDKs are read alike.
Source: the API references of OpenAI (`message.refusal`, `finish_reason` content_filter), Anthropic
(`stop_reason` refusal) and Gemini (FinishReason, BlockedReason).
"""

from __future__ import annotations

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
        return "stop_reason refusal"
    feedback = stored_fields(_either(field, "promptFeedback", "prompt_feedback"))
    if _either(feedback, "blockReason", "block_reason"):
        return "blocked prompt"
    choices, sign = field("choices"), _refused_choice
    if not isinstance(choices, list):
        choices, sign = field("candidates"), _refused_candidate
    if not isinstance(choices, list) or not choices:
        return ""
    signs = [sign(stored_fields(choice)) for choice in choices]
    return signs[0] if all(signs) else ""


def _refused_choice(field: FieldGetter) -> str:
    if stored_fields(field("message"))("refusal"):
        return "message.refusal"
    return "content_filter" if field("finish_reason") == "content_filter" else ""


def _refused_candidate(field: FieldGetter) -> str:
    reason = _either(field, "finishReason", "finish_reason")
    return next((name for name in SAFETY_FINISH_REASONS if reason == name), "")


def _either(field: FieldGetter, name: str, other: str) -> Any:
    value = field(name)
    return field(other) if value is None else value
