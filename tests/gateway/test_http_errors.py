"""HTTP errors: status, code and message of each failure."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter import StreamPolicy
from multirouter.config import KeyBook
from multirouter.errors import AllProvidersFailed, ProviderError
from multirouter.gateway.formats.anthropic.answers import to_message
from multirouter.gateway.formats.gemini.answers import to_generate_content
from multirouter.gateway.http.http_error import MAX_MESSAGE, HTTPError, http_error_from
from multirouter.gateway.log_setup import render_json
from multirouter.model import AttemptRecord, FailureKind, Verdict
from tests.gateway.harness import running_gateway

pytestmark = [pytest.mark.backends("asyncio")]


@pytest.mark.parametrize(
    ("kind", "status", "expected", "code"),
    [
        (FailureKind.CONTEXT_LENGTH, 400, 400, "context_length_exceeded"),
        (FailureKind.CONTENT_FILTER, 400, 400, "content_filter"),
        (FailureKind.NOT_FOUND, 404, 404, "model_not_found"),
        (FailureKind.REQUEST, 422, 422, None),
        (FailureKind.REQUEST, 418, 400, None),
        (FailureKind.REQUEST, None, 400, None),
        (FailureKind.SERVER, 500, 502, "upstream_error"),
    ],
)
def test_provider_error(
    kind: FailureKind, status: int | None, expected: int, code: str | None
) -> None:
    """An invalid request keeps a status that clients know; a fault of the provider is a 502."""
    error = http_error_from(ProviderError("no", provider="p", kind=kind, status=status))
    assert (error.status, error.code) == (expected, code)


def test_failed_attempts_are_listed_without_repetition() -> None:
    """Equal attempts in a row are counted, and a reason that only repeats the kind is left out."""
    verdict = Verdict(FailureKind.TRANSPORT, reason="transport")
    record = AttemptRecord("p", "default", "call", verdict, None, 0.0, 0.5, "only candidate")
    error = http_error_from(AllProvidersFailed("x", attempts=(record, record)))
    assert error.message == "all attempts failed: p: transport, 2 times"


def test_unexpected_error_hides_its_details() -> None:
    """An unexpected error is a 500 without its message."""
    error = http_error_from(ValueError("sk-secret in a traceback"))
    assert (error.status, error.code) == (500, "internal_error")
    assert "secret" not in error.message


def test_messages_are_bounded_single_lines() -> None:
    """Long messages are cut, and line breaks replaced."""
    error = HTTPError(400, "a\r\nb " * MAX_MESSAGE)
    assert len(error.message) == MAX_MESSAGE
    assert "\n" not in error.message


@pytest.mark.parametrize("stream", [False, True])
async def test_provider_without_streams(stream: bool) -> None:
    """A stream request to a provider without streams is a 400, and no failure of the provider."""
    async with running_gateway(providers={"first": {"stream": None}}) as harness:
        answer = await harness.send(stream=stream)
        assert harness.router.available("first")
    assert answer.status == (400 if stream else 200)


async def test_restarted_stream_ends_with_an_error() -> None:
    """Sent content cannot be replaced: `on_interrupt="restart"` ends with an error event."""
    route = {"stream": StreamPolicy(on_interrupt="restart")}
    async with running_gateway(["cut-after-3"], [], route=route) as harness:
        answer = await harness.send(stream=True)
    assert answer.broken
    assert answer.done == 0
    assert answer.events[-1]["error"]["code"] == "stream_interrupted"


async def test_reload_by_the_admin_api() -> None:
    """An invalid configuration is a 400 with the problem; without a file it is a 404."""
    book, admin_token = KeyBook().new("root", admin=True)
    headers = {"Authorization": f"Bearer {admin_token}"}
    async with running_gateway(keys=book) as harness:
        without_file = await harness.post("/admin/reload", b"{}", headers)
        reasons: list[str] = []
        problem = ""

        async def reload(reason: str) -> str:
            reasons.append(reason)
            return problem

        harness.gateway.admin.reload = reload
        valid = await harness.post("/admin/reload", b"{}", headers)
        problem = "providers: is required"
        invalid = await harness.post("/admin/reload", b"{}", headers)
        nameless = await harness.post("/admin/hold", b'{"how": "open"}', headers)
        async with harness.http.get(
            f"{harness.url}/admin/calls?limit=all", headers=headers
        ) as calls:
            assert calls.status == 400
    assert [a.status for a in (without_file, valid, invalid, nameless)] == [404, 200, 400, 400]
    assert reasons == ["admin root"] * 2
    assert invalid.json["error"]["message"] == "providers: is required"
    assert nameless.json["error"]["param"] == "provider"


def test_answer_of_thoughts_and_calls_without_text() -> None:
    """An answer without text is complete in Anthropic's and in Gemini's format."""
    signature = {"google": {"thought_signature": "c2ln"}}
    call = {"id": "c", "function": {"name": "f", "arguments": "[1]"}}
    message: dict[str, Any] = {"content": None, "reasoning_content": "hm", "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    answer = {"id": "x", "model": "m", "choices": [choice]}
    blocks = to_message(answer, "req_1")["content"]
    assert [block["type"] for block in blocks] == ["thinking", "tool_use"]
    assert blocks[1]["input"] == {"arguments": [1]}
    message["extra_content"] = signature
    (parts,) = [
        c["content"]["parts"] for c in to_generate_content(answer, thoughts=False)["candidates"]
    ]
    assert parts[0] == {"text": "", "thoughtSignature": "c2ln"}
    assert parts[1]["functionCall"]["args"] == {"arguments": [1]}


def test_log_lines_contain_no_line_breaks() -> None:
    """A line break in a path or a model's name cannot forge a log event."""
    line = render_json(None, "info", {"path": "/v1/models/x\r\n{}", "odd": object()})
    assert "\n" not in line
    assert "\r" not in line
