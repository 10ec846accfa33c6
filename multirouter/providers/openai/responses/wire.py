"""The wire format of OpenAI's Responses API."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any

from multirouter.providers.calls.names import ToolNames, restore_names
from multirouter.providers.canonical import ChatCompletion, ChatRequest
from multirouter.providers.field_support import unknown_fields
from multirouter.providers.native.client_request import (
    ClientRequest,
    native_request,
    translating,
)
from multirouter.providers.openai.responses.field_support import FIELDS
from multirouter.providers.openai.responses.native_body import names_of, with_valid_calls
from multirouter.providers.openai.responses.reasoning_state import is_foreign
from multirouter.providers.openai.responses.request import to_responses
from multirouter.providers.openai.responses.response import from_response
from multirouter.providers.openai.responses.stream import ResponsesTranslator
from multirouter.providers.openai.wire import OpenAIAddress
from multirouter.providers.transport.http import PreparedRequest
from multirouter.providers.value_types import is_mapping

FORMAT = "responses"
"""The name of the format in a `ClientRequest`."""


class ResponsesWire(OpenAIAddress):
    """Wire format of responses; see `adapter.Wire`.

    Args:
        wall: seconds since 1970.
        **settings: as for `OpenAIAddress`.
    """

    path = "/responses"

    def __init__(self, *, wall: Callable[[], float] = time.time, **settings: Any) -> None:
        super().__init__(**settings)
        self._wall = wall
        self._sends_reasoning = True

    def without_reasoning(self) -> ResponsesWire:
        """The same for conversations whose reasoning the service rejects.

        Only the account that encrypted it can read it. Ids of items go with it: the service would
        look for the reasoning that belongs to them.
        """
        other = copy(self)
        other._sends_reasoning = False  # noqa: SLF001 - a copy of this object
        return other

    def prepare(self, request: ChatRequest, *, stream: bool) -> PreparedRequest:
        """See `Wire.prepare`."""
        with self._errors.reading_request():
            client = native_request(FORMAT)
            body = None if client is None else self._native_body(client, request)
            native = None
            if client is None or body is None:
                translating(self._errors, unknown_fields(request, FIELDS))
                body = to_responses(self._taken(request), self._errors, self._names(request))
            else:
                client.record_dropped(self._errors.provider, ())
                native = ToolNames.of(self._preset.names, names_of(body))
                body = with_valid_calls(body, native)
        body.update(self._options)
        if not self._sends_reasoning and isinstance(body.get("input"), list):
            body["input"] = [_without_id(one) for one in body["input"] if not _is_reasoning(one)]
        body.pop("stream", None)
        if stream:
            body["stream"] = True
        headers = client.headers if client is not None else None
        return self._prepared(body, more_headers=headers, native=native)

    def _native_body(self, client: ClientRequest, request: ChatRequest) -> dict[str, Any] | None:
        """The client's own body; None when the request has another conversation.

        Reasoning that a model of another service made is left out: this one would reject it.
        """

        def translate(canonical: Any) -> dict[str, Any]:
            return to_responses(canonical, self._errors, self._names(canonical))

        body = client.body_for(request, "input", translate)
        if body is None:
            return None
        items = body.get("input")
        if isinstance(items, list) and any(map(_is_foreign, items)):
            body["input"] = [item for item in items if not _is_foreign(item)]
        if "model" in request:
            body["model"] = request["model"]
        return body

    def read(self, body: dict[str, Any], request: ChatRequest) -> ChatCompletion:
        """See `Wire.read`."""
        answer = from_response(body, self._errors.about(request))
        restore_names(answer, self._names(request))
        return answer

    def translator(self, request: ChatRequest) -> ResponsesTranslator:
        """See `Wire.translator`."""
        stream_options: Mapping[str, Any] = request.get("stream_options") or {}
        return ResponsesTranslator(
            self._errors.about(request),
            int(self._wall()),
            include_usage=bool(stream_options.get("include_usage")),
            names=self._names(request),
        )

    def _names(self, request: Mapping[str, Any]) -> ToolNames:
        return ToolNames(self._preset.names, request.get("tools"))


def _is_reasoning(item: Any) -> bool:
    return is_mapping(item) and item.get("type") == "reasoning"


def _without_id(item: Any) -> Any:
    if not is_mapping(item):
        return item
    return {name: value for name, value in item.items() if name != "id"}


def _is_foreign(item: Any) -> bool:
    """Whether an item is what only another service can read."""
    if not is_mapping(item) or item.get("type") not in {"reasoning", "compaction"}:
        return False
    return is_foreign(item)
