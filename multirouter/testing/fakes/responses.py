"""OpenAI's Responses format of the fake server, stateless: it stores nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from multirouter.testing.fakes.answers import CACHED, Answer, ParsedRequest, Tool, ToolCall
from multirouter.testing.fakes.formats import (
    ErrorResponse,
    StreamEvent,
    require,
    require_known,
)
from multirouter.testing.fakes.openai import OpenAIFormat, text_in
from multirouter.testing.fakes.rules import responses as rules
from multirouter.testing.fakes.rules.openai import NAME
from multirouter.testing.fakes.rules.responses import ENCRYPTED


class ResponsesFormat:
    """The Responses format; one object for each request."""

    def __init__(self) -> None:
        self._errors = OpenAIFormat()
        self._custom: set[str] = set()
        self._encrypts = False
        self._number = 0

    def read(self, headers: Mapping[str, str], body: Any) -> ParsedRequest:
        """See `Format.read`."""
        scheme, _, key = headers.get("Authorization", "").partition(" ")
        require(scheme.lower() == "bearer" and key, "An API key is required.", "bad-key")
        require(isinstance(body, dict), "the body must be an object")
        require_known(body, rules.FIELDS, "")
        previous = body.get("previous_response_id")
        require(not previous, f"Previous response with id '{previous}' not found.", "no-response")
        items = body.get("input")
        require(items, "Missing required parameter: 'input'.")
        if isinstance(items, str):
            items = [{"type": "message", "role": "user", "content": items}]
        rules.check_items(items)
        limit = body.get("max_output_tokens")
        require(limit is None or limit >= rules.MIN_OUTPUT_TOKENS, "max_output_tokens: below 16")
        self._encrypts = "reasoning.encrypted_content" in (body.get("include") or ())
        last = items[-1]
        choice = body.get("tool_choice") or "auto"
        form = (body.get("text") or {}).get("format") or {}
        return ParsedRequest(
            model=body.get("model") or "",
            prompt=text_in(last.get("content") or last.get("output")),
            has_tool_result=last.get("type") in rules.OUTPUTS,
            tools=[self._tool(tool) for tool in body.get("tools") or () if "name" in tool],
            forced_tool="*" if choice == "required" else _named(choice),
            tools_allowed=choice != "none",
            schema=_schema(form),
            thinking_enabled=(body.get("reasoning") or {}).get("effort") not in {None, "none"},
            max_tokens=limit,
            stream=bool(body.get("stream")),
        )

    def full_response(self, parsed: ParsedRequest, answer: Answer) -> Any:
        """See `Format.full_response`."""
        return self._response(parsed, answer, _status(answer))

    def events(self, parsed: ParsedRequest, answer: Answer) -> Iterator[StreamEvent]:
        """See `Format.events`."""
        for name in ("created", "in_progress"):
            started = {**self._response(parsed, Answer(), "in_progress"), "usage": None}
            yield self._event("opening", f"response.{name}", response=started)
        for index, item in enumerate(self._items(answer)):
            yield from self._item_events(index, item, answer)
        status = _status(answer)
        response = self._response(parsed, answer, status)
        yield self._event("finish", f"response.{status}", response=response)

    def filler_event(self, parsed: ParsedRequest) -> StreamEvent:
        """See `Format.filler_event`."""
        place = {"item_id": "msg_fake", "output_index": 0, "content_index": 0}
        return self._event(
            "content", "response.output_text.delta", delta="more ", logprobs=[], **place
        )

    def error_response(
        self, status: int, error_name: str, message: str, retry_after: float = 0.0
    ) -> ErrorResponse:
        """See `Format.error_response`."""
        if error_name in _OWN_ERRORS:
            status, code = _OWN_ERRORS[error_name]
            error = {"message": message, "type": "invalid_request_error"}
            return ErrorResponse(status, {"error": {**error, "param": None, "code": code}})
        return self._errors.error_response(status, error_name, message, retry_after)

    def error_event(self) -> StreamEvent:
        """See `Format.error_event`."""
        return self._event(
            "content", "error", code="server_error", message="The server had an error", param=None
        )

    def ping(self) -> bytes:
        """See `Format.ping`."""
        return b": ping\n\n"

    def _tool(self, tool: Mapping[str, Any]) -> Tool:
        require(NAME.fullmatch(tool["name"]), "Invalid 'tools[].name': does not match pattern")
        if tool["type"] == "custom":
            self._custom.add(tool["name"])
            return Tool(tool["name"], {"properties": {"input": {"type": "string"}}})
        return Tool(tool["name"], tool.get("parameters") or {})

    def _event(self, stage: Any, name: str, /, **fields: Any) -> StreamEvent:
        data = {"type": name, "sequence_number": self._number, **fields}
        self._number += 1
        return StreamEvent(stage, data, name)

    def _response(self, parsed: ParsedRequest, answer: Answer, status: str) -> dict[str, Any]:
        cut = status == "incomplete"
        return {
            "id": "resp_fake",
            "object": "response",
            "created_at": 1_700_000_000,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "model": parsed.model,
            "output": self._items(answer) if status != "in_progress" else [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": _usage(answer),
        }

    def _items(self, answer: Answer) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        if answer.thoughts:
            summary = [{"type": "summary_text", "text": "".join(answer.thoughts)}]
            item = {"id": "rs_fake", "type": "reasoning", "summary": summary}
            items.append({**item, "encrypted_content": ENCRYPTED} if self._encrypts else item)
        if answer.pieces:
            items.append(_message(answer))
        return items + [self._call(call) for call in answer.calls]

    def _call(self, call: ToolCall) -> dict[str, Any]:
        item = {"call_id": call.id, "name": call.name, "status": "completed"}
        if call.name in self._custom:
            text = call.arguments.get("input", "")
            return {**item, "id": f"ctc_{call.id}", "type": "custom_tool_call", "input": text}
        arguments = json.dumps(call.arguments, ensure_ascii=False)
        return {**item, "id": f"fc_{call.id}", "type": "function_call", "arguments": arguments}

    def _item_events(
        self, index: int, item: Mapping[str, Any], answer: Answer
    ) -> Iterator[StreamEvent]:
        """The events of one item: those of its parts between those of itself."""
        place = {"item_id": item["id"], "output_index": index}
        empty = {name: _EMPTY.get(name, value) for name, value in item.items()}
        empty.pop("encrypted_content", None)
        yield self._event("opening", "response.output_item.added", output_index=index, item=empty)
        kind = item["type"]
        if kind == "reasoning":
            yield from self._reasoning_events({**place, "summary_index": 0}, answer)
        elif kind == "message":
            yield from self._text_events({**place, "content_index": 0}, item["content"][0], answer)
        elif kind == "custom_tool_call":
            text = item["input"]
            for name, field in (("delta", "delta"), ("done", "input")):
                event = f"response.custom_tool_call_input.{name}"
                yield self._event("content", event, **{field: text}, **place)
        else:
            name = "response.function_call_arguments"
            text = item["arguments"]
            for start in range(0, len(text), 4):
                piece = text[start : start + 4]
                yield self._event("content", f"{name}.delta", delta=piece, **place)
            done = {"arguments": text, "name": item["name"]}
            yield self._event("content", f"{name}.done", **done, **place)
        yield self._event("opening", "response.output_item.done", output_index=index, item=item)

    def _reasoning_events(self, place: Any, answer: Answer) -> Iterator[StreamEvent]:
        name = "response.reasoning_summary"
        part = {"type": "summary_text", "text": ""}
        yield self._event("opening", f"{name}_part.added", part=part, **place)
        for piece in answer.thoughts:
            yield self._event("content", f"{name}_text.delta", delta=piece, **place)
        part = {**part, "text": "".join(answer.thoughts)}
        yield self._event("opening", f"{name}_text.done", text=part["text"], **place)
        yield self._event("opening", f"{name}_part.done", part=part, **place)

    def _text_events(
        self, place: Any, part: Mapping[str, Any], answer: Answer
    ) -> Iterator[StreamEvent]:
        if part["type"] == "refusal":
            name, field = "response.refusal", "refusal"
            extra: dict[str, Any] = {}
        else:
            name, field = "response.output_text", "text"
            extra = {"logprobs": []}
        empty = {**part, field: ""}
        yield self._event("opening", "response.content_part.added", part=empty, **place)
        for piece in answer.pieces:
            yield self._event("content", f"{name}.delta", delta=piece, **extra, **place)
        yield self._event("opening", f"{name}.done", **{field: answer.text}, **extra, **place)
        yield self._event("opening", "response.content_part.done", part=part, **place)


_OWN_ERRORS = {
    "no-response": (400, "previous_response_not_found"),
    "foreign-reasoning": (400, "invalid_encrypted_content"),
}
_EMPTY: Mapping[str, Any] = {
    "status": "in_progress",
    "content": [],
    "summary": [],
    "arguments": "",
    "input": "",
}
"""What the fields of an item are when it is added."""


def _message(answer: Answer) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "output_text", "text": answer.text, "annotations": []}
    if answer.finish == "refusal":
        part = {"type": "refusal", "refusal": answer.text}
    cut = answer.finish == "length"
    return {
        "id": "msg_fake",
        "type": "message",
        "role": "assistant",
        "status": "incomplete" if cut else "completed",
        "content": [part],
    }


def _status(answer: Answer) -> str:
    return "incomplete" if answer.finish == "length" else "completed"


def _usage(answer: Answer) -> dict[str, Any]:
    output = answer.output_tokens + len(answer.thoughts)
    return {
        "input_tokens": answer.prompt_tokens,
        "input_tokens_details": {"cached_tokens": CACHED, "cache_write_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": len(answer.thoughts)},
        "total_tokens": answer.prompt_tokens + output,
    }


def _named(choice: Any) -> str:
    return str(choice.get("name") or "") if isinstance(choice, dict) else ""


def _schema(form: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if form.get("type") == "json_object":
        return {}
    if form.get("type") == "json_schema":
        schema: Mapping[str, Any] = form.get("schema") or {}
        return schema
    return None
