"""Clients that keep a conversation in their format, and send back what they received."""

from __future__ import annotations

import json
from typing import Any, NamedTuple, Protocol

from tests.gateway.harness import Answer
from tests.gateway.wandering.sdk_types import check_events, check_whole

PICTURE = "iVBORw0KGgo="
DOCUMENT = "JVBERi0xLjQK"
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
WONDROUS = {"wondrous": {"a": [1]}}
"""A field that no service knows."""


class Result(NamedTuple):
    """The result of a tool: a text, and the kinds of media with it (`image`, `pdf`)."""

    text: str
    media: tuple[str, ...] = ()


class Turn(NamedTuple):
    """What a client has read of an answer."""

    text: str
    calls: list[tuple[str, Any]]
    stop: str


class Client(Protocol):
    """A client of one format.

    Attributes:
        kind: the format, as `sdk_types` names it.
    """

    kind: str

    def request(self, *, stream: bool) -> tuple[str, dict[str, Any]]:
        """The path and the body of the next request, to the model `model`."""
        ...

    def receive(self, answer: Answer, *, stream: bool) -> Turn:
        """Reads an answer, which becomes part of the conversation."""
        ...

    def reply(self, results: list[Result], text: str) -> None:
        """Adds the results of the calls in order, and a text of the user, or one of them."""
        ...


class ChatClient:
    """A client of chat completions.

    Args:
        names: the names of its tools.
        model: the model that it names.
        keeps: whether it sends back fields that its SDK does not know.
        invents: whether it sends fields that no service knows.
    """

    kind = "chat"

    def __init__(self, names: list[str], model: str, *, keeps: bool, invents: bool) -> None:
        self._names, self.model, self._keeps, self._invents = names, model, keeps, invents
        self._messages: list[Any] = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Read both."},
        ]
        self._ids: list[str] = []

    def request(self, *, stream: bool) -> tuple[str, dict[str, Any]]:
        tools = [
            {"type": "function", "function": {"name": name, "parameters": SCHEMA}}
            for name in self._names
        ]
        body = {
            "model": self.model,
            "max_tokens": 64_000,
            "temperature": 0.5,
            "reasoning_effort": "high",
            "messages": self._messages,
            "tools": tools,
            "user": "u" * 100,
            **(WONDROUS if self._invents else {}),
        }
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return "/v1/chat/completions", body

    def receive(self, answer: Answer, *, stream: bool) -> Turn:
        if stream:
            chunks = check_events(self.kind, answer)
            message, stop = joined(chunks)
        else:
            (choice,) = check_whole(self.kind, answer.json)["choices"]
            message, stop = choice["message"], choice["finish_reason"]
        calls = message.get("tool_calls") or []
        if not self._keeps:
            known = {"role", "content", "tool_calls"}
            message = {name: message[name] for name in message if name in known}
            for call in calls:
                call.pop("extra_content", None)
        self._messages.append(message)
        self._ids = [call["id"] for call in calls]
        functions = [call["function"] for call in calls]
        read = [(function["name"], json.loads(function["arguments"])) for function in functions]
        return Turn(message.get("content") or "", read, stop)

    def reply(self, results: list[Result], text: str) -> None:
        for id_, result in zip(self._ids, results, strict=True):
            content: Any = result.text
            if result.media:
                content = [{"type": "text", "text": result.text}, *map(_chat_part, result.media)]
            self._messages.append({"role": "tool", "tool_call_id": id_, "content": content})
        if text:
            self._messages.append({"role": "user", "content": text})


def joined(chunks: list[Any]) -> tuple[dict[str, Any], str]:
    """The message of a stream's chunks, as the SDKs join them, and its finish reason."""
    message: dict[str, Any] = {"role": "assistant", "content": None}
    calls: dict[int, Any] = {}
    stop = ""
    for choice in (choice for chunk in chunks for choice in chunk["choices"]):
        stop = choice["finish_reason"] or stop
        for name, value in choice["delta"].items():
            if name == "tool_calls":
                for call in value:
                    if "id" in call:
                        calls[call["index"]] = {**call, "function": dict(call["function"])}
                        del calls[call["index"]]["index"]
                    else:
                        held = calls[call["index"]]["function"]
                        held["arguments"] += call["function"]["arguments"]
            elif isinstance(value, str) and name != "role":
                message[name] = (message.get(name) or "") + value
            elif isinstance(value, list):
                message[name] = [*message.get(name, ()), *value]
            elif isinstance(value, dict):
                message[name] = value
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    return message, stop


def _chat_part(kind: str) -> dict[str, Any]:
    if kind == "image":
        return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}}
    data = f"data:application/pdf;base64,{DOCUMENT}"
    return {"type": "file", "file": {"file_data": data, "filename": "a.pdf"}}


class MessagesClient:
    """A client of Anthropic's Messages; see `ChatClient`."""

    kind = "messages"

    def __init__(self, names: list[str], model: str, *, keeps: bool, invents: bool) -> None:
        self._names, self.model, self._keeps, self._invents = names, model, keeps, invents
        self._turns: list[Any] = [{"role": "user", "content": "Read both."}]
        self._ids: list[str] = []

    def request(self, *, stream: bool) -> tuple[str, dict[str, Any]]:
        mark = {"cache_control": {"type": "ephemeral"}}
        body = {
            "model": self.model,
            "max_tokens": 64_000,
            "thinking": {"type": "adaptive"},
            "system": [{"type": "text", "text": "Be brief.", **mark}],
            "tools": [{"name": n, "input_schema": SCHEMA, **mark} for n in self._names],
            "messages": self._turns,
            "metadata": {"user_id": "u" * 200},
            **(WONDROUS if self._invents else {}),
        }
        return "/v1/messages", body | ({"stream": True} if stream else {})

    def receive(self, answer: Answer, *, stream: bool) -> Turn:
        if stream:
            content, stop = _message(check_events(self.kind, answer))
        else:
            message = check_whole(self.kind, answer.json)
            content, stop = message["content"], message["stop_reason"]
        self._turns.append({"role": "assistant", "content": content})
        calls = [block for block in content if block["type"] == "tool_use"]
        self._ids = [call["id"] for call in calls]
        text = "".join(block["text"] for block in content if block["type"] == "text")
        return Turn(text, [(call["name"], call["input"]) for call in calls], stop)

    def reply(self, results: list[Result], text: str) -> None:
        blocks: list[Any] = [
            {
                "type": "tool_result",
                "tool_use_id": id_,
                "content": [
                    {"type": "text", "text": result.text, **(WONDROUS if self._invents else {})},
                    *map(_message_block, result.media),
                ],
            }
            for id_, result in zip(self._ids, results, strict=True)
        ]
        blocks += [{"type": "text", "text": text}] if text else []
        self._turns.append({"role": "user", "content": blocks})


def _message(events: list[Any]) -> tuple[list[Any], str]:
    """The content of a message's events, as the SDK joins them, and its stop reason."""
    blocks: list[Any] = []
    stop = ""
    for event in events:
        if event["type"] == "content_block_start":
            blocks.append({**event["content_block"], "json": ""})
        elif event["type"] == "content_block_delta":
            delta = event["delta"]
            name = {"input_json_delta": "json"}.get(delta["type"], delta["type"].split("_")[0])
            value = delta.get(name, delta.get("partial_json"))
            blocks[-1][name] = value if name == "signature" else blocks[-1][name] + value
        elif event["type"] == "message_delta":
            stop = event["delta"]["stop_reason"]
    for block in blocks:
        text = block.pop("json")
        if block["type"] == "tool_use":
            block["input"] = json.loads(text or "{}")
    return blocks, stop


def _message_block(kind: str) -> dict[str, Any]:
    mime, data = _MEDIA[kind]
    source = {"type": "base64", "media_type": mime, "data": data}
    return {"type": "image" if kind == "image" else "document", "source": source}


_MEDIA = {"image": ("image/png", PICTURE), "pdf": ("application/pdf", DOCUMENT)}


class ResponsesClient:
    """A client of OpenAI's Responses that stores nothing, like Codex; see `ChatClient`."""

    kind = "responses"

    def __init__(self, names: list[str], model: str, *, keeps: bool, invents: bool) -> None:
        self._names, self.model, self._keeps, self._invents = names, model, keeps, invents
        self._items: list[Any] = [{"role": "user", "content": "Read both."}]
        self._ids: list[str] = []

    def request(self, *, stream: bool) -> tuple[str, dict[str, Any]]:
        tool = {"type": "function", "parameters": SCHEMA, "strict": False}
        body = {
            "model": self.model,
            "instructions": "Be brief.",
            "input": self._items,
            "tools": [{**tool, "name": name} for name in self._names],
            "reasoning": {"effort": "high", "summary": "auto"},
            "include": ["reasoning.encrypted_content"],
            "store": False,
            **(WONDROUS if self._invents else {}),
        }
        return "/v1/responses", body | ({"stream": True} if stream else {})

    def receive(self, answer: Answer, *, stream: bool) -> Turn:
        if stream:
            events = check_events(self.kind, answer)
            body = events[-1]["response"]
            assert _assembled(events) == [_content(item) for item in body["output"]]
        else:
            body = answer.json
        items = check_whole(self.kind, body)["output"]
        for item in items:
            kept = item if self._keeps else {n: item[n] for n in item if n not in {"id", "status"}}
            self._items.append(kept)
        calls = [item for item in items if item["type"] == "function_call"]
        self._ids = [call["call_id"] for call in calls]
        parts = [part for item in items if item["type"] == "message" for part in item["content"]]
        read = [(call["name"], json.loads(call["arguments"])) for call in calls]
        return Turn("".join(part.get("text", "") for part in parts), read, body["status"])

    def reply(self, results: list[Result], text: str) -> None:
        for id_, result in zip(self._ids, results, strict=True):
            output: Any = result.text
            if result.media:
                output = [
                    {"type": "input_text", "text": result.text},
                    *map(_input_part, result.media),
                ]
            item = {"type": "function_call_output", "call_id": id_, "output": output}
            self._items.append(item)
        if text:
            self._items.append({"role": "user", "content": text})


def _assembled(events: list[Any]) -> list[str]:
    """The text of each item, joined of its deltas."""
    items: dict[int, str] = {}
    for event in events:
        if event["type"] == "response.output_item.added":
            items[event["output_index"]] = ""
        elif event["type"].endswith(".delta"):
            items[event["output_index"]] += event["delta"]
    return [items[index] for index in sorted(items)]


def _content(item: Any) -> str:
    parts = item.get("content") or item.get("summary") or ()
    return item.get("arguments") or "".join(part.get("text") or part["refusal"] for part in parts)


def _input_part(kind: str) -> dict[str, Any]:
    mime, data = _MEDIA[kind]
    url = f"data:{mime};base64,{data}"
    if kind == "image":
        return {"type": "input_image", "image_url": url, "detail": "auto"}
    return {"type": "input_file", "file_data": url, "filename": "a.pdf"}


class GeminiClient:
    """A client of Gemini's generateContent; see `ChatClient`."""

    kind = "gemini"

    def __init__(self, names: list[str], model: str, *, keeps: bool, invents: bool) -> None:
        self._names, self.model, self._keeps, self._invents = names, model, keeps, invents
        self._contents: list[Any] = [{"role": "user", "parts": [{"text": "Read both."}]}]
        self._calls: list[Any] = []

    def request(self, *, stream: bool) -> tuple[str, dict[str, Any]]:
        tools = [{"name": name, "parametersJsonSchema": SCHEMA} for name in self._names]
        body = {
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "contents": self._contents,
            "tools": [{"functionDeclarations": tools}],
            "generationConfig": {
                "maxOutputTokens": 64_000,
                "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 2000},
                **(WONDROUS if self._invents else {}),
            },
        }
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/v1beta/models/{self.model}:{method}", body

    def receive(self, answer: Answer, *, stream: bool) -> Turn:
        events = check_events(self.kind, answer) if stream else [check_whole("gemini", answer.json)]
        candidates = [event["candidates"][0] for event in events]
        parts = [part for one in candidates for part in one.get("content", {}).get("parts", ())]
        if not self._keeps:
            parts = [part for part in parts if not part.get("thought")]
        self._contents.append({"role": "model", "parts": parts})
        self._calls = [part["functionCall"] for part in parts if "functionCall" in part]
        text = "".join(part.get("text", "") for part in parts if not part.get("thought"))
        read = [(call["name"], call["args"]) for call in self._calls]
        return Turn(text, read, candidates[-1]["finishReason"])

    def reply(self, results: list[Result], text: str) -> None:
        parts: list[Any] = []
        for call, result in zip(self._calls, results, strict=True):
            response: Any = {"name": call["name"], "response": {"output": result.text}}
            if call.get("id"):
                response["id"] = call["id"]
            if result.media:
                response["parts"] = [_inline(kind) for kind in result.media]
            parts.append({"functionResponse": response})
        parts += [{"text": text}] if text else []
        self._contents.append({"role": "user", "parts": parts})


def _inline(kind: str) -> dict[str, Any]:
    mime, data = _MEDIA[kind]
    return {"inlineData": {"mimeType": mime, "data": data}}


CLIENTS: dict[str, Any] = {
    client.kind: client for client in (ChatClient, MessagesClient, ResponsesClient, GeminiClient)
}
