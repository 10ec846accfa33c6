"""Authentication, key limits, request limits, injection, and the admin API."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from typing import Any

import anyio
import pytest

from multirouter import Budget, Price
from multirouter.config import KeyBook
from multirouter.gateway.app import ServerLimits
from tests.gateway.harness import PROMPT, REPLY, SECRET, running_gateway

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
    """A missing, wrong, revoked or admin key is a 401; a valid one is accepted."""
    book, right = KeyBook().new("alice")
    book, gone = book.new("bob")
    book, admin_token = book.new("root", admin=True)
    book = book.revoke("bob")
    async with running_gateway(keys=book) as harness:
        for headers in (
            {},
            bearer("x"),
            bearer(gone),
            bearer(admin_token),
            bearer("ü"),
            bearer(""),
        ):
            answer = await harness.send(headers=headers)
            assert answer.status == 401
            assert answer.json["error"]["code"] == "invalid_api_key"
        accepted = (bearer(right), {"authorization": f"bEaReR {right}"}, {"x-api-key": right})
        for headers in accepted:
            assert (await harness.send(headers=headers)).text == REPLY
        async with harness.http.get(f"{harness.url}/v1/models") as response:
            assert response.status == 401
        assert all(
            "Authorization" not in r.headers or right not in str(r.headers)
            for r in harness.fakes[0].requests
        )
    log = repr(harness.log.events)
    assert "'key': 'alice'" in log
    assert right not in log
    assert SECRET not in log


async def test_key_routes() -> None:
    """A key gives access to its own routes; the error names what the client named."""
    book, token = KeyBook().new("alice", routes=("cheap*",))
    async with running_gateway(keys=book, models={"m": "main"}) as harness:
        for fields, param, name in (
            ({"model": "m"}, "model", "m"),
            ({"model": "m", "route": "main"}, "route", "main"),
            ({"route": "main"}, "route", "main"),
        ):
            answer = await harness.send(headers=bearer(token), **fields)
            assert answer.status == 403
            assert answer.json["error"]["message"] == f"this key has no access to {param} '{name}'"
            assert answer.json["error"]["param"] == param
        async with harness.http.get(f"{harness.url}/v1/models", headers=bearer(token)) as response:
            assert (await response.json())["data"] == []


async def test_key_rate_limits() -> None:
    """Requests and tokens per minute and concurrency are limited: 429 with Retry-After."""
    book, requests = KeyBook().new("requests", requests_per_minute=2)
    book, tokens = book.new("tokens", tokens_per_minute=10)
    book, single = book.new("single", concurrent=1)
    async with running_gateway(keys=book) as harness:
        statuses = [(await harness.send(headers=bearer(requests))).status for _ in range(3)]
        assert statuses == [200, 200, 429]
        spent = [await harness.send(headers=bearer(tokens)) for _ in range(2)]
        assert [answer.status for answer in spent] == [200, 429]
        assert int(spent[1].headers["Retry-After"]) >= 1
        first = asyncio.create_task(
            harness.send(headers=bearer(single), model="slow-first-token-500", stream=True)
        )
        await asyncio.sleep(0.1)
        assert (await harness.send(headers=bearer(single))).status == 429
        assert (await first).text == REPLY
        assert (await harness.send(headers=bearer(single))).status == 200


async def test_key_budget() -> None:
    """A key that has spent its budget gets 429 `insufficient_quota`, without a retry."""
    book, token = KeyBook().new("alice", budget=Budget(1.0, per="day"))
    price = {"first": {"price": Price(input=1e6, output=1e6)}}
    async with running_gateway(keys=book, providers=price) as harness:
        first, second = [await harness.send(headers=bearer(token)) for _ in range(2)]
    assert float(first.headers["X-Cost-Usd"]) > 1.0
    assert (second.status, second.json["error"]["code"]) == (429, "insufficient_quota")
    assert second.headers["X-Should-Retry"] == "false"


async def test_foreign_origins_and_hosts() -> None:
    """Without keys, foreign origins and host names that are not loopback are a 403."""
    async with running_gateway() as harness:
        page = await harness.send(headers={"Origin": "https://evil.example"})
        rebound = await harness.send(headers={"Host": "evil.example:8080"})
    assert (page.status, page.json["error"]["code"]) == (403, "forbidden_origin")
    assert (rebound.status, rebound.json["error"]["code"]) == (403, "forbidden_host")
    assert not harness.fakes[0].requests


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
        ("GET", "/v1/models"),
        ("GET", "/v1beta/models/m"),
        ("GET", "/admin/snapshot"),
        ("POST", "/v1/audio/speech"),
        ("OPTIONS", "/v1/models"),
        ("GET", "/unknown"),
    ],
)
async def test_foreign_origins_and_hosts_of_every_endpoint(method: str, path: str) -> None:
    """Without keys, every path is a 403 for other origins and for names that are rebound."""
    async with running_gateway(origins=("https://app.example",)) as harness:
        for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
            url = harness.url + path
            async with harness.http.request(method, url, headers=headers) as response:
                assert response.status == 403


async def test_names_of_other_routes() -> None:
    """Errors name models and routes that the key may use, and no others."""
    book, token = KeyBook().new("alice", routes=("main",))
    models = {"m": "main", "secret-model": "first"}
    async with running_gateway(keys=book, models=models) as harness:
        for body in ({"model": "secret-modul"}, {"model": "x"}, {"route": "firsd"}, {"route": "x"}):
            answer = await harness.send(headers=bearer(token), **body)
            assert answer.status in {400, 404}
            assert "first" not in answer.json["error"]["message"].replace("firsd", "")
            assert "secret-model" not in answer.json["error"]["message"]
        assert "'m'" in (await harness.send(headers=bearer(token), model="x")).data.decode()


@pytest.mark.parametrize("fault", ["html-200", "broken-json-0", "bad-key", "fail-500", "quota"])
@pytest.mark.parametrize("stream", [False, True])
async def test_words_of_providers(fault: str, stream: bool) -> None:
    """What a provider answered instead of an answer reaches no client; the cause is named."""
    async with running_gateway([fault]) as harness:
        answers = [await harness.send(stream=stream) for _ in range(4)]
    for answer in answers:
        shown = answer.data.decode() + str(answer.headers)
        assert answer.status >= 500 or not stream
        assert "first" in shown
        for word in ("fault:", "cho", "key provided", "The server had", "last failure"):
            assert word not in shown.replace("choice", "")


async def test_addresses_of_providers() -> None:
    """A provider that cannot be reached is named; its address is not."""
    async with running_gateway([]) as harness:
        port = harness.fakes[0].url.rpartition(":")[2]
        await harness.fakes[0].aclose()
        for _ in range(4):
            answer = await harness.send()
            assert answer.status in {502, 503}
            assert port not in answer.data.decode() + str(answer.headers)
            assert "127.0.0.1" not in answer.data.decode()


async def test_client_timeout_is_bounded() -> None:
    """A client may shorten the timeout of its routes; it cannot lengthen it."""
    settings: dict[str, Any] = {"route": {"timeout": 5.0}, "providers": {}}
    async with running_gateway(["stall"], **settings) as harness:
        for stream in (False, True):
            for wished, seconds in ((1000, 5), (2, 2)):
                started = anyio.current_time()
                assert (await harness.send(timeout=wished, stream=stream)).status == 504
                assert round(anyio.current_time() - started) == seconds


async def test_clients_that_do_not_read() -> None:
    """A client that reads nothing of its stream is disconnected; its provider is free again."""
    limits = ServerLimits(write_timeout=20.0)
    async with running_gateway(["endless"], limits=limits) as harness:
        host, port = harness.url.removeprefix("http://").split(":")
        body = json.dumps(
            {"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]}
        )
        reader, writer = await asyncio.open_connection(host, int(port), limit=1000)
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}"
        )
        writer.write(f"{head}\r\n\r\n{body}".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        while harness.gateway.in_flight:
            await asyncio.sleep(5)
        assert harness.router.in_flight("first") == 0
        writer.close()
    statuses = [fields["status"] for _, event, fields in harness.log.events if event == "request"]
    assert statuses == [499]


async def test_access_log() -> None:
    """A request is logged with method, path, client address, key and model."""
    book, token = KeyBook().new("alice")
    async with running_gateway(keys=book) as harness:
        await harness.send(headers=bearer(token))
    (_, _, fields), *_ = harness.log.events
    logged = {name: fields[name] for name in ("method", "path", "client", "key", "model")}
    assert logged == {
        "method": "POST",
        "path": "/v1/chat/completions",
        "client": "127.0.0.1",
        "key": "alice",
        "model": "m",
    }


async def test_cors() -> None:
    """An allowed origin gets CORS headers: on preflights without a key, streams and errors."""
    book, token = KeyBook().new("alice")
    page = "https://app.example"
    async with running_gateway(keys=book, origins=(page,)) as harness:
        url = f"{harness.url}/v1/chat/completions"
        async with harness.http.options(url, headers={"Origin": page}) as response:
            assert response.status == 204
            assert response.headers["Access-Control-Allow-Origin"] == page
            assert "POST" in response.headers["Access-Control-Allow-Methods"]
        stream = await harness.send(headers={**bearer(token), "Origin": page}, stream=True)
        assert stream.headers["Access-Control-Allow-Origin"] == page
        assert (await harness.send(headers={"Origin": page})).headers["Access-Control-Allow-Origin"]
        other = await harness.send(headers={**bearer(token), "Origin": "https://other.example"})
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
    ],
)
async def test_invalid_bodies(data: bytes) -> None:
    """Empty, broken, deep or undecodable bodies are a 400, never a 500."""
    async with running_gateway() as harness:
        answer = await harness.post("/v1/chat/completions", data)
        assert (await harness.send()).status == 200
    assert answer.status == 400
    assert answer.json["error"]["code"] == "invalid_json"


async def test_body_of_too_many_objects_and_lists() -> None:
    """A body with more objects and lists than allowed is a 413, before it is parsed."""
    async with running_gateway() as harness:
        answer = await harness.post("/v1/chat/completions", b"[" * 1_000_000)
        assert (await harness.send()).status == 200
    assert answer.status == 413


async def test_bodies_too_large_or_too_slow() -> None:
    """A body beyond the limit is 413, one that does not arrive 408; others are served meanwhile."""
    async with running_gateway(
        limits=ServerLimits(max_body_size=1000, read_timeout=2.0)
    ) as harness:
        large = await harness.post("/v1/chat/completions", b" " * 2000)
        host, port = harness.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n")
        writer.write(b"Content-Length: 100\r\n\r\n{")
        assert (await harness.send()).status == 200
        slow = await reader.readuntil(b"\r\n\r\n")
        writer.close()
    assert (large.status, large.json["error"]["code"]) == (413, "request_too_large")
    assert slow.startswith(b"HTTP/1.1 408")


async def test_large_bodies_pass() -> None:
    """A body of eleven megabytes reaches the provider."""
    text = "x" * (11 * 2**20)
    async with running_gateway() as harness:
        answer = await harness.send(messages=[{"role": "user", "content": text}], max_tokens=1)
        assert answer.status == 200
        sent = harness.fakes[0].requests[-1].body
    assert len(sent["messages"][0]["content"]) == len(text)


async def _raw(url: str, data: bytes) -> bytes:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("data", "status", "said"),
    [
        (b"GARBAGE\r\n\r\n", 400, "malformed HTTP request: "),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, ": Received HTTPS traffic"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", 431, "at most 16384"),
        (b"GET /" + b"y" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431, "at most 16384 bytes"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 9999 + b"\r\n", 400, "Too many headers"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, ": Missing"),
        (SMUGGLED, 400, "malformed"),
        (TWO_LENGTHS, 400, "malformed"),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A : b\r\n\r\n", 400, "header token"),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\n\tfolded: b\r\n\r\n", 400, "malformed"),
    ],
)
async def test_malformed_http(data: bytes, status: int, said: str) -> None:
    """One JSON error that says what is wrong, without what was sent; the connection ends."""
    async with running_gateway() as harness:
        answer = await _raw(harness.url, data)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((f"HTTP/1.1 {status}".encode(), f"HTTP/1.0 {status}".encode()))
    assert answer.count(b"HTTP/1.") == 1
    error = json.loads(body)["error"]
    assert error["code"] == ("bad_request" if status == 400 else "headers_too_large")
    assert said in error["message"]
    assert not {"b'", "yyy", "\\x"} & set(re.findall(r"b'|yyy|\\x", error["message"]))
    assert b"Traceback" not in answer
    assert b"aiohttp" not in answer


async def test_headers_cannot_be_injected() -> None:
    """Line breaks in a model's name are replaced; an invalid request id is not echoed."""
    async with running_gateway() as harness:
        answer = await harness.send(
            model="x\r\nSet-Cookie: a=b", headers={"X-Request-Id": "a b\tc<script>"}
        )
        fine = await harness.send(headers={"X-Request-Id": "my-id.1"})
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["X-Model"] == "x??Set-Cookie: a=b"
    assert answer.headers["X-Request-Id"].startswith("req_")
    assert fine.headers["X-Request-Id"] == "my-id.1"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions/",
        "/v1//chat/completions",
        "//v1/chat/completions",
        "/chat/completions",
        "/v1/v1/chat/completions//",
    ],
)
async def test_joined_paths(path: str) -> None:
    """Slashes too many, and a missing or repeated `/v1`, make no difference."""
    async with running_gateway() as harness:
        assert (await harness.post(path, BODY)).text == REPLY


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat",
        "/v1/chat/completions/x",
        "/v2/chat/completions",
        "/../etc/passwd",
        "/v1/../v1/chat/completions/..",
        "/v1/%2e%2e/x",
        "/",
        "//",
        "/v1",
    ],
)
async def test_unknown_paths(path: str) -> None:
    """Only the paths of endpoints are served."""
    async with running_gateway() as harness:
        answer = await harness.post(path, BODY)
    assert answer.status in {404, 405}
    assert answer.json["error"]["message"]


async def test_wrong_methods() -> None:
    """Other methods of a path are a 405 with `Allow`."""
    async with (
        running_gateway() as harness,
        harness.http.get(f"{harness.url}/v1/chat/completions") as response,
    ):
        assert response.status == 405
        assert response.headers["Allow"] == "POST"
        assert (await response.json())["error"]["code"] == "method_not_allowed"
        async with harness.http.delete(f"{harness.url}/v1/models") as rejected:
            assert (rejected.status, rejected.headers["Allow"]) == (405, "GET, HEAD")


async def test_request_cannot_redirect_the_provider() -> None:
    """A base URL or a key in a request does not change where it is sent."""
    async with running_gateway() as harness:
        fields = {"base_url": "http://169.254.169.254/", "api_base": "http://x/", "api_key": "k"}
        answer = await harness.send(**fields)
        received = harness.fakes[0].requests[-1]
    assert answer.status == 200
    assert received.headers["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("fault", ["bad-key", "fail-400", "redirect", "html-200", "quota"])
async def test_no_secrets_in_answers(fault: str) -> None:
    """No key, traceback or upstream id reaches a client."""
    async with running_gateway([fault]) as harness:
        answer = await harness.send()
    shown = answer.data.decode() + repr(dict(answer.headers))
    assert SECRET not in shown
    assert "Traceback" not in shown
    assert "req_fake" not in shown


async def test_connections_are_limited() -> None:
    """A connection beyond the limit is closed at once when all others are busy."""
    async with running_gateway(limits=ServerLimits(max_connections=1)) as harness:
        busy = asyncio.create_task(harness.send(model="slow-first-token-2000"))
        await asyncio.sleep(0.5)
        assert await _raw(harness.url, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n") == b""
        assert (await busy).status == 200


async def test_admin() -> None:
    """An admin key reads and changes the state, and changes are logged; other keys are 401."""
    book, admin_token = KeyBook().new("root", admin=True)
    book, alice = book.new("alice")
    async with running_gateway([""], [], keys=book) as harness:

        async def admin(path: str, token: str = admin_token, **body: object) -> tuple[int, object]:
            url, headers = f"{harness.url}/admin/{path}", bearer(token)
            sending = (
                harness.http.post(url, json=body, headers=headers)
                if body
                else harness.http.get(url, headers=headers)
            )
            async with sending as response:
                return response.status, await response.json()

        await harness.send(headers=bearer(alice))
        for path in ("snapshot", "providers", "circuits", "routes", "calls"):
            assert (await admin(path))[0] == 200
            assert (await admin(path, alice))[0] == 401
        assert (await admin("calls"))[1][0]["key"] == "alice"
        assert (await admin("hold", provider="first", how="open"))[0] == 200
        assert (await harness.send(headers=bearer(alice))).headers["X-Provider"] == "second"
        assert (await admin("unhold", provider="first"))[0] == 200
        assert (await admin("weight", provider="first", weight=3))[0] == 200
        assert (await admin("weight", provider="first", weight="x"))[0] == 400
        assert (await admin("hold", provider="frist", how="open"))[0] == 400
        assert (await admin("reload", x=1))[0] == 404
    changes = [(event, fields["by"]) for _, event, fields in harness.log.events if "by" in fields]
    assert changes == [
        ("provider held by admin", "root"),
        ("provider released by admin", "root"),
        ("weight changed by admin", "root"),
    ]


async def test_reload_changes_key_limits() -> None:
    """A reload changes a key's rate; what it has used stays counted."""
    book, token = KeyBook().new("alice", requests_per_minute=2)
    record = book.records[0]
    async with running_gateway(keys=book) as harness:
        assert [(await harness.send(headers=bearer(token))).status for _ in range(3)][-1] == 429
        for rate, status in ((600.0, 429), (None, 200)):
            renewed = KeyBook([replace(record, requests_per_minute=rate)])
            harness.gateway.apply(
                models={"m": "main"}, keys=renewed, short_wait=harness.gateway.short_wait
            )
            assert (await harness.send(headers=bearer(token))).status == status


async def test_admin_without_keys() -> None:
    """Without keys this machine is the admin; a proxy, another host and other pages are not."""
    async with running_gateway() as harness:
        own = harness.url.partition("://")[2]

        async def status(method: str, path: str, **headers: str) -> int:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            sending = harness.http.request(
                method, harness.url + path, headers=names, json={"provider": "first", "how": "open"}
            )
            async with sending as response:
                return response.status

        assert await status("GET", "/admin/snapshot") == 200
        assert await status("POST", "/admin/hold", Origin=harness.url) == 200
        assert await status("GET", "/admin/snapshot", Host="gateway.example") == 403
        assert await status("GET", "/admin/snapshot", X_Forwarded_For="203.0.113.9") == 404
        for origin in ("http://evil.example", "null", f"http://{own}0"):
            assert await status("POST", "/admin/hold", Origin=origin) == 403
        assert await status("GET", "/admin/events", Sec_Fetch_Site="cross-site") == 403
        assert await status("POST", "/admin/hold") == 403
    async with (
        running_gateway(allow_anyone=True) as harness,
        harness.http.get(f"{harness.url}/admin/snapshot") as response,
    ):
        assert response.status == 404


@pytest.mark.parametrize("stream", [True, False])
async def test_tokens_of_requests_that_were_cut(stream: bool) -> None:
    """A client that leaves before the usage is reported uses up its tokens all the same."""
    book, token = KeyBook().new("alice", tokens_per_minute=1000)
    text = "x" * 8000
    async with running_gateway(keys=book) as harness:

        async def leave() -> int:
            sending = harness.send(
                headers=bearer(token),
                model="stall-2" if stream else "stall",
                stream=stream,
                messages=[{"role": "user", "content": text}],
            )
            try:
                async with asyncio.timeout(2):
                    return (await sending).status
            except TimeoutError:
                return 0

        assert await leave() == 0
        await asyncio.sleep(0.1)
        assert await leave() == 429


async def test_failures_use_no_tokens() -> None:
    """A request that no provider has worked on uses up no tokens of its key."""
    book, token = KeyBook().new("alice", tokens_per_minute=1000)
    text = [{"role": "user", "content": "x" * 8000}]
    async with running_gateway(["fail-503"], keys=book) as harness:
        statuses = [
            (await harness.send(headers=bearer(token), messages=text)).status for _ in range(3)
        ]
    assert 429 not in statuses


async def test_idle_connections_are_closed_first() -> None:
    """Beyond the limit of connections, the one that is idle for longest is closed."""
    async with running_gateway(limits=ServerLimits(max_connections=3)) as harness:
        host, port = harness.url.removeprefix("http://").split(":")
        idle = [await asyncio.open_connection(host, int(port)) for _ in range(10)]
        assert (await harness.send()).status == 200
        closed = [await asyncio.wait_for(reader.read(), 5) for reader, _ in idle[:7]]
        assert closed == [b""] * 7
        for _, writer in idle:
            writer.close()


def test_connections_fit_the_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of connections leaves a descriptor for a provider to each of them."""
    resource = pytest.importorskip("resource")
    endless = resource.RLIM_INFINITY
    for soft, expected in ((1024, 480), (10, 1), (1_000_000, 10_000), (endless, 10_000)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert ServerLimits().connections() == expected
