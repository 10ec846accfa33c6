"""Translates a canonical stream to the events of the Responses format."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from multirouter.gateway.formats.openai.normalize_answers import ChunkTranslator, normalize_answer
from multirouter.gateway.formats.responses.native_events import state_after
from multirouter.gateway.formats.responses.output import Output
from multirouter.gateway.formats.responses.output_items import MessageItem
from multirouter.gateway.formats.responses.response_object import ResponseObject
from multirouter.gateway.formats.responses.tools import Tools
from multirouter.gateway.http.http_error import HTTPError
from multirouter.gateway.http.wire_format import named_event
from multirouter.providers.json_bytes import dumps
from multirouter.providers.native.answers import NativeStream
from multirouter.providers.transport.sse import Event

_OWN_CODES = frozenset({"rate_limit_exceeded", "insufficient_quota", "context_length_exceeded"})
"""Codes of failed responses on which agents act; any other failure is a `server_error`."""


class ResponseEvents(ChunkTranslator):
    """Makes the events of one response; see `stream_relay.Translator`.

    Args:
        request_id: the base of ids.
        body: the request, in the client's format.
        tools: its tools.
        wall: seconds since 1970.
        on_native: called with the first event of a stream that is passed on as it is.

    Attributes:
        final: the whole response, once the stream has ended; None before, and if it broke.
    """

    def __init__(
        self,
        request_id: str,
        body: Mapping[str, Any],
        tools: Tools,
        wall: Callable[[], float] = time.time,
        *,
        on_native: Callable[[Event], object] = lambda _: None,
    ) -> None:
        super().__init__(request_id)
        base = request_id.removeprefix("req_")
        self._response = ResponseObject(body, f"resp_{base}", int(wall()))
        self._output = Output(tools, base, self._emit)
        self._events: list[bytes] = []
        self._sequence_number = 0
        self._started = False
        self._reason: str | None = None
        self._native = NativeStream()
        self._passed: list[Event] = []
        self._on_native = on_native
        self.final: dict[str, Any] | None = None

    def feed(self, chunk: Any) -> bytes:
        """See `Translator`. The events of a provider of this format are passed on as they are."""
        events = self._native.take(chunk)
        if events is not None:
            for _ in self._normalizer.feed(chunk):  # for the model and the usage
                pass
            if events and not self._passed:
                self._on_native(events[0])
            self._passed += events
            return b"".join(named_event(event.name, event.data) for event in events)
        self._take_over()
        for normalized in self._normalizer.feed(chunk):
            self._start()
            for choice in normalized["choices"]:
                if choice["index"] == 0:
                    self._output.add_delta(choice["delta"], choice.get("logprobs"))
                    self._reason = choice["finish_reason"] or self._reason
        return self._take_events()

    @property
    def is_native(self) -> bool:
        """Whether the stream was passed on as it is, to its end so far."""
        return bool(self._passed)

    def end(self) -> bytes:
        """See `Translator`: what a native stream has not sent itself."""
        if self._passed:
            self.final = state_after(self._passed[-1:]).response or None
            return b""
        self._start()
        self._output.close(whole=self._reason != "length")
        response = self._response.ended(
            self.model, self._output.items, self._reason, self._normalizer.usage
        )
        self.final = response
        self._emit(f"response.{response['status']}", response=response)
        return self._take_events()

    def error(self, error: HTTPError) -> bytes:
        """The events that end a broken stream.

        Agents read the reason from `response.failed`; official SDKs raise an exception for
        `error`.
        """
        self._take_over()
        self._start()
        code = error.code if error.code in _OWN_CODES else "server_error"
        failure = {"code": code, "message": error.message}
        output = self._output.items
        failed = self._response.state(self.model, status="failed", output=output, error=failure)
        self._emit("response.failed", response=failed)
        details = {"code": error.code, "message": error.message, "param": error.param}
        self._emit("error", **details, error=details)
        return self._take_events()

    def _take_over(self) -> None:
        """Goes on where a native stream broke."""
        if not self._passed:
            return
        sent, self._passed = state_after(self._passed), []
        self._started = True
        self._sequence_number = sent.number
        if sent.response.get("id"):
            self._response.adopt(sent.response)
        message = None
        for index, item in sorted(sent.open.items()):
            if item.get("type") == "message":
                message = MessageItem(self._emit, index, str(item.get("id")))
                message.resume(item.get("content") or [], part_is_open=sent.part_is_open)
            elif item.get("type") == "reasoning":
                sent.done[index] = item
                self._emit("response.output_item.done", output_index=index, item=item)
        self._output.resume(sent.done, message)

    def _start(self) -> None:
        if not self._started:
            self._started = True
            for state in ("created", "in_progress"):
                response = self._response.state(self.model)
                self._emit(f"response.{state}", response=response)

    def _emit(self, name: str, /, **fields: Any) -> None:
        number = self._sequence_number
        self._sequence_number += 1
        data = dumps({"type": name, "sequence_number": number, **fields})
        self._events.append(named_event(name, data))

    def _take_events(self) -> bytes:
        data = b"".join(self._events)
        self._events.clear()
        return data


def to_response(
    answer: dict[str, Any],
    request_id: str,
    body: Mapping[str, Any],
    tools: Tools,
    wall: Callable[[], float] = time.time,
) -> dict[str, Any]:
    """A whole answer in the Responses format.

    Args:
        answer: a canonical answer; its first choice is used. Changed in place.
        request_id: the base of ids.
        body: the request, in the client's format.
        tools: its tools.
        wall: seconds since 1970.
    """
    normalized = normalize_answer(answer, request_id, wall)
    base = request_id.removeprefix("req_")
    choice = normalized["choices"][0]
    output = Output(tools, base, lambda *_, **__: None)
    output.add_delta(choice["message"], choice.get("logprobs"))
    reason = choice["finish_reason"]
    output.close(whole=reason != "length")
    response = ResponseObject(body, f"resp_{base}", int(wall()))
    return response.ended(normalized["model"], output.items, reason, normalized.get("usage"))
