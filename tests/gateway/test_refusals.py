"""What failures become on the wire, one by one."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter import StreamPolicy
from multirouter.config import KeyBook
from multirouter.errors import ProviderError
from multirouter.gateway.formats.anthropic.answers import to_message
from multirouter.gateway.formats.gemini.answers import to_generation
from multirouter.gateway.http.error_responses import LONGEST, Refusal, refusal_of
from multirouter.gateway.log_setup import _line
from multirouter.model import FailureKind
from tests.gateway.kit import standing

pytestmark = [pytest.mark.backends("asyncio")]


@pytest.mark.parametrize(
    ("kind", "status", "told", "code"),
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
def test_an_error_of_a_provider(
    kind: FailureKind, status: int | None, told: int, code: str | None
) -> None:
    """The request's own faults keep their status, as far as clients know it; the rest is a 502."""
    refusal = refusal_of(ProviderError("no", provider="p", kind=kind, status=status))
    assert (refusal.status, refusal.code) == (told, code)


def test_what_nobody_foresaw() -> None:
    """Of an error that nobody foresaw a client learns nothing but that it happened."""
    refusal = refusal_of(ValueError("sk-secret in a traceback"))
    assert (refusal.status, refusal.code) == (500, "internal_error")
    assert "secret" not in refusal.message


def test_messages_are_bounded_and_of_one_line() -> None:
    """However long a message is, and whatever lines it has, it fits a header and a log."""
    refusal = Refusal(400, "a\r\nb " * LONGEST)
    assert len(refusal.message) == LONGEST
    assert "\n" not in refusal.message


@pytest.mark.parametrize("stream", [False, True])
async def test_a_provider_without_streams(stream: bool) -> None:
    """A stream from who has none is the client's mistake, and no failure of anybody."""
    async with standing(providers={"first": {"stream": None}}) as place:
        answer = await place.ask(stream=stream)
        assert place.router.available("first")
    assert answer.status == (400 if stream else 200)


async def test_an_answer_that_would_begin_anew() -> None:
    """What a client has read cannot be taken back: a route that restarts ends in an error."""
    route = {"stream": StreamPolicy(on_interrupt="restart")}
    async with standing(["cut-after-3"], [], route=route) as place:
        answer = await place.ask(stream=True)
    assert answer.broken
    assert answer.done == 0
    assert answer.events[-1]["error"]["code"] == "stream_interrupted"


async def test_a_reload_by_the_admin_api() -> None:
    """It tells what is wrong; without a file there is nothing to read again."""
    book, boss = KeyBook().new("boss", admin=True)
    headers = {"Authorization": f"Bearer {boss}"}
    async with standing(keys=book) as place:
        none = await place.post("/admin/reload", b"{}", headers)
        place.gateway.admin.reload = lambda why: "" if why == "admin key boss" else why
        fine = await place.post("/admin/reload", b"{}", headers)
        place.gateway.admin.reload = lambda _: "providers: is needed"
        wrong = await place.post("/admin/reload", b"{}", headers)
        nameless = await place.post("/admin/hold", b'{"how": "open"}', headers)
        async with place.http.get(f"{place.url}/admin/calls?most=all", headers=headers) as calls:
            assert calls.status == 400
    assert [a.status for a in (none, fine, wrong, nameless)] == [404, 200, 400, 400]
    assert wrong.json["error"]["message"] == "providers: is needed"
    assert nameless.json["error"]["param"] == "provider"


def test_thoughts_without_text() -> None:
    """An answer of thoughts and calls alone is whole in every format."""
    signed = {"google": {"thought_signature": "c2ln"}}
    call = {"id": "c", "function": {"name": "f", "arguments": "[1]"}}
    message: dict[str, Any] = {"content": None, "reasoning_content": "hm", "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    answer = {"id": "x", "model": "m", "choices": [choice]}
    blocks = to_message(answer, "req_1")["content"]
    assert [block["type"] for block in blocks] == ["thinking", "tool_use"]
    assert blocks[1]["input"] == {"arguments": [1]}
    message["extra_content"] = signed
    (parts,) = [c["content"]["parts"] for c in to_generation(answer, thoughts=False)["candidates"]]
    assert parts[0] == {"text": "", "thoughtSignature": "c2ln"}
    assert parts[1]["functionCall"]["args"] == {"arguments": [1]}


def test_lines_of_the_log() -> None:
    """A line end in a path or a model's name begins no new line, and forges no event."""
    line = _line(None, "info", {"door": "/v1/models/x\r\n{}", "odd": object()})
    assert "\n" not in line
    assert "\r" not in line
