"""One reply of the fake server: the answer, or its fault."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from multirouter.testing.fakes.answers import Answer, Answers, ParsedRequest, answer_to
from multirouter.testing.fakes.faults import Fault
from multirouter.testing.fakes.formats import ErrorResponse, Format, StreamEvent
from multirouter.testing.fakes.gemini import GeminiFormat, blocked_prompt

if TYPE_CHECKING:
    from aiohttp import web

_STATUS_OF = {"429-retry-after": 429}
_ERROR_NAMES = frozenset(
    {"rate-limit", "quota", "bad-key", "no-model", "context-too-long", "filtered"}
    | {"unsupported-field"}
)
_WEB_PAGE = "<!DOCTYPE html><html><head><title>Bad gateway</title></head><body></body></html>"


_JSON = "application/json"
_FIXED_RESPONSES: dict[str, dict[str, Any]] = {
    "html-200": {"text": _WEB_PAGE, "content_type": "text/html"},
    "invalid-json": {"body": b'{"id": "x", "cho', "content_type": _JSON},
    "no-choices": {"body": b'{"id": "x", "model": "x"}', "content_type": _JSON},
    "redirect": {"status": 307, "headers": {"Location": "http://127.0.0.1:9/elsewhere"}},
}


class Counter(Protocol):
    """Counter of the bytes that replies have written."""

    bytes_written: int


class Reply:
    """Answers one request.

    Args:
        counter: counts the bytes of streams.
        request: the HTTP request.
        form: its wire format.
        fault: the fault of this reply, or none.
    """

    def __init__(self, counter: Counter, request: web.Request, form: Format, fault: Fault) -> None:
        self._counter = counter
        self._request = request
        self._form = form
        self._fault = fault
        self._newline = b"\r\n" if fault.name == "crlf" else b"\n"

    async def to(self, parsed: ParsedRequest, answers: Answers) -> web.StreamResponse:
        """Answers a valid request as the fake model does, or with the fault."""
        from aiohttp import web

        if not self.answers():
            return await self.instead(parsed)
        refuses = self._fault.name == "refuses"
        answer = answer_to(parsed, refuse=True) if refuses else answers(parsed)
        if parsed.stream:
            return await self._stream(parsed, answer)
        await self._delay_first_token()
        if self._fault.name in {"stall", "cut-after", "eof-after"}:
            return await self._drop_connection()
        return web.json_response(self._form.full_response(parsed, answer), headers=HEADERS)

    async def instead(self, parsed: ParsedRequest | None = None) -> web.StreamResponse:
        """Responds with a fault that replaces the answer."""
        from aiohttp import web

        name, number = self._fault.name, self._fault.number
        if name in _FIXED_RESPONSES:
            return web.Response(**_FIXED_RESPONSES[name])
        if name == "empty-200":
            kind = (
                "text/event-stream" if parsed is not None and parsed.stream else "application/json"
            )
            return web.Response(body=b"", content_type=kind)
        if name == "error-200":
            return web.json_response(
                self._form.error_response(500, "", "The server had an error").body
            )
        status = int(number) if name == "fail" else _STATUS_OF.get(name, 400)
        error_name = "rate-limit" if name == "429-retry-after" else name
        retry_after = number if name == "429-retry-after" else 0.0
        return self.error(
            self._form.error_response(status, error_name, f"fault: {self._fault}", retry_after)
        )

    def error(self, error_response: ErrorResponse) -> web.Response:
        """Responds with an error."""
        from aiohttp import web

        return web.json_response(
            error_response.body, status=error_response.status, headers=error_response.headers
        )

    def answers(self) -> bool:
        """Whether an answer is sent, with or without a fault in it."""
        return self._fault.name not in _ERROR_NAMES | _NO_ANSWER_FAULTS

    async def _stream(self, parsed: ParsedRequest, answer: Answer) -> web.StreamResponse:
        from aiohttp import web

        response = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
        await response.prepare(self._request)
        pieces = 0
        for event in self._events(parsed, answer):
            if event.stage == "content":
                if pieces == 0:
                    await self._delay_first_token()
                if self._fault_due(pieces):
                    return await self._break_stream(response)
                pieces += 1
            await self._write(response, event.encoded(self._newline))
            if self._fault.name == "pings":
                await self._write(response, self._form.ping())
        return response

    def _events(self, parsed: ParsedRequest, answer: Answer) -> Iterator[StreamEvent]:
        name = self._fault.name
        if name == "refuses" and isinstance(self._form, GeminiFormat):
            yield StreamEvent("finish", blocked_prompt(parsed.model))
            return
        if name == "huge":
            answer = Answer([], ["x" * int(self._fault.number * 2**20)], [], "stop")
        for event in self._form.events(parsed, answer):
            if name == "role-only" and event.stage != "opening":
                yield self._form.error_event()
                return
            while name == "endless" and event.stage == "content":
                yield self._form.filler_event(parsed)
            if (name, event.stage) not in {("no-done", "end"), ("no-finish", "finish")}:
                yield event

    def _fault_due(self, pieces: int) -> bool:
        return self._fault.name in _STREAM_FAULTS and pieces >= self._fault.number

    async def _break_stream(self, response: web.StreamResponse) -> web.StreamResponse:
        name = self._fault.name
        if name == "event-error":
            await self._write(response, self._form.error_event().encoded(self._newline))
        elif name == "broken-json":
            await self._write(response, StreamEvent("content", '{"id": "x", "cho').encoded(b"\n"))
        elif name != "eof-after":
            return await self._drop_connection(response)
        return response

    async def _drop_connection(
        self, response: web.StreamResponse | None = None
    ) -> web.StreamResponse:
        """Drops the connection, or keeps it open without data (`stall`)."""
        from aiohttp import web

        if self._fault.name == "stall":
            await asyncio.Event().wait()
        transport = self._request.transport
        if transport is not None:
            transport.close() if response is None else transport.abort()
        return response or web.Response()

    async def _delay_first_token(self) -> None:
        if self._fault.name == "slow-first-token":
            await asyncio.sleep(self._fault.number / 1000)

    async def _write(self, response: web.StreamResponse, data: bytes) -> None:
        size = int(self._fault.number) if self._fault.name == "split" else len(data)
        for start in range(0, len(data), size):
            await response.write(data[start : start + size])
        self._counter.bytes_written += len(data)


HEADERS = {"x-request-id": "req_fake", "request-id": "req_fake"}
_STREAM_FAULTS = frozenset({"stall", "cut-after", "eof-after", "event-error", "broken-json"})
_NO_ANSWER_FAULTS = frozenset(
    {*_FIXED_RESPONSES, "fail", "429-retry-after", "empty-200", "error-200"}
)
