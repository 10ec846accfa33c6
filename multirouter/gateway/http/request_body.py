"""Reads the JSON object in a request's body, bounded in size, time and depth."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NoReturn

from aiohttp import web

from multirouter.gateway.http.http_error import HTTPError
from multirouter.providers import json_bytes


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not valid JSON")


_DECODER = json.JSONDecoder(parse_constant=_reject_constant)


def _decode(data: bytes) -> Any:
    return _DECODER.decode(data.decode("utf-8-sig"))


async def read_json_object(request: web.BaseRequest, read_timeout: float) -> dict[str, Any]:
    """Reads the JSON object in a body.

    Args:
        request: its size is bounded by its server.
        read_timeout: seconds in which the whole body must arrive.

    Raises:
        HTTPError: 400, 408 or 413.
    """
    data = await _read(request, read_timeout)
    try:
        body = json_bytes.loads(data, _decode)
    except RecursionError:
        raise HTTPError(400, "invalid JSON: nested too deeply", code="invalid_json") from None
    except ValueError as error:
        raise HTTPError(400, f"invalid JSON: {error}", code="invalid_json") from None
    if not isinstance(body, dict):
        message = f"the body must be a JSON object, got {type(body).__name__}"
        raise HTTPError(400, message, code="invalid_json")
    return body


async def _read(request: web.BaseRequest, read_timeout: float) -> bytes:
    if (request.content_length or 0) > request.client_max_size:
        raise _too_large(request)
    try:
        if request.content.is_eof():  # most bodies arrive with the headers: no timer for them
            return await request.read()
        _send_continue(request)
        async with asyncio.timeout(read_timeout):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise _too_large(request) from None
    except TimeoutError:
        message = f"the body did not arrive within {read_timeout:g} s"
        raise HTTPError(408, message, code="read_timeout", retry=False) from None
    except web.RequestPayloadError:
        message = "the body is incomplete or cannot be decoded"
        raise HTTPError(400, message, code="invalid_body") from None


def _send_continue(request: web.BaseRequest) -> None:
    """Answers `Expect: 100-continue`, which curl sends before a large body."""
    expect = request.headers.get("Expect")
    if expect is not None and expect.lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def _too_large(request: web.BaseRequest) -> HTTPError:
    message = f"the body is larger than the limit of {request.client_max_size} bytes"
    return HTTPError(413, message, code="request_too_large")
