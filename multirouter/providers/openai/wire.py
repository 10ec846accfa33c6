"""OpenAI's own format on the wire: requests and responses pass as they are, unknown fields too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multirouter.core.chat import completions as chat
from multirouter.providers.adapter import Prepared, encode
from multirouter.providers.canonical import (
    ChatCompletion,
    ChatRequest,
    EmbeddingRequest,
    EmbeddingResponse,
)
from multirouter.providers.failures import Failures
from multirouter.providers.openai.answer_checks import check_choice
from multirouter.providers.openai.presets import Preset
from multirouter.providers.openai.stream import OpenAITranslator, must_finish
from multirouter.providers.secret import Secret

_ASK_USAGE = {"include_usage": True}


class _OpenAIAddress:
    """Address, model and key, which chat and embeddings share.

    Args:
        base_url: what the path is appended to.
        preset: the service's accents.
        model: the model to ask for; None takes the request's.
        key: may hold none.
        headers: extra headers.
        options: fields put into every request, over the caller's.
        failures: makes the provider's errors.
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
        failures: Failures,
    ) -> None:
        self._url = base_url + self.path
        self._preset = preset
        self._key = key
        self._headers = {**headers, "Content-Type": "application/json"}
        self._options = dict(options)
        self._failures = failures
        if model is not None:
            self._options["model"] = model

    def _prepared(self, body: dict[str, Any]) -> Prepared:
        headers = dict(self._headers)
        key = self._key.reveal()
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        return Prepared(self._url, headers, self._failures.encoded(encode, body))


class OpenAIWire(_OpenAIAddress):
    """Chat completions."""

    path = "/chat/completions"

    def prepare(self, request: ChatRequest, *, stream: bool) -> Prepared:
        """See `Wire.prepare`. The request itself is never changed."""
        body: dict[str, Any] = {**request, **self._options}
        preset = self._preset
        for field in preset.drops:
            body.pop(field, None)
        for field, name in preset.renames.items():
            value = body.pop(field, None)
            if value is not None:
                body[name] = value
        with self._failures.malformed():
            messages = [_said(message, preset) for message in body.get("messages") or ()]
            if messages and _is_begun(messages[-1]):
                messages[-1] = {**messages[-1], **preset.prefill_turn}
                body = {**preset.prefill_request, **body}
            body["messages"] = messages
            asked = dict(body.pop("stream_options", None) or {})
        body.pop("stream", None)
        if stream:
            body["stream"] = True
            if preset.stream_usage:
                body["stream_options"] = asked | _ASK_USAGE
        return self._prepared(body)

    def read(self, body: dict[str, Any], request: ChatRequest) -> ChatCompletion:
        """See `Wire.read`."""
        choices = body.get("choices")
        if not isinstance(choices, list) or not choices:
            raise self._failures.rubbish("the answer has no choices", {})
        with self._failures.unreadable():
            for choice in choices:
                check_choice(choice, "message")
                must_finish(choice.get("finish_reason"), self._failures)
        return body  # type: ignore[return-value] # passed through: the format is the canonical one

    def translator(self, request: ChatRequest) -> OpenAITranslator:
        """See `Wire.translator`."""
        asked = request.get("stream_options") or {}
        return OpenAITranslator(
            self._failures,
            choices=chat.choices_of(request),
            usage_asked=bool(asked.get("include_usage")),
        )


class OpenAIEmbeddingsWire(_OpenAIAddress):
    """Embeddings."""

    path = "/embeddings"

    def prepare(self, request: EmbeddingRequest, *, stream: bool) -> Prepared:
        """See `Wire.prepare`; there is nothing to stream."""
        return self._prepared({**request, **self._options})

    def read(self, body: dict[str, Any], request: EmbeddingRequest) -> EmbeddingResponse:
        """See `Wire.read`; the vectors come in the order of the inputs."""
        data = body.get("data")
        if not isinstance(data, list) or not data:
            raise self._failures.rubbish("the answer has no embeddings", {})
        with self._failures.unreadable():
            data.sort(key=_place)
        return body  # type: ignore[return-value] # passed through: the format is the canonical one

    def translator(self, request: EmbeddingRequest) -> OpenAITranslator:
        """Embeddings do not stream."""
        raise NotImplementedError


def _place(item: Mapping[str, Any]) -> int:
    place: int = item.get("index", 0)
    return place


def _said(message: Mapping[str, Any], preset: Preset) -> Mapping[str, Any]:
    """A message as this service takes it; most are taken as they are."""
    role = message["role"]
    if role == "developer" and not preset.developer:
        return {**message, "role": "system"}
    if role == "assistant" and _has(message, preset.strips):
        return _without(message, preset.strips)
    return message


def _is_begun(message: Mapping[str, Any]) -> bool:
    """Whether a last message is the beginning of the answer, which the service goes on with."""
    return message["role"] == "assistant" and not message.get("tool_calls")


def _has(message: Mapping[str, Any], fields: tuple[str, ...]) -> bool:
    calls = message.get("tool_calls") or ()
    return any(field in message or any(field in call for call in calls) for field in fields)


def _without(message: Mapping[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    kept = {key: value for key, value in message.items() if key not in fields}
    if kept.get("tool_calls"):
        kept["tool_calls"] = [
            {key: value for key, value in call.items() if key not in fields}
            for call in kept["tool_calls"]
        ]
    return kept
