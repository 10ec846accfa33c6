"""OpenAI's format: requests and responses pass unchanged, including unknown fields."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multirouter import ProviderError
from multirouter.model import FailureKind
from multirouter.providers import OpenAI, chat, text_of
from multirouter.providers.openai.messages import NO_REASONING
from multirouter.testing.fakes import FakeProvider

from .conftest import KEY

pytestmark = [pytest.mark.real_io, pytest.mark.backends("asyncio", "uvloop")]

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


async def test_call(make: Any) -> None:
    """The response is the provider's body; the model is the provider's; a header has the key."""
    async with FakeProvider() as fake:
        provider = make("openai", fake, model="gpt-4.1", headers={"OpenAI-Project": "p"})
        answer = await provider.call(chat("Hello", system="Be brief.", temperature=0.5))
        await provider.aclose()
        (request,) = fake.requests
    assert text_of(answer) == "You said: Hello"
    assert answer["model"] == "gpt-4.1"
    assert request.headers["Authorization"].startswith("Bearer sk-test")
    assert request.headers["OpenAI-Project"] == "p"
    assert request.body == {
        "model": "gpt-4.1",
        "temperature": 0.5,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
        ],
    }


async def test_unknown_fields_are_passed_on(make: Any) -> None:
    """Unknown fields of requests and responses are unchanged."""
    async with FakeProvider() as fake:
        provider = make("openai", fake, options={"service_tier": "flex"})
        request = chat("Hello", model="m")
        answer = await provider.call({**request, "a_new_field": [1], "service_tier": "auto"})
        await provider.aclose()
        sent = fake.requests[0].body
    assert sent["a_new_field"] == [1]
    assert sent["service_tier"] == "flex"
    assert answer["system_fingerprint"] == "fp_fake"
    assert "a_new_field" not in request


async def test_stream(make: Any) -> None:
    """The last chunk has the finish reason and the usage, and no chunk is without choices."""
    async with FakeProvider() as fake:
        provider = make("openai", fake, model="gpt-5")
        chunks = [chunk async for chunk in provider.stream(chat("Hello there"))]
        await provider.aclose()
    assert "".join(text_of(chunk) for chunk in chunks) == "You said: Hello there"
    assert [bool(chunk.get("usage")) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert all(chunk["choices"] for chunk in chunks)


async def test_include_usage_adds_a_chunk(make: Any) -> None:
    """With include_usage the stream ends in a chunk without choices, as OpenAI's does."""
    async with FakeProvider() as fake:
        provider = make("openai", fake, model="gpt-5")
        request = chat("Hello", stream_options={"include_usage": True})
        chunks = [chunk async for chunk in provider.stream(request)]
        await provider.aclose()
    assert chunks[-1]["choices"] == []
    assert chunks[-1].get("usage")["total_tokens"] > 0
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-2].get("usage") is None


async def test_every_choice_must_finish(make: Any) -> None:
    """With n=3 the stream is complete when three choices are finished."""
    async with FakeProvider() as fake:
        provider = make("openai", fake, model="gpt-5")
        chunks = [chunk async for chunk in provider.stream(chat("Hi", n=3))]
        await provider.aclose()
    done = [c["index"] for chunk in chunks for c in chunk["choices"] if c["finish_reason"]]
    assert done == [0, 1, 2]
    assert chunks[-1].get("usage") is not None


async def test_tool_arguments_are_streamed(make: Any) -> None:
    """Parts of arguments are passed on unchanged, and join to JSON."""
    async with FakeProvider() as fake:
        provider = make("openai", fake, model="gpt-5")
        chunks = [chunk async for chunk in provider.stream(chat("weather?", tools=[WEATHER]))]
        await provider.aclose()
    calls = [
        call
        for chunk in chunks
        for choice in chunk["choices"]
        for call in choice["delta"].get("tool_calls", ())
    ]
    assert len(calls) > 3
    assert "".join(c["function"]["arguments"] for c in calls) == '{"city": "Zürich"}'
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_fields_of_other_providers_are_stripped(make: Any) -> None:
    """Fields that Anthropic and Gemini need in their turns are not sent to OpenAI."""
    turn = {
        "role": "assistant",
        "content": None,
        "reasoning_content": "hm",
        "thinking_blocks": [{"type": "thinking"}],
        "tool_calls": [
            {
                "id": "c",
                "type": "function",
                "function": {"name": "f", "arguments": "{}"},
                "extra_content": {"google": {}},
            }
        ],
    }
    answer = {"role": "tool", "tool_call_id": "c", "content": "42"}
    request = chat([{"role": "user", "content": "x"}, turn, answer])
    async with FakeProvider() as fake:
        provider = make("openai", fake, model="gpt-5")
        await provider.call(request)
        await provider.aclose()
        sent = fake.requests[0].body["messages"]
    assert set(sent[1]) == {"role", "content", "tool_calls"}
    assert set(sent[1]["tool_calls"][0]) == {"id", "type", "function"}
    assert request["messages"][1] is turn
    assert "thinking_blocks" in turn


async def test_mistral_fields_are_renamed_and_dropped(make: Any) -> None:
    """A preset renames fields of its service, and drops fields that the service rejects."""
    async with FakeProvider() as fake:
        provider = make("openai", fake, model="m", preset="mistral")
        request = chat("x", seed=7, max_completion_tokens=9, user="me", store=True)
        await provider.call(request)
        async for _ in provider.stream(request):
            pass
        await provider.aclose()
        whole, streamed = (received.body for received in fake.requests)
    assert whole == {
        "model": "m",
        "messages": [{"role": "user", "content": "x"}],
        "random_seed": 7,
        "max_tokens": 9,
    }
    assert streamed == {**whole, "stream": True}


async def test_mistral_gets_a_refusal_as_text(make: Any) -> None:
    """It takes no field `refusal`; a refused turn without a text would be an empty one."""
    refused = {"role": "assistant", "content": None, "refusal": "No."}
    explained = {"role": "assistant", "content": "Sorry.", "refusal": "No."}
    turns = [{"role": "user", "content": "x"}, refused, explained, {"role": "user", "content": "y"}]
    async with FakeProvider() as fake:
        provider = make("openai", fake, model="m", preset="mistral")
        await provider.call({**chat("x"), "messages": turns})
        await provider.aclose()
        sent = fake.requests[0].body["messages"]
    assert sent[1:3] == [
        {"role": "assistant", "content": "No."},
        {"role": "assistant", "content": "Sorry."},
    ]
    assert refused["content"] is None


async def test_local_server_without_key(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key no Authorization header is sent."""
    monkeypatch.delenv("OLLAMA_API_KEY", raising=False)
    async with FakeProvider() as fake:
        provider = make("openai", fake, model="m", preset="ollama", api_key=None)
        with pytest.raises(ProviderError) as caught:
            await provider.call(chat("x"))
        await provider.aclose()
        assert "Authorization" not in fake.requests[0].headers
    assert caught.value.kind is FailureKind.CREDENTIALS


async def test_request_that_is_not_json_is_not_sent(make: Any) -> None:
    """NaN, or an object of the caller's own, is of kind `request`."""
    async with FakeProvider() as fake:
        provider = make("openai", fake, model="gpt-4.1")
        for value in (float("nan"), object()):
            with pytest.raises(ProviderError) as caught:
                await provider.call(chat("x", temperature=value))
            assert caught.value.kind is FailureKind.REQUEST
        await provider.aclose()
        assert not fake.requests


async def test_malformed_message_is_not_sent() -> None:
    """Messages that are not objects are rejected before anything is sent."""
    provider = OpenAI("up", model="gpt-5", api_key="sk-abcdefgh")
    with pytest.raises(ProviderError, match="malformed") as caught:
        await provider.call({"messages": ["x"]})
    assert caught.value.kind is FailureKind.REQUEST
    await provider.aclose()


@pytest.mark.parametrize(("preset", "role"), [("openai", "developer"), ("deepseek", "system")])
async def test_developer_role_becomes_system(make: Any, preset: str, role: str) -> None:
    """Only OpenAI accepts the role `developer`; the other services would reject it."""
    async with FakeProvider() as fake:
        provider = make("openai", fake, model="m", preset=preset)
        messages = [{"role": "developer", "content": "d"}, {"role": "user", "content": "u"}]
        await provider.call(chat(messages))
        await provider.aclose()
        assert [message["role"] for message in fake.requests[0].body["messages"]] == [role, "user"]


@pytest.mark.parametrize(
    ("preset", "turn", "request_fields"),
    [
        ("openai", {}, {}),
        ("groq", {}, {}),
        ("deepseek", {"prefix": True}, {}),
        ("mistral", {"prefix": True}, {}),
        ("kimi", {"partial": True}, {}),
        ("qwen", {"partial": True}, {}),
        ("vllm", {}, {"continue_final_message": True, "add_generation_prompt": False}),
    ],
)
def test_prefill_is_marked(
    preset: Any, turn: dict[str, Any], request_fields: dict[str, Any]
) -> None:
    """Each service has its own sign that the assistant's last message is to be continued."""
    begun: dict[str, Any] = {"role": "assistant", "content": "One"}
    done: dict[str, Any] = {"role": "user", "content": "Two"}
    called: dict[str, Any] = {**begun, "tool_calls": [{"id": "abcdefghi"}]}
    reasoned = {"reasoning_content": NO_REASONING} if preset in {"deepseek", "kimi"} else {}
    made: Any = OpenAI("up", preset=preset, model="m", api_key=KEY).call
    for messages, marked, more in (
        ([done, begun], [done, {**begun, **turn}], request_fields),
        ([begun, done], [begun, done], {}),
        ([done, called], [done, {**called, **reasoned}], {}),
    ):
        prepared = made.__self__._chat._wire.prepare({"messages": messages}, stream=False)
        assert json.loads(prepared.body) == {"model": "m", "messages": marked, **more}
