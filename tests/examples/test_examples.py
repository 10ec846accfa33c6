"""The examples run as they stand, and answer as their docstrings promise."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import httpx
import pytest
from aiohttp.test_utils import TestClient, TestServer

from multirouter import Provider

EXAMPLES = Path(__file__).parents[2] / "examples"
PROMPT = {"prompt": "Hello?"}


def load(name: str):
    """The example as a module."""
    spec = importlib.util.spec_from_file_location(f"examples_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Overloaded(Exception):
    """What a client raises for a 503 that asks for rest."""

    status = 503


class Rested(Exception):
    """What a client raises for a 429 that asks for two and a half seconds."""

    def __init__(self) -> None:
        self.status = 429
        self.headers = {"Retry-After": "2.5"}


def failing(error: type[Exception]):
    """A provider that always fails alike."""

    async def ask(prompt: str) -> str:
        raise error

    return ask


async def answer(prompt: str) -> str:
    return f"well: {prompt}"


class Answers:
    """One app under test, whatever serves it: asks it and notes what it said."""

    def __init__(self, request):
        self._request = request

    async def ask(self):
        """Status, headers and body of a question."""
        return await self._request("POST", "/ask", PROMPT)

    async def metrics(self) -> str:
        """The text of /metrics."""
        status, headers, body = await self._request("GET", "/metrics", None)
        assert status == 200
        assert headers["Content-Type"].startswith("text/plain")
        return body


async def check_answers(app: Answers, names: set[str]) -> None:
    """Every answer names one of the providers, and the metrics count it."""
    said_by = set()
    for _ in range(20):
        status, headers, body = await app.ask()
        assert status == 200
        assert "Hello?" in body
        said_by.add(headers["X-Provider"])
    assert said_by == names
    assert 'outcome="success",route="default",router=' in (text := await app.metrics())
    assert "} 20.0" in text


async def check_failover(app: Answers) -> None:
    """While one provider fails, everybody is answered by the other."""
    for _ in range(10):
        status, headers, body = await app.ask()
        assert (status, headers["X-Provider"]) == (200, "well")
        assert "well: Hello?" in body


async def check_refusal(app: Answers) -> None:
    """When nobody can answer it is a 503 that says when to come again."""
    status, headers, body = await app.ask()
    assert status == 503
    assert int(headers["Retry-After"]) in {2, 3}
    assert "no provider could answer" in body
    assert "X-Provider" not in headers


MIXED = (Provider("ill", failing(Overloaded), weight=5), Provider("well", answer))
NOBODY = (Provider("resting", failing(Rested)),)


# ── FastAPI ─────────────────────────────────────────────────────────────────────────────────────


async def with_fastapi(check, *args, **settings) -> None:
    app = load("fastapi_app").make_app(**settings)

    async def request(method: str, path: str, body):
        response = await client.request(method, path, json=body)
        return response.status_code, response.headers, response.text

    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://example") as client,
    ):
        await check(Answers(request), *args)


@pytest.mark.backends("asyncio", "uvloop")
async def test_fastapi_names_the_provider_and_shows_metrics():
    """Each answer of the FastAPI app has X-Provider, and /metrics counts the calls."""
    await with_fastapi(check_answers, {"large", "small"})


@pytest.mark.backends("asyncio", "uvloop")
async def test_fastapi_fails_over():
    """A provider that fails is invisible to the FastAPI app's users while another is well."""
    await with_fastapi(check_failover, providers=MIXED)


@pytest.mark.backends("asyncio", "uvloop")
async def test_fastapi_answers_503_when_nobody_can():
    """CallFailed becomes a 503 with the Retry-After that the provider asked for."""
    await with_fastapi(check_refusal, providers=NOBODY)


# ── aiohttp ─────────────────────────────────────────────────────────────────────────────────────


async def with_aiohttp(check, *args, **settings) -> None:
    app = load("aiohttp_app").make_app(**settings)

    async def request(method: str, path: str, body):
        async with client.request(method, path, json=body) as response:
            return response.status, response.headers, await response.text()

    async with TestClient(TestServer(app)) as client:
        await check(Answers(request), *args)


@pytest.mark.real_io
@pytest.mark.backends("asyncio", "uvloop")
async def test_aiohttp_names_the_provider_and_shows_metrics():
    """Each answer of the aiohttp app has X-Provider, and /metrics counts the calls."""
    await with_aiohttp(check_answers, {"large", "small"})


@pytest.mark.real_io
@pytest.mark.backends("asyncio", "uvloop")
async def test_aiohttp_fails_over():
    """A provider that fails is invisible to the aiohttp app's users while another is well."""
    await with_aiohttp(check_failover, providers=MIXED)


@pytest.mark.backends("asyncio", "uvloop")
async def test_aiohttp_answers_503_when_nobody_can():
    """CallFailed becomes a 503 with the Retry-After that the provider asked for."""
    await with_aiohttp(check_refusal, providers=NOBODY)


@pytest.mark.real_io
@pytest.mark.backends("asyncio")
@pytest.mark.parametrize("body", ["", "[]", "{}", "{"])
async def test_aiohttp_refuses_what_is_no_question(body):
    """A body without a prompt is the asker's own fault: 400, and nobody is called."""
    app = load("aiohttp_app").make_app()
    async with TestClient(TestServer(app)) as client, client.post("/ask", data=body) as response:
        assert response.status == 400
