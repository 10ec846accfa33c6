"""The floor: a bare aiohttp proxy that reads, forwards and relays, without any checks."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from benchmarks.gateway.serving import serve
from benchmarks.gateway.wire import CHAT

HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer sk-benchmark"}
SESSION: web.AppKey[aiohttp.ClientSession] = web.AppKey("session", aiohttp.ClientSession)


def proxy(upstream: str) -> web.Application:
    """The proxy as an application.

    Args:
        upstream: the URL that requests are sent to.
    """

    async def sessions(app: web.Application) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as app[SESSION]:
            yield

    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        async with request.app[SESSION].post(upstream, data=body, headers=HEADERS) as answered:
            if answered.content_type == "text/event-stream":
                return await _relay(request, answered)
            whole = await answered.read()
            status = answered.status
            return web.Response(body=whole, status=status, content_type="application/json")

    app = web.Application()
    app.cleanup_ctx.append(sessions)
    app.router.add_post(CHAT, answer)
    return app


async def _relay(request: web.Request, answered: aiohttp.ClientResponse) -> web.StreamResponse:
    """Relays a stream as its bytes arrive."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    async for data in answered.content.iter_any():
        await response.write(data)
    await response.write_eof()
    return response


def main(port: str, upstream: str) -> None:
    """The proxy as a process."""
    serve(proxy(upstream), int(port))
