"""Connections: pooled, closed, bounded, through proxies, never redirected; keys never shown."""

from __future__ import annotations

import asyncio
import gc
import logging
import ssl
import traceback
from typing import Any

import pytest
import trustme
from aiohttp import web

from multirouter import ConfigurationError, ProviderError, UsageError
from multirouter.model import FailureKind
from multirouter.providers import Http, OpenAI, chat, text_of
from multirouter.providers.adapter import Prepared
from multirouter.providers.http import checked_base_url
from multirouter.providers.secret import Secret
from multirouter.testing.fakes import FakeProvider

from .conftest import KEY

pytestmark = [pytest.mark.real_io, pytest.mark.backends("asyncio", "uvloop")]


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_tls_is_verified(make: Any) -> None:
    """A certificate of an unknown authority is refused as transport; a known one is served."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    fake = FakeProvider()
    await fake.start(tls=server)
    stranger = make("openai", fake, model="m")
    with pytest.raises(ProviderError, match="certificate") as caught:
        await stranger.call(chat("x"))
    assert caught.value.kind is FailureKind.TRANSPORT
    await stranger.aclose()
    friend = make("openai", fake, model="m", http=Http(ssl=trusting(authority)))
    assert text_of(await friend.call(chat("x"))) == "You said: x"
    chunks = [chunk async for chunk in friend.stream(chat("x"))]
    assert "".join(map(text_of, chunks)) == "You said: x"
    await friend.aclose()
    await fake.aclose()


async def connections_of(fake_app: web.Application) -> tuple[web.AppRunner, set[Any]]:
    """Serves an application and notes the connections that its requests come by."""
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


async def test_connections_are_kept_and_shared() -> None:
    """Calls and finished streams of several providers that share an Http use one connection."""
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


async def test_a_closed_provider_opens_again(make: Any) -> None:
    """Closing is idempotent, and a provider may serve another router afterwards."""
    async with FakeProvider() as fake:
        provider = make("openai", fake, model="m")
        await provider.aclose()
        for _ in range(2):
            assert text_of(await provider.call(chat("x"))) == "You said: x"
            await provider.aclose()
            await provider.aclose()


def test_each_loop_has_its_own_session() -> None:
    """A provider that lived in a loop which is gone works in the next, and leaks nothing."""
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


async def test_a_redirect_is_not_followed(make: Any, kind: str) -> None:
    """The key goes to the address it was meant for, and to no other."""
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="redirect")
        with pytest.raises(ProviderError, match="redirect"):
            await provider.call(chat("x"))
        await provider.aclose()
        assert len(fake.requests) == 1


async def test_proxies_come_from_the_environment(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP_PROXY carries the request, NO_PROXY keeps it, `proxy=` says it outright."""
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


async def test_compressed_answers_are_read() -> None:
    """Whole answers and streams may come compressed."""

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


async def test_a_key_is_nowhere_to_be_seen(
    make: Any, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither repr, nor errors, causes and tracebacks, nor logs, nor addresses show the key."""
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


async def test_a_broken_http_answer_hides_the_key() -> None:
    """What aiohttp tells of an answer that is no HTTP holds the request's headers: it is cut."""

    async def nonsense(_: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 abc def\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    provider = OpenAI("up", model="m", api_key=KEY, base_url=f"http://127.0.0.1:{port}/v1")
    with pytest.raises(ProviderError) as caught:
        await provider.call(chat("x"))
    error = caught.value
    assert error.kind is FailureKind.TRANSPORT
    assert error.__cause__ is None
    assert error.__suppress_context__
    assert KEY not in str(error)
    await provider.aclose()
    server.close()
    await server.wait_closed()


# ── keys, addresses, settings ───────────────────────────────────────────────────────────────────


def test_a_secret_shows_nothing() -> None:
    """A key's holder has no telling repr, and is not pickled."""
    secret = Secret("key", KEY)
    assert KEY not in f"{secret!r}{secret}"
    assert repr(Secret("key", None, needed=False)) == "Secret(None)"
    with pytest.raises(TypeError, match="pickled"):
        secret.__reduce__()
    assert KEY not in repr(Prepared("http://x", {"Authorization": KEY}, b""))


def test_a_key_comes_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is read at construction; a missing key is refused there, by name."""
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    assert Secret("key", None, variable="OPENAI_API_KEY").reveal() == KEY
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        OpenAI("a", model="m")


@pytest.mark.parametrize("key", ["", "  ", "a b", "schlüssel", "a\x00b", 7])
def test_a_key_no_header_can_carry_is_refused_unseen(key: Any) -> None:
    """A mangled key is refused at construction, and not shown."""
    with pytest.raises(ConfigurationError, match=r"OpenAI\('a'\).api_key") as caught:
        OpenAI("a", model="m", api_key=key)
    if isinstance(key, str) and key.strip():
        assert key not in str(caught.value)


async def test_a_key_may_rotate(make: Any) -> None:
    """A function is asked for the key at each request, and the current one stays hidden."""
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
def test_a_bad_address_is_refused(url: str) -> None:
    """An address must be http(s), and must not carry what logs would show."""
    with pytest.raises(ConfigurationError) as caught:
        checked_base_url("x.base_url", url)
    assert "secret" not in str(caught.value)
    assert checked_base_url("x", "https://host/v1/") == "https://host/v1"


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
def test_settings_of_connections_are_checked(setting: Any) -> None:
    """Limits that cannot work are refused at construction."""
    with pytest.raises(ConfigurationError, match=f"Http.{next(iter(setting))}"):
        Http(**setting)


async def test_endless_reading_is_allowed(make: Any) -> None:
    """`math.inf` leaves silence to the router's own limits."""
    async with FakeProvider() as fake:
        provider = make("openai", fake, model="m", http=Http(read_timeout=float("inf")))
        assert text_of(await provider.call(chat("x"))) == "You said: x"
        await provider.aclose()


@pytest.mark.backends("trio")
async def test_trio_is_refused_in_words(virtual_clock: Any) -> None:
    """Aiohttp needs asyncio: on trio a call says so."""
    provider = OpenAI("up", model="m", api_key=KEY)
    with pytest.raises(UsageError, match="asyncio"):
        await provider.call(chat("x"))
