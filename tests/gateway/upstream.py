"""An upstream that answers with exact bodies and events, and keeps what it was sent."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from multirouter import Provider, Route
from multirouter.providers import Anthropic, Gemini, OpenAI
from tests.gateway.harness import SECRET, Harness, running_gateway

Reply = Any
"""A JSON value, bytes of an event stream, `(status, value)`, an exception to drop the
connection after the bytes that are its argument, or an awaitable of one of them."""


class Dropped(Exception):
    """The upstream drops the connection after the bytes that are the argument."""


@dataclass
class Sent:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: Any
    text: str


@dataclass
class Upstream:
    """Answers each request with what `reply` returns for it."""

    reply: Callable[[Sent], Reply]
    sent: list[Sent] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        text = (await request.read()).decode()
        headers = {name.lower(): value for name, value in request.headers.items()}
        sent = Sent(str(request.rel_url), headers, json.loads(text), text)
        self.sent.append(sent)
        try:
            reply = self.reply(sent)
            if inspect.isawaitable(reply):
                reply = await reply
        except Dropped as dropped:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            await response.write(dropped.args[0])
            assert request.transport is not None
            request.transport.close()
            return response
        status, value = reply if isinstance(reply, tuple) else (200, reply)
        headers = {"request-id": "req_upstream"}
        if isinstance(value, bytes):
            return web.Response(body=value, content_type="text/event-stream", headers=headers)
        return web.json_response(value, status=status, headers=headers)


MAKERS: dict[str, Callable[..., Provider[Any, Any, Any]]] = {
    "anthropic": lambda name, url, **settings: Anthropic(
        name, base_url=url, api_key=SECRET, **settings
    ),
    "gemini": lambda name, url, **settings: Gemini(name, base_url=url, api_key=SECRET, **settings),
    "openai": lambda name, url, **settings: OpenAI(
        name, base_url=f"{url}/v1", api_key=SECRET, **settings
    ),
    "chat": lambda name, url, **settings: OpenAI(
        name, base_url=f"{url}/v1", api_key=SECRET, api="chat", **settings
    ),
    "responses": lambda name, url, **settings: OpenAI(
        name, base_url=f"{url}/v1", api_key=SECRET, api="responses", **settings
    ),
}


@asynccontextmanager
async def gateway_before(
    *upstreams: tuple[str, Callable[[Sent], Reply]],
    settings: dict[str, Any] | None = None,
    route: dict[str, Any] | None = None,
    gateway: dict[str, Any] | None = None,
) -> AsyncIterator[tuple[Harness, list[Upstream]]]:
    """A gateway in front of upstreams, each a format and its replies, in order of preference."""
    running, runners, providers = [], [], []
    for number, (kind, reply) in enumerate(upstreams):
        upstream = Upstream(reply)
        runner = web.ServerRunner(web.Server(upstream.handle))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        upstream.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        running.append(upstream)
        runners.append(runner)
        providers.append(MAKERS[kind](f"p{number}", upstream.url, **(settings or {})))
    try:
        async with running_gateway(**(gateway or {})) as harness:
            names = [provider.name for provider in providers]
            tiers = [[name] for name in names]
            harness.router.reconfigure(providers, [Route("main", tiers, **(route or {}))])
            yield harness, running
    finally:
        for runner in runners:
            await runner.cleanup()


def sse(*events: Any) -> bytes:
    """Events with a name each, as Anthropic sends them; without one for data without a type."""
    return b"".join(
        (f"event: {event['type']}\n" if "type" in event else "").encode()
        + b"data: "
        + json.dumps(event).encode()
        + b"\n\n"
        for event in events
    )
