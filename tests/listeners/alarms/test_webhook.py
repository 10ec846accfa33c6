"""Webhook: the request it sends, and how it handles the response."""

from __future__ import annotations

import json
from datetime import datetime

import anyio
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from multirouter import AlarmChanged, ConfigurationError, UsageError, Webhook

ALARM = AlarmChanged(
    "main", "circuit_open", "openai", True, 61.0, "circuit open for 61 s", 0.0, 0.0
)


class Receiver:
    """A server that responds with a status and keeps the requests."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.received: list[web.Request] = []
        self.bodies: list[object] = []

    async def __call__(self, request: web.Request) -> web.Response:
        self.received.append(request)
        self.bodies.append(json.loads(await request.text()))
        return web.Response(status=self.status, headers={"Location": "/elsewhere"})


def serve(receiver: Receiver) -> TestServer:
    app = web.Application()
    app.router.add_post("/hook", receiver.__call__)
    return TestServer(app)


@pytest.mark.real_io
@pytest.mark.backends("asyncio", "uvloop")
async def test_an_alarm_is_posted_as_json() -> None:
    """The body has all fields, `at` by the wall clock; the configured headers are sent."""
    receiver = Receiver()
    async with serve(receiver) as server:
        webhook = Webhook(
            str(server.make_url("/hook")), headers={"X-Key": "k"}, wall=lambda: 1_700_000_060.0
        )
        at = anyio.current_time() - 60.0
        await webhook(AlarmChanged("main", "a", "b", False, 1.5, "text", at - 90.0, at))
    (body,) = receiver.bodies
    assert isinstance(body, dict)
    when = datetime.fromisoformat(body.pop("at"))
    assert abs(when.timestamp() - 1_700_000_000) <= 1
    assert body == {
        "router": "main",
        "alarm": "a",
        "subject": "b",
        "state": "cleared",
        "value": 1.5,
        "text": "text",
        "duration": 90.0,
    }
    headers = receiver.received[0].headers
    assert (headers["X-Key"], headers["Content-Type"]) == ("k", "application/json")


@pytest.mark.real_io
@pytest.mark.backends("asyncio")
async def test_body_replaces_the_default_body() -> None:
    """`body=` returns the JSON value that is sent."""
    receiver = Receiver()
    async with serve(receiver) as server:
        await Webhook(str(server.make_url("/hook")), body=lambda alarm: {"text": alarm.text})(ALARM)
    assert receiver.bodies == [{"text": "circuit open for 61 s"}]


@pytest.mark.real_io
@pytest.mark.backends("asyncio")
@pytest.mark.parametrize(
    ("status", "error"),
    [(204, None), (404, UsageError), (429, ConnectionError), (302, ConnectionError)],
)
async def test_the_status_decides_whether_to_retry(status, error) -> None:
    """2xx is a success, most 4xx are final, any other status may be retried."""
    receiver = Receiver(status)
    async with serve(receiver) as server:
        webhook = Webhook(str(server.make_url("/hook")))
        if error is None:
            await webhook(ALARM)
        else:
            with pytest.raises(error, match=f"status {status}"):
                await webhook(ALARM)
    assert len(receiver.received) == 1


@pytest.mark.real_io
@pytest.mark.backends("trio")
async def test_on_trio_the_alarm_is_sent_from_a_thread() -> None:
    """The request is made in a thread, because aiohttp needs asyncio."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    received: list[bytes] = []

    async def respond(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            text = b""
            while b'"text"' not in text:
                text += await stream.receive()
            received.append(text)
            await stream.send(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, respond)
        await Webhook(f"http://127.0.0.1:{port}/hook")(ALARM)
        group.cancel_scope.cancel()
    assert received[0].startswith(b"POST /hook HTTP/1.1\r\n")


@pytest.mark.parametrize("url", ["", "example.com/hook", "ftp://example.com", "https://"])
def test_an_invalid_url_raises(url) -> None:
    """The URL must be http or https and have a host."""
    with pytest.raises(ConfigurationError, match=r"Webhook\.url"):
        Webhook(url)


def test_repr_hides_the_url() -> None:
    """The path of a webhook URL is secret, so only the host is shown."""
    assert repr(Webhook("https://hooks.example.com/T0/s3cret")) == "<Webhook hooks.example.com>"
