"""The wire format of OpenAI. Requests and responses pass unchanged, including unknown fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from multirouter.core.chat import completions as chat
from multirouter.providers.adapter import encode
from multirouter.providers.answer_checks import check_choices
from multirouter.providers.api_keys.secret import Secret
from multirouter.providers.calls.names import ToolNames, restore_names, with_sent_name
from multirouter.providers.canonical import (
    ChatCompletion,
    ChatRequest,
    EmbeddingRequest,
    EmbeddingResponse,
)
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.files.form_data import FormBody
from multirouter.providers.native.client_request import translating
from multirouter.providers.openai.messages import limited, messages_for, without_marks
from multirouter.providers.openai.prefill import is_prefill
from multirouter.providers.openai.presets import Preset
from multirouter.providers.openai.stream import OpenAITranslator, check_finish_reason
from multirouter.providers.quirks.model_quirks import QuirkTable
from multirouter.providers.transport.http import PreparedRequest

_INCLUDE_USAGE = {"include_usage": True}


class OpenAIAddress:
    """Address, model and key; common base of the formats of a service.

    Args:
        base_url: the address before the path.
        preset: the service.
        model: the model of every request; None uses the request's.
        key: the API key; it may be empty.
        headers: extra headers.
        options: fields set in every request; they override the caller's.
        errors: makes the provider's errors.
        address: makes the address of (path after the base URL, body); None joins base URL and path.
        quirks: what the models take.
    """

    path = ""

    def __init__(
        self,
        *,
        base_url: str,
        preset: Preset,
        model: str | None,
        key: Secret,
        headers: Mapping[str, str],
        options: Mapping[str, Any],
        errors: ErrorFactory,
        address: Callable[[str, Mapping[str, Any]], str] | None = None,
        quirks: QuirkTable | None = None,
    ) -> None:
        self._base_url = base_url
        self._address = address
        self._quirks = quirks
        self._url = base_url + self.path
        self._preset = preset
        self._key = key
        self._headers = {**headers, "Content-Type": "application/json"}
        self._options = dict(options)
        self._errors = errors
        if model is not None:
            self._options["model"] = model

    def _prepared(
        self,
        body: dict[str, Any],
        encoding: Callable[[Mapping[str, Any]], bytes | FormBody] = encode,
        *,
        more_headers: Mapping[str, str] | None = None,
        native: ToolNames | None = None,
    ) -> PreparedRequest:
        headers = {**(more_headers or {}), **self._headers}
        key = self._key.reveal()
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        url = self._url
        if self._address is not None:
            with self._errors.reading_request():  # half a surrogate pair has no place in a URL
                url = self._address(url.removeprefix(self._base_url), body)
        data = self._errors.encode_body(encoding, body)
        return PreparedRequest(url, headers, data, native)

    def _taken(self, request: ChatRequest) -> ChatRequest:
        """What the model takes of a request."""
        if self._quirks is None:
            return request
        model = self._options.get("model") or request.get("model")
        return self._quirks.of(model).apply(request)  # type: ignore[return-value] # the same fields


class OpenAIWire(OpenAIAddress):
    """Wire format of chat completions."""

    path = "/chat/completions"

    def prepare(self, request: ChatRequest, *, stream: bool) -> PreparedRequest:
        """See `Wire.prepare`. The request itself is not changed."""
        body: dict[str, Any] = {**self._taken(request), **self._options}
        preset = self._preset
        for field in preset.drops:
            body.pop(field, None)
        for field, name in preset.renames.items():
            value = body.pop(field, None)
            if value is not None:
                body[name] = value
        with self._errors.reading_request():
            translating(self._errors)
            names = ToolNames(preset.names, request.get("tools"))
            messages = messages_for(body.get("messages") or (), preset, names)
            _adapt_tools(body, preset, names)
            if "user" in body:
                body["user"] = limited(body["user"], preset.user_length)
            if messages and is_prefill(messages[-1]):
                messages[-1] = {**messages[-1], **preset.prefill_turn}
                body = {**preset.prefill_request, **body}
            body["messages"] = messages
            stream_options = dict(body.pop("stream_options", None) or {})
        body.pop("stream", None)
        if stream:
            body["stream"] = True
            if preset.stream_usage:
                body["stream_options"] = stream_options | _INCLUDE_USAGE
        return self._prepared(body)

    def read(self, body: dict[str, Any], request: ChatRequest) -> ChatCompletion:
        """See `Wire.read`."""
        choices = body.get("choices")
        if not isinstance(choices, list) or not choices:
            raise self._errors.invalid_response("the response has no choices", {})
        with self._errors.reading_response():
            check_choices(body)
            for choice in choices:
                check_finish_reason(choice.get("finish_reason"), self._errors)
            if chat.has_tool_calls(body):
                restore_names(body, ToolNames(self._preset.names, request.get("tools")))
        return body  # type: ignore[return-value] # passed through: the format is the canonical one

    def translator(self, request: ChatRequest) -> OpenAITranslator:
        """See `Wire.translator`."""
        stream_options = request.get("stream_options") or {}
        return OpenAITranslator(
            self._errors.about(request),
            choices=chat.choice_count(request),
            names=ToolNames(self._preset.names, request.get("tools")),
            include_usage=bool(stream_options.get("include_usage")),
        )


class OpenAIEmbeddingsWire(OpenAIAddress):
    """Wire format of embeddings."""

    path = "/embeddings"

    def prepare(self, request: EmbeddingRequest, *, stream: bool) -> PreparedRequest:
        """See `Wire.prepare`. `stream` has no effect."""
        return self._prepared({**request, **self._options})

    def read(self, body: dict[str, Any], request: EmbeddingRequest) -> EmbeddingResponse:
        """See `Wire.read`. The vectors are sorted in the order of the inputs."""
        data = body.get("data")
        if not isinstance(data, list) or not data:
            raise self._errors.invalid_response("the response has no embeddings", {})
        with self._errors.reading_response():
            data.sort(key=by_index)
        return body  # type: ignore[return-value] # passed through: the format is the canonical one

    def translator(self, request: EmbeddingRequest) -> OpenAITranslator:
        """Not used: embeddings are not streamed."""
        raise NotImplementedError


def by_index(item: Mapping[str, Any]) -> int:
    """Sort key of embeddings: the position of their input."""
    index: int = item.get("index", 0)
    return index


def _adapt_tools(body: dict[str, Any], preset: Preset, names: ToolNames) -> None:
    """Gives the tools, and the choice among them, names that the service accepts."""
    tools = body.get("tools")
    if tools and (names or not preset.cache_marks):
        body["tools"] = [_tool(tool, preset, names) for tool in tools]
    choice = body.get("tool_choice")
    if names and isinstance(choice, Mapping):
        body["tool_choice"] = with_sent_name(choice, names)
        allowed = choice.get("allowed_tools")
        if isinstance(allowed, Mapping):
            tools = [_tool(tool, preset, names) for tool in allowed.get("tools") or ()]
            body["tool_choice"] = {**choice, "allowed_tools": {**allowed, "tools": tools}}


def _tool(tool: Any, preset: Preset, names: ToolNames) -> Any:
    tool = tool if preset.cache_marks else without_marks(tool)
    return with_sent_name(tool, names) if names else tool
