"""The fake provider as an aiohttp application: three formats on one port, with faults."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from multirouter.core import validation as check
from multirouter.providers.files.form_data import FormFile
from multirouter.testing.fakes import gemini, openai
from multirouter.testing.fakes.answers import Answers, ParsedRequest, answer_to
from multirouter.testing.fakes.anthropic import AnthropicFormat
from multirouter.testing.fakes.faults import Fault
from multirouter.testing.fakes.formats import Format, RequestRejected
from multirouter.testing.fakes.gemini import GeminiFormat
from multirouter.testing.fakes.media import MediaReply
from multirouter.testing.fakes.openai import OpenAIFormat
from multirouter.testing.fakes.replies import Reply
from multirouter.testing.fakes.responses import ResponsesFormat

if TYPE_CHECKING:
    from aiohttp import web

MODELS = ("gpt-5", "claude-opus-5", "gemini-3-pro")
"""The models in `/v1/models`; requests for any other model are answered too."""


@dataclass(frozen=True, slots=True)
class ReceivedHttpRequest:
    """One received HTTP request.

    Attributes:
        path: the path with its query.
        headers: the headers, names as sent.
        body: the parsed JSON, or the fields of a form with its files as `FormFile`; None if the
            body is neither.
    """

    path: str
    headers: Mapping[str, str]
    body: Any


class FakeProvider:
    """A fake provider on its own port: `async with FakeProvider() as fake: fake.url`.

    Args:
        fault: a name of `FAULTS` for every request; a fault in a model's name takes precedence.
        max_requests: how many requests `requests` keeps.
        answers: the fake model. The default echoes the prompt, and calls the tools that it names.

    Attributes:
        requests: the latest requests, oldest first.
        in_flight: requests being answered now.
        abandoned: requests whose client disconnected before the answer was complete.
        bytes_written: bytes of streams written to the network since the start.

    Raises:
        ConfigurationError: `fault` is unknown.
    """

    def __init__(
        self, fault: str = "", *, max_requests: int = 1000, answers: Answers = answer_to
    ) -> None:
        self._answers = answers
        self.fault: Fault = Fault.checked(fault)
        self.requests: deque[ReceivedHttpRequest] = deque(maxlen=max_requests)
        self.in_flight: int = 0
        self.abandoned: int = 0
        self.bytes_written = 0
        self._runner: web.AppRunner | None = None
        self._address = ("", 0)
        self._scheme = "http"

    async def start(
        self, host: str = "127.0.0.1", port: int = 0, *, tls: ssl.SSLContext | None = None
    ) -> None:
        """Starts to listen; port 0 takes a free one.

        Raises:
            ConfigurationError: the port is not in 0 to 65535.
            OSError: the port cannot be opened.
        """
        from aiohttp import web

        check.count("port", port, minimum=0, maximum=65535)
        self._runner = web.AppRunner(
            self.app(), access_log=None, shutdown_timeout=0.1, handler_cancellation=True
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, ssl_context=tls)
        await site.start()
        self._scheme = "https" if tls else "http"
        self._address = self._runner.addresses[0][:2]

    async def aclose(self) -> None:
        """Stops listening and drops requests in flight."""
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
        """The base URL without a trailing slash; OpenAI's base URL is this plus `/v1`."""
        host, port = self._address
        return f"{self._scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    def app(self) -> web.Application:
        """The aiohttp application."""
        from aiohttp import web

        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", self._openai)
        app.router.add_post("/v1/responses", self._responses)
        app.router.add_post("/v1/messages", self._anthropic)
        app.router.add_post("/{version:v1|v1beta}/models/{model}:{method}", self._gemini)
        app.router.add_post("/v1/embeddings", self._embeddings)
        app.router.add_post("/v1/{group:audio|images}/{operation}", self._media)
        app.router.add_get("/v1/models", self._models)
        return app

    async def _openai(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, OpenAIFormat())

    async def _responses(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, ResponsesFormat())

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

    async def _media(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        body = await self._received(request)
        model = body.get("model") if isinstance(body, dict) else ""
        named = Fault.of_model(model or "")
        reply = MediaReply(self, request, OpenAIFormat(), named if named.name else self.fault)
        if not reply.answers():
            return await reply.instead()
        try:
            match request.match_info["operation"]:
                case "speech":
                    return await reply.speech(body)
                case "transcriptions" | "translations":
                    return await reply.transcript(body)
                case "generations":
                    return await reply.images(body, "image_generation")
                case "edits" | "variations":
                    return await reply.images(body, "image_edit")
                case _:
                    raise web.HTTPNotFound
        except RequestRejected as rejected:
            return reply.error(
                OpenAIFormat().error_response(
                    rejected.status, rejected.error_name, rejected.message
                )
            )

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
        self.in_flight += 1
        try:
            parsed = replace(_parsed(form, request.headers, body), body=body)
            return await reply.to(parsed, self._answers)
        except RequestRejected as rejected:
            return reply.error(
                form.error_response(rejected.status, rejected.error_name, rejected.message)
            )
        except (asyncio.CancelledError, ConnectionError):
            self.abandoned += 1
            raise
        finally:
            self.in_flight -= 1

    async def _received(self, request: web.Request) -> Any:
        body: Any = None
        if request.content_type == "multipart/form-data":
            body = await _form(request)
        else:
            with suppress(ValueError):
                body = json.loads(await request.read())
        self.requests.append(ReceivedHttpRequest(request.path_qs, dict(request.headers), body))
        return body


async def _form(request: web.Request) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    value: Any
    for name, value in (await request.post()).items():
        one: Any = value
        if not isinstance(value, str):
            content = value.file.read() if hasattr(value, "file") else bytes(value)
            one = FormFile(getattr(value, "filename", ""), content)
        earlier = fields.get(name)
        if earlier is not None:
            one = [*earlier, one] if isinstance(earlier, list) else [earlier, one]
        fields[name] = one
    return fields


def _parsed(form: Format, headers: Mapping[str, str], body: Any) -> ParsedRequest:
    """Parses a request; a body of the wrong shape is rejected, as the real services do."""
    try:
        return form.read(headers, body)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RequestRejected(400, "request", f"malformed request: {error!r}") from error


def make_app(fault: str = "") -> web.Application:
    """Returns the fake provider as an aiohttp application.

    Args:
        fault: a name of `FAULTS` for every request; a fault in a model's name takes precedence.

    Raises:
        ConfigurationError: `fault` is unknown.
    """
    return FakeProvider(fault).app()


async def serve_fake(host: str = "127.0.0.1", port: int = 8765, *, fault: str = "") -> None:
    """Serves the fake provider until cancelled.

    Args:
        host: the address to listen on.
        port: the port to listen on; 0 takes a free one.
        fault: see `make_app`.

    Raises:
        ConfigurationError: `fault` is unknown.
        OSError: the port cannot be opened.
    """
    fake = FakeProvider(fault)
    await fake.start(host, port)
    try:
        await asyncio.Event().wait()
    finally:
        await fake.aclose()
