"""The webhook: what it sends, and what it makes of the answer."""

from __future__ import annotations

import json
from datetime import datetime

import anyio
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from multirouter import AlarmChanged, ConfigurationError, UsageError, Webhook

ALARM = AlarmChanged("main", "circuit_open", "openai", True, 61.0, "it is open for 61 s", 0.0, 0.0)


class Hook:
    """A server that answers with a status and keeps what came."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.received: list[web.Request] = []
        self.bodies: list[object] = []

    async def __call__(self, request: web.Request) -> web.Response:
        self.received.append(request)
        self.bodies.append(json.loads(await request.text()))
        return web.Response(status=self.status, headers={"Location": "/elsewhere"})


def serve(hook: Hook) -> TestServer:
    app = web.Application()
    app.router.add_post("/hook", hook.__call__)
    return TestServer(app)


@pytest.mark.real_io
@pytest.mark.backends("asyncio", "uvloop")
async def test_an_alarm_is_posted_as_json() -> None:
    """Every field that a receiver needs, the instant by the wall clock, and the headers given."""
    hook = Hook()
    async with serve(hook) as server:
        webhook = Webhook(
            str(server.make_url("/hook")), headers={"X-Key": "k"}, wall=lambda: 1_700_000_060.0
        )
        at = anyio.current_time() - 60.0
        await webhook(AlarmChanged("main", "a", "b", False, 1.5, "text", at - 90.0, at))
    (body,) = hook.bodies
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
        "lasted": 90.0,
    }
    headers = hook.received[0].headers
    assert (headers["X-Key"], headers["Content-Type"]) == ("k", "application/json")


@pytest.mark.real_io
@pytest.mark.backends("asyncio")
async def test_the_body_may_be_ones_own() -> None:
    """`body=` makes what is sent, for a chat room say."""
    hook = Hook()
    async with serve(hook) as server:
        await Webhook(str(server.make_url("/hook")), body=lambda alarm: {"text": alarm.text})(ALARM)
    assert hook.bodies == [{"text": "it is open for 61 s"}]


@pytest.mark.real_io
@pytest.mark.backends("asyncio")
@pytest.mark.parametrize(
    ("status", "error"),
    [(204, None), (404, UsageError), (429, ConnectionError), (302, ConnectionError)],
)
async def test_the_status_says_whether_to_come_again(status, error) -> None:
    """2xx is well, most 4xx are final, everything else may be another answer later."""
    hook = Hook(status)
    async with serve(hook) as server:
        webhook = Webhook(str(server.make_url("/hook")))
        if error is None:
            await webhook(ALARM)
        else:
            with pytest.raises(error, match=f"status {status}"):
                await webhook(ALARM)
    assert len(hook.received) == 1


@pytest.mark.real_io
@pytest.mark.backends("trio")
async def test_on_trio_it_is_sent_from_a_thread() -> None:
    """On trio, since aiohttp knows asyncio only, the alarm goes out by a thread."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    got: list[bytes] = []

    async def answer(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            text = b""
            while b'"text"' not in text:
                text += await stream.receive()
            got.append(text)
            await stream.send(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, answer)
        await Webhook(f"http://127.0.0.1:{port}/hook")(ALARM)
        group.cancel_scope.cancel()
    assert got[0].startswith(b"POST /hook HTTP/1.1\r\n")


@pytest.mark.parametrize("url", ["", "example.com/hook", "ftp://example.com", "https://"])
def test_what_is_no_url_is_refused(url) -> None:
    """A webhook needs http or https, and a host."""
    with pytest.raises(ConfigurationError, match=r"Webhook\.url"):
        Webhook(url)


def test_the_url_stays_secret() -> None:
    """Hooks carry their secret in the path: only the host is ever shown."""
    assert repr(Webhook("https://hooks.example.com/T0/s3cret")) == "<Webhook hooks.example.com>"
