"""An HTTP provider on loopback with latency and faults, and the coroutine that calls it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import aiohttp
from aiohttp import web
from typing_extensions import override

from multirouter.testing.fakes import FakeProvider
from multirouter.testing.latency import Latency

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

OUTAGE_FAULTS = {"unavailable": 5, "dropped": 3, "silent": 2}
"""Faults during an outage and their relative frequencies: unavailable: a 503 at once; dropped: a
closed connection; silent: no response, so the attempt takes its whole timeout."""


class DemoProvider(FakeProvider):
    """A fake provider with latency, occasional errors, and outages.

    Args:
        latency: distribution of the latency of an answer.
        error_rate: share of requests outside outages that are answered with 503, 0 to 1.
        rng: random generator of latencies and faults.
    """

    def __init__(self, latency: Latency, error_rate: float, rng: Random) -> None:
        super().__init__(max_requests=0)
        self._down = False
        self._latency = latency
        self._hiccups = error_rate
        self._rng = rng

    def start_outage(self) -> None:
        """Starts an outage; requests in flight are dropped."""
        self._down = True

    def end_outage(self) -> None:
        """Ends the outage."""
        self._down = False

    def is_down(self) -> bool:
        """Whether an outage is in progress."""
        return self._down

    @override
    def app(self) -> web.Application:
        app = super().app()
        app.middlewares.append(self._inject_faults)
        return app

    @web.middleware
    async def _inject_faults(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self.is_down():
            return await self._fail(request)
        await asyncio.sleep(self._latency.sample(self._rng))
        if self.is_down():
            return _dropped(request)
        if self._rng.random() < self._hiccups:
            return _unavailable()
        return await handler(request)

    async def _fail(self, request: web.Request) -> web.StreamResponse:
        [fault] = self._rng.choices(list(OUTAGE_FAULTS), list(OUTAGE_FAULTS.values()))
        if fault == "unavailable":
            return _unavailable()
        if fault == "silent":
            await asyncio.Event().wait()
        return _dropped(request)


def _unavailable() -> web.Response:
    return web.json_response({"error": {"message": "overloaded"}}, status=503)


def _dropped(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def http_call(session: aiohttp.ClientSession, base_url: str) -> Callable[[str], Awaitable[str]]:
    """Returns the coroutine function that a user would write to call one provider over HTTP.

    Args:
        session: HTTP session shared by all providers.
        base_url: base URL of the provider, without a trailing slash.
    """
    url = f"{base_url}/v1/chat/completions"
    headers = {"Authorization": "Bearer demo"}

    async def call(prompt: str) -> str:
        body = {"model": "demo", "messages": [{"role": "user", "content": prompt}]}
        async with session.post(url, json=body, headers=headers) as response:
            response.raise_for_status()
            answer = await response.json()
        text: str = answer["choices"][0]["message"]["content"]
        return text

    return call
