"""Connections: pooled, closed, bounded, through proxies, never redirected; keys are never shown."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import ssl
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trustme
from aiohttp import web
from prometheus_client import CollectorRegistry

from multirouter import (
    ConfigurationError,
    MultiProviderRouter,
    ProviderError,
    RetryPolicy,
    UsageError,
)
from multirouter.model import FailureKind
from multirouter.providers import (
    Anthropic,
    Azure,
    Bedrock,
    Gemini,
    Http,
    OpenAI,
    Vertex,
    chat,
    text_of,
)
from multirouter.providers.api_keys.secret import Secret
from multirouter.providers.transport.http import PreparedRequest, check_base_url
from multirouter.testing.fakes import FakeProvider

from .conftest import KEY

pytestmark = [pytest.mark.real_io, pytest.mark.backends("asyncio", "uvloop")]


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_tls_is_verified(make: Any) -> None:
    """An unknown certificate authority is a `transport` failure; a trusted one works."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    fake = FakeProvider()
    await fake.start(tls=server)
    untrusting = make("openai", fake, model="m")
    with pytest.raises(ProviderError, match="certificate") as caught:
        await untrusting.call(chat("x"))
    assert caught.value.kind is FailureKind.TRANSPORT
    await untrusting.aclose()
    provider = make("openai", fake, model="m", http=Http(ssl=trusting(authority)))
    assert text_of(await provider.call(chat("x"))) == "You said: x"
    chunks = [chunk async for chunk in provider.stream(chat("x"))]
    assert "".join(map(text_of, chunks)) == "You said: x"
    await provider.aclose()
    await fake.aclose()


async def connections_of(fake_app: web.Application) -> tuple[web.AppRunner, set[Any]]:
    """Serves an application and records the connections of its requests."""
    seen: set[Any] = set()

    @web.middleware
    async def note(request: web.Request, handler: Any) -> web.StreamResponse:
        seen.add(request.transport)
        response: web.StreamResponse = await handler(request)
        return response

    fake_app.middlewares.append(note)
    runner = web.AppRunner(fake_app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, seen


async def test_connections_are_reused_and_shared() -> None:
    """Calls and finished streams of providers that share an Http use one connection."""
    runner, seen = await connections_of(FakeProvider().app())
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    http = Http()
    one = OpenAI("one", model="m", api_key=KEY, base_url=url, http=http)
    two = OpenAI("two", model="m", api_key=KEY, base_url=url, http=http)
    for provider in (one, two, one):
        await provider.call(chat("x"))
        assert [chunk async for chunk in provider.stream(chat("x y z"))]
    assert len(seen) == 1
    await one.aclose()
    assert "sessions=1" in repr(http)
    await two.aclose()
    assert "sessions=0" in repr(http)
    await runner.cleanup()


async def test_a_pool_without_a_free_connection_opens_no_circuit() -> None:
    """A call that waited for the connection of another call says nothing about its provider."""
    release = asyncio.Event()

    async def late(_: web.Request) -> web.Response:
        await release.wait()
        return web.json_response(
            {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}
        )

    app = web.Application()
    app.router.add_post("/v1/chat/completions", late)
    runner, seen = await connections_of(app)
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    http = Http(connections=1, connect_timeout=0.05)
    one = OpenAI("one", model="m", api_key=KEY, base_url=url, http=http)
    async with MultiProviderRouter(
        [one], retry=RetryPolicy(attempts=1), registry=CollectorRegistry()
    ) as router:
        first = asyncio.create_task(router.call(chat("x")))
        while not seen:
            await asyncio.sleep(0.001)
        outcomes = [await router.call_outcome(chat("x")) for _ in range(5)]

        assert all(attempt.verdict.local for outcome in outcomes for attempt in outcome.attempts)
        assert not any(outcome.ok for outcome in outcomes)
        assert router.snapshot()["providers"]["one"]["state"] == "closed"
        release.set()
        assert text_of(await first) == "Hi"
        assert text_of(await router.call(chat("x"))) == "Hi"
    await runner.cleanup()


async def test_closed_provider_reopens(make: Any) -> None:
    """Closing is idempotent, and a provider can be used again afterwards."""
    async with FakeProvider() as fake:
        provider = make("openai", fake, model="m")
        await provider.aclose()
        for _ in range(2):
            assert text_of(await provider.call(chat("x"))) == "You said: x"
            await provider.aclose()
            await provider.aclose()


def test_each_loop_has_its_own_session() -> None:
    """A provider whose event loop is closed works in the next one, and leaks nothing."""
    http = Http()
    provider = OpenAI("up", model="m", api_key=KEY, base_url="http://127.0.0.1:9/v1", http=http)

    async def once(*, close: bool) -> None:
        async with FakeProvider() as fake:
            served = OpenAI("up", model="m", api_key=KEY, base_url=f"{fake.url}/v1", http=http)
            assert text_of(await served.call(chat("x"))) == "You said: x"
            if close:
                await served.aclose()
                await provider.aclose()
                await http.aclose()

    asyncio.run(once(close=False))
    asyncio.run(once(close=True))
    assert "sessions=0" in repr(http)
    gc.collect()


async def test_redirects_are_not_followed(make: Any, kind: str) -> None:
    """The key is sent to the configured address only."""
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="redirect")
        with pytest.raises(ProviderError, match="redirect"):
            await provider.call(chat("x"))
        await provider.aclose()
        assert len(fake.requests) == 1


async def test_proxy_from_environment(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY is used, NO_PROXY excludes a host, `proxy=` overrides both."""
    for variable in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    async with FakeProvider() as proxy, FakeProvider() as target:
        monkeypatch.setenv("http_proxy", proxy.url)
        for settings in ({}, {"http": Http(proxy=proxy.url)}):
            provider = make("openai", target, model="m", **settings)
            assert text_of(await provider.call(chat("x"))) == "You said: x"
            await provider.aclose()
        assert (len(proxy.requests), len(target.requests)) == (2, 0)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        for settings in ({}, {"http": Http(proxy="")}):
            provider = make("openai", target, model="m", **settings)
            await provider.call(chat("x"))
            await provider.aclose()
        assert (len(proxy.requests), len(target.requests)) == (2, 2)


KEYED: Any = {"api_key": "k" * 12}
BEHIND_A_PROXY: dict[str, Callable[..., Any]] = {
    "openai": partial(OpenAI, "a", **KEYED),
    "anthropic": partial(Anthropic, "a", **KEYED),
    "gemini": partial(Gemini, "a", **KEYED),
    "azure": partial(Azure, "a", **KEYED),
    "bedrock": partial(Bedrock, "a", model="m", region="r", **KEYED),
    "bedrock, Claude": partial(Bedrock, "a", model="anthropic.m", region="r", **KEYED),
    "vertex": partial(Vertex, "a", model="m", project="p", credentials=object()),
    "vertex, Claude": partial(Vertex, "a", model="claude", project="p", credentials=object()),
}


@pytest.mark.parametrize("factory", BEHIND_A_PROXY.values(), ids=BEHIND_A_PROXY)
def test_socks_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch, factory: Any) -> None:
    """A SOCKS proxy is an error at construction that says what to set, unless it is excluded."""
    for variable in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("ALL_PROXY", "socks5://user:secret@127.0.0.1:1080")
    settings: Any = {"base_url": "https://api.example/v1"}
    with pytest.raises(ConfigurationError, match="variable ALL_PROXY must be an http://") as caught:
        factory(**settings)
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("HTTPS_PROXY", "127.0.0.1:3128")
    with pytest.raises(ConfigurationError, match="variable HTTPS_PROXY must be an http://"):
        factory(**settings)
    monkeypatch.delenv("HTTPS_PROXY")
    factory(**settings, http=Http(proxy=""))
    monkeypatch.setenv("NO_PROXY", "api.example")
    factory(**settings)


async def test_compressed_responses_are_read() -> None:
    """Responses and streams may be compressed."""

    async def compressed(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        kind = "text/event-stream" if body.get("stream") else "application/json"
        response = web.StreamResponse(headers={"Content-Type": kind})
        response.enable_compression(web.ContentCoding.gzip)
        await response.prepare(request)
        choice = '{"index": 0, "%s": {"content": "hi"}, "finish_reason": "stop"}'
        answer = '{"choices": [' + choice + "]}"
        if body.get("stream"):
            await response.write(f"data: {answer % 'delta'}\n\ndata: [DONE]\n\n".encode())
        else:
            await response.write((answer % "message").encode())
        return response

    app = web.Application()
    app.router.add_post("/v1/chat/completions", compressed)
    runner, _ = await connections_of(app)
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    provider = OpenAI("up", model="m", api_key=KEY, base_url=url)
    assert text_of(await provider.call(chat("x"))) == "hi"
    assert [text_of(chunk) async for chunk in provider.stream(chat("x"))] == ["hi"]
    await provider.aclose()
    await runner.cleanup()


async def test_key_is_never_shown(make: Any, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither repr, errors, causes, tracebacks, logs nor URLs contain the key."""
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []
    async with FakeProvider() as fake:
        for fault in ("bad-key", "cut-after-0", "html-200", "redirect", "invalid-json"):
            provider = make(kind, fake, model=fault)
            seen.append(repr(provider))
            with pytest.raises(ProviderError) as caught:
                await provider.call(chat("x"))
            error: BaseException | None = caught.value
            seen.extend(traceback.format_exception(caught.value))
            while error is not None:
                seen.append(f"{error!r} {error} {vars(error)}")
                error = error.__cause__ or error.__context__
            await provider.aclose()
        assert all(KEY not in request.path for request in fake.requests)
        assert any(KEY in str(request.headers) for request in fake.requests)
    assert KEY not in "\n".join([*seen, caplog.text])


async def test_invalid_http_response_hides_the_key() -> None:
    """The aiohttp error holds the request's headers, so it is not kept as the cause."""

    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The whole request is read: a socket closed with unread bytes is reset, and from 3.12 on
        # the client then fails at writing, before it sees the answer.
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        assert length is not None
        await reader.readexactly(int(length[1]))
        writer.write(b"HTTP/1.1 abc def\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(nonsense, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        provider = OpenAI("up", model="m", api_key=KEY, base_url=f"http://127.0.0.1:{port}/v1")
        with pytest.raises(ProviderError) as caught:
            await provider.call(chat("x"))
        await provider.aclose()
    error = caught.value
    assert error.kind is FailureKind.TRANSPORT
    assert error.__cause__ is None
    assert error.__suppress_context__
    assert KEY not in str(error)


# ── keys, addresses, settings ───────────────────────────────────────────────────────────────────


def test_secret_is_not_shown() -> None:
    """A Secret's repr does not show the key, and it cannot be pickled."""
    secret = Secret("key", KEY)
    assert KEY not in f"{secret!r}{secret}"
    assert repr(Secret("key", None, required=False)) == "Secret(None)"
    with pytest.raises(TypeError, match="pickled"):
        secret.__reduce__()
    assert KEY not in repr(PreparedRequest("http://x", {"Authorization": KEY}, b""))


def test_key_from_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is read at construction; a missing key raises there, naming the variable."""
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    assert Secret("key", None, variable="OPENAI_API_KEY").reveal() == KEY
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        OpenAI("a", model="m")


@pytest.mark.parametrize("key", ["", "  ", "a b", "schlüssel", "a\x00b", 7])
def test_invalid_key_is_rejected_without_showing_it(key: Any) -> None:
    """A key that no header can contain raises at construction, without showing it."""
    with pytest.raises(ConfigurationError, match=r"OpenAI\('a'\).api_key") as caught:
        OpenAI("a", model="m", api_key=key)
    if isinstance(key, str) and key.strip():
        assert key not in str(caught.value)


async def test_key_function_is_called_for_each_request(make: Any) -> None:
    """The current key is used for each request, and hidden in errors."""
    keys = iter(["sk-first-aaaaaaaa", "sk-second-bbbbbbb"])
    async with FakeProvider() as fake:
        provider = make("openai", fake, model="m", api_key=lambda: next(keys))
        await provider.call(chat("x"))
        await provider.call(chat("x"))
        await provider.aclose()
        sent = [request.headers["Authorization"] for request in fake.requests]
    assert sent == ["Bearer sk-first-aaaaaaaa", "Bearer sk-second-bbbbbbb"]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.openai.com/v1",
        "ftp://host/v1",
        "https://",
        "https://user@host/v1",
        "https://host/v1?key=secret",
        "https://host/v1#x",
    ],
)
def test_invalid_base_url_is_rejected(url: str) -> None:
    """A base URL must be http(s), without parts that could put a key into logs."""
    with pytest.raises(ConfigurationError) as caught:
        check_base_url("x.base_url", url)
    assert "secret" not in str(caught.value)
    assert check_base_url("x", "https://host/v1/") == "https://host/v1"


@pytest.mark.parametrize(
    "setting",
    [
        {"connections": 0},
        {"connect_timeout": 0},
        {"read_timeout": -1},
        {"read_buffer": 1},
        {"max_body": 0},
        {"proxy": "socks5://host:1"},
    ],
)
def test_invalid_http_settings_are_rejected(setting: Any) -> None:
    """Invalid limits raise at construction."""
    with pytest.raises(ConfigurationError, match=f"Http.{next(iter(setting))}"):
        Http(**setting)


async def test_read_timeout_can_be_disabled(make: Any) -> None:
    """`math.inf` leaves silence to the router's own limits."""
    async with FakeProvider() as fake:
        provider = make("openai", fake, model="m", http=Http(read_timeout=float("inf")))
        assert text_of(await provider.call(chat("x"))) == "You said: x"
        await provider.aclose()


@pytest.mark.backends("trio")
async def test_trio_raises_usage_error(virtual_clock: Any) -> None:
    """Aiohttp needs asyncio, so a call on trio raises a UsageError that says so."""
    provider = OpenAI("up", model="m", api_key=KEY)
    with pytest.raises(UsageError, match="asyncio"):
        await provider.call(chat("x"))


@pytest.mark.parametrize("key", ["x", "token", "context"])
def test_short_keys_do_not_garble_errors(key: str) -> None:
    """A word that a local server takes for a key is no secret; a real key is replaced."""
    text = "maximum context length is 4096 tokens"
    secret = Secret("key", key)
    secret.reveal()
    assert secret.redact(text) == text
    real = Secret("key", "a1b2c3d4e5")
    real.reveal()
    assert real.redact("key a1b2c3d4e5 is invalid") == "key *** is invalid"
