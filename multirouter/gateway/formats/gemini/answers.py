"""Translates a canonical answer to Gemini's format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from multirouter.core.cost.usage import usage_of
from multirouter.gateway.formats.openai.logprobs import token_logprobs
from multirouter.gateway.formats.openai.normalize_answers import reasoning_text
from multirouter.model import Usage
from multirouter.providers.arguments import arguments_object
from multirouter.providers.gemini.conversation import signature_of

FINISH_REASONS: Mapping[str, str] = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",
    "function_call": "STOP",
    "content_filter": "SAFETY",
}
"""Gemini's finish reason for each canonical one; answers with calls end with STOP."""

Part = dict[str, Any]


def to_generate_content(answer: Mapping[str, Any], *, thoughts: bool) -> dict[str, Any]:
    """The whole answer as a GenerateContentResponse.

    Args:
        answer: a normalized canonical response.
        thoughts: whether thoughts are included.
    """
    candidates = [_candidate(choice, thoughts=thoughts) for choice in answer["choices"]]
    translated = response(candidates, answer["id"], answer["model"])
    translated["usageMetadata"] = usage_counts(answer.get("usage"))
    return translated


def response(candidates: list[Any], id_: str, model: str) -> dict[str, Any]:
    """A response, or one element of a stream."""
    return {"candidates": candidates, "modelVersion": model, "responseId": id_}


def candidate(
    parts: list[Part], index: int, reason: str | None = None, logprobs: Any = None
) -> dict[str, Any]:
    """One candidate, whole or a piece of it.

    Args:
        parts: its content.
        index: its index among the candidates.
        reason: the canonical finish reason, in the last piece alone.
        logprobs: OpenAI's log probabilities, or None.
    """
    translated: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": index}
    if reason is not None:
        translated["finishReason"] = FINISH_REASONS.get(reason, "STOP")
    tokens = token_logprobs(logprobs)
    if tokens:
        translated["logprobsResult"] = _logprobs(tokens)
    return translated


def usage_counts(usage: Mapping[str, Any] | None) -> dict[str, Any]:
    """Usage in Gemini's counts: thoughts are apart from the rest of the output."""
    used = usage_of({"usage": usage}) or Usage()
    counts = {
        "promptTokenCount": used.input,
        "candidatesTokenCount": max(0, used.output - used.reasoning),
        "totalTokenCount": used.input + used.output,
    }
    if used.cached:
        counts["cachedContentTokenCount"] = used.cached
    if used.reasoning:
        counts["thoughtsTokenCount"] = used.reasoning
    return counts


def text_parts(message: Mapping[str, Any], *, thoughts: bool) -> list[Part]:
    """Thoughts and text of a message or a delta; the signature is on the last part."""
    parts: list[Part] = []
    if thoughts and reasoning_text(message):
        parts.append({"text": reasoning_text(message), "thought": True})
    text = message.get("content") or message.get("refusal")
    if text:
        parts.append({"text": text})
    signature = signature_of(message)
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


def _logprobs(tokens: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "chosenCandidates": [_token(token) for token in tokens],
        "topCandidates": [
            {"candidates": [_token(top) for top in token["top_logprobs"]]} for token in tokens
        ],
    }


def _token(token: Mapping[str, Any]) -> dict[str, Any]:
    return {"token": token["token"], "logProbability": token["logprob"]}
