"""The fake upstream: its faults, its validation, and serving it."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from multirouter import ConfigurationError
from multirouter.testing.fakes import FAULTS, FakeProvider, Fault, make_app, serve_fake

pytestmark = [pytest.mark.real_io, pytest.mark.backends("asyncio")]

CLAUDE = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
HELLO = [{"role": "user", "content": "x"}]


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_can_be_named(name: str) -> None:
    """A fault is a model's whole name, or follows a plus."""
    text = name.replace("-N", "-3")
    fault = Fault.named(text)
    assert fault is not None
    assert Fault.of_model(text) == Fault.of_model(f"gpt-5+{text}") == fault
    assert str(fault) == text


def test_other_model_names_are_no_faults() -> None:
    """A model may have any name; the `fault` option must be a known fault."""
    for model in ("gpt-5", "", "fail", "cut-after", "my-fail-500", "a+b"):
        assert Fault.of_model(model) == Fault()
    with pytest.raises(ConfigurationError, match="cut-after-N"):
        FakeProvider("cut-afterwards")
    with pytest.raises(ConfigurationError, match="fault"):
        make_app("nothing-like-it")


async def test_fault_option_applies_unless_the_model_names_another(
    make: Any,
) -> None:
    """The option applies to all requests; a fault in the model's name takes precedence."""
    async with FakeProvider("fail-503") as fake, aiohttp.ClientSession() as session:
        for model, status in (("gpt-5", 503), ("gpt-5+fail-418", 418)):
            body = {"model": model, "messages": HELLO}
            headers = {"Authorization": "Bearer k"}
            async with session.post(
                f"{fake.url}/v1/chat/completions", json=body, headers=headers
            ) as answer:
                assert answer.status == status


@pytest.mark.parametrize(
    ("path", "headers", "body", "status", "expected"),
    [
        ("/v1/chat/completions", {}, {"messages": HELLO}, 401, "API key"),
        ("/v1/chat/completions", {"Authorization": "Bearer k"}, {}, 400, "messages"),
        ("/v1/chat/completions", {"Authorization": "Bearer k"}, None, 400, "object"),
        (
            "/v1/chat/completions",
            {"Authorization": "Bearer k"},
            {"messages": [{"role": "user", "content": "x", "strange": 1}]},
            400,
            "strange",
        ),
        ("/v1/messages", {}, {}, 401, "x-api-key"),
        ("/v1/messages", {"x-api-key": "k"}, {}, 400, "anthropic-version"),
        ("/v1/messages", CLAUDE, {"messages": HELLO}, 400, "max_tokens"),
        ("/v1/messages", CLAUDE, {"max_tokens": 1, "messages": HELLO, "n": 1}, 400, "n: Extra"),
        (
            "/v1/messages",
            CLAUDE,
            {"max_tokens": 1, "messages": [{"role": "assistant", "content": "x"}]},
            400,
            "first message",
        ),
        (
            "/v1/messages",
            CLAUDE,
            {"max_tokens": 1, "messages": [{"role": "user", "content": " "}]},
            400,
            "non-empty",
        ),
        (
            "/v1/messages",
            CLAUDE,
            {"max_tokens": 1, "messages": [*HELLO, {"role": "assistant", "content": "a "}]},
            400,
            "whitespace",
        ),
        (
            "/v1/messages",
            CLAUDE,
            {
                "max_tokens": 9,
                "messages": HELLO,
                "thinking": {"type": "enabled", "budget_tokens": 9},
            },
            400,
            "1024",
        ),
        ("/v1beta/models/m:generateContent", {}, {"contents": []}, 400, "API key"),
        ("/v1beta/models/m:generateContent", {"x-goog-api-key": "k"}, {}, 400, "contents"),
        (
            "/v1/models/m:generateContent",
            {"x-goog-api-key": "k"},
            {"contents": [{"role": "user", "parts": []}], "generationConfig": {"max_tokens": 1}},
            400,
            "max_tokens",
        ),
        (
            "/v1/models/gemini-3-pro:generateContent",
            {"x-goog-api-key": "k"},
            {"contents": [{"role": "model", "parts": [{"functionCall": {"name": "f"}}]}]},
            400,
            "thought_signature",
        ),
    ],
)
async def test_invalid_requests_are_rejected_as_by_the_real_services(
    path: str, headers: Any, body: Any, status: int, expected: str
) -> None:
    """Keys, fields, turns and limits are validated, so that a wrong translation fails a test."""
    async with FakeProvider() as fake, aiohttp.ClientSession() as session:
        data = b"{" if body is None else None
        async with (
            session.post(fake.url + path, json=body, headers=headers)
            if data is None
            else session.post(fake.url + path, data=data, headers=headers) as answer
        ):
            assert answer.status == status
            assert expected in await answer.text()


async def test_serve_fake_until_cancelled() -> None:
    """`serve_fake` opens a port, and closes it when it is cancelled."""
    server = asyncio.ensure_future(serve_fake(port=0))
    await asyncio.sleep(0.005)
    assert not server.done()
    server.cancel()
    with pytest.raises(asyncio.CancelledError):
        await server


async def test_last_requests_are_kept() -> None:
    """`requests` has the last `keep` requests, oldest first."""
    async with FakeProvider(max_requests=2) as fake, aiohttp.ClientSession() as session:
        for number in range(3):
            async with session.post(f"{fake.url}/v1/embeddings", json={"input": str(number)}):
                pass
        assert [request.body["input"] for request in fake.requests] == ["1", "2"]
        await fake.aclose()
