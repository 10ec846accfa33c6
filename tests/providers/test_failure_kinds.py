"""The kind of each failure of a provider, in each format, called and streamed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from multirouter import ProviderError
from multirouter.model import FailureKind
from multirouter.providers import Http, chat, text_of
from multirouter.providers.api_keys.secret import Secret
from multirouter.providers.error_factory import ErrorFactory
from multirouter.testing.fakes import FAULTS, FakeProvider

from .conftest import KEY

pytestmark = [pytest.mark.real_io, pytest.mark.backends("asyncio")]

BEFORE: dict[str, FailureKind] = {
    "fail-400": FailureKind.REQUEST,
    "fail-403": FailureKind.CREDENTIALS,
    "fail-408": FailureKind.SERVER,
    "fail-500": FailureKind.SERVER,
    "fail-502": FailureKind.SERVER,
    "fail-503": FailureKind.OVERLOADED,
    "fail-529": FailureKind.OVERLOADED,
    "rate-limit": FailureKind.RATE_LIMIT,
    "429-retry-after-2": FailureKind.RATE_LIMIT,
    "quota": FailureKind.EXHAUSTED,
    "bad-key": FailureKind.CREDENTIALS,
    "no-model": FailureKind.NOT_FOUND,
    "unsupported-field": FailureKind.UNSUPPORTED,
    "context-too-long": FailureKind.CONTEXT_LENGTH,
    "filtered": FailureKind.CONTENT_FILTER,
    "error-200": FailureKind.SERVER,
    "html-200": FailureKind.TRANSPORT,
    "empty-200": FailureKind.TRANSPORT,
    "invalid-json": FailureKind.TRANSPORT,
    "no-choices": FailureKind.TRANSPORT,
    "redirect": FailureKind.TRANSPORT,
}
"""Failures before the first content: the same for a call and a stream."""

WITHIN: dict[str, FailureKind] = {
    "cut-after-0": FailureKind.INTERRUPTED,
    "cut-after-2": FailureKind.INTERRUPTED,
    "eof-after-0": FailureKind.INTERRUPTED,
    "eof-after-2": FailureKind.INTERRUPTED,
    "no-finish": FailureKind.INTERRUPTED,
    "broken-json": FailureKind.TRANSPORT,
    "broken-json-2": FailureKind.TRANSPORT,
}
"""Failures within a stream."""


async def failure_of(provider: Any, request: Any, *, stream: bool) -> tuple[ProviderError, int]:
    """Returns the error that a request ends with, and the number of chunks before it."""
    chunks = 0
    with pytest.raises(ProviderError) as caught:
        if stream:
            async for _ in provider.stream(request):
                chunks += 1
        else:
            await provider.call(request)
    await provider.aclose()
    return caught.value, chunks


@pytest.mark.parametrize("stream", [False, True], ids=["call", "stream"])
@pytest.mark.parametrize("fault", BEFORE)
async def test_kind_of_failure_before_content(
    make: Any, kind: str, fault: str, stream: bool
) -> None:
    """Each failure before the first content has its kind in each format, called and streamed."""
    async with FakeProvider() as fake:
        error, chunks = await failure_of(make(kind, fake, model=fault), chat("x"), stream=stream)
    expected = BEFORE[fault]
    if fault == "empty-200" and stream:
        expected = FailureKind.INTERRUPTED
    assert (error.kind, chunks) == (expected, 0)
    assert error.provider == "up"
    assert str(error).startswith("up: ")
    assert KEY not in f"{error!r} {error}"
    assert error.status == (int(fault[5:]) if fault.startswith("fail") else error.status)


@pytest.mark.parametrize("fault", WITHIN)
async def test_kind_within_a_stream(make: Any, kind: str, fault: str) -> None:
    """A stream that breaks, ends without a finish reason, or is malformed raises."""
    async with FakeProvider() as fake:
        request = chat("one two three four")
        error, chunks = await failure_of(make(kind, fake, model=fault), request, stream=True)
    assert error.kind is WITHIN[fault]
    if fault.endswith("2"):
        assert chunks >= 2


@pytest.mark.parametrize("fault", ["event-error", "event-error-2", "role-only"])
async def test_error_event_has_the_kind_it_reports(make: Any, kind: str, fault: str) -> None:
    """An error event in a stream, after its 200, has the kind that it reports."""
    expected = {
        "openai": (FailureKind.SERVER, "server_error"),
        "responses": (FailureKind.SERVER, "server_error"),
        "anthropic": (FailureKind.OVERLOADED, "overloaded_error"),
        "gemini": (FailureKind.OVERLOADED, "UNAVAILABLE"),
    }
    async with FakeProvider() as fake:
        request = chat("one two three four")
        error, _ = await failure_of(make(kind, fake, model=fault), request, stream=True)
    assert (error.kind, error.code) == expected[kind]
    assert error.request_id == "req_fake"


@pytest.mark.parametrize("stream", [False, True], ids=["call", "stream"])
async def test_retry_after_is_read(make: Any, kind: str, stream: bool) -> None:
    """From a header for two formats; for Gemini from its RetryInfo, in a list when streamed."""
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="429-retry-after-2.5")
        error, _ = await failure_of(provider, chat("x"), stream=stream)
    assert (error.kind, error.status, error.retry_after) == (FailureKind.RATE_LIMIT, 429, 2.5)


@pytest.mark.parametrize("fault", ["no-done", "crlf", "pings", "split-7", "slow-first-token-2"])
async def test_unusual_streams_are_complete(make: Any, kind: str, fault: str) -> None:
    """No terminal event, CRLF, keep-alives, tiny packets and a slow start are no failures."""
    async with FakeProvider() as fake:
        provider = make(kind, fake, model=fault)
        chunks = [chunk async for chunk in provider.stream(chat("Grüße, Welt"))]
        await provider.aclose()
    assert "".join(text_of(chunk) for chunk in chunks) == "You said: Grüße, Welt"


async def test_refusal_is_an_answer(make: Any, kind: str) -> None:
    """A refusal of the model is an answer with the finish reason `content_filter`."""
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="refuses")
        answer = await provider.call(chat("x"))
        chunks = [chunk async for chunk in provider.stream(chat("x"))]
        await provider.aclose()
    assert answer["choices"][0]["finish_reason"] == "content_filter"
    assert chunks[-1]["choices"][0]["finish_reason"] == "content_filter"


async def test_refused_connection_is_transport(make: Any, kind: str) -> None:
    """A refused connection is `transport`; its cause shows that nothing was sent."""
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="m")
    error, _ = await failure_of(provider, chat("x"), stream=False)
    assert error.kind is FailureKind.TRANSPORT
    assert type(error.__cause__).__name__ == "ClientConnectorError"


async def test_read_timeout(make: Any, kind: str) -> None:
    """A stalled provider ends with the kind `timeout`, called and streamed."""
    async with FakeProvider() as fake:
        for fault, stream in (("stall", False), ("stall-1", True)):
            provider = make(kind, fake, model=fault, http=Http(read_timeout=0.02))
            error, _ = await failure_of(provider, chat("one two"), stream=stream)
            assert error.kind is FailureKind.TIMEOUT


async def test_dropped_connection_is_transport(make: Any, kind: str) -> None:
    """A connection that drops before an answer is `transport`."""
    async with FakeProvider() as fake:
        error, _ = await failure_of(make(kind, fake, model="cut-after-0"), chat("x"), stream=False)
    assert error.kind is FailureKind.TRANSPORT


async def test_body_beyond_max_body_is_transport(make: Any, kind: str) -> None:
    """A response beyond `max_body` is not read further."""
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="huge-1", http=Http(max_body=2000))
        error, _ = await failure_of(provider, chat("x" * 5000), stream=False)
    assert error.kind is FailureKind.TRANSPORT
    assert "2000 bytes" in str(error)


async def test_every_fault_is_covered(make: Any) -> None:
    """Every fault of the fake occurs in these tests or in those of streams."""
    named = {*BEFORE, *WITHIN, "event-error", "role-only", "no-done", "crlf", "pings", "split"}
    named |= {"slow-first-token", "refuses", "stall", "endless", "huge"}
    for fault in FAULTS:
        assert any(name.startswith(fault.removesuffix("-N")) for name in named), fault


# ── the messages ────────────────────────────────────────────────────────────────────────────────


def errors() -> ErrorFactory:
    key = Secret("key", KEY)
    key.reveal()
    return ErrorFactory("up", key)


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"error": "model 'x' not found"}, None, "model 'x' not found"),
        ({"error": {"message": "m", "type": "t", "code": "c"}}, "c", "m"),
        (
            {"object": "error", "message": "m", "type": "BadRequestError", "code": 400},
            "BadRequestError",
            "m",
        ),
        ({"detail": [{"msg": "field required"}]}, None, '[{"msg": "field required"}]'),
        (
            [{"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}}],
            "INVALID_ARGUMENT",
            "m",
        ),
        (
            {
                "type": "error",
                "error": {
                    "type": "rate_limit_error",
                    "message": "m",
                    "details": {"error_code": "x"},
                },
            },
            "x",
            "m",
        ),
        ({"unexpected": 1}, None, "no message"),
        ([], None, "no message"),
    ],
)
def test_error_bodies_of_every_shape_are_read(body: Any, code: str | None, message: str) -> None:
    """Code and message are found in every known error envelope."""
    error = errors().http_error(400, {"request-id": "r"}, json.dumps(body).encode())
    assert (error.code, error.request_id, error.status) == (code, "r", 400)
    assert str(error) == f"up: 400 {code}: {message}" if code else f"up: 400: {message}"


@pytest.mark.parametrize(
    "leak",
    [
        f"Incorrect API key provided: {KEY}.",
        "Incorrect API key provided: sk-proj-abcdefghij0123456789.",
        "key AIzaSyA1234567890abcdefghijklmnop is invalid",
        "https://host/v1?key=topsecretvalue&x=1",
        "Authorization: Bearer abcdef.ghi",
    ],
)
def test_no_message_shows_a_key(leak: str) -> None:
    """The provider's own key, and whatever looks like one, is hidden in messages."""
    error = errors().http_error(401, {}, json.dumps({"error": {"message": leak}}).encode())
    for secret in (KEY, "abcdefghij0123456789", "AIzaSyA", "topsecretvalue", "abcdef.ghi"):
        assert secret not in str(error)
    assert "***" in str(error)


def test_messages_are_bounded_and_single_line() -> None:
    """However long an error body is, the message stays short enough for a log line."""
    error = errors().http_error(500, {}, b"word\n" * 100_000)
    assert len(str(error)) < 600
    assert "\n" not in str(error)


def test_html_error_page_is_not_quoted() -> None:
    """The message of an HTML error page is "a web page"."""
    error = errors().http_error(502, {"cf-ray": "9"}, b"<html><body>secret</body></html>")
    assert str(error) == "up: 502: a web page"
    assert error.request_id == "9"


def test_unreadable_error_body_is_still_an_error() -> None:
    """An error body that cannot be read gives an error like any other."""
    deep: Any = {}
    for _ in range(100):
        deep = {"error": deep}
    assert errors().reported(deep, {}).kind is FailureKind.SERVER
    assert errors().reported([3], {}).kind is FailureKind.SERVER


async def test_cancellation_is_raised(make: Any, kind: str) -> None:
    """A cancelled call raises CancelledError, and the upstream connection is closed at once."""
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="stall")
        task = asyncio.ensure_future(provider.call(chat("x")))
        while not fake.in_flight:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while fake.in_flight:
            await asyncio.sleep(0)
        assert fake.abandoned == 1
        await provider.aclose()
