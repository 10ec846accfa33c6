"""The wire formats of Gemini: generateContent, streamGenerateContent and batchEmbedContents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from multirouter.core.chat import completions as chat
from multirouter.providers.adapter import encode
from multirouter.providers.answer_checks import check_choices
from multirouter.providers.api_keys.secret import Secret
from multirouter.providers.calls.names import GEMINI as GEMINI_NAMES
from multirouter.providers.calls.names import ToolNames, restore_names
from multirouter.providers.canonical import ChatCompletion, ChatRequest
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.field_support import unknown_fields
from multirouter.providers.gemini.field_support import FIELDS
from multirouter.providers.gemini.native_body import fitted
from multirouter.providers.gemini.request import to_gemini, uses_thinking_levels
from multirouter.providers.gemini.response import from_gemini
from multirouter.providers.gemini.stream import GeminiTranslator
from multirouter.providers.native.client_request import native_request, translating
from multirouter.providers.quirks.model_quirks import NO_QUIRKS, QuirkTable
from multirouter.providers.transport.http import PreparedRequest

FORMAT = "gemini"
"""The name of the format in a `ClientRequest`."""

BASE_URL = "https://generativelanguage.googleapis.com"


class GeminiAddress:
    """Address, model and key; common base of the chat and embeddings formats.

    Args:
        base_url: the address before `/{version}/models/...`.
        version: the version of the API (`v1beta`).
        model: the model of every request; None uses the request's.
        key: the API key, sent in a header and never in the URL.
        headers: extra headers.
        options: fields merged into every request after translation; a dict is merged into a dict
            (`{"generationConfig": {"topK": 40}}`).
        errors: makes the provider's errors.
        quirks: what the models take.
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
        errors: ErrorFactory,
        wall: Callable[[], float],
        quirks: QuirkTable | None = None,
    ) -> None:
        self._quirks = quirks
        self._base = f"{base_url}/{version}/models/"
        self._model = model
        self._key = key
        self._headers = {**headers, "Content-Type": "application/json"}
        self._options = dict(options)
        self._errors = errors
        self._wall = wall

    def _model_for(self, request: Mapping[str, Any]) -> str:
        model = self._model or request.get("model")
        if not isinstance(model, str) or not model:
            raise self._errors.unsupported(
                "model", "is set neither on the provider nor in the request"
            )
        return model.removeprefix("models/")

    def _prepared(
        self, model: str, method: str, body: dict[str, Any], *, native: ToolNames | None = None
    ) -> PreparedRequest:
        for name, value in self._options.items():
            old = body.get(name)
            both = isinstance(old, dict) and isinstance(value, dict)
            body[name] = {**old, **value} if both and old is not None else value
        headers = dict(self._headers)
        key = self._key.reveal()
        if key is not None:
            headers["x-goog-api-key"] = key
        with self._errors.reading_request():  # half a surrogate pair has no place in a URL
            url = f"{self._base}{quote(model, safe='')}:{method}"
        data = self._errors.encode_body(encode, body)
        return PreparedRequest(url, headers, data, native)


class GeminiWire(GeminiAddress):
    """Wire format of Gemini chat."""

    def prepare(self, request: ChatRequest, *, stream: bool) -> PreparedRequest:
        """See `Wire.prepare`."""
        model = self._model_for(request)

        def translate(canonical: Any) -> dict[str, Any]:
            quirks = self._quirks.of(model) if self._quirks is not None else NO_QUIRKS
            return to_gemini(quirks.apply(canonical), model, self._errors)  # type: ignore[arg-type] # the same fields

        with self._errors.reading_request():
            client = native_request(FORMAT)
            body = None if client is None else client.body_for(request, "contents", translate)
            native = self._names(request) if body is not None else None
            if client is None or body is None:
                translating(self._errors, unknown_fields(request, FIELDS))
                body = translate(request)
            else:
                client.record_dropped(self._errors.provider, ())
                native = self._names(request)
                modern = uses_thinking_levels(model)
                body = fitted(body, native, modern=modern)
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return self._prepared(model, method, body, native=native)

    def read(self, body: dict[str, Any], request: ChatRequest) -> ChatCompletion:
        """See `Wire.read`."""
        model = self._model_for(request)
        with self._errors.reading_response():
            answer = from_gemini(body, model, int(self._wall()), self._errors)
            check_choices(answer)
            restore_names(answer, self._names(request))
            return answer

    def translator(self, request: ChatRequest) -> GeminiTranslator:
        """See `Wire.translator`."""
        stream_options = request.get("stream_options") or {}
        return GeminiTranslator(
            self._errors.about(request),
            int(self._wall()),
            self._model_for(request),
            candidates=chat.choice_count(request),
            include_usage=bool(stream_options.get("include_usage")),
            names=self._names(request),
        )

    @staticmethod
    def _names(request: ChatRequest) -> ToolNames:
        return ToolNames(GEMINI_NAMES, request.get("tools"))
