"""The wire format of OpenAI. Requests and responses pass unchanged, including unknown fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multirouter.core.chat import completions as chat
from multirouter.providers.adapter import PreparedRequest, encode
from multirouter.providers.canonical import (
    ChatCompletion,
    ChatRequest,
    EmbeddingRequest,
    EmbeddingResponse,
)
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.openai.answer_checks import check_choice
from multirouter.providers.openai.prefill import is_prefill
from multirouter.providers.openai.presets import Preset
from multirouter.providers.openai.stream import OpenAITranslator, check_finish_reason
from multirouter.providers.secret import Secret

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
    ) -> None:
        self._url = base_url + self.path
        self._preset = preset
        self._key = key
        self._headers = {**headers, "Content-Type": "application/json"}
        self._options = dict(options)
        self._errors = errors
        if model is not None:
            self._options["model"] = model

    def _prepared(self, body: dict[str, Any]) -> PreparedRequest:
        headers = dict(self._headers)
        key = self._key.reveal()
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        return PreparedRequest(self._url, headers, self._errors.encode_body(encode, body))


class OpenAIWire(OpenAIAddress):
    """Wire format of chat completions."""

    path = "/chat/completions"

    def prepare(self, request: ChatRequest, *, stream: bool) -> PreparedRequest:
        """See `Wire.prepare`. The request itself is not changed."""
        body: dict[str, Any] = {**request, **self._options}
        preset = self._preset
        for field in preset.drops:
            body.pop(field, None)
        for field, name in preset.renames.items():
            value = body.pop(field, None)
            if value is not None:
                body[name] = value
        with self._errors.reading_request():
            messages = [_translated(message, preset) for message in body.get("messages") or ()]
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
            for choice in choices:
                check_choice(choice, "message")
                check_finish_reason(choice.get("finish_reason"), self._errors)
        return body  # type: ignore[return-value] # passed through: the format is the canonical one

    def translator(self, request: ChatRequest) -> OpenAITranslator:
        """See `Wire.translator`."""
        stream_options = request.get("stream_options") or {}
        return OpenAITranslator(
            self._errors.about(request),
            choices=chat.choice_count(request),
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


def _translated(message: Mapping[str, Any], preset: Preset) -> Mapping[str, Any]:
    """Returns a message as this service accepts it; most are returned unchanged."""
    role = message["role"]
    if role == "developer" and not preset.developer:
        return {**message, "role": "system"}
    if role == "assistant" and _has_any(message, preset.strips):
        return _without_fields(message, preset.strips)
    return message


def _has_any(message: Mapping[str, Any], fields: tuple[str, ...]) -> bool:
    calls = message.get("tool_calls") or ()
    return any(field in message or any(field in call for call in calls) for field in fields)


def _without_fields(message: Mapping[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    kept = {key: value for key, value in message.items() if key not in fields}
    if kept.get("tool_calls"):
        kept["tool_calls"] = [
            {key: value for key, value in call.items() if key not in fields}
            for call in kept["tool_calls"]
        ]
    return kept
