"""The endpoints that count tokens: those of Anthropic, Gemini and OpenAI.

Each gets the request that a chat would get, without the fields that do not belong to a count.
"""

from __future__ import annotations

from typing import Any

from multirouter.providers.adapter import encode
from multirouter.providers.anthropic.wire import AnthropicWire
from multirouter.providers.canonical import ChatRequest
from multirouter.providers.counting.counter import counted
from multirouter.providers.gemini.wire import GeminiWire
from multirouter.providers.json_bytes import loads
from multirouter.providers.openai.responses.wire import ResponsesWire
from multirouter.providers.transport.http import PreparedRequest

_ANTHROPIC = frozenset(
    {"messages", "model", "output_config", "system", "thinking", "tool_choice", "tools"}
)
"""Source: the types of the SDK anthropic 2.14, MessageCountTokensParams."""

_OPENAI = frozenset(
    {
        "conversation",
        "input",
        "instructions",
        "model",
        "parallel_tool_calls",
        "previous_response_id",
        "reasoning",
        "text",
        "tool_choice",
        "tools",
        "truncation",
    }
)
"""Source: the types of the SDK openai 3.57, InputTokenCountParams."""


class AnthropicCountWire(AnthropicWire):
    """`POST /v1/messages/count_tokens`."""

    def prepare(self, request: ChatRequest, *, stream: bool) -> PreparedRequest:
        """See `Wire.prepare`."""
        prepared = super().prepare(request, stream=False)
        address, _, query = prepared.url.partition("?")
        url = f"{address}/count_tokens" + (f"?{query}" if query else "")
        if prepared.native is not None:
            return _with(prepared, url, prepared.body)
        body = _fields(prepared)
        kept = {name: value for name, value in body.items() if name in _ANTHROPIC}
        return _with(prepared, url, encode(kept))

    def read(self, body: dict[str, Any], request: ChatRequest) -> Any:
        """See `Wire.read`."""
        with self._errors.reading_response():
            return counted(body["input_tokens"])


class GeminiCountWire(GeminiWire):
    """`:countTokens` of a model."""

    def prepare(self, request: ChatRequest, *, stream: bool) -> PreparedRequest:
        """See `Wire.prepare`."""
        prepared = super().prepare(request, stream=False)
        address = prepared.url.rpartition(":")[0]
        data = prepared.body
        if prepared.native is None:
            model = "models/" + self._model_for(request)
            data = encode({"generateContentRequest": {"model": model, **_fields(prepared)}})
        return _with(prepared, f"{address}:countTokens", data)

    def read(self, body: dict[str, Any], request: ChatRequest) -> Any:
        """See `Wire.read`."""
        with self._errors.reading_response():
            return counted(body["totalTokens"])


class OpenAICountWire(ResponsesWire):
    """`POST /responses/input_tokens`."""

    path = "/responses/input_tokens"

    def prepare(self, request: ChatRequest, *, stream: bool) -> PreparedRequest:
        """See `Wire.prepare`."""
        prepared = super().prepare(request, stream=False)
        if prepared.native is not None:
            return prepared
        body = _fields(prepared)
        kept = {name: value for name, value in body.items() if name in _OPENAI}
        return _with(prepared, prepared.url, encode(kept))

    def read(self, body: dict[str, Any], request: ChatRequest) -> Any:
        """See `Wire.read`."""
        with self._errors.reading_response():
            return counted(body["input_tokens"])


def _fields(prepared: PreparedRequest) -> dict[str, Any]:
    fields: dict[str, Any] = loads(prepared.body)  # type: ignore[arg-type] # a chat is no form
    return fields


def _with(prepared: PreparedRequest, url: str, body: Any) -> PreparedRequest:
    return PreparedRequest(url, prepared.headers, body, prepared.native)
