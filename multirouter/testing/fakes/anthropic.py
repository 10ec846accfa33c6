"""Anthropic Messages format of the fake server; rejects the requests that the real API rejects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from multirouter.testing.fakes.answers import CACHED, SIGNATURE, Answer, ParsedRequest, Tool
from multirouter.testing.fakes.formats import ErrorResponse, StreamEvent, require
from multirouter.testing.fakes.rules import anthropic as rules
from multirouter.testing.fakes.rules.anthropic import blocks_of

_FINISH = {"stop": "end_turn", "length": "max_tokens", "calls": "tool_use", "refusal": "refusal"}
_ERRORS: dict[str, tuple[int, str]] = {
    "request": (400, "invalid_request_error"),
    "rate-limit": (429, "rate_limit_error"),
    "quota": (400, "invalid_request_error"),
    "bad-key": (401, "authentication_error"),
    "no-model": (404, "not_found_error"),
    "unsupported-field": (400, "invalid_request_error"),
    "context-too-long": (400, "invalid_request_error"),
    "filtered": (400, "invalid_request_error"),
}
_MESSAGES = {
    "quota": "Your credit balance is too low to access the Anthropic API.",
    "unsupported-field": "frobnicate: Extra inputs are not permitted",
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
        rules.check(headers, body)
        blocks = blocks_of(body["messages"][-1])
        choice = body.get("tool_choice") or {"type": "auto"}
        schema = ((body.get("output_config") or {}).get("format") or {}).get("schema")
        thinking = body.get("thinking") or {"type": "disabled"}
        thinking_enabled = thinking["type"] != "disabled"
        return ParsedRequest(
            model=body.get("model") or "",
            prompt=" ".join(_text(block) for block in blocks),
            has_tool_result=blocks[-1]["type"] == "tool_result",
            tools=[
                Tool(tool["name"], tool.get("input_schema") or {})
                for tool in body.get("tools") or ()
            ],
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
