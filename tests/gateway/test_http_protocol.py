"""HTTP protocol: unusual, old and faulty clients."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from multirouter.gateway.app import ServerLimits
from multirouter.gateway.http.endpoint_table import Endpoint, EndpointTable
from multirouter.gateway.http.http_error import HTTPError
from multirouter.gateway.server import Server
from tests.gateway.harness import PROMPT, REPLY, Harness, running_gateway

pytestmark = [pytest.mark.backends("asyncio")]

BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": PROMPT}]}).encode()
STREAM = BODY[:-1] + b',"stream":true}'


def request(body: bytes, *headers: str, version: str = "1.1", close: bool = True) -> bytes:
    """The bytes of one request."""
    lines = ["Host: localhost", *headers, *(["Connection: close"] if close else [])]
    if not any(line.startswith(("Content-Length", "Transfer-Encoding")) for line in lines):
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join([f"POST /v1/chat/completions HTTP/{version}", *lines, "", ""])
    return head.encode() + body


async def connect(harness: Harness) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = harness.url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def exchange(harness: Harness, data: bytes) -> bytes:
    """Sends data, and returns all bytes until the connection ends."""
    reader, writer = await connect(harness)
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    return answer


async def test_expect_100_continue() -> None:
    """`Expect: 100-continue` is answered before the body arrives, unless it is too large."""
    expecting = request(b"", "Expect: 100-Continue", f"Content-Length: {len(BODY)}")
    async with running_gateway(limits=ServerLimits(max_body_size=1000)) as harness:
        reader, writer = await connect(harness)
        writer.write(expecting)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(BODY)
        answer = await reader.read()
        writer.close()
        at_once = await exchange(harness, request(BODY, "Expect: 100-continue"))
        large = await exchange(
            harness, request(b"", "Expect: 100-continue", "Content-Length: 9999")
        )
    assert answer.startswith(b"HTTP/1.1 200")
    assert REPLY.encode() in answer
    assert at_once.startswith(b"HTTP/1.1 200")
    assert large.startswith(b"HTTP/1.1 413")


async def test_content_length_beyond_the_limit_is_rejected_at_once() -> None:
    """A body beyond the limit is not read."""
    async with running_gateway(limits=ServerLimits(read_timeout=60.0)) as harness:
        started = asyncio.get_running_loop().time()
        answer = await exchange(harness, request(b"{", f"Content-Length: {10**12}"))
        elapsed = asyncio.get_running_loop().time() - started
    assert answer.startswith(b"HTTP/1.1 413")
    assert elapsed < 5


@pytest.mark.parametrize("body", [BODY, STREAM], ids=["whole", "stream"])
async def test_http_1_0(body: bytes) -> None:
    """An HTTP/1.0 client gets an unchunked answer and the end of the connection."""
    async with running_gateway() as harness:
        answer = await exchange(harness, request(body, version="1.0", close=False))
    head, _, data = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200")
    assert b"chunked" not in head
    assert data.endswith(b"data: [DONE]\n\n" if body is STREAM else b"}")


async def test_pipelined_requests() -> None:
    """Pipelined requests are answered in order, errors among them."""
    async with running_gateway() as harness:
        data = request(BODY, "X-Request-Id: 1", close=False)
        data += request(b"{", "X-Request-Id: 2", close=False)
        data += request(STREAM, "X-Request-Id: 3", close=False)
        answer = await exchange(harness, data + request(BODY, "X-Request-Id: 4"))
        assert harness.gateway.in_flight == 0
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
    ids=["gzip", "not gzip", "truncated", "bomb", "BOM", "utf-16", "chunked"],
)
async def test_body_encodings(
    body: bytes, headers: list[str], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Compressed, chunked and other bodies are read, or rejected without a traceback."""
    caplog.set_level(logging.WARNING)
    async with running_gateway(limits=ServerLimits(max_body_size=10**6)) as harness:
        answer = await exchange(harness, request(body, *headers))
        assert (await harness.send()).status == 200
    assert answer.startswith(b"HTTP/1.1 %d" % status)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])
    assert not [record for record in caplog.records if record.name.startswith("aiohttp")]


@pytest.mark.parametrize("stream", [[], {}, 1, "true"])
async def test_stream_must_be_a_boolean(stream: Any) -> None:
    """Any other value is a 400 that names the field."""
    async with running_gateway() as harness:
        answer = await harness.send(stream=stream)
    assert (answer.status, answer.json["error"]["param"]) == (400, "stream")


async def test_head_requests() -> None:
    """HEAD is answered like GET, without a body, as health checks send it."""
    async with running_gateway() as harness:
        for path, status in (("/healthz", 200), ("/v1/models", 200), ("/v1/messages", 405)):
            async with harness.http.head(harness.url + path) as response:
                assert (response.status, await response.read()) == (status, b"")


async def test_failure_outside_the_error_handling(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The client gets a 500 without details; the log has the error."""
    async with running_gateway() as harness:

        def fail(*_: Any) -> Any:
            raise ValueError("a bug")

        monkeypatch.setattr(harness.gateway, "error_response", fail)
        answer = await harness.post("/nowhere", b"")
    assert (answer.status, answer.json["error"]["code"]) == (500, "internal_error")
    assert b"a bug" not in answer.data
    assert any("a bug" in str(record.exc_info) for record in caplog.records)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/models/m", "GET, HEAD"),
        ("/v1beta/models/a/b", "GET, HEAD"),
        ("/v1/models/m:generateContent", "POST, GET, HEAD"),
        ("/v1/models", "GET, HEAD"),
        ("/v1/responses/r", "GET, HEAD, DELETE"),
        ("/v1/responses/r/input_items", "GET, HEAD"),
        ("/v1/responses/r/cancel", "POST"),
        ("//responses//r/cancel/", "POST"),
    ],
)
async def test_allow_names_the_methods_of_the_path(path: str, allowed: str) -> None:
    """Of a path whose end is a name, and not of others that begin alike."""
    async with (
        running_gateway() as harness,
        harness.http.request("PATCH", harness.url + path) as answer,
    ):
        assert (answer.status, answer.headers["Allow"]) == (405, allowed)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/v1/files", "files are kept by a service for one account"),
        ("/v1/files/f-1/content", "files are kept"),
        ("/upload/v1beta/files", "files are kept"),
        ("/v1/messages/batches/b-1", "batches are kept"),
        ("/v1/responses/r/odd", "unknown path"),
        ("/v1/models/**", "unknown model"),
        ("/v1/*/x", "unknown path"),
    ],
)
async def test_unknown_paths(path: str, said: str) -> None:
    """The 404 names the path, and says where files and batches are."""
    async with (
        running_gateway(models={"m": "main"}) as harness,
        harness.http.get(harness.url + path) as answer,
    ):
        assert answer.status == 404
        assert said in (await answer.json())["error"]["message"]


async def test_a_cancelled_writer_cancels_no_other_of_its_connection() -> None:
    """Two tasks wait for a client that does not read; when one is cancelled, the other goes on.

    So the end of a comment or of a ping that waits does not break off the answer.
    """
    written = 0
    may_read = asyncio.Event()

    async def fill(response: web.StreamResponse) -> None:
        nonlocal written
        while True:
            written += 2**17
            await response.write(bytes(2**17))

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        filling = asyncio.create_task(fill(response))
        await asyncio.sleep(5)
        ending = asyncio.create_task(response.write(bytes(2**17)))
        await asyncio.sleep(5)
        filling.cancel()
        await asyncio.wait({filling})
        may_read.set()
        await ending
        await response.write(bytes(1))
        return response

    gateway: Any = SimpleNamespace(handle=answer, limits=ServerLimits(), draining=False)
    async with Server(gateway) as server:
        host, port = server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1000)
        writer.write(request(BODY, version="1.0"))
        await may_read.wait()
        data = await reader.read()
        writer.close()
    assert len(data.partition(b"\r\n\r\n")[2]) == written + 2**17 + 1


def test_a_path_of_colons_is_matched_in_linear_time() -> None:
    """A path with a hundred thousand places at which a pattern may end holds nothing up."""
    table = EndpointTable()
    table.add("POST", "/v1/models/**:*", Endpoint(nothing))
    assert list(table.methods("/v1/models/a:b/c:d:generateContent")) == ["POST"]
    for part in (":", ":a"):
        with pytest.raises(HTTPError):
            table.methods("/v1/models/" + part * 100_000 + "/x")


async def nothing(_: object) -> web.StreamResponse:
    raise NotImplementedError
