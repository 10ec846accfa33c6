"""Reads a request's body: bounded in size, time and depth, and refused in words when it is none."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NoReturn

from aiohttp import web

from multirouter.gateway.http.error_responses import Refusal
from multirouter.providers import json_bytes as jsontext


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_number)


def _decoded(data: bytes) -> Any:
    return _DECODER.decode(data.decode("utf-8-sig"))


async def read_object(request: web.BaseRequest, read_timeout: float) -> dict[str, Any]:
    """The JSON object in a body.

    Args:
        request: bounded in size by its server.
        read_timeout: seconds in which all of it must have come.

    Raises:
        Refusal: 400, 408 or 413.
    """
    data = await _read(request, read_timeout)
    try:
        body = jsontext.loads(data, _decoded)
    except RecursionError:
        raise Refusal(400, "the body is nested too deeply", code="invalid_json") from None
    except ValueError as error:
        raise Refusal(400, f"the body is no JSON: {error}", code="invalid_json") from None
    if not isinstance(body, dict):
        raise Refusal(400, "the body must be a JSON object", code="invalid_json")
    return body


async def _read(request: web.BaseRequest, read_timeout: float) -> bytes:
    if (request.content_length or 0) > request.client_max_size:
        raise _too_large(request)
    try:
        if request.content.is_eof():  # most bodies come with their head: no timer for them
            return await request.read()
        _invite(request)
        async with asyncio.timeout(read_timeout):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise _too_large(request) from None
    except TimeoutError:
        late = f"the body did not come within {read_timeout:g} s"
        raise Refusal(408, late, code="read_timeout", retry=False) from None
    except web.RequestPayloadError:
        told = "the body broke off, or cannot be decoded"
        raise Refusal(400, told, code="invalid_body") from None


def _invite(request: web.BaseRequest) -> None:
    """Tells a client that asks first, as curl does before a large body, to go on."""
    asked = request.headers.get("Expect")
    if asked is not None and asked.lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def _too_large(request: web.BaseRequest) -> Refusal:
    limit = f"the body is larger than {request.client_max_size} bytes"
    return Refusal(413, limit, code="request_too_large")
