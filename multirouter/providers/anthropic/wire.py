"""The wire format of Anthropic Messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from multirouter.providers.adapter import PreparedRequest, encode
from multirouter.providers.anthropic.request import ModelSettings, to_anthropic
from multirouter.providers.anthropic.response import from_anthropic
from multirouter.providers.anthropic.stream import AnthropicTranslator
from multirouter.providers.canonical import ChatCompletion, ChatRequest
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.secret import Secret

BASE_URL = "https://api.anthropic.com"
VERSION = "2023-06-01"
"""Version of the API, sent with each request. Source: `anthropic-version` of the SDK."""


class AnthropicWire:
    """Wire format of Anthropic Messages.

    Args:
        base_url: the address before `/v1/messages`.
        model: the model of every request; None uses the request's.
        key: the API key.
        headers: extra headers.
        options: fields set in every request after translation.
        model_settings: what differs for this model.
        errors: makes the provider's errors.
        wall: wall-clock seconds since 1970, for `created`.
    """

    def __init__(
        self,
        *,
        base_url: str,
        model: str | None,
        key: Secret,
        headers: Mapping[str, str],
        options: Mapping[str, Any],
        model_settings: ModelSettings,
        errors: ErrorFactory,
        wall: Callable[[], float],
    ) -> None:
        self._url = f"{base_url}/v1/messages"
        self._key = key
        self._headers = {
            "anthropic-version": VERSION,
            **headers,
            "Content-Type": "application/json",
        }
        self._options = dict(options)
        if model is not None:
            self._options["model"] = model
        self._model_settings = model_settings
        self._errors = errors
        self._wall = wall

    def prepare(self, request: ChatRequest, *, stream: bool) -> PreparedRequest:
        """See `Wire.prepare`."""
        with self._errors.reading_request():
            body = to_anthropic(request, self._model_settings, self._errors, stream=stream)
        body.update(self._options)
        headers = dict(self._headers)
        key = self._key.reveal()
        if key is not None:
            headers["x-api-key"] = key
        return PreparedRequest(self._url, headers, self._errors.encode_body(encode, body))

    def read(self, body: dict[str, Any], request: ChatRequest) -> ChatCompletion:
        """See `Wire.read`."""
        with self._errors.reading_response():
            return from_anthropic(body, int(self._wall()), self._errors)

    def translator(self, request: ChatRequest) -> AnthropicTranslator:
        """See `Wire.translator`."""
        stream_options = request.get("stream_options") or {}
        return AnthropicTranslator(
            self._errors.about(request),
            int(self._wall()),
            include_usage=bool(stream_options.get("include_usage")),
        )
