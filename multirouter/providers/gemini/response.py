"""An answer of Gemini as a canonical response; streams share all but the putting together."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from multirouter.providers.arguments import arguments_text
from multirouter.providers.canonical import Answer, ChatCompletion, Choice, FinishReason, Usage
from multirouter.providers.chunks import usage
from multirouter.providers.failures import Failures
from multirouter.providers.gemini.content import signed

_FILTERED = (
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
FINISH: Mapping[str, FinishReason] = MappingProxyType(
    {
        "STOP": "stop",
        "MAX_TOKENS": "length",
        "CONTINUATION": "length",
        **dict.fromkeys(_FILTERED, "content_filter"),
    }
)
"""Finish reasons; those that are not here (MALFORMED_FUNCTION_CALL, OTHER ...) tell a failure."""


def from_gemini(
    body: Mapping[str, Any], model: str, created: int, failures: Failures
) -> ChatCompletion:
    """The canonical response; a blocked prompt is a choice that a content filter ended.

    Args:
        body: the parsed answer.
        model: who was asked, where the answer does not say.
        created: seconds since 1970; the format itself tells no time.
        failures: makes the errors.

    Raises:
        ProviderError: of kind `transport` when it holds no candidate, of kind `server` when the
            model failed to answer.
    """
    candidates = body.get("candidates") or ()
    mint = CallIds(body.get("responseId") or "")
    choices = [_choice(candidate, mint, failures) for candidate in candidates]
    if not choices:
        choices = [_blocked(blocked_by(body, failures))]
    return {
        "id": str(body.get("responseId") or f"gemini-{uuid.uuid4().hex}"),
        "object": "chat.completion",
        "created": created,
        "model": str(body.get("modelVersion") or model),
        "choices": choices,
        "usage": usage_from(body.get("usageMetadata") or {}),
    }


class CallIds:
    """Mints ids for calls that come without one, unique within the answer and the conversation."""

    def __init__(self, response_id: str) -> None:
        self._stem = re.sub(r"[^A-Za-z0-9]", "", response_id)[:24] or uuid.uuid4().hex[:24]
        self._minted = 0

    def __call__(self, call: Mapping[str, Any]) -> str:
        """The id of a functionCall: its own, or a new one."""
        if call.get("id"):
            return str(call["id"])
        self._minted += 1
        return f"call_{self._stem}_{self._minted}"


class Pieces:
    """What the parts of a candidate say, sorted."""

    __slots__ = ("calls", "signature", "text", "thoughts")

    def __init__(self, candidate: Mapping[str, Any], mint: CallIds) -> None:
        self.text: str = ""
        self.thoughts: str = ""
        self.signature: str = ""
        self.calls: list[Any] = []
        for part in (candidate.get("content") or {}).get("parts") or ():
            self._take(part, mint)

    def _take(self, part: Mapping[str, Any], mint: CallIds) -> None:
        signature = part.get("thoughtSignature")
        if "functionCall" in part:
            self.calls.append(tool_call(part["functionCall"], signature, mint))
            return
        text = part.get("text") or ""
        if part.get("thought"):
            self.thoughts += text
        else:
            self.text += text
        self.signature = signature or self.signature


def tool_call(call: Mapping[str, Any], signature: str | None, mint: CallIds) -> dict[str, Any]:
    """A functionCall as a tool call, with its signature kept for the next turn."""
    arguments = arguments_text(call.get("args"))
    made = {
        "id": mint(call),
        "type": "function",
        "function": {"name": call["name"], "arguments": arguments},
    }
    return {**made, "extra_content": signed(signature)} if signature else made


def finish_of(
    reason: str, *, called: bool, useful: bool, failures: Failures, message: str | None = None
) -> FinishReason:
    """The finish reason; calls come with STOP and are told by their being there.

    Raises:
        ProviderError: of kind `server`, when the model failed and nothing useful came.
    """
    if reason in FINISH:
        return "tool_calls" if called and reason == "STOP" else FINISH[reason]
    if not useful:
        raise failures.failed(message or f"the model ended with {reason}", code=reason)
    return "tool_calls" if called else "stop"


def blocked_by(body: Mapping[str, Any], failures: Failures) -> str:
    """Why a prompt was blocked.

    Raises:
        ProviderError: of kind `transport`, when it was not, and yet nothing came.
    """
    reason = (body.get("promptFeedback") or {}).get("blockReason")
    if not reason:
        raise failures.rubbish("the answer has no candidates")
    return f"the prompt was blocked: {reason}"


def usage_from(counts: Mapping[str, Any]) -> Usage:
    """Usage; the prompt includes what was cached, thoughts are counted apart."""
    thoughts = counts.get("thoughtsTokenCount") or 0
    return usage(
        prompt=(counts.get("promptTokenCount") or 0) + (counts.get("toolUsePromptTokenCount") or 0),
        completion=(counts.get("candidatesTokenCount") or 0) + thoughts,
        cached=counts.get("cachedContentTokenCount") or 0,
        written=0,
        reasoning=thoughts,
    )


def logprobs_from(candidate: Mapping[str, Any]) -> dict[str, Any] | None:
    """Log probabilities, token by token."""
    result = candidate.get("logprobsResult")
    if not result:
        return None
    tops = result.get("topCandidates") or []
    content = []
    for place, chosen in enumerate(result.get("chosenCandidates") or ()):
        top = tops[place].get("candidates") or () if place < len(tops) else ()
        content.append({**_logprob(chosen), "top_logprobs": [_logprob(other) for other in top]})
    return {"content": content, "refusal": None}


def _logprob(token: Mapping[str, Any]) -> dict[str, Any]:
    text = token.get("token") or ""
    return {
        "token": text,
        "logprob": token.get("logProbability") or 0.0,
        "bytes": list(text.encode()),
    }


def _choice(candidate: Mapping[str, Any], mint: CallIds, failures: Failures) -> Choice:
    pieces = Pieces(candidate, mint)
    reason = candidate.get("finishReason")
    if not reason:
        raise failures.rubbish("the answer has no finishReason")
    finish = finish_of(
        reason,
        called=bool(pieces.calls),
        useful=bool(pieces.calls or pieces.text),
        failures=failures,
        message=candidate.get("finishMessage"),
    )
    answer: Answer = {
        "role": "assistant",
        "content": pieces.text or (None if pieces.calls else ""),
        "refusal": None,
    }
    if pieces.calls:
        answer["tool_calls"] = pieces.calls
    if pieces.thoughts:
        answer["reasoning_content"] = pieces.thoughts
    if pieces.signature:
        answer["extra_content"] = signed(pieces.signature)
    return {
        "index": candidate.get("index") or 0,
        "finish_reason": finish,
        "message": answer,
        "logprobs": logprobs_from(candidate),
    }


def _blocked(why: str) -> Choice:
    return {
        "index": 0,
        "finish_reason": "content_filter",
        "message": {"role": "assistant", "content": "", "refusal": why},
        "logprobs": None,
    }
