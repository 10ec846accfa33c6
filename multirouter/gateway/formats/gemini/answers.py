"""A canonical answer in Gemini's format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from multirouter.core.cost.usage import usage_of
from multirouter.model import Usage
from multirouter.providers.arguments import arguments_object
from multirouter.providers.gemini.content import signature_of

FINISH: Mapping[str, str] = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",
    "function_call": "STOP",
    "content_filter": "SAFETY",
}
"""What each finish reason is called there; calls come with STOP."""

Part = dict[str, Any]


def to_generation(answer: Mapping[str, Any], *, thoughts: bool) -> dict[str, Any]:
    """The whole answer.

    Args:
        answer: a tidied canonical response.
        thoughts: whether thoughts are told.
    """
    candidates = [_candidate(choice, thoughts=thoughts) for choice in answer["choices"]]
    told = response(candidates, answer["id"], answer["model"])
    told["usageMetadata"] = counts(answer.get("usage"))
    return told


def response(candidates: list[Any], id_: str, model: str) -> dict[str, Any]:
    """A response, or a piece of one."""
    return {"candidates": candidates, "modelVersion": model, "responseId": id_}


def candidate(
    parts: list[Part], index: int, reason: str | None = None, logprobs: Any = None
) -> dict[str, Any]:
    """One candidate, or a piece of one; the reason is a canonical one, at the end alone."""
    made: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": index}
    if reason is not None:
        made["finishReason"] = FINISH.get(reason, "STOP")
    if isinstance(logprobs, Mapping) and logprobs.get("content"):
        made["logprobsResult"] = _logprobs(logprobs["content"])
    return made


def counts(usage: Mapping[str, Any] | None) -> dict[str, Any]:
    """Usage as Gemini counts it: thoughts are apart from what was said."""
    used = usage_of({"usage": usage}) or Usage()
    told = {
        "promptTokenCount": used.input,
        "candidatesTokenCount": max(0, used.output - used.reasoning),
        "totalTokenCount": used.input + used.output,
    }
    if used.cached:
        told["cachedContentTokenCount"] = used.cached
    if used.reasoning:
        told["thoughtsTokenCount"] = used.reasoning
    return told


def text_parts(said: Mapping[str, Any], *, thoughts: bool) -> list[Part]:
    """Thoughts and text, of a message or of a piece of one; the signature is at the last."""
    parts: list[Part] = []
    if thoughts and said.get("reasoning_content"):
        parts.append({"text": said["reasoning_content"], "thought": True})
    text = said.get("content") or said.get("refusal")
    if text:
        parts.append({"text": text})
    signature = signature_of(said)
    if signature:
        if not text:
            parts.append({"text": ""})
        parts[-1]["thoughtSignature"] = signature
    return parts


def call_parts(calls: Iterable[Mapping[str, Any]]) -> list[Part]:
    """Tool calls, each whole."""
    parts: list[Part] = []
    for call in calls:
        function = call.get("function") or {}
        name, args = function.get("name") or "", arguments_object(function.get("arguments"))
        part: Part = {"functionCall": {"id": call["id"], "name": name, "args": args}}
        signature = signature_of(call)
        parts.append({**part, "thoughtSignature": signature} if signature else part)
    return parts


def _candidate(choice: Mapping[str, Any], *, thoughts: bool) -> dict[str, Any]:
    message = choice["message"]
    parts = text_parts(message, thoughts=thoughts) + call_parts(message.get("tool_calls") or ())
    return candidate(parts, choice["index"], choice["finish_reason"], choice.get("logprobs"))


def _logprobs(tokens: Iterable[Any]) -> dict[str, Any]:
    tokens = [token for token in tokens if isinstance(token, Mapping)]
    return {
        "chosenCandidates": [_token(token) for token in tokens],
        "topCandidates": [
            {"candidates": [_token(top) for top in token.get("top_logprobs") or ()]}
            for token in tokens
        ],
    }


def _token(token: Mapping[str, Any]) -> dict[str, Any]:
    return {"token": token.get("token"), "logProbability": token.get("logprob")}
