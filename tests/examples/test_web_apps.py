"""The web examples: failover, streaming, and the HTTP status of each kind of failure."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import httpx
import pytest
from aiohttp.test_utils import TestClient, TestServer

from multirouter import FailureKind, Provider, ProviderError

EXAMPLES = Path(__file__).parents[2] / "examples"
MODULES = ("fastapi_app", "aiohttp_app", "http_errors")
PROMPT = {"prompt": "Hello?"}


@pytest.fixture(autouse=True)
def import_examples(monkeypatch):
    """The examples can be imported, each test imports them anew."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield
    for name in MODULES:
        sys.modules.pop(name, None)


class Overloaded(Exception):
    """A 503, as HTTP clients raise it."""

    status = 503


class RateLimited(Exception):
    """A 429 with a Retry-After of two and a half seconds, as HTTP clients raise it."""

    def __init__(self) -> None:
        self.status = 429
        self.headers = {"Retry-After": "2.5"}


def rejected(kind: FailureKind, status: int) -> ProviderError:
    """The error of a provider that rejects the request; its text must not reach clients."""
    return ProviderError("secret text", provider="a", status=status, kind=kind)


def failing(error: Exception | type[Exception]):
    """The functions of a provider that always fails with this error."""

    async def call(prompt: str) -> str:
        raise error

    async def stream(prompt: str):
        raise error
        yield ""

    return {"call": call, "stream": stream}


async def answer(prompt: str) -> str:
    return f"answer to {prompt}"


async def stream_answer(prompt: str):
    for piece in ("answer ", "to ", prompt):
        yield piece


def provider(name: str, functions=None, **settings) -> Provider:
    return Provider(name, **(functions or {"call": answer, "stream": stream_answer}), **settings)


class App:
    """A running app, independent of its framework."""

    def __init__(self, request):
        self._request = request

    async def post(self, path: str = "/ask", body=PROMPT):
        """Status, headers and body of a response."""
        return await self._request("POST", path, body)

    async def metrics(self) -> str:
        """The text of /metrics."""
        status, headers, body = await self._request("GET", "/metrics", None)
        assert status == 200
        assert headers["Content-Type"].startswith("text/plain")
        return body


async def with_fastapi(check, *args, **settings) -> None:
    app = importlib.import_module("fastapi_app").make_app(**settings)

    async def request(method: str, path: str, body):
        response = await client.request(method, path, json=body)
        return response.status_code, response.headers, response.text

    # As a server does it: an exception of the app is a 500, not an exception of the client.
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://example") as client,
    ):
        await check(App(request), *args)


async def with_aiohttp(check, *args, **settings) -> None:
    app = importlib.import_module("aiohttp_app").make_app(**settings)

    async def request(method: str, path: str, body):
        async with client.request(method, path, json=body) as response:
            return response.status, response.headers, await response.text()

    async with TestClient(TestServer(app)) as client:
        await check(App(request), *args)


FRAMEWORKS = pytest.mark.parametrize("run", [with_fastapi, with_aiohttp])


def real(test):
    """Runs a test on both event loops."""
    return pytest.mark.backends("asyncio", "uvloop")(FRAMEWORKS(test))


async def check_answers(app: App) -> None:
    providers = set()
    for _ in range(20):
        status, headers, body = await app.post()
        assert status == 200
        assert "Hello?" in body
        providers.add(headers["X-Provider"])
    assert providers == {"large", "small"}
    metrics = await app.metrics()
    assert 'outcome="success",route="default",router=' in metrics
    assert "} 20.0" in metrics


@real
async def test_answers_name_their_provider(run):
    """Each answer has the header X-Provider, and /metrics counts the calls."""
    await run(check_answers)


async def check_failover(app: App) -> None:
    for _ in range(10):
        status, headers, body = await app.post()
        assert (status, headers["X-Provider"]) == (200, "healthy")
        assert "answer to Hello?" in body


@real
async def test_failover(run):
    """While one provider fails every request is answered by the other."""
    unhealthy = provider("unhealthy", failing(Overloaded), weight=5)
    await run(check_failover, providers=(unhealthy, provider("healthy")))


async def check_error(app: App, expected: int, paths: tuple[str, ...]) -> None:
    for path in paths:
        status, headers, body = await app.post(path)
        assert status == expected
        assert "X-Provider" not in headers
        assert "secret" not in body
        if status == 503:
            assert int(headers["Retry-After"]) in {2, 3}
            assert "no provider answered" in body
        else:
            assert "Retry-After" not in headers


def paths_of(run) -> tuple[str, ...]:
    return ("/ask", "/stream") if run is with_fastapi else ("/ask",)


@real
async def test_no_provider_is_503_with_retry_after(run):
    """CallFailed becomes a 503 with the Retry-After of the provider."""
    providers = (provider("limited", failing(RateLimited)),)
    await run(check_error, 503, paths_of(run), providers=providers)


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [
        (FailureKind.REQUEST, 400, 400),
        (FailureKind.REQUEST, 422, 400),
        (FailureKind.CONTEXT_LENGTH, 400, 413),
        (FailureKind.CONTENT_FILTER, 400, 422),
    ],
)
@real
async def test_invalid_request_is_4xx(run, kind, status, expected):
    """A provider's own error about the request becomes a 4xx, not a 500, with no Retry-After."""
    providers = (provider("a", failing(rejected(kind, status))),)
    await run(check_error, expected, paths_of(run), providers=providers)


def read_events(body: str) -> list[tuple[str, dict[str, str]]]:
    """The server-sent events of a body: name and data of each."""
    events = []
    for block in body.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        events.append((fields.get("event", "message"), json.loads(fields["data"])))
    return events


async def check_stream(app: App, expected: list[tuple[str, dict[str, str]]], name: str) -> None:
    status, headers, body = await app.post("/stream")
    assert (status, headers["X-Provider"]) == (200, name)
    assert headers["Content-Type"].startswith("text/event-stream")
    assert read_events(body) == expected


PIECES = [("message", {"text": text}) for text in ("answer ", "to ", "Hello?")]


@pytest.mark.backends("asyncio", "uvloop")
async def test_stream_fails_over_before_the_first_content():
    """A provider that fails at the start of a stream is replaced; the client sees one stream."""
    unhealthy = provider("unhealthy", failing(Overloaded), weight=1e9)
    healthy = provider("healthy", weight=1e-9)
    expected = [*PIECES, ("done", {})]
    await with_fastapi(check_stream, expected, "healthy", providers=(unhealthy, healthy))


@pytest.mark.backends("asyncio", "uvloop")
async def test_cut_stream_ends_with_an_error_event():
    """A stream that is cut after content ends with an error event, never like a complete one."""

    async def cut(prompt: str):
        yield "answer "
        raise ConnectionResetError

    expected = [PIECES[0], ("error", {"detail": "the answer is incomplete"})]
    providers = (provider("a", {"call": answer, "stream": cut}),)
    await with_fastapi(check_stream, expected, "a", providers=providers)


@pytest.mark.real_io
@pytest.mark.backends("asyncio")
@pytest.mark.parametrize("body", ["", "[]", "{}", "{"])
async def test_aiohttp_invalid_body_is_400(body):
    """A body without a prompt is a 400, and no provider is called."""
    app = importlib.import_module("aiohttp_app").make_app()
    async with TestClient(TestServer(app)) as client, client.post("/ask", data=body) as response:
        assert response.status == 400
