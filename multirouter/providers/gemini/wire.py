"""Gemini on the wire: generateContent, streamGenerateContent, and batchEmbedContents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from multirouter.core.chat import completions as chat
from multirouter.providers.adapter import Prepared, encode
from multirouter.providers.canonical import ChatCompletion, ChatRequest
from multirouter.providers.failures import Failures
from multirouter.providers.gemini.request import to_gemini
from multirouter.providers.gemini.response import from_gemini
from multirouter.providers.gemini.stream import GeminiTranslator
from multirouter.providers.secret import Secret

BASE_URL = "https://generativelanguage.googleapis.com"


class GeminiAddress:
    """Address, model and key, which chat and embeddings share.

    Args:
        base_url: what `/{version}/models/...` is appended to.
        version: the API's version (`v1beta`).
        model: the model to ask for; None takes the request's.
        key: the key; it travels in a header, never in the address.
        headers: extra headers.
        options: fields merged into every request, over what was translated; a dict is merged
            into a dict (`{"generationConfig": {"topK": 40}}`).
        failures: makes the provider's errors.
        wall: wall-clock seconds since 1970, for `created`.
    """

    def __init__(
        self,
        *,
        base_url: str,
        version: str,
        model: str | None,
        key: Secret,
        headers: Mapping[str, str],
        options: Mapping[str, Any],
        failures: Failures,
        wall: Callable[[], float],
    ) -> None:
        self._base = f"{base_url}/{version}/models/"
        self._model = model
        self._key = key
        self._headers = {**headers, "Content-Type": "application/json"}
        self._options = dict(options)
        self._failures = failures
        self._wall = wall

    def _model_for(self, request: Mapping[str, Any]) -> str:
        model = self._model or request.get("model")
        if not isinstance(model, str) or not model:
            raise self._failures.inexpressible("model", "is named by neither provider nor request")
        return model.removeprefix("models/")

    def _prepared(self, model: str, method: str, body: dict[str, Any]) -> Prepared:
        for name, value in self._options.items():
            old = body.get(name)
            both = isinstance(old, dict) and isinstance(value, dict)
            body[name] = {**old, **value} if both and old is not None else value
        headers = dict(self._headers)
        key = self._key.reveal()
        if key is not None:
            headers["x-goog-api-key"] = key
        url = f"{self._base}{quote(model, safe='')}:{method}"
        return Prepared(url, headers, self._failures.encoded(encode, body))


class GeminiWire(GeminiAddress):
    """Chat."""

    def prepare(self, request: ChatRequest, *, stream: bool) -> Prepared:
        """See `Wire.prepare`."""
        model = self._model_for(request)
        with self._failures.malformed():
            body = to_gemini(request, model, self._failures)
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return self._prepared(model, method, body)

    def read(self, body: dict[str, Any], request: ChatRequest) -> ChatCompletion:
        """See `Wire.read`."""
        model = self._model_for(request)
        with self._failures.unreadable():
            return from_gemini(body, model, int(self._wall()), self._failures)

    def translator(self, request: ChatRequest) -> GeminiTranslator:
        """See `Wire.translator`."""
        asked = request.get("stream_options") or {}
        return GeminiTranslator(
            self._failures,
            int(self._wall()),
            self._model_for(request),
            candidates=chat.choices_of(request),
            usage_asked=bool(asked.get("include_usage")),
        )
