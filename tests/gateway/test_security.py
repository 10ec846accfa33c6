"""Who may not come in, and what no request can do."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from multirouter import Budget, Price
from multirouter.config import KeyBook
from multirouter.gateway.app import Bounds
from tests.gateway.kit import PROMPT, SAID, SECRET, standing

pytestmark = [pytest.mark.backends("asyncio")]

BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": PROMPT}]}).encode()

SMUGGLED = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n"
)
TWO_LENGTHS = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n"
    b"Content-Length: 2\r\n\r\n{}"
)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_keys() -> None:
    """No key, a wrong, a revoked and an admin's key are 401; a right one serves."""
    book, right = KeyBook().new("alice")
    book, gone = book.new("bob")
    book, boss = book.new("boss", admin=True)
    book = book.revoke("bob")
    async with standing(keys=book) as place:
        for headers in ({}, bearer("x"), bearer(gone), bearer(boss), bearer("ü"), bearer("")):
            answer = await place.ask(headers=headers)
            assert answer.status == 401
            assert answer.json["error"]["code"] == "invalid_api_key"
        ways = (bearer(right), {"authorization": f"bEaReR {right}"}, {"x-api-key": right})
        for headers in ways:
            assert (await place.ask(headers=headers)).text == SAID
        async with place.http.get(f"{place.url}/v1/models") as response:
            assert response.status == 401
        assert all(
            "Authorization" not in r.headers or right not in str(r.headers)
            for r in place.fakes[0].requests
        )
    told = repr(place.log.told)
    assert "'key': 'alice'" in told
    assert right not in told
    assert SECRET not in told


async def test_routes_of_a_key() -> None:
    """A key opens its own routes alone, and sees no other models."""
    book, token = KeyBook().new("alice", routes=("cheap*",))
    async with standing(keys=book, models={"m": "main"}) as place:
        assert (await place.ask(headers=bearer(token))).status == 403
        assert (await place.ask(headers=bearer(token), route="main")).status == 403
        async with place.http.get(f"{place.url}/v1/models", headers=bearer(token)) as response:
            assert (await response.json())["data"] == []


async def test_rates_of_a_key() -> None:
    """Requests and tokens per minute and concurrency are bounded: 429 with a time."""
    book, requests = KeyBook().new("requests", requests_per_minute=2)
    book, tokens = book.new("tokens", tokens_per_minute=10)
    book, single = book.new("single", concurrent=1)
    async with standing(keys=book) as place:
        statuses = [(await place.ask(headers=bearer(requests))).status for _ in range(3)]
        assert statuses == [200, 200, 429]
        spent = [await place.ask(headers=bearer(tokens)) for _ in range(2)]
        assert [answer.status for answer in spent] == [200, 429]
        assert int(spent[1].headers["Retry-After"]) >= 1
        first = asyncio.create_task(
            place.ask(headers=bearer(single), model="slow-first-token-500", stream=True)
        )
        await asyncio.sleep(0.1)
        assert (await place.ask(headers=bearer(single))).status == 429
        assert (await first).text == SAID
        assert (await place.ask(headers=bearer(single))).status == 200


async def test_budget_of_a_key() -> None:
    """A key that has spent its budget is refused, with the words of a used-up quota."""
    book, token = KeyBook().new("alice", budget=Budget(1.0, per="day"))
    price = {"first": {"price": Price(input=1e6, output=1e6)}}
    async with standing(keys=book, providers=price) as place:
        first, second = [await place.ask(headers=bearer(token)) for _ in range(2)]
    assert float(first.headers["X-Cost-Usd"]) > 1.0
    assert (second.status, second.json["error"]["code"]) == (429, "insufficient_quota")
    assert second.headers["X-Should-Retry"] == "false"


async def test_web_pages_and_foreign_names() -> None:
    """Without keys no web page may ask, nor whoever comes by another host's name."""
    async with standing() as place:
        page = await place.ask(headers={"Origin": "https://evil.example"})
        rebound = await place.ask(headers={"Host": "evil.example:8080"})
    assert (page.status, page.json["error"]["code"]) == (403, "forbidden_origin")
    assert (rebound.status, rebound.json["error"]["code"]) == (403, "forbidden_host")
    assert not place.fakes[0].requests


async def test_cors() -> None:
    """An allowed page gets its headers, on preflights without a key, on streams and on errors."""
    book, token = KeyBook().new("alice")
    page = "https://app.example"
    async with standing(keys=book, origins=(page,)) as place:
        url = f"{place.url}/v1/chat/completions"
        async with place.http.options(url, headers={"Origin": page}) as response:
            assert response.status == 204
            assert response.headers["Access-Control-Allow-Origin"] == page
            assert "POST" in response.headers["Access-Control-Allow-Methods"]
        stream = await place.ask(headers={**bearer(token), "Origin": page}, stream=True)
        assert stream.headers["Access-Control-Allow-Origin"] == page
        assert (await place.ask(headers={"Origin": page})).headers["Access-Control-Allow-Origin"]
        other = await place.ask(headers={**bearer(token), "Origin": "https://other.example"})
        assert "Access-Control-Allow-Origin" not in other.headers


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"\xff\xfe",
        b'{"model": NaN}',
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"[" * 1_000_000,
    ],
)
async def test_bodies_that_are_none(data: bytes) -> None:
    """Empty, broken, deep or undecodable bodies are 400 in the door's shape, never a 500."""
    async with standing() as place:
        answer = await place.post("/v1/chat/completions", data)
        assert (await place.ask()).status == 200
    assert answer.status == 400
    assert answer.json["error"]["code"] == "invalid_json"


async def test_bodies_too_large_or_too_slow() -> None:
    """A body beyond the bound is 413, one that does not come 408; others are served meanwhile."""
    async with standing(bounds=Bounds(body=1000, read_timeout=2.0)) as place:
        large = await place.post("/v1/chat/completions", b" " * 2000)
        host, port = place.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n")
        writer.write(b"Content-Length: 100\r\n\r\n{")
        assert (await place.ask()).status == 200
        slow = await reader.readuntil(b"\r\n\r\n")
        writer.close()
    assert (large.status, large.json["error"]["code"]) == (413, "request_too_large")
    assert slow.startswith(b"HTTP/1.1 408")


async def test_large_bodies_pass() -> None:
    """Ten megabytes and more reach the provider."""
    text = "x" * (11 * 2**20)
    async with standing() as place:
        answer = await place.ask(messages=[{"role": "user", "content": text}], max_tokens=1)
        assert answer.status == 200
        sent = place.fakes[0].requests[-1].body
    assert len(sent["messages"][0]["content"]) == len(text)


async def _raw(url: str, data: bytes) -> bytes:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return answer


@pytest.mark.parametrize(
    "data",
    [
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        SMUGGLED,
        TWO_LENGTHS,
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A : b\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n\tfolded: b\r\n\r\n",
    ],
)
async def test_what_is_no_request(data: bytes) -> None:
    """Rubbish, endless headers and two lengths are one 400 as JSON, and the connection ends."""
    async with standing() as place:
        answer = await _raw(place.url, data)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert answer.count(b"HTTP/1.") == 1
    assert json.loads(body)["error"]["code"] == "bad_request"
    assert b"Traceback" not in answer
    assert b"aiohttp" not in answer


async def test_headers_cannot_be_injected() -> None:
    """A model's name with line ends, and a request id that is none, stay where they are."""
    async with standing() as place:
        answer = await place.ask(
            model="x\r\nSet-Cookie: a=b", headers={"X-Request-Id": "a b\tc<script>"}
        )
        fine = await place.ask(headers={"X-Request-Id": "my-id.1"})
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["X-Model"] == "x??Set-Cookie: a=b"
    assert answer.headers["X-Request-Id"].startswith("req_")
    assert fine.headers["X-Request-Id"] == "my-id.1"


@pytest.mark.parametrize(
    "path",
    ["/v1/chat/completions/", "/v1//chat/completions", "/../etc/passwd", "/v1/%2e%2e/x", "/"],
)
async def test_path_tricks(path: str) -> None:
    """Only the doors' own paths lead anywhere."""
    async with standing() as place:
        answer = await place.post(path, BODY)
    assert answer.status in {404, 405}
    assert answer.json["error"]["message"]


async def test_wrong_methods() -> None:
    """A door's other methods are 405 in its shape."""
    async with standing() as place, place.http.get(f"{place.url}/v1/chat/completions") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"
        assert (await response.json())["error"]["code"] == "method_not_allowed"
        async with place.http.delete(f"{place.url}/v1/models") as refused:
            assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD")


async def test_nobody_is_asked_where_a_request_points() -> None:
    """A base URL or a key in a request goes nowhere but into the provider's own request."""
    async with standing() as place:
        fields = {"base_url": "http://169.254.169.254/", "api_base": "http://x/", "api_key": "k"}
        answer = await place.ask(**fields)
        received = place.fakes[0].requests[-1]
    assert answer.status == 200
    assert received.headers["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("fault", ["bad-key", "fail-400", "redirect", "html-200", "quota"])
async def test_no_secrets_in_answers(fault: str) -> None:
    """No key, traceback or upstream header reaches a client."""
    async with standing([fault]) as place:
        answer = await place.ask()
    shown = answer.data.decode() + repr(dict(answer.headers))
    assert SECRET not in shown
    assert "Traceback" not in shown
    assert "req_fake" not in shown


async def test_connections_are_bounded() -> None:
    """Beyond the bound a connection is closed at once; those within it are served."""
    async with standing(bounds=Bounds(connections=1)) as place:
        assert (await place.ask()).status == 200
        assert await _raw(place.url, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n") == b""
        assert (await place.ask()).status == 200


async def test_admin() -> None:
    """The admin key looks and changes, each change is logged; other keys and none are 401."""
    book, boss = KeyBook().new("boss", admin=True)
    book, alice = book.new("alice")
    async with standing([""], [], keys=book) as place:

        async def admin(path: str, token: str = boss, **body: object) -> tuple[int, object]:
            url, headers = f"{place.url}/admin/{path}", bearer(token)
            asked = (
                place.http.post(url, json=body, headers=headers)
                if body
                else place.http.get(url, headers=headers)
            )
            async with asked as response:
                return response.status, await response.json()

        await place.ask(headers=bearer(alice))
        for path in ("snapshot", "providers", "circuits", "routes", "calls"):
            assert (await admin(path))[0] == 200
            assert (await admin(path, alice))[0] == 401
        assert (await admin("calls"))[1][0]["key"] == "alice"
        assert (await admin("hold", provider="first", how="open"))[0] == 200
        assert (await place.ask(headers=bearer(alice))).headers["X-Provider"] == "second"
        assert (await admin("unhold", provider="first"))[0] == 200
        assert (await admin("weight", provider="first", weight=3))[0] == 200
        assert (await admin("weight", provider="first", weight="x"))[0] == 400
        assert (await admin("hold", provider="frist", how="open"))[0] == 400
        assert (await admin("reload", x=1))[0] == 404
    changes = [(event, fields["by"]) for _, event, fields in place.log.told if "by" in fields]
    assert changes == [
        ("provider held by admin", "boss"),
        ("provider released by admin", "boss"),
        ("weight changed by admin", "boss"),
    ]


async def test_limits_of_a_key_changed_by_a_reload() -> None:
    """A key keeps what it has used when a reload gives it another rate, or none at all."""
    book, token = KeyBook().new("alice", requests_per_minute=2)
    record = book.records[0]
    async with standing(keys=book) as place:
        assert [(await place.ask(headers=bearer(token))).status for _ in range(3)][-1] == 429
        for rate, status in ((600.0, 429), (None, 200)):
            renewed = KeyBook([replace(record, requests_per_minute=rate)])
            place.gateway.adopt(models={"m": "main"}, keys=renewed, patience=place.gateway.patience)
            assert (await place.ask(headers=bearer(token))).status == status


async def test_no_admin_without_keys() -> None:
    """A gateway without keys has no admin API."""
    async with standing() as place, place.http.get(f"{place.url}/admin/snapshot") as response:
        assert response.status == 404
