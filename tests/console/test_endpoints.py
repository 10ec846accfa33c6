"""Endpoints of the console: the page, sessions, live data, the playground."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import anyio
import pytest

from multirouter.config import KeyBook
from multirouter.console.assets import assets
from multirouter.gateway.auth.sessions import LIFETIME, Sessions
from tests.gateway.harness import PROMPT, REPLY, Harness, running_gateway

pytestmark = [pytest.mark.backends("asyncio")]


def book_of() -> tuple[KeyBook, str, str]:
    """Keys, the token of an admin, and that of a client."""
    book, admin = KeyBook().new("root", admin=True)
    book, client = book.new("alice", concurrent=3)
    return book, admin, client


async def sign_in(harness: Harness, token: str, **headers: str) -> aiohttp.ClientResponse:
    """Signs in as the page does."""
    url = f"{harness.url}/admin/session"
    headers = {"Origin": harness.url, **headers}
    return await harness.http.post(url, json={"key": token}, headers=headers)


def cookie_of(response: aiohttp.ClientResponse) -> dict[str, str]:
    """The cookie of an answer, as a header."""
    value = response.headers["Set-Cookie"].partition(";")[0]
    return {"Cookie": value}


@asynccontextmanager
async def events_of(harness: Harness, **headers: str) -> AsyncIterator[AsyncIterator[Any]]:
    """The events of an open page, as pairs of section and data."""
    async with harness.http.get(f"{harness.url}/admin/events", headers=headers) as response:
        assert response.status == 200

        async def pairs() -> AsyncIterator[Any]:
            name = ""
            async for line in response.content:
                field, _, value = line.decode().rstrip("\n").partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    yield name, json.loads(value)

        yield pairs()


async def sections_of(harness: Harness, **headers: str) -> dict[str, Any]:
    """All sections, as the first events of a page have them."""
    found: dict[str, Any] = {}
    async with events_of(harness, **headers) as events:
        async for name, data in events:
            found[name] = data
            if name == "problem":
                break
    return found


async def test_the_root_is_a_page_for_browsers_and_json_for_programs() -> None:
    """A client that accepts HTML gets the page; any other what there is, without any state."""
    async with running_gateway() as harness:
        async with harness.http.get(harness.url, headers={"Accept": "text/html,*/*"}) as page:
            assert page.content_type == "text/html"
        for accept in ("*/*", "application/json", ""):
            async with harness.http.get(harness.url, headers={"Accept": accept}) as response:
                body = await response.json()
            assert body["name"] == "multirouter"
            assert "POST /v1/chat/completions" in body["endpoints"]
            assert body["links"]["metrics"] == "/metrics"


async def test_files_let_no_foreign_script_in() -> None:
    """Every file has a policy that allows scripts and styles of this server only, and no frame."""
    async with running_gateway() as harness:
        for name in assets():
            async with harness.http.get(f"{harness.url}/console/{name}") as response:
                assert response.status == 200
                policy = response.headers["Content-Security-Policy"]
                etag = response.headers["ETag"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            url, known = f"{harness.url}/console/{name}", {"If-None-Match": etag}
            async with harness.http.get(url, headers=known) as response:
                assert response.status == 304
        for path in ("../assets.py", "%2e%2e/assets.py", "nothing.js", ""):
            async with harness.http.get(f"{harness.url}/console/{path}") as response:
                assert response.status == 404


def test_the_files_name_no_other_host() -> None:
    """No file loads anything from another host, has an inline script or style, or sets HTML."""
    for name, asset in assets().items():
        text = asset.body.decode() if not name.endswith(".woff2") else ""
        hosts = [part for part in ("http://", "https://") if part in text.replace("www.w3.org", "")]
        if name.endswith((".html", ".css")):
            assert hosts == [], name
        for banned in (
            "innerHTML",
            "insertAdjacentHTML",
            "eval(",
            " style=",
            "onclick=",
            "@import",
        ):
            assert banned not in text, f"{banned} in {name}"


async def test_signing_in() -> None:
    """An admin key is exchanged for a cookie that scripts cannot read."""
    book, admin, client = book_of()
    async with running_gateway(keys=book) as harness:
        assert (await sign_in(harness, client)).status == 401
        assert (await sign_in(harness, "mr-wrong")).status == 401
        signed_in = await sign_in(harness, admin)
        assert signed_in.status == 200
        attributes = signed_in.headers["Set-Cookie"]
        for attribute in ("HttpOnly", "SameSite=Strict", "Path=/admin"):
            assert attribute in attributes
        assert "Secure" not in attributes
        behind_tls = await sign_in(harness, admin, **{"X-Forwarded-Proto": "https"})
        assert "Secure" in behind_tls.headers["Set-Cookie"]
        assert admin not in attributes
        sections = await sections_of(harness, **cookie_of(signed_in))
        assert [key["name"] for key in sections["keys"]] == ["root", "alice"]
        assert admin not in json.dumps(sections)


async def test_a_session_is_no_help_to_other_pages() -> None:
    """With the cookie alone, a page of another origin or port changes and reads nothing."""
    book, admin, _ = book_of()
    async with running_gateway(keys=book) as harness:
        cookie = cookie_of(await sign_in(harness, admin))
        url, body = f"{harness.url}/admin/hold", {"provider": "first", "how": "open"}
        port = int(harness.url.rpartition(":")[2])
        foreign: list[dict[str, str]] = [
            {},
            {"Origin": "https://evil.example"},
            {"Origin": f"http://127.0.0.1:{port + 1}"},
            {"Origin": harness.url, "Sec-Fetch-Site": "same-site"},
        ]
        for headers in foreign:
            async with harness.http.post(url, json=body, headers=cookie | headers) as response:
                assert response.status == 403
        assert harness.router.snapshot()["providers"]["first"]["hold"] is None
        reading = cookie | {"Sec-Fetch-Site": "same-site"}
        async with harness.http.get(f"{harness.url}/admin/calls", headers=reading) as response:
            assert response.status == 403
        own = cookie | {"Origin": harness.url, "Sec-Fetch-Site": "same-origin"}
        async with harness.http.post(url, json=body, headers=own) as response:
            assert response.status == 200
        assert ("info", "provider held by admin", {"by": "root", **body}) in harness.log.events
        login = await sign_in(harness, admin, Origin="https://evil.example")
        assert login.status == 403


async def test_a_session_ends() -> None:
    """A session ends with its time, with its key, and with the process; a forged one is none."""
    book, _, _ = book_of()
    now = [1_000.0]
    sessions = Sessions(b"s" * 32, wall=lambda: now[0])
    root, alice = book.active
    cookie = sessions.new(root)
    assert sessions.check(cookie, book) is root
    assert sessions.check(cookie, book.revoke("root")) is None
    renamed, _ = book.revoke("root").new("root", admin=True)
    assert sessions.check(cookie, renamed) is None
    assert sessions.check(sessions.new(alice), book) is None
    assert Sessions(b"t" * 32, wall=lambda: now[0]).check(cookie, book) is None
    id_, ends, signature = cookie.split(".")
    for forged in (
        "",
        "..",
        f"{id_}.{int(ends) + 1}.{signature}",
        f"{id_}.{ends}.é",
        f"{id_}.{ends}",
    ):
        assert sessions.check(forged, book) is None
    now[0] += LIFETIME
    assert sessions.check(cookie, book) is None


async def test_signing_out_and_asking_who_is_signed_in() -> None:
    """The page can ask who is signed in; after signing out the browser has no cookie."""
    book, admin, _ = book_of()
    async with running_gateway(keys=book) as harness:
        url = f"{harness.url}/admin/session"

        async def who(**headers: str) -> Any:
            async with harness.http.get(url, headers=headers) as response:
                return await response.json()

        assert await who() == {"admin": None, "keys": True}
        cookie = cookie_of(await sign_in(harness, admin))
        assert await who(**cookie) == {"admin": "root", "keys": True}
        headers = cookie | {"Origin": harness.url}
        async with harness.http.delete(url, headers=headers) as response:
            assert "Max-Age=0" in response.headers["Set-Cookie"]
        async with harness.http.post(url, json={"key": 1}, headers=headers) as response:
            assert response.status == 400
    async with running_gateway() as harness:
        async with harness.http.get(f"{harness.url}/admin/session") as response:
            assert await response.json() == {"admin": "this machine", "keys": False}
        assert (await sign_in(harness, "any")).status == 404


async def test_live_data() -> None:
    """The page shows providers, routes, traffic and calls, and then what changes."""
    async with running_gateway(["fail-503", ""], []) as harness:
        await harness.send(model="m")
        async with events_of(harness) as events:
            first: dict[str, Any] = {}
            async for name, data in events:
                first[name] = data
                if name == "problem":
                    break
            harness.router.hold("first", "open")
            async for name, data in events:
                if name == "providers":
                    assert (data[0]["hold"], data[0]["available"]) == ("open", 0)
                    break
    assert [one["provider"] for one in first["providers"]] == ["first", "second"]
    (call,) = first["calls"]
    assert (call["ending"], call["provider"]) == ("failed_over", "second")
    assert [attempt["verdict"] for attempt in call["trail"]] == ["overloaded", "success"]
    assert all(attempt["start_ms"] >= 0 for attempt in call["trail"])
    assert first["traffic"]["hour"]["counts"] == {"failed_over": 1}
    assert first["traffic"]["hour"]["providers"] == {"second": 1}
    assert first["status"]["models"] == ["m"]
    assert first["keys"] is None


async def test_an_open_page_ends_with_its_session() -> None:
    """When a key is revoked, the page that uses its session gets no more data."""
    book, admin, _ = book_of()
    async with running_gateway(keys=book) as harness:
        cookie = cookie_of(await sign_in(harness, admin))
        async with events_of(harness, **cookie) as events:
            await anext(events)
            short_wait = harness.gateway.short_wait
            harness.gateway.apply(
                models={"m": "main"}, keys=book.revoke("root"), short_wait=short_wait
            )
            with anyio.fail_after(5):
                assert [name async for name, _ in events][-1] == "problem"


async def test_an_open_page_does_not_delay_a_stop() -> None:
    """A gateway that stops closes the streams of open pages at once, and not after the drain."""
    async with running_gateway(drain=600.0) as harness, events_of(harness) as events:
        await anext(events)
        with anyio.fail_after(5):
            await harness.server.aclose()


async def test_the_playground() -> None:
    """An admin sends a request from the page; it is logged under the admin's name."""
    book, admin, client = book_of()
    async with running_gateway(keys=book) as harness:
        body = json.dumps(
            {"model": "m", "messages": [{"role": "user", "content": PROMPT}], "stream": True}
        ).encode()
        cookie = cookie_of(await sign_in(harness, admin))
        own = cookie | {"Origin": harness.url}
        answer = await harness.post("/admin/chat", body, own)
        assert (answer.status, answer.text) == (200, REPLY)
        assert (await harness.post("/admin/chat", body, cookie)).status == 403
        bearer = {"Authorization": f"Bearer {client}"}
        assert (await harness.post("/admin/chat", body, bearer)).status == 401
        (call,) = harness.gateway.recent.newest(9)
        assert call["key"] == "root"
        assert call["request_id"] == answer.headers["X-Request-Id"]
        sections = await sections_of(harness, **cookie)
        assert [key.get("under_way") for key in sections["keys"]] == [None, None]


async def test_a_gateway_without_pages_computes_nothing() -> None:
    """Calls and the page's own files cause no computation; only open pages do."""
    async with running_gateway() as harness:
        for _ in range(3):
            await harness.send(model="m")
        async with harness.http.get(harness.url, headers={"Accept": "text/html"}) as response:
            assert response.status == 200
        await anyio.sleep(30)
        assert harness.gateway.console.feed.computed == 0
