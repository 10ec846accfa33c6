"""HTTP itself: what odd, old and careless clients do, and what they are told."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from typing import Any

import pytest

from multirouter.gateway.app import Bounds
from tests.gateway.kit import PROMPT, SAID, Place, standing

pytestmark = [pytest.mark.backends("asyncio")]

BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": PROMPT}]}).encode()
STREAM = BODY[:-1] + b',"stream":true}'


def request(body: bytes, *headers: str, version: str = "1.1", close: bool = True) -> bytes:
    """One request as bytes."""
    lines = ["Host: localhost", *headers, *(["Connection: close"] if close else [])]
    if not any(line.startswith(("Content-Length", "Transfer-Encoding")) for line in lines):
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join([f"POST /v1/chat/completions HTTP/{version}", *lines, "", ""])
    return head.encode() + body


async def connect(place: Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = place.url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def told(place: Place, data: bytes) -> bytes:
    """All that comes back until the connection ends."""
    reader, writer = await connect(place)
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    return answer


async def test_a_client_that_asks_before_it_sends() -> None:
    """`Expect: 100-continue` is answered before the body comes, and only when it is wanted."""
    expecting = request(b"", "Expect: 100-Continue", f"Content-Length: {len(BODY)}")
    async with standing(bounds=Bounds(body=1000)) as place:
        reader, writer = await connect(place)
        writer.write(expecting)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(BODY)
        answer = await reader.read()
        writer.close()
        at_once = await told(place, request(BODY, "Expect: 100-continue"))
        large = await told(place, request(b"", "Expect: 100-continue", "Content-Length: 9999"))
    assert answer.startswith(b"HTTP/1.1 200")
    assert SAID.encode() in answer
    assert at_once.startswith(b"HTTP/1.1 200")
    assert large.startswith(b"HTTP/1.1 413")


async def test_a_length_beyond_the_bound_is_refused_at_once() -> None:
    """Nobody waits for a body that could not be taken."""
    async with standing(bounds=Bounds(read_timeout=60.0)) as place:
        began = asyncio.get_running_loop().time()
        answer = await told(place, request(b"{", f"Content-Length: {10**12}"))
        took = asyncio.get_running_loop().time() - began
    assert answer.startswith(b"HTTP/1.1 413")
    assert took < 5


@pytest.mark.parametrize("body", [BODY, STREAM], ids=["whole", "stream"])
async def test_http_1_0(body: bytes) -> None:
    """An old client gets all of it without chunks, and the connection's end."""
    async with standing() as place:
        answer = await told(place, request(body, version="1.0", close=False))
    head, _, data = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200")
    assert b"chunked" not in head
    assert data.endswith(b"data: [DONE]\n\n" if body is STREAM else b"}")


async def test_requests_in_a_row_on_one_connection() -> None:
    """What comes before the answer to the last is answered in order, refusals among them."""
    async with standing() as place:
        data = request(BODY, "X-Request-Id: 1", close=False)
        data += request(b"{", "X-Request-Id: 2", close=False)
        data += request(STREAM, "X-Request-Id: 3", close=False)
        answer = await told(place, data + request(BODY, "X-Request-Id: 4"))
        assert place.gateway.in_flight == 0
    heads = [part for part in answer.split(b"HTTP/1.1 ") if part]
    assert [part[:3] for part in heads] == [b"200", b"400", b"200", b"200"]
    assert [f"X-Request-Id: {n}".encode() in part for n, part in enumerate(heads, 1)] == [True] * 4


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (gzip.compress(BODY), ["Content-Encoding: gzip"], 200),
        (b"no gzip", ["Content-Encoding: gzip"], 400),
        (gzip.compress(BODY)[:20], ["Content-Encoding: gzip"], 400),
        (gzip.compress(b" " * 10**7), ["Content-Encoding: gzip"], 413),
        (b"\xef\xbb\xbf" + BODY, [], 200),
        (BODY.decode().encode("utf-16"), [], 400),
        (b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY), ["Transfer-Encoding: chunked"], 200),
    ],
    ids=["packed", "not packed", "cut", "bomb", "marked", "utf-16", "chunks"],
)
async def test_bodies_as_they_come(
    body: bytes, headers: list[str], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Packed, in chunks, with a mark before them: read, or refused in words and without a trace."""
    caplog.set_level(logging.WARNING)
    async with standing(bounds=Bounds(body=10**6)) as place:
        answer = await told(place, request(body, *headers))
        assert (await place.ask()).status == 200
    assert answer.startswith(b"HTTP/1.1 %d" % status)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])
    assert not [record for record in caplog.records if record.name.startswith("aiohttp")]


@pytest.mark.parametrize("stream", [[], {}, 1, "true"])
async def test_a_stream_that_is_neither_true_nor_false(stream: Any) -> None:
    """It is a 400 that names the field."""
    async with standing() as place:
        answer = await place.ask(stream=stream)
    assert (answer.status, answer.json["error"]["param"]) == (400, "stream")


async def test_heads() -> None:
    """Whoever asks for the head alone gets it: so do probes ask whether somebody is there."""
    async with standing() as place:
        for path, status in (("/healthz", 200), ("/v1/models", 200), ("/v1/messages", 405)):
            async with place.http.head(place.url + path) as response:
                assert (response.status, await response.read()) == (status, b"")


async def test_a_failure_of_the_gateway_itself(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The client is told that it failed and no more; the log tells why."""
    async with standing() as place:

        def fail(*_: Any) -> Any:
            raise ValueError("a bug")

        monkeypatch.setattr(place.gateway, "refused", fail)
        answer = await place.post("/nowhere", b"")
    assert (answer.status, answer.json["error"]["code"]) == (500, "internal_error")
    assert b"a bug" not in answer.data
    assert any("a bug" in str(record.exc_info) for record in caplog.records)
