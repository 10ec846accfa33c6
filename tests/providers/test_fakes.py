"""The fake upstream itself: its faults by option, its strictness, its serving."""

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
    """A fault stands alone or with its number, as a model's whole name or after a plus."""
    text = name.replace("-N", "-3")
    fault = Fault.named(text)
    assert fault is not None
    assert Fault.of_model(text) == Fault.of_model(f"gpt-5+{text}") == fault
    assert str(fault) == text


def test_other_names_are_no_faults() -> None:
    """Models are called what they like; an option must be a fault."""
    for model in ("gpt-5", "", "fail", "cut-after", "my-fail-500", "a+b"):
        assert Fault.of_model(model) == Fault()
    with pytest.raises(ConfigurationError, match="cut-after-N"):
        FakeProvider("cut-afterwards")
    with pytest.raises(ConfigurationError, match="fault"):
        make_app("nothing-like-it")


async def test_a_fault_by_option_strikes_every_model_but_those_that_name_another(
    make: Any,
) -> None:
    """The option is for all requests; a model's own fault goes first."""
    async with FakeProvider("fail-503") as fake, aiohttp.ClientSession() as session:
        for model, status in (("gpt-5", 503), ("gpt-5+fail-418", 418)):
            body = {"model": model, "messages": HELLO}
            headers = {"Authorization": "Bearer k"}
            async with session.post(
                f"{fake.url}/v1/chat/completions", json=body, headers=headers
            ) as answer:
                assert answer.status == status


@pytest.mark.parametrize(
    ("path", "headers", "body", "status", "told"),
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
async def test_what_the_real_services_refuse_is_refused(
    path: str, headers: Any, body: Any, status: int, told: str
) -> None:
    """Keys, fields, turns and limits are checked, so that a wrong translation cannot pass."""
    async with FakeProvider() as fake, aiohttp.ClientSession() as session:
        data = b"{" if body is None else None
        async with (
            session.post(fake.url + path, json=body, headers=headers)
            if data is None
            else session.post(fake.url + path, data=data, headers=headers) as answer
        ):
            assert answer.status == status
            assert told in await answer.text()


async def test_serving_until_cancelled() -> None:
    """`serve_fake` takes a port, and gives it back when it is cancelled."""
    server = asyncio.ensure_future(serve_fake(port=0))
    await asyncio.sleep(0.005)
    assert not server.done()
    server.cancel()
    with pytest.raises(asyncio.CancelledError):
        await server


async def test_requests_are_remembered_up_to_a_number() -> None:
    """The last requests stand in `requests`, oldest first."""
    async with FakeProvider(keep=2) as fake, aiohttp.ClientSession() as session:
        for number in range(3):
            async with session.post(f"{fake.url}/v1/embeddings", json={"input": str(number)}):
                pass
        assert [request.body["input"] for request in fake.requests] == ["1", "2"]
        await fake.aclose()
