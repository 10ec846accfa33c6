"""Anthropic Messages format of the fake server; rejects the requests that the real API rejects."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from multirouter.testing.fakes.answers import CACHED, SIGNATURE, Answer, ParsedRequest, Tool
from multirouter.testing.fakes.formats import ErrorResponse, StreamEvent, require, require_known

_FINISH = {"stop": "end_turn", "length": "max_tokens", "calls": "tool_use", "refusal": "refusal"}
_FIELDS = frozenset(
    {
        "model",
        "max_tokens",
        "messages",
        "system",
        "temperature",
        "top_p",
        "top_k",
        "stop_sequences",
        "tools",
        "tool_choice",
        "stream",
        "metadata",
        "thinking",
        "output_config",
        "service_tier",
        "container",
        "cache_control",
        "inference_geo",
        "speed",
    }
)
_BLOCKS = frozenset(
    {"text", "image", "document", "thinking", "redacted_thinking", "tool_use", "tool_result"}
)
_ID = re.compile(r"[a-zA-Z0-9_-]+")
_ERRORS: dict[str, tuple[int, str]] = {
    "request": (400, "invalid_request_error"),
    "rate-limit": (429, "rate_limit_error"),
    "quota": (400, "invalid_request_error"),
    "bad-key": (401, "authentication_error"),
    "no-model": (404, "not_found_error"),
    "context-too-long": (400, "invalid_request_error"),
    "filtered": (400, "invalid_request_error"),
}
_MESSAGES = {
    "quota": "Your credit balance is too low to access the Anthropic API.",
    "context-too-long": "prompt is too long: 210000 tokens > 200000 maximum",
    "filtered": "Output blocked by content filtering policy",
}
_BY_STATUS = {503: "overloaded_error", 504: "timeout_error", 529: "overloaded_error"}


class AnthropicFormat:
    """The Messages format."""

    def read(self, headers: Mapping[str, str], body: Any) -> ParsedRequest:
        """See `Format.read`."""
        key = headers.get("x-api-key") or headers.get("Authorization", "").partition(" ")[2]
        require(key, "x-api-key header is required", "bad-key")
        require(headers.get("anthropic-version"), "anthropic-version: header is required")
        require(isinstance(body, dict), "the body must be an object")
        require_known(body, _FIELDS, "")
        require(isinstance(body.get("max_tokens"), int), "max_tokens: Field required")
        turns = body.get("messages") or []
        require(
            turns and turns[0]["role"] == "user", "messages: first message must use the user role"
        )
        _check_turns(turns)
        blocks = _blocks(turns[-1])
        choice = body.get("tool_choice") or {"type": "auto"}
        schema = ((body.get("output_config") or {}).get("format") or {}).get("schema")
        thinking = body.get("thinking") or {"type": "disabled"}
        thinking_enabled = thinking["type"] != "disabled"
        _check_thinking(body, thinking, choice)
        return ParsedRequest(
            model=body.get("model") or "",
            prompt=" ".join(_text(block) for block in blocks),
            has_tool_result=blocks[-1]["type"] == "tool_result",
            tools=[Tool(tool["name"], tool["input_schema"]) for tool in body.get("tools") or ()],
            forced_tool={"any": "*", "tool": choice.get("name", "")}.get(choice["type"], ""),
            tools_allowed=choice["type"] != "none",
            schema=schema,
            thinking_enabled=thinking_enabled,
            max_tokens=body["max_tokens"],
            stop_sequences=body.get("stop_sequences") or (),
            stream=bool(body.get("stream")),
        )

    def full_response(self, parsed: ParsedRequest, answer: Answer) -> Any:
        """See `Format.full_response`."""
        blocks: list[dict[str, Any]] = []
        if answer.thoughts:
            thinking = "".join(answer.thoughts)
            blocks.append({"type": "thinking", "thinking": thinking, "signature": SIGNATURE})
        if answer.pieces:
            blocks.append({"type": "text", "text": answer.text, "citations": None})
        blocks.extend(
            {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}
            for call in answer.calls
        )
        return {
            **_message(parsed),
            "content": blocks,
            **_stop(answer),
            "usage": _usage(answer),
        }

    def events(self, parsed: ParsedRequest, answer: Answer) -> Iterator[StreamEvent]:
        """See `Format.events`."""
        usage = {**_usage(answer), "output_tokens": 1}
        message = {**_message(parsed), "content": [], "stop_reason": None, "usage": usage}
        yield _event("opening", "message_start", message=message)
        call_index = -1
        if answer.thoughts:
            call_index += 1
            yield from _thoughts(call_index, answer.thoughts)
        if answer.pieces:
            call_index += 1
            deltas = [{"type": "text_delta", "text": piece} for piece in answer.pieces]
            yield from _block(call_index, {"type": "text", "text": ""}, deltas)
        for call in answer.calls:
            call_index += 1
            start = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
            pieces = call.pieces if call.arguments else []
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
            yield from _block(call_index, start, deltas)
        yield _event("finish", "message_delta", delta=_stop(answer), usage=_usage(answer))
        yield _event("end", "message_stop")

    def filler_event(self, parsed: ParsedRequest) -> StreamEvent:
        """See `Format.filler_event`."""
        delta = {"type": "text_delta", "text": "more "}
        return _event("content", "content_block_delta", index=0, delta=delta)

    def error_response(
        self, status: int, error_name: str, message: str, retry_after: float = 0.0
    ) -> ErrorResponse:
        """See `Format.error_response`."""
        known = _ERRORS.get(error_name, (status, _BY_STATUS.get(status, "api_error")))
        error = {"type": known[1], "message": _MESSAGES.get(error_name, message)}
        body = {"type": "error", "error": error, "request_id": "req_fake"}
        headers = {"request-id": "req_fake"}
        if retry_after:
            headers["retry-after"] = f"{retry_after:g}"
        return ErrorResponse(known[0], body, headers)

    def error_event(self) -> StreamEvent:
        """See `Format.error_event`."""
        return _event(
            "content", "error", error={"type": "overloaded_error", "message": "Overloaded"}
        )

    def ping(self) -> bytes:
        """See `Format.ping`."""
        return b'event: ping\ndata: {"type": "ping"}\n\n'


def _check_turns(turns: list[dict[str, Any]]) -> None:
    open_calls: set[str] = set()
    for turn in turns:
        require(turn["role"] in {"user", "assistant"}, "messages.role: must be user or assistant")
        blocks = _blocks(turn)
        results = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        require(open_calls == results, "tool_use ids were found without tool_result blocks after")
        open_calls = {block["id"] for block in blocks if block["type"] == "tool_use"}
        for block in blocks:
            require(block["type"] in _BLOCKS, f"messages.content: unknown type {block['type']!r}")
            if block["type"] == "text":
                require(block["text"].strip(), "messages: text content blocks must be non-empty")
            if block["type"] == "tool_use":
                require(_ID.fullmatch(block["id"]), "tool_use.id: should match ^[a-zA-Z0-9_-]+$")
                require(isinstance(block["input"], dict), "tool_use.input: must be an object")
    last = turns[-1]
    if last["role"] == "assistant":
        text = _text(_blocks(last)[-1])
        require(
            text == text.rstrip(), "final assistant content cannot end with trailing whitespace"
        )


def _check_thinking(body: Mapping[str, Any], thinking: Any, choice: Any) -> None:
    if thinking["type"] == "disabled":
        require(body.get("temperature", 0) <= 1, "temperature: must be at most 1")
        return
    require(body.get("temperature", 1) == 1, "temperature: may only be 1 with thinking")
    require(choice["type"] in {"auto", "none"}, "Thinking may not be enabled when a tool is forced")
    budget = thinking.get("budget_tokens", 1024)
    require(budget >= 1024, "thinking.budget_tokens: must be at least 1024")
    require(
        thinking["type"] != "enabled" or budget < body["max_tokens"],
        "max_tokens must be greater than thinking.budget_tokens",
    )


def _blocks(turn: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = turn["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    require(blocks, "messages: content must be non-empty")
    return list(blocks)


def _text(block: Mapping[str, Any]) -> str:
    if block["type"] == "text":
        return str(block["text"])
    if block["type"] == "tool_result":
        content = block.get("content") or ""
        return content if isinstance(content, str) else " ".join(_text(inner) for inner in content)
    return f"[{block['type']}]"


def _event(stage: Any, kind: str, **fields: Any) -> StreamEvent:
    return StreamEvent(stage, {"type": kind, **fields}, kind)


def _block(call_index: int, start: Any, deltas: list[Any]) -> Iterator[StreamEvent]:
    stage = "content" if start["type"] == "tool_use" else "opening"
    yield _event(stage, "content_block_start", index=call_index, content_block=start)
    for delta in deltas:
        yield _event("content", "content_block_delta", index=call_index, delta=delta)
    yield _event("opening", "content_block_stop", index=call_index)


def _thoughts(call_index: int, pieces: list[str]) -> Iterator[StreamEvent]:
    deltas: list[Any] = [{"type": "thinking_delta", "thinking": piece} for piece in pieces]
    deltas.append({"type": "signature_delta", "signature": SIGNATURE})
    yield from _block(call_index, {"type": "thinking", "thinking": "", "signature": ""}, deltas)


def _message(parsed: ParsedRequest) -> dict[str, Any]:
    return {"id": "msg_fake", "type": "message", "role": "assistant", "model": parsed.model}


def _stop(answer: Answer) -> dict[str, Any]:
    stop: dict[str, Any] = {"stop_reason": _FINISH[answer.finish], "stop_sequence": None}
    if answer.finish == "refusal":
        stop["stop_details"] = {"type": "refusal", "category": "cyber", "explanation": "Not that."}
    return stop


def _usage(answer: Answer) -> dict[str, Any]:
    return {
        "input_tokens": answer.prompt_tokens - CACHED,
        "cache_read_input_tokens": CACHED,
        "cache_creation_input_tokens": 0,
        "output_tokens": answer.output_tokens + len(answer.thoughts),
        "output_tokens_details": {"thinking_tokens": len(answer.thoughts)},
    }
