"""A provider on loopback, and the coroutine that asks it: real HTTP, with weather of its own."""

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

SYMPTOMS = {"unavailable": 5, "dropped": 3, "silent": 2}
"""How often a provider that is down shows what: a 503 at once, a connection that is dropped, and
nothing at all, which costs the caller of that attempt its whole time limit."""


class DemoProvider(FakeProvider):
    """A fake upstream that takes its time, stumbles now and then, and can go down.

    Args:
        latency: how long an answer takes.
        hiccups: the share of requests that are answered with 503 although all is well, 0 to 1.
        rng: its chance.
    """

    def __init__(self, latency: Latency, hiccups: float, rng: Random) -> None:
        super().__init__(keep=0)
        self._down = False
        self._latency = latency
        self._hiccups = hiccups
        self._rng = rng

    def fall(self) -> None:
        """Goes down; what it is answering is dropped instead."""
        self._down = True

    def rise(self) -> None:
        """Is well again."""
        self._down = False

    def is_down(self) -> bool:
        """Whether it is down now."""
        return self._down

    @override
    def app(self) -> web.Application:
        app = super().app()
        app.middlewares.append(self._weather)
        return app

    @web.middleware
    async def _weather(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self.is_down():
            return await self._ail(request)
        await asyncio.sleep(self._latency.sample(self._rng))
        if self.is_down():
            return _dropped(request)
        if self._rng.random() < self._hiccups:
            return _unavailable()
        return await handler(request)

    async def _ail(self, request: web.Request) -> web.StreamResponse:
        [symptom] = self._rng.choices(list(SYMPTOMS), list(SYMPTOMS.values()))
        if symptom == "unavailable":
            return _unavailable()
        if symptom == "silent":
            await asyncio.Event().wait()
        return _dropped(request)


def _unavailable() -> web.Response:
    return web.json_response({"error": {"message": "overloaded"}}, status=503)


def _dropped(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def asking(session: aiohttp.ClientSession, base_url: str) -> Callable[[str], Awaitable[str]]:
    """The coroutine function a user would write to ask one provider over HTTP.

    Args:
        session: the connections, shared by all providers.
        base_url: the provider's, without a last slash.
    """
    url = f"{base_url}/v1/chat/completions"
    headers = {"Authorization": "Bearer demo"}

    async def ask(prompt: str) -> str:
        body = {"model": "demo", "messages": [{"role": "user", "content": prompt}]}
        async with session.post(url, json=body, headers=headers) as response:
            response.raise_for_status()
            answer = await response.json()
        text: str = answer["choices"][0]["message"]["content"]
        return text

    return ask
