"""Reads the JSON object or the form in a request's body, bounded in size, time, depth and values.

A body is read only when its endpoint asks for it, which is after the key was checked. A large one
is decompressed, weighed and parsed in a thread, so that it delays other requests less. The parser
itself keeps the interpreter's lock: 10 MiB in one text take 9 ms, in 50,000 parts 45 ms. So does
the encoder of a request to a provider (11 and 32 ms), for which a thread would gain nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from typing import Any, NoReturn

from aiohttp import web

from multirouter.gateway.http import content_encoding, form
from multirouter.gateway.http.http_error import HTTPError
from multirouter.providers import json_bytes

MAX_CONTAINERS = 100_000
"""Most objects and lists in one body: each may be translated, which takes some microseconds."""

_MIN_CONTAINER = len("[]")

_MAX_WEIGHT = 4_000_000
"""Most separators in one body, where a bracket counts eight times. They bound the values, each of
which takes up to a hundred times its bytes in memory. Separators in texts count too: one of a
million tokens has some hundred thousand."""

_THREAD_SIZE = 2**18
"""Bytes of a body that is parsed in a thread; a smaller one takes less time than the thread."""

_SLICE = 2**20


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not valid JSON")


_DECODER = json.JSONDecoder(parse_constant=_reject_constant)


def _decode(data: bytes | bytearray) -> Any:
    return _DECODER.decode(data.decode("utf-8-sig"))


async def read_json_object(request: web.BaseRequest, read_timeout: float) -> dict[str, Any]:
    """Reads the JSON object in a body.

    Args:
        request: its size is bounded by its server, before and after decompression.
        read_timeout: seconds in which the whole body must arrive.

    Raises:
        HTTPError: 400, 408, 413 or 415.
    """
    return await _read_and_parse(request, read_timeout, _parse_object)


async def parse_json_object(data: bytes) -> dict[str, Any]:
    """Parses a JSON object that did not come as a body.

    Args:
        data: the text; its size is bounded already.

    Raises:
        HTTPError: 400 or 413.
    """
    if len(data) > _THREAD_SIZE:
        return await asyncio.to_thread(_parse_object, data)
    return _parse_object(data)


async def read_object_or_form(request: web.BaseRequest, read_timeout: float) -> dict[str, Any]:
    """Reads the JSON object or, according to its Content-Type, the form in a body.

    Args:
        request: see `read_json_object`.
        read_timeout: see `read_json_object`.

    Raises:
        HTTPError: 400, 408, 413 or 415.
    """
    if request.content_type != form.CONTENT_TYPE:
        return await read_json_object(request, read_timeout)
    content_type = request.headers["Content-Type"]
    return await _read_and_parse(
        request, read_timeout, lambda data: form.parse_form(data, content_type)
    )


async def _read_and_parse(
    request: web.BaseRequest,
    read_timeout: float,
    parse: Callable[[bytes | bytearray], dict[str, Any]],
) -> dict[str, Any]:
    encoding = _encoding_of(request)
    limit = request.client_max_size
    data = await _read(request, read_timeout)
    if encoding or len(data) > _THREAD_SIZE:
        return await asyncio.to_thread(_decode_and_parse, data, encoding, limit, parse)
    return parse(data)


def _decode_and_parse(
    data: bytes | bytearray,
    encoding: str,
    limit: int,
    parse: Callable[[bytes | bytearray], dict[str, Any]],
) -> dict[str, Any]:
    try:
        return parse(content_encoding.decode(data, encoding, limit) if encoding else data)
    except content_encoding.TooLarge:
        raise _too_large(limit) from None
    except content_encoding.Malformed as error:
        message = f"the body is not valid {encoding}: {error}"
        raise HTTPError(400, message, code="invalid_body") from None


def _encoding_of(request: web.BaseRequest) -> str:
    """The content encoding, or "" for none.

    Raises:
        HTTPError: 415.
    """
    name = request.headers.get("Content-Encoding", "").strip().lower()
    if name in {"", "identity"}:
        return ""
    name = "gzip" if name == "x-gzip" else name
    supported = content_encoding.supported()
    if name not in supported:
        message = f"Content-Encoding {name[:40]!r} is not supported; allowed: "
        raise HTTPError(
            415,
            message + ", ".join(supported),
            code="unsupported_encoding",
            accept_encoding=supported,
        )
    return name


def _parse_object(data: bytes | bytearray) -> dict[str, Any]:
    _check_weight(data)
    try:
        body = json_bytes.loads(data, _decode)
    except RecursionError:
        raise HTTPError(400, "invalid JSON: nested too deeply", code="invalid_json") from None
    except ValueError as error:
        raise HTTPError(400, f"invalid JSON: {error}", code="invalid_json") from None
    if not isinstance(body, dict):
        message = f"the body must be a JSON object, got {type(body).__name__}"
        raise HTTPError(400, message, code="invalid_json")
    if len(data) > _MIN_CONTAINER * MAX_CONTAINERS:  # else there cannot be more
        _check_containers(body, data)
    return body


def _check_weight(data: bytes | bytearray) -> None:
    """Rejects a body of too many values, before they take memory.

    Raises:
        HTTPError: 413.
    """
    weight = 0
    for start in range(0, len(data), _SLICE) if len(data) > _MAX_WEIGHT // 8 else ():
        end = start + _SLICE
        weight += data.count(b",", start, end) + data.count(b":", start, end)
        weight += 8 * (data.count(b"[", start, end) + data.count(b"{", start, end))
        if weight > _MAX_WEIGHT:
            raise _too_many_values()


def _check_containers(body: dict[str, Any], data: bytes | bytearray) -> None:
    """Rejects a body of more objects and lists than the limit.

    Raises:
        HTTPError: 413.
    """
    if data.count(b"{") + data.count(b"[") <= MAX_CONTAINERS:  # then there cannot be more
        return
    left: list[dict[str, Any] | list[Any]] = [body]
    for count in itertools.count(1):
        if not left:
            return
        if count + len(left) > MAX_CONTAINERS:
            raise _too_many_values()
        value = left.pop()
        inner = value.values() if isinstance(value, dict) else value
        left.extend(one for one in inner if isinstance(one, dict | list))


def _too_many_values() -> HTTPError:
    message = f"the body has too many values; allowed: {MAX_CONTAINERS} objects and lists"
    return HTTPError(413, message, code="request_too_large")


async def _read(request: web.BaseRequest, read_timeout: float) -> bytes | bytearray:
    """The body as it arrived. It is not kept in the request, which lasts as long as its answer."""
    if (request.content_length or 0) > request.client_max_size:
        raise _too_large(request.client_max_size)
    try:
        if request.content.is_eof():  # most bodies arrive with the headers: no timer for them
            return await _all_parts(request)
        _send_continue(request)
        async with asyncio.timeout(read_timeout):
            return await _all_parts(request)
    except TimeoutError:
        message = f"the body did not arrive within {read_timeout:g} s"
        raise HTTPError(408, message, code="read_timeout", retry=False) from None
    except web.RequestPayloadError:
        message = "the body is incomplete"
        raise HTTPError(400, message, code="invalid_body") from None


async def _all_parts(request: web.BaseRequest) -> bytes | bytearray:
    """Collected in one buffer: a list of parts and their sum would be the body twice."""
    data: bytes | bytearray = await request.content.readany()
    while part := await request.content.readany():  # none for most bodies
        if len(data) + len(part) > request.client_max_size:
            raise _too_large(request.client_max_size)
        if isinstance(data, bytes):
            data = bytearray(data)
        data += part
    if len(data) > request.client_max_size:
        raise _too_large(request.client_max_size)
    return data


def _send_continue(request: web.BaseRequest) -> None:
    """Answers `Expect: 100-continue`, which curl sends before a large body."""
    expect = request.headers.get("Expect")
    if expect is not None and expect.lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def _too_large(limit: int) -> HTTPError:
    message = f"the body is larger than the limit of {limit} bytes"
    return HTTPError(413, message, code="request_too_large")
