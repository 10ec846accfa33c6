"""One reply of the fake server: the answer, or whatever its fault makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from multirouter.testing.fakes.answers import Answer, Asked, answer_to
from multirouter.testing.fakes.faults import Fault
from multirouter.testing.fakes.formats import Failure, Format, Told
from multirouter.testing.fakes.gemini import GeminiFormat, blocked_prompt

if TYPE_CHECKING:
    from aiohttp import web

_STATUS_OF = {"429-retry-after": 429}
_SIGNS = frozenset({"rate-limit", "quota", "bad-key", "no-model", "context-too-long", "filtered"})
_WEB_PAGE = "<!DOCTYPE html><html><head><title>Bad gateway</title></head><body></body></html>"


_JSON = "application/json"
_FIXED: dict[str, dict[str, Any]] = {
    "html-200": {"text": _WEB_PAGE, "content_type": "text/html"},
    "invalid-json": {"body": b'{"id": "x", "cho', "content_type": _JSON},
    "no-choices": {"body": b'{"id": "x", "model": "x"}', "content_type": _JSON},
    "redirect": {"status": 307, "headers": {"Location": "http://127.0.0.1:9/elsewhere"}},
}


class Counter(Protocol):
    """Where a reply counts what it has written."""

    written: int


class Reply:
    """Answers one request.

    Args:
        counter: told how many bytes of streams were written.
        request: the request.
        form: its format.
        fault: what goes wrong.
    """

    def __init__(self, counter: Counter, request: web.Request, form: Format, fault: Fault) -> None:
        self._counter = counter
        self._request = request
        self._form = form
        self._fault = fault
        self._newline = b"\r\n" if fault.name == "crlf" else b"\n"

    async def to(self, asked: Asked) -> web.StreamResponse:
        """Answers a request that was understood."""
        from aiohttp import web

        if not self._in_stream():
            return await self.instead(asked)
        answer = answer_to(asked, refuses=self._fault.name == "refuses")
        if asked.stream:
            return await self._stream(asked, answer)
        await self._hesitate()
        if self._fault.name in {"stall", "cut-after", "eof-after"}:
            return await self._break_off()
        return web.json_response(self._form.whole(asked, answer), headers=_HEADERS)

    async def instead(self, asked: Asked | None = None) -> web.StreamResponse:
        """Answers with a fault that needs no answer."""
        from aiohttp import web

        name, number = self._fault.name, self._fault.number
        if name in _FIXED:
            return web.Response(**_FIXED[name])
        if name == "empty-200":
            kind = "text/event-stream" if asked is not None and asked.stream else "application/json"
            return web.Response(body=b"", content_type=kind)
        if name == "error-200":
            return web.json_response(self._form.failure(500, "", "The server had an error").body)
        status = int(number) if name == "fail" else _STATUS_OF.get(name, 400)
        sign = "rate-limit" if name == "429-retry-after" else name
        rest = number if name == "429-retry-after" else 0.0
        return self.failed(self._form.failure(status, sign, f"fault: {self._fault}", rest))

    def failed(self, failure: Failure) -> web.Response:
        """Answers with an error."""
        from aiohttp import web

        return web.json_response(failure.body, status=failure.status, headers=failure.headers)

    def _in_stream(self) -> bool:
        """Whether the fault, if any, strikes within a well-begun answer."""
        return self._fault.name not in _SIGNS | _INSTEAD

    async def _stream(self, asked: Asked, answer: Answer) -> web.StreamResponse:
        from aiohttp import web

        response = web.StreamResponse(headers={**_HEADERS, "Content-Type": "text/event-stream"})
        await response.prepare(self._request)
        pieces = 0
        for told in self._events(asked, answer):
            if told.stage == "content":
                if pieces == 0:
                    await self._hesitate()
                if self._strikes_at(pieces):
                    return await self._strike(response)
                pieces += 1
            await self._write(response, told.encoded(self._newline))
            if self._fault.name == "pings":
                await self._write(response, self._form.ping())
        return response

    def _events(self, asked: Asked, answer: Answer) -> Iterator[Told]:
        name = self._fault.name
        if name == "refuses" and isinstance(self._form, GeminiFormat):
            yield Told("finish", blocked_prompt(asked.model))
            return
        if name == "huge":
            answer = Answer([], ["x" * int(self._fault.number * 2**20)], [], "stop")
        for told in self._form.events(asked, answer):
            if name == "role-only" and told.stage != "opening":
                yield self._form.error_event()
                return
            while name == "endless" and told.stage == "content":
                yield self._form.endless(asked)
            if (name, told.stage) not in {("no-done", "end"), ("no-finish", "finish")}:
                yield told

    def _strikes_at(self, pieces: int) -> bool:
        return self._fault.name in _STRIKES and pieces >= self._fault.number

    async def _strike(self, response: web.StreamResponse) -> web.StreamResponse:
        name = self._fault.name
        if name == "event-error":
            await self._write(response, self._form.error_event().encoded(self._newline))
        elif name == "broken-json":
            await self._write(response, Told("content", '{"id": "x", "cho').encoded(b"\n"))
        elif name != "eof-after":
            return await self._break_off(response)
        return response

    async def _break_off(self, response: web.StreamResponse | None = None) -> web.StreamResponse:
        """Falls silent for good, or drops the connection."""
        from aiohttp import web

        if self._fault.name == "stall":
            await asyncio.Event().wait()
        transport = self._request.transport
        if transport is not None:
            transport.close() if response is None else transport.abort()
        return response or web.Response()

    async def _hesitate(self) -> None:
        if self._fault.name == "slow-first-token":
            await asyncio.sleep(self._fault.number / 1000)

    async def _write(self, response: web.StreamResponse, data: bytes) -> None:
        size = int(self._fault.number) if self._fault.name == "split" else len(data)
        for start in range(0, len(data), size):
            await response.write(data[start : start + size])
        self._counter.written += len(data)


_HEADERS = {"x-request-id": "req_fake", "request-id": "req_fake"}
_STRIKES = frozenset({"stall", "cut-after", "eof-after", "event-error", "broken-json"})
_INSTEAD = frozenset({*_FIXED, "fail", "429-retry-after", "empty-200", "error-200"})
