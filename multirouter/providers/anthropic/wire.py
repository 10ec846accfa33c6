"""The wire format of Anthropic Messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from multirouter.providers.adapter import encode
from multirouter.providers.answer_checks import check_choices
from multirouter.providers.anthropic.conversation import thinking_allowed
from multirouter.providers.anthropic.field_support import FIELDS
from multirouter.providers.anthropic.native_body import (
    fitted,
    for_other_model,
    with_valid_calls,
    without_unsigned,
)
from multirouter.providers.anthropic.request import ModelSettings, is_prefill, to_anthropic
from multirouter.providers.anthropic.response import from_anthropic
from multirouter.providers.anthropic.stream import AnthropicTranslator
from multirouter.providers.api_keys.secret import Secret
from multirouter.providers.calls.names import ANTHROPIC as ANTHROPIC_NAMES
from multirouter.providers.calls.names import ToolNames, restore_names
from multirouter.providers.canonical import ChatCompletion, ChatRequest
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.field_support import unknown_fields
from multirouter.providers.native.client_request import ClientRequest, native_request, translating
from multirouter.providers.quirks.model_quirks import QuirkTable
from multirouter.providers.transport.http import PreparedRequest

FORMAT = "anthropic"
"""The name of the format in a `ClientRequest`."""

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
        quirks: what the models take.
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
        quirks: QuirkTable,
        wall: Callable[[], float],
    ) -> None:
        self._base_url = base_url
        self._url = f"{base_url}/v1/messages"
        self._key = key
        self._headers = {**headers, "Content-Type": "application/json"}
        if not any(name.lower() == "anthropic-version" for name in headers):
            self._headers["anthropic-version"] = VERSION
        self._options = dict(options)
        if model is not None:
            self._options["model"] = model
        self._model_settings = model_settings
        self._errors = errors
        self._quirks = quirks
        self._wall = wall

    def prepare(self, request: ChatRequest, *, stream: bool) -> PreparedRequest:
        """See `Wire.prepare`."""
        headers, url = dict(self._headers), self._url
        with self._errors.reading_request():
            client = native_request(FORMAT)
            body = None if client is None else self._native_body(client, request, stream=stream)
            names = self._names(request) if body is not None else None
            if client is None or body is None:
                body = self._translated(request, stream=stream)
            else:
                client.record_dropped(self._errors.provider, ())
                headers = _with_client_headers(headers, client.headers)
                url = f"{url}?{client.query}" if client.query else url
        body.update(self._options)
        return self._request(body, headers, url, names)

    def _request(
        self, body: dict[str, Any], headers: dict[str, str], url: str, native: ToolNames | None
    ) -> PreparedRequest:
        """The request of a body."""
        key = self._key.reveal()
        if key is not None:
            headers["x-api-key"] = key
        data = self._errors.encode_body(encode, body)
        return PreparedRequest(url, headers, data, native)

    def _translated(self, request: ChatRequest, *, stream: bool) -> dict[str, Any]:
        translating(self._errors, unknown_fields(request, FIELDS))
        quirks = self._quirks.of(self._model_of(request))
        if not quirks.prefill and is_prefill(request["messages"]):
            raise self._errors.unsupported("messages", "the model continues no assistant message")
        settings = self._model_settings.for_model(quirks)
        body = to_anthropic(quirks.apply(request), settings, self._errors, stream=stream)  # type: ignore[arg-type] # the same fields
        return fitted(body, quirks)

    def _native_body(
        self, client: ClientRequest, request: ChatRequest, *, stream: bool
    ) -> dict[str, Any] | None:
        """The client's own body; None when the request has another conversation.

        It is for the model that the client named. For another one its quirks are applied.
        """
        model = self._model_of(request)
        quirks = self._quirks.of(model)

        def translate(canonical: Any) -> dict[str, Any]:
            settings = self._model_settings.for_model(quirks)
            return to_anthropic(canonical, settings, self._errors, stream=False)

        body = client.body_for(request, "messages", translate)
        if body is None:
            return None
        for field in self._model_settings.drops:
            body.pop(field, None)
        if model is not None:
            if model != client.model:
                body = for_other_model(body, quirks)
            body["model"] = model
        body.pop("stream", None) if not stream else body.update(stream=True)
        body["messages"] = without_unsigned(body["messages"])
        body = with_valid_calls(body, self._names(request))
        thinking = body.get("thinking")
        enabled = isinstance(thinking, Mapping) and thinking.get("type") == "enabled"
        if enabled and not thinking_allowed(body):
            del body["thinking"]
        return body

    def _model_of(self, request: ChatRequest) -> str | None:
        return self._options.get("model") or request.get("model")

    def read(self, body: dict[str, Any], request: ChatRequest) -> ChatCompletion:
        """See `Wire.read`."""
        with self._errors.reading_response():
            answer = from_anthropic(body, int(self._wall()), self._errors)
            check_choices(answer)
            restore_names(answer, self._names(request))
            return answer

    def translator(self, request: ChatRequest) -> AnthropicTranslator:
        """See `Wire.translator`."""
        stream_options = request.get("stream_options") or {}
        return AnthropicTranslator(
            self._errors.about(request),
            int(self._wall()),
            include_usage=bool(stream_options.get("include_usage")),
            names=self._names(request),
        )

    @staticmethod
    def _names(request: ChatRequest) -> ToolNames:
        return ToolNames(ANTHROPIC_NAMES, request.get("tools"))


def _with_client_headers(headers: dict[str, str], client: Mapping[str, str]) -> dict[str, str]:
    """The provider's headers and the client's; lists of beta features are joined."""
    names = {name.lower(): name for name in headers}
    merged = dict(headers)
    for name, value in client.items():
        own = names.get(name)
        if own is None or name == "anthropic-version":
            merged[own or name] = value
        elif name == "anthropic-beta":
            features = (part.strip() for part in f"{headers[own]},{value}".split(","))
            merged[own] = ",".join(dict.fromkeys(filter(None, features)))
    return merged
