"""Anthropic Messages on the wire."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from multirouter.providers.adapter import Prepared, encode
from multirouter.providers.anthropic.request import Accent, to_anthropic
from multirouter.providers.anthropic.response import from_anthropic
from multirouter.providers.anthropic.stream import AnthropicTranslator
from multirouter.providers.canonical import ChatCompletion, ChatRequest
from multirouter.providers.failures import Failures
from multirouter.providers.secret import Secret

BASE_URL = "https://api.anthropic.com"
VERSION = "2023-06-01"
"""The API's version, sent with each request. Source: `anthropic-version` of the SDK."""


class AnthropicWire:
    """Messages.

    Args:
        base_url: what `/v1/messages` is appended to.
        model: the model to ask for; None takes the request's.
        key: the key.
        headers: extra headers.
        options: fields put into every request, over what was translated.
        accent: what this model wants otherwise.
        failures: makes the provider's errors.
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
        accent: Accent,
        failures: Failures,
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
        self._accent = accent
        self._failures = failures
        self._wall = wall

    def prepare(self, request: ChatRequest, *, stream: bool) -> Prepared:
        """See `Wire.prepare`."""
        with self._failures.malformed():
            body = to_anthropic(request, self._accent, self._failures, stream=stream)
        body.update(self._options)
        headers = dict(self._headers)
        key = self._key.reveal()
        if key is not None:
            headers["x-api-key"] = key
        return Prepared(self._url, headers, self._failures.encoded(encode, body))

    def read(self, body: dict[str, Any], request: ChatRequest) -> ChatCompletion:
        """See `Wire.read`."""
        with self._failures.unreadable():
            return from_anthropic(body, int(self._wall()), self._failures)

    def translator(self, request: ChatRequest) -> AnthropicTranslator:
        """See `Wire.translator`."""
        asked = request.get("stream_options") or {}
        return AnthropicTranslator(
            self._failures,
            int(self._wall()),
            usage_asked=bool(asked.get("include_usage")),
        )
