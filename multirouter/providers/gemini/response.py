"""Translates a response of Gemini to a canonical response; shared with the stream translator."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from multirouter.core.chat.refusals import SAFETY_FINISH_REASONS
from multirouter.providers.answer_checks import check_call_text
from multirouter.providers.arguments import arguments_text
from multirouter.providers.canonical import Answer, ChatCompletion, Choice, FinishReason, Usage
from multirouter.providers.chunks import token_count, usage
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.gemini.conversation import signature_extra

FINISH: Mapping[str, FinishReason] = MappingProxyType(
    {
        "STOP": "stop",
        "MAX_TOKENS": "length",
        "CONTINUATION": "length",
        **dict.fromkeys(SAFETY_FINISH_REASONS, "content_filter"),
    }
)
"""Finish reasons. One that is missing here (MALFORMED_FUNCTION_CALL, OTHER ...) is a failure."""


def from_gemini(
    body: Mapping[str, Any], model: str, created: int, errors: ErrorFactory
) -> ChatCompletion:
    """Returns the canonical response. A blocked prompt becomes a choice ended by a content filter.

    Args:
        body: the parsed response.
        model: the model's name, for a response without one.
        created: seconds since 1970; the format has no time of its own.
        errors: makes the errors.

    Raises:
        ProviderError: of kind `transport` when there is no candidate; of kind `server` when the
            model failed to answer.
    """
    candidates = body.get("candidates") or ()
    call_ids = CallIds(body.get("responseId") or "")
    choices = [_choice(candidate, call_ids, errors) for candidate in candidates]
    if not choices:
        choices = [_blocked_choice(block_reason(body, errors))]
    return {
        "id": str(body.get("responseId") or f"gemini-{uuid.uuid4().hex}"),
        "object": "chat.completion",
        "created": created,
        "model": str(body.get("modelVersion") or model),
        "choices": choices,
        "usage": usage_from(body.get("usageMetadata") or {}),
    }


_MARKS = frozenset({"thought", "thoughtSignature"})
"""Fields beside the content of a part."""


class CallIds:
    """Creates ids for tool calls without one, unique within the response and the conversation."""

    def __init__(self, response_id: str) -> None:
        self._stem = re.sub(r"[^A-Za-z0-9]", "", response_id)[:24] or uuid.uuid4().hex[:24]
        self._count = 0

    def __call__(self, call: Mapping[str, Any]) -> str:
        """Returns the id of a functionCall, or a new one."""
        if call.get("id"):
            return str(call["id"])
        self._count += 1
        return f"call_{self._stem}_{self._count}"


class CandidateContent:
    """The parts of one candidate, by kind."""

    __slots__ = ("calls", "other", "signature", "text", "thoughts")

    def __init__(self, candidate: Mapping[str, Any], call_ids: CallIds) -> None:
        self.text: str = ""
        self.thoughts: str = ""
        self.signature: str = ""
        self.other: str = ""
        self.calls: list[Any] = []
        for part in (candidate.get("content") or {}).get("parts") or ():
            self._take(part, call_ids)

    def _take(self, part: Mapping[str, Any], call_ids: CallIds) -> None:
        signature = part.get("thoughtSignature")
        if "functionCall" in part:
            self.calls.append(tool_call(part["functionCall"], signature, call_ids))
            return
        if "text" not in part:  # an image, or code that the provider runs
            self.other = next((name for name in part if name not in _MARKS), self.other)
        text = part.get("text") or ""
        if part.get("thought"):
            self.thoughts += text
        else:
            self.text += text
        self.signature = signature or self.signature


def tool_call(call: Mapping[str, Any], signature: str | None, call_ids: CallIds) -> dict[str, Any]:
    """Returns a functionCall as a tool call, with its thought signature for the next turn."""
    check_call_text(call["name"])
    arguments = arguments_text(call.get("args"))
    result = {
        "id": call_ids(call),
        "type": "function",
        "function": {"name": call["name"], "arguments": arguments},
    }
    return {**result, "extra_content": signature_extra(signature)} if signature else result


def finish_reason(
    reason: str, *, called: bool, has_output: bool, errors: ErrorFactory, message: str | None = None
) -> FinishReason:
    """Returns the finish reason; `tool_calls` for STOP with calls.

    Raises:
        ProviderError: of kind `server`, when the model failed without any text or call.
    """
    if reason in FINISH:
        return "tool_calls" if called and reason == "STOP" else FINISH[reason]
    if not has_output:
        raise errors.generation_failed(
            message or f"the model ended with finishReason {reason}", code=reason
        )
    return "tool_calls" if called else "stop"


BLOCKED = "blocked prompt"
"""What a blocked prompt is called where finish reasons stand."""


def block_reason(body: Mapping[str, Any], errors: ErrorFactory) -> str:
    """Returns why a prompt was blocked.

    Raises:
        ProviderError: of kind `transport`, when the prompt was not blocked.
    """
    reason = (body.get("promptFeedback") or {}).get("blockReason")
    if not reason:
        raise errors.invalid_response("the response has no candidates")
    return f"the prompt was blocked: {reason}"


def usage_from(counts: object) -> Usage:
    """Returns usage. Prompt tokens include cached ones; Gemini counts thinking tokens apart."""
    thoughts = token_count(counts, "thoughtsTokenCount")
    tools = token_count(counts, "toolUsePromptTokenCount")
    return usage(
        prompt=token_count(counts, "promptTokenCount") + tools,
        completion=token_count(counts, "candidatesTokenCount") + thoughts,
        cached=token_count(counts, "cachedContentTokenCount"),
        written=0,
        reasoning=thoughts,
    )


def logprobs_from(candidate: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns the log probabilities of each token, or None."""
    result = candidate.get("logprobsResult")
    if not result:
        return None
    tops = result.get("topCandidates") or []
    content = []
    for index, token in enumerate(result.get("chosenCandidates") or ()):
        top = tops[index].get("candidates") or () if index < len(tops) else ()
        content.append(
            {**_logprob(token), "top_logprobs": [_logprob(alternative) for alternative in top]}
        )
    return {"content": content, "refusal": None}


def _logprob(token: Mapping[str, Any]) -> dict[str, Any]:
    text = token.get("token") or ""
    return {
        "token": text,
        "logprob": token.get("logProbability") or 0.0,
        "bytes": list(text.encode()),
    }


def _choice(candidate: Mapping[str, Any], call_ids: CallIds, errors: ErrorFactory) -> Choice:
    content = CandidateContent(candidate, call_ids)
    reason = candidate.get("finishReason")
    if not reason:
        raise errors.invalid_response("the response has no finishReason")
    finish = finish_reason(
        reason,
        called=bool(content.calls),
        has_output=bool(content.calls or content.text or content.other),
        errors=errors,
        message=candidate.get("finishMessage"),
    )
    answer: Answer = {
        "role": "assistant",
        "content": content.text or (None if content.calls else ""),
        "refusal": None,
    }
    if content.calls:
        answer["tool_calls"] = content.calls
    if content.thoughts:
        answer["reasoning_content"] = content.thoughts
    if content.signature:
        answer["extra_content"] = signature_extra(content.signature)
    choice: Choice = {
        "index": candidate.get("index") or 0,
        "finish_reason": finish,
        "message": answer,
        "logprobs": logprobs_from(candidate),
    }
    if finish == "content_filter":
        choice["native_finish_reason"] = reason
    return choice


def _blocked_choice(why: str) -> Choice:
    return {
        "index": 0,
        "finish_reason": "content_filter",
        "message": {"role": "assistant", "content": "", "refusal": why},
        "native_finish_reason": BLOCKED,
        "logprobs": None,
    }
