"""OpenAI Chat Completions and embeddings formats of the fake server."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from multirouter.testing.fakes.answers import CACHED, Answer, ParsedRequest, Tool
from multirouter.testing.fakes.formats import ErrorResponse, StreamEvent, require
from multirouter.testing.fakes.rules import openai as rules

_FINISH = {
    "stop": "stop",
    "length": "length",
    "calls": "tool_calls",
    "refusal": "content_filter",
}
_ERRORS: dict[str, tuple[int, str, str | None]] = {
    "request": (400, "invalid_request_error", None),
    "rate-limit": (429, "rate_limit_error", "rate_limit_exceeded"),
    "quota": (429, "insufficient_quota", "insufficient_quota"),
    "bad-key": (401, "invalid_request_error", "invalid_api_key"),
    "no-model": (404, "invalid_request_error", "model_not_found"),
    "unsupported-field": (400, "invalid_request_error", "unsupported_parameter"),
    "context-too-long": (400, "invalid_request_error", "context_length_exceeded"),
    "filtered": (400, "invalid_request_error", "content_policy_violation"),
}


class OpenAIFormat:
    """The Chat Completions format."""

    def read(self, headers: Mapping[str, str], body: Any) -> ParsedRequest:
        """See `Format.read`."""
        scheme, _, key = headers.get("Authorization", "").partition(" ")
        require(scheme.lower() == "bearer" and key, "You didn't provide an API key.", "bad-key")
        require(isinstance(body, dict), "the body must be an object")
        require(body.get("messages"), "messages: at least one is required")
        rules.check(body)
        last = body["messages"][-1]
        form = body.get("response_format") or {}
        choice = body.get("tool_choice") or "auto"
        named = choice["function"]["name"] if isinstance(choice, dict) else ""
        stops = body.get("stop") or []
        return ParsedRequest(
            model=body.get("model") or "",
            prompt=text_in(last.get("content")),
            has_tool_result=last["role"] == "tool",
            tools=[
                Tool(tool["function"]["name"], tool["function"].get("parameters") or {})
                for tool in body.get("tools") or ()
            ],
            forced_tool="*" if choice == "required" else named,
            tools_allowed=choice != "none",
            schema=_schema(form),
            thinking_enabled=body.get("reasoning_effort") not in {None, "none"},
            choices=body.get("n") or 1,
            max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
            stop_sequences=[stops] if isinstance(stops, str) else stops,
            logprobs=(body.get("top_logprobs") or 0) if body.get("logprobs") else None,
            stream=bool(body.get("stream")),
            include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        )

    def full_response(self, parsed: ParsedRequest, answer: Answer) -> Any:
        """See `Format.full_response`."""
        message: dict[str, Any] = {
            "role": "assistant",
            "content": (answer.text or None) if answer.calls else answer.text,
            "refusal": None,
            "annotations": [],
        }
        if answer.thoughts:
            message["reasoning_content"] = "".join(answer.thoughts)
        if answer.calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": "".join(call.pieces)},
                }
                for call in answer.calls
            ]
        logprobs = _logprobs(answer.pieces, parsed.logprobs)
        return {
            "id": "chatcmpl-fake",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": parsed.model,
            "choices": [
                {
                    "index": index,
                    "message": message,
                    "logprobs": logprobs,
                    "finish_reason": _FINISH[answer.finish],
                }
                for index in range(parsed.choices)
            ],
            "usage": _usage(answer, parsed.choices),
            "system_fingerprint": "fp_fake",
            "service_tier": "default",
        }

    def events(self, parsed: ParsedRequest, answer: Answer) -> Iterator[StreamEvent]:
        """See `Format.events`."""
        every = range(parsed.choices)
        opening = {"role": "assistant", "content": None if answer.calls else "", "refusal": None}
        yield from (_chunk(parsed, "opening", opening, index) for index in every)
        for piece in answer.thoughts:
            yield from (
                _chunk(parsed, "content", {"reasoning_content": piece}, index) for index in every
            )
        for piece in answer.pieces:
            logprobs = _logprobs([piece], parsed.logprobs)
            for index in every:
                yield _chunk(parsed, "content", {"content": piece}, index, logprobs=logprobs)
        for call_index, call in enumerate(answer.calls):
            for index in every:
                yield from _call_chunks(parsed, call_index, call, index)
        for index in every:
            last = _chunk(parsed, "finish", {}, index, finish=_FINISH[answer.finish])
            if "mistral" in parsed.model:  # which has no option for it
                last.data["usage"] = _usage(answer, parsed.choices)
            yield last
        if parsed.include_usage:
            usage = _usage(answer, parsed.choices)
            yield StreamEvent("end", {**_base(parsed), "choices": [], "usage": usage})
        yield StreamEvent("end", "[DONE]")

    def filler_event(self, parsed: ParsedRequest) -> StreamEvent:
        """See `Format.filler_event`."""
        return _chunk(parsed, "content", {"content": "more "}, 0)

    def error_response(
        self, status: int, error_name: str, message: str, retry_after: float = 0.0
    ) -> ErrorResponse:
        """See `Format.error_response`."""
        known = _ERRORS.get(error_name)
        kind, code = (known[1], known[2]) if known else ("server_error", None)
        if error_name == "context-too-long":
            message = "This model's maximum context length is 8192 tokens."
        error = {"message": message, "type": kind, "param": None, "code": code}
        headers = {"x-request-id": "req_fake"}
        if retry_after:
            headers["retry-after"] = f"{retry_after:g}"
        return ErrorResponse(known[0] if known else status, {"error": error}, headers)

    def error_event(self) -> StreamEvent:
        """See `Format.error_event`."""
        error = {"message": "The server had an error", "type": "server_error"}
        return StreamEvent("content", {"error": {**error, "param": None, "code": None}})

    def ping(self) -> bytes:
        """See `Format.ping`."""
        return b": ping\n\n"


def embeddings(body: Mapping[str, Any]) -> Any:
    """The answer to `/embeddings`; every component of a vector is the length of its input."""
    given = body["input"]
    many = [given] if isinstance(given, str) or (given and isinstance(given[0], int)) else given
    size = body.get("dimensions") or 3
    vectors = [[float(len(one))] * size for one in many]
    packed = body.get("encoding_format") == "base64"
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
            if packed
            else vector,
        }
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": len(many), "total_tokens": len(many)}
    return {"object": "list", "data": data[::-1], "model": body.get("model"), "usage": usage}


def text_in(content: Any) -> str:
    """The text of a message's content; other parts appear as their type in brackets."""
    if content is None or isinstance(content, str):
        return content or ""
    return " ".join(part.get("text") or f"[{part['type']}]" for part in content)


def _schema(form: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if form.get("type") == "json_object":
        return {}
    if form.get("type") == "json_schema":
        schema: Mapping[str, Any] = form["json_schema"].get("schema") or {}
        return schema
    return None


def _base(parsed: ParsedRequest) -> dict[str, Any]:
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": parsed.model,
        "system_fingerprint": "fp_fake",
    }


def _chunk(
    parsed: ParsedRequest,
    stage: Any,
    delta: Any,
    index: int,
    *,
    finish: str | None = None,
    logprobs: Any = None,
) -> StreamEvent:
    choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
    usage = {"usage": None} if parsed.include_usage else {}
    return StreamEvent(stage, {**_base(parsed), "choices": [choice], **usage})


def _call_chunks(
    parsed: ParsedRequest, call_index: int, call: Any, index: int
) -> Iterator[StreamEvent]:
    function = {"name": call.name, "arguments": ""}
    first = {"index": call_index, "id": call.id, "type": "function", "function": function}
    yield _chunk(parsed, "content", {"tool_calls": [first]}, index)
    for piece in call.pieces:
        more = {"index": call_index, "function": {"arguments": piece}}
        yield _chunk(parsed, "content", {"tool_calls": [more]}, index)


def _logprobs(pieces: list[str], tops: int | None) -> Any:
    if tops is None:
        return None
    content = [
        {
            "token": piece,
            "logprob": -0.5,
            "bytes": list(piece.encode()),
            "top_logprobs": [{"token": piece, "logprob": -0.5, "bytes": None}] * tops,
        }
        for piece in pieces
    ]
    return {"content": content, "refusal": None}


def _usage(answer: Answer, choices: int) -> dict[str, Any]:
    completion = (answer.output_tokens + len(answer.thoughts)) * choices
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": completion,
        "total_tokens": answer.prompt_tokens + completion,
        "prompt_tokens_details": {"cached_tokens": CACHED, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": len(answer.thoughts) * choices},
    }
