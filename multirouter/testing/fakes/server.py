"""The fake upstream as an aiohttp application: one port, three formats, faults to order."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from multirouter.core import validation as check
from multirouter.testing.fakes import gemini, openai
from multirouter.testing.fakes.anthropic import AnthropicFormat
from multirouter.testing.fakes.faults import Fault
from multirouter.testing.fakes.formats import Format, Refusal
from multirouter.testing.fakes.gemini import GeminiFormat
from multirouter.testing.fakes.openai import OpenAIFormat
from multirouter.testing.fakes.replies import Reply

if TYPE_CHECKING:
    from aiohttp import web

MODELS = ("gpt-5", "claude-opus-5", "gemini-3-pro")
"""What `/v1/models` lists; any other name is answered as well."""


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came in.

    Attributes:
        path: with its query.
        headers: by their names as sent.
        body: the parsed JSON, or None.
    """

    path: str
    headers: Mapping[str, str]
    body: Any


class FakeProvider:
    """A fake upstream on a port of its own: `async with FakeProvider() as fake: fake.url`.

    Args:
        fault: a name of `FAULTS` for every request; a model's own name goes first.
        keep: how many requests to remember.

    Attributes:
        requests: the last ones, oldest first.
        open: how many requests are being answered now.
        left: how many were left by their client before they were answered.
        written: bytes of streams handed to the network since the start.

    Raises:
        ConfigurationError: for an unknown fault.
    """

    def __init__(self, fault: str = "", *, keep: int = 1000) -> None:
        self.fault: Fault = Fault.checked(fault)
        self.requests: deque[Received] = deque(maxlen=keep)
        self.open: int = 0
        self.left: int = 0
        self.written = 0
        self._runner: web.AppRunner | None = None
        self._address = ("", 0)
        self._scheme = "http"

    async def start(
        self, host: str = "127.0.0.1", port: int = 0, *, tls: ssl.SSLContext | None = None
    ) -> None:
        """Listens; port 0 takes a free one.

        Raises:
            ConfigurationError: for a port out of 0 to 65535.
            OSError: when it cannot be had.
        """
        from aiohttp import web

        check.number("port", check.count("port", port, least=0), most=65535)
        self._runner = web.AppRunner(
            self.app(), access_log=None, shutdown_timeout=0.1, handler_cancellation=True
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, ssl_context=tls)
        await site.start()
        self._scheme = "https" if tls else "http"
        self._address = self._runner.addresses[0][:2]

    async def aclose(self) -> None:
        """Stops listening and drops what is being answered."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    @property
    def url(self) -> str:
        """Where it listens, without a last slash; OpenAI's base URL is this and `/v1`."""
        host, port = self._address
        return f"{self._scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    def app(self) -> web.Application:
        """The application itself, to be served by whatever serves aiohttp's."""
        from aiohttp import web

        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", self._openai)
        app.router.add_post("/v1/messages", self._anthropic)
        app.router.add_post("/{version:v1|v1beta}/models/{model}:{method}", self._gemini)
        app.router.add_post("/v1/embeddings", self._embeddings)
        app.router.add_get("/v1/models", self._models)
        return app

    async def _openai(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, OpenAIFormat())

    async def _anthropic(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, AnthropicFormat())

    async def _gemini(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        model, method = request.match_info["model"], request.match_info["method"]
        if method == "batchEmbedContents":
            return web.json_response(gemini.embeddings(await self._received(request)))
        stream = method == "streamGenerateContent"
        return await self._answer(request, GeminiFormat(model, stream=stream), model)

    async def _embeddings(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        body = await self._received(request)
        fault = Fault.of_model(body.get("model") or "")
        if fault.name:
            return await Reply(self, request, OpenAIFormat(), fault).instead()
        return web.json_response(openai.embeddings(body))

    async def _models(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        data = [
            {"id": model, "object": "model", "created": 1_700_000_000, "owned_by": "fake"}
            for model in MODELS
        ]
        return web.json_response({"object": "list", "data": data})

    async def _answer(
        self, request: web.Request, form: Format, model: str = ""
    ) -> web.StreamResponse:
        body = await self._received(request)
        named = Fault.of_model(model or (body.get("model") if isinstance(body, dict) else "") or "")
        reply = Reply(self, request, form, named if named.name else self.fault)
        self.open += 1
        try:
            return await reply.to(form.read(request.headers, body))
        except Refusal as refusal:
            return reply.failed(form.failure(refusal.status, refusal.sign, refusal.message))
        except (asyncio.CancelledError, ConnectionError):
            self.left += 1
            raise
        finally:
            self.open -= 1

    async def _received(self, request: web.Request) -> Any:
        try:
            body = json.loads(await request.read())
        except ValueError:
            body = None
        self.requests.append(Received(request.path_qs, dict(request.headers), body))
        return body


def make_app(fault: str = "") -> web.Application:
    """The fake upstream as an application.

    Args:
        fault: a name of `FAULTS` for every request; a model's own name goes first.

    Raises:
        ConfigurationError: for an unknown fault.
    """
    return FakeProvider(fault).app()


async def serve_fake(host: str = "127.0.0.1", port: int = 8765, *, fault: str = "") -> None:
    """Serves the fake upstream until cancelled.

    Args:
        host: where to listen.
        port: where to listen; 0 takes a free one.
        fault: see `make_app`.

    Raises:
        ConfigurationError: for an unknown fault.
        OSError: when the port is taken.
    """
    fake = FakeProvider(fault)
    await fake.start(host, port)
    try:
        await asyncio.Event().wait()
    finally:
        await fake.aclose()
