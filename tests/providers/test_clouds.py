"""Azure, Bedrock and Vertex AI: addresses, versions, credentials and signatures."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from binascii import crc32
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web

from multirouter import ConfigurationError, FailureKind, ProviderError
from multirouter.providers import Azure, Bedrock, Vertex, chat, text_of
from multirouter.providers.cloud.tokens import REFRESH_BEFORE, Token, Tokens, is_transient
from multirouter.providers.transport.http import PreparedRequest, SigningFailed

pytestmark = [pytest.mark.real_io, pytest.mark.backends("asyncio")]

OPENAI = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
    ],
}
CLAUDE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "text", "text": "ok"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
GEMINI = {
    "candidates": [
        {"content": {"role": "model", "parts": [{"text": "ok"}]}, "finishReason": "STOP"}
    ]
}
CLAUDE_EVENTS: list[Any] = [
    {"type": "message_start", "message": {**CLAUDE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ok"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
    {"type": "message_stop"},
]


class Cloud:
    """A service on a loopback port that records requests and answers by its address."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.tokens = 0
        self.status = 200
        self.exception = ""

    @property
    def path(self) -> str:
        """The path and the query of the newest request, as they were sent."""
        return self.requests[-1][0]

    @property
    def headers(self) -> dict[str, str]:
        return self.requests[-1][1]

    @property
    def body(self) -> Any:
        return self.requests[-1][2]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        if request.method == "GET":
            return self._token(request)
        self.raw = raw
        self.requests.append((request.raw_path, dict(request.headers), json.loads(raw)))
        if self.status != 200:
            return web.json_response({"message": "no"}, status=self.status)
        return self._stream(request.raw_path) or self._whole(request.raw_path)

    def _stream(self, path: str) -> web.Response | None:
        if "invoke-with-response-stream" in path:
            frames = [_frame(event) for event in CLAUDE_EVENTS]
            if self.exception:
                frames[2:] = [_frame({"message": "slow down"}, exception=self.exception)]
            kind = "application/vnd.amazon.eventstream"
            return web.Response(body=b"".join(frames), content_type=kind)
        events = CLAUDE_EVENTS if "streamRawPredict" in path else [GEMINI]
        text = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
        if "streamRawPredict" in path or "streamGenerateContent" in path:
            return web.Response(text=text, content_type="text/event-stream")
        return None

    def _whole(self, path: str) -> web.Response:
        if "/invoke" in path or "rawPredict" in path:
            return web.json_response(CLAUDE)
        return web.json_response(GEMINI if "generateContent" in path else OPENAI)

    def _token(self, request: web.Request) -> web.Response:
        """The token of a managed identity (Azure), or of a machine (Google)."""
        self.tokens += 1
        if "computeMetadata" in request.path:
            assert request.headers["Metadata-Flavor"] == "Google"
            flavor = {"Metadata-Flavor": "Google"}
            if not request.path.endswith("/token"):
                account = {"email": "me@x", "scopes": ["a"], "aliases": ["default"]}
                return web.json_response(account, headers=flavor)
            token = {"access_token": f"g{self.tokens}", "expires_in": 3600, "token_type": "Bearer"}
            return web.json_response(token, headers=flavor)
        assert request.headers["X-IDENTITY-HEADER"] == "secret"
        ends = int(time.time()) + 7200
        token = {"access_token": "entra", "expires_on": str(ends), "token_type": "Bearer"}
        return web.json_response({**token, "resource": request.query["resource"]})


@asynccontextmanager
async def cloud_of() -> AsyncIterator[Cloud]:
    cloud = Cloud()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", cloud.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    cloud.url = f"http://{host}:{port}"
    try:
        yield cloud
    finally:
        await runner.cleanup()


def _frame(payload: Any, exception: str = "") -> bytes:
    """A message of AWS's event stream. Source: "Event stream encoding", Smithy."""
    headers = {":message-type": "event", ":event-type": "chunk"}
    body = {"bytes": base64.b64encode(json.dumps(payload).encode()).decode()}
    if exception:
        headers, body = {":message-type": "exception", ":exception-type": exception}, payload
    head = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + len(text).to_bytes(2, "big") + text.encode()
        for name, text in headers.items()
    )
    data = json.dumps(body).encode()
    prelude = (len(head) + len(data) + 16).to_bytes(4, "big") + len(head).to_bytes(4, "big")
    message = prelude + crc32(prelude).to_bytes(4, "big") + head + data
    return message + crc32(message).to_bytes(4, "big")


def signature_of(cloud: Cloud, secret: str) -> str:
    """The signature that AWS computes for the newest request, from what arrived."""
    headers = {name.lower(): text for name, text in cloud.headers.items()}
    scheme, _, fields = headers["authorization"].partition(" ")
    parts = dict(field.strip().split("=", 1) for field in fields.split(","))
    day, region, service, end = parts["Credential"].split("/")[1:]
    names = parts["SignedHeaders"].split(";")
    path = quote(cloud.path.partition("?")[0], safe="/~")  # encoded a second time, but for S3
    signed = "".join(f"{name}:{headers[name].strip()}\n" for name in names)
    hashed = hashlib.sha256(cloud.raw).hexdigest()
    canonical = "\n".join(["POST", path, "", signed, ";".join(names), hashed])
    scope = f"{day}/{region}/{service}/{end}"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join([scheme, headers["x-amz-date"], scope, digest])
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, end):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    assert hmac.new(key, text.encode(), hashlib.sha256).hexdigest() == parts["Signature"]
    return f"{region}/{service}"


async def both(provider: Any, request: Any = None) -> tuple[str, str]:
    """The text of a call and of a stream."""
    request = request or chat("hi")
    whole = text_of(await provider.call(request))
    parts = [text_of(chunk) or "" async for chunk in provider.stream(request)]
    return str(whole), "".join(parts)


# -- Azure ---------------------------------------------------------------------------------------


async def test_azure_by_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The v1 API has the deployment in the body, the API with a version in the address."""
    async with cloud_of() as cloud:
        plain = Azure("a", base_url=cloud.url, model="gpt", api_key="azure-key-1")
        assert text_of(await plain.call(chat("hi"))) == "ok"
        assert cloud.path == "/openai/v1/chat/completions"
        assert cloud.headers["api-key"] == "azure-key-1"
        assert "Authorization" not in cloud.headers
        assert cloud.body["model"] == "gpt"
        monkeypatch.setenv("AZURE_OPENAI_API_KEY", "azure-key-2")
        dated = Azure("b", base_url=cloud.url, model="my gpt", api_version="2024-10-21")
        await dated.call(chat("hi"))
        assert cloud.path == (
            "/openai/deployments/my%20gpt/chat/completions?api-version=2024-10-21"
        )
        assert cloud.headers["api-key"] == "azure-key-2"
        await dated.operations["embeddings"].call({"input": "x"})  # type: ignore[misc]
        assert cloud.path == "/openai/deployments/my%20gpt/embeddings?api-version=2024-10-21"
        await dated.operations["images"].call({"prompt": "x"})  # type: ignore[misc]
        assert "/my%20gpt/images/generations?api-version" in cloud.path
        assert cloud.headers["api-key"] == "azure-key-2"
        for provider in (plain, dated):
            await provider.aclose()  # type: ignore[misc]


async def test_azure_by_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key, azure-identity finds the machine's identity, and its token is kept."""
    monkeypatch.delenv("AZURE_OPENAI_API_KEY", raising=False)
    async with cloud_of() as cloud:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{cloud.url}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", "secret")
        provider = Azure("a", base_url=cloud.url, model="gpt")
        for _ in range(3):
            await provider.call(chat("hi"))
        assert cloud.headers["Authorization"] == "Bearer entra"
        assert cloud.tokens == 1
        await provider.aclose()  # type: ignore[misc]


async def test_azure_by_a_credential() -> None:
    """A credential may be sync; one that fails is a failure of the provider's credentials."""

    class Sync:
        def get_token(self, *scopes: str) -> Any:
            assert scopes == ("https://cognitiveservices.azure.com/.default",)
            return type("T", (), {"token": "own", "expires_on": time.time() + 3600})

    class Broken:
        async def get_token(self, *scopes: str) -> Any:
            raise ValueError("no such tenant")

    async with cloud_of() as cloud:
        provider = Azure("a", base_url=cloud.url, model="gpt", credential=Sync())
        await provider.call(chat("hi"))
        assert cloud.headers["Authorization"] == "Bearer own"
        await provider.aclose()  # type: ignore[misc]
        provider = Azure("a", base_url=cloud.url, model="gpt", credential=Broken())
        with pytest.raises(ProviderError, match="no such tenant") as caught:
            await provider.call(chat("hi"))
        assert caught.value.kind is FailureKind.CREDENTIALS
        assert len(cloud.requests) == 1
        await provider.aclose()  # type: ignore[misc]


# -- Bedrock -------------------------------------------------------------------------------------

KEY = "bedrock-key"
CLAUDE_ID = "us.anthropic.claude-opus-5:0"


async def test_bedrock_signs_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """The signature covers the address, the body and the headers as the service gets them."""
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session")
    async with cloud_of() as cloud:
        provider = Bedrock("b", model=CLAUDE_ID, region="eu-west-1", base_url=cloud.url)
        headers = {"anthropic-beta": "one, two"}
        assert await both(provider) == ("ok", "ok")
        assert cloud.path == f"/model/{quote(CLAUDE_ID, safe='')}/invoke-with-response-stream"
        assert signature_of(cloud, "wJalrXUtnFEMI") == "eu-west-1/bedrock"
        assert cloud.headers["X-Amz-Security-Token"] == "session"
        assert cloud.body["anthropic_version"] == "bedrock-2023-05-31"
        assert cloud.body.keys().isdisjoint({"model", "stream"})
        assert "anthropic-version" not in {name.lower() for name in cloud.headers}
        assert provider.domains == ("bedrock", "eu-west-1")
        await provider.aclose()  # type: ignore[misc]
        provider = Bedrock(
            "b", model=CLAUDE_ID, region="eu-west-1", base_url=cloud.url, headers=headers
        )
        await provider.call(chat("grüße \U0001f600"))
        assert cloud.path.endswith("/invoke")
        assert signature_of(cloud, "wJalrXUtnFEMI")
        assert cloud.body["anthropic_beta"] == ["one", "two"]
        await provider.aclose()  # type: ignore[misc]


async def test_bedrock_by_key_and_by_chat_completions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key of Bedrock replaces the signature; other models have Chat Completions."""
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-key")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    async with cloud_of() as cloud:
        provider = Bedrock("b", model="openai.gpt-oss-120b-1:0", base_url=cloud.url)
        await provider.call(chat("hi"))
        assert cloud.path == "/openai/v1/chat/completions"
        assert cloud.headers["Authorization"] == "Bearer bedrock-key"
        assert provider.domains == ("bedrock", "us-east-1")
        await provider.aclose()  # type: ignore[misc]


async def test_bedrock_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exceptions inside a stream have their kinds, and so have missing credentials."""
    async with cloud_of() as cloud:
        provider = Bedrock(
            "b", model=CLAUDE_ID, region="r", base_url=cloud.url, api_key="bedrock-key"
        )
        cloud.exception = "throttlingException"
        with pytest.raises(ProviderError) as caught:
            await both(provider)
        assert caught.value.kind is FailureKind.RATE_LIMIT
        cloud.status = 403
        with pytest.raises(ProviderError) as caught:
            await provider.call(chat("hi"))
        assert caught.value.kind is FailureKind.CREDENTIALS
        await provider.aclose()  # type: ignore[misc]
        for variable in ("AWS_BEARER_TOKEN_BEDROCK", "AWS_ACCESS_KEY_ID"):
            monkeypatch.delenv(variable, raising=False)
        for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
            monkeypatch.setenv(name, "/nonexistent")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        provider = Bedrock("b", model=CLAUDE_ID, region="r", base_url=cloud.url)
        with pytest.raises(ProviderError, match="found no AWS credentials") as caught:
            await provider.call(chat("hi"))
        assert caught.value.kind is FailureKind.CREDENTIALS
        await provider.aclose()  # type: ignore[misc]


async def test_broken_event_streams() -> None:
    """Bytes that are no messages, and a message that is cut off, are failures of the provider."""
    from multirouter.providers.cloud.event_stream import BedrockEvents
    from multirouter.providers.transport.sse import EventTooLong

    frames = b"".join(map(_frame, CLAUDE_EVENTS))
    for size in (1, 7, len(frames)):
        parser, events = BedrockEvents(), []
        for at in range(0, len(frames), size):
            events += parser.feed(frames[at : at + size])
        assert [json.loads(event.data) for event in events] == CLAUDE_EVENTS
        assert parser.finish() == []
    with pytest.raises(EventTooLong, match="invalid event stream"):
        BedrockEvents().feed(b"data: {}\n\n" * 10)


# -- Vertex AI -----------------------------------------------------------------------------------


async def test_vertex(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's token is kept; Gemini and Claude have their own addresses and formats."""
    async with cloud_of() as cloud:
        monkeypatch.setenv("GCE_METADATA_HOST", cloud.url.removeprefix("http://"))
        from google.auth import compute_engine

        own = compute_engine.Credentials()
        gemini = Vertex("g", model="gemini-3-pro", project="p", base_url=cloud.url, credentials=own)
        assert await both(gemini) == ("ok", "ok")
        place = "/v1/projects/p/locations/global/publishers"
        assert cloud.path == f"{place}/google/models/gemini-3-pro:streamGenerateContent?alt=sse"
        used = cloud.tokens
        assert cloud.headers["Authorization"] == f"Bearer g{used}"
        await gemini.call(chat("hi"))
        assert cloud.tokens == used
        assert gemini.domains == ("vertex", "global")
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "q")
        claude = Vertex(
            "c", model="claude-opus-5@1", region="eu", base_url=cloud.url, credentials=own
        )
        assert await both(claude) == ("ok", "ok")
        model = "claude-opus-5%401"
        place = "/v1/projects/q/locations/eu/publishers"
        assert cloud.path == f"{place}/anthropic/models/{model}:streamRawPredict"
        assert cloud.body["anthropic_version"] == "vertex-2023-10-16"
        assert (cloud.body["stream"], "model" in cloud.body) == (True, False)
        for provider in (gemini, claude):
            await provider.aclose()  # type: ignore[misc]


# -- tokens --------------------------------------------------------------------------------------


async def test_tokens_are_fetched_once_and_in_time() -> None:
    """Concurrent requests share a fetch; a failure counts only when the old token has ended."""
    now, fetched = 0.0, 0
    failing = False

    async def fetch() -> Token:
        nonlocal fetched
        fetched += 1
        await asyncio.sleep(0)
        if failing:
            raise OSError("unreachable")
        return Token(f"t{fetched}", now + 3600)

    tokens = Tokens(fetch, wall=lambda: now, clock=lambda: now)

    async def header() -> str:
        prepared = PreparedRequest("http://x", {}, b"")
        await tokens(prepared)
        return prepared.headers["Authorization"]

    assert await asyncio.gather(*(header() for _ in range(20))) == ["Bearer t1"] * 20
    now = 3600 - REFRESH_BEFORE - 1
    assert (await header(), fetched) == ("Bearer t1", 1)
    now, failing = 3600 - REFRESH_BEFORE, True
    assert (await header(), fetched) == ("Bearer t1", 2)
    now = 3600
    with pytest.raises(SigningFailed, match="unreachable") as caught:
        await header()
    assert caught.value.transient
    failing = False
    assert await header() == "Bearer t4"


@pytest.mark.parametrize("jump", [-3600.0, 0.0, 3600.0])
async def test_tokens_and_a_wall_clock_that_jumps(jump: float) -> None:
    """A token is not used beyond its end, which libraries compute by the same wall clock."""
    now, ahead, ends = 0.0, 0.0, 0.0
    fetched = 0

    async def fetch() -> Token:
        nonlocal fetched, ends
        fetched += 1
        ends = now + 3600
        return Token("t", ends + ahead)

    tokens = Tokens(fetch, wall=lambda: now + ahead, clock=lambda: now)
    prepared = PreparedRequest("http://x", {}, b"")
    await tokens(prepared)
    now, ahead = 600.0, jump
    for now in range(600, 4 * 3600, 10):
        await tokens(prepared)
        assert now < ends
    assert fetched <= 6


async def test_a_token_that_is_near_its_end_is_not_fetched_for_each_request() -> None:
    """A credential may keep its token until the end; one fetch a minute finds the next."""
    now, fetched = 0.0, 0

    async def fetch() -> Token:
        nonlocal fetched
        fetched += 1
        return Token("t", 1.0)

    tokens = Tokens(fetch, wall=lambda: now, clock=lambda: now)
    for at in (0.0, 1.0, 59.0, 61.0, 119.0):
        now = at
        await tokens(PreparedRequest("http://x", {}, b""))
    assert fetched == 2


def test_transient_failures() -> None:
    """The network is not the credentials' fault."""
    from botocore.exceptions import ConnectTimeoutError, NoCredentialsError
    from google.auth.exceptions import RefreshError, TransportError

    assert is_transient(TransportError("x"))
    assert is_transient(RefreshError("x", retryable=True))
    assert not is_transient(RefreshError("x"))
    assert is_transient(ConnectTimeoutError(endpoint_url="x"))
    assert not is_transient(NoCredentialsError())


def test_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is named when the provider is made."""
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ConfigurationError, match=r"Bedrock\('b'\).region: is missing"):
        Bedrock("b", model="m", api_key="k" * 9)
    with pytest.raises(ConfigurationError, match=r"Vertex\('v'\).project: is missing"):
        Vertex("v", model="m")
    with pytest.raises(ConfigurationError, match=r"Azure\('a'\).base_url"):
        Azure("a", base_url="nowhere")
    with pytest.raises(ConfigurationError, match="domains"):
        Vertex("v", model="m", project="p", domains="eu")


@pytest.mark.parametrize(
    ("library", "make"),
    [
        ("azure.identity.aio", lambda: Azure("a", base_url="http://x")),
        ("botocore.session", lambda: Bedrock("b", model="m", region="r")),
        ("botocore.eventstream", lambda: Bedrock("b", model=CLAUDE_ID, region="r", api_key=KEY)),
        ("google.auth", lambda: Vertex("v", model="m", project="p")),
    ],
)  # fmt: skip
def test_missing_libraries(monkeypatch: pytest.MonkeyPatch, library: str, make: Any) -> None:
    """The error names the extra; with a key, Azure needs no library."""
    import sys

    for variable in ("AZURE_OPENAI_API_KEY", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigurationError, match=r"multirouter\[(azure|bedrock|vertex)\]"):
        make()
    Azure("a", base_url="http://x", api_key="k" * 9)
