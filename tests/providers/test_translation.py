"""One canonical request in three formats; the fakes reject what the real services reject."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from multirouter import ProviderError
from multirouter.model import FailureKind
from multirouter.providers import ChatProvider, chat, text_of
from multirouter.testing.fakes import FakeProvider

pytestmark = [pytest.mark.real_io, pytest.mark.backends("asyncio")]

PNG = "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()
PDF = "data:application/pdf;base64," + base64.b64encode(b"%PDF-1.7").decode()
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "warm": {"type": "boolean"}},
    "required": ["city", "warm"],
    "additionalProperties": False,
}


def tool(name: str) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {"name": name, "description": f"the {name}", "parameters": SCHEMA},
    }


def joined(chunks: list[Any]) -> dict[str, Any]:
    """Joins chunks to a message, by the rules that clients use."""
    message: dict[str, Any] = {"content": "", "reasoning_content": "", "tool_calls": []}
    for chunk in chunks:
        for choice in chunk["choices"]:
            if choice["index"]:
                continue
            delta = choice["delta"]
            message["content"] += delta.get("content") or ""
            message["reasoning_content"] += delta.get("reasoning_content") or ""
            for field in ("extra_content", "thinking_blocks"):
                if field in delta:
                    message[field] = delta[field]
            for call in delta.get("tool_calls", ()):
                calls = message["tool_calls"]
                if call["index"] == len(calls):
                    assert call["type"] == "function"
                    calls.append({k: v for k, v in call.items() if k != "index"})
                    calls[-1]["function"] = dict(call["function"])
                else:
                    calls[call["index"]]["function"]["arguments"] += call["function"]["arguments"]
            message["finish_reason"] = choice["finish_reason"]
    return message


async def both(provider: ChatProvider, request: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the message of the same request, called and streamed."""
    answer = await provider.call(request)
    message: dict[str, Any] = {
        "reasoning_content": "",
        **answer["choices"][0]["message"],
        "finish_reason": answer["choices"][0]["finish_reason"],
    }
    message["content"] = message["content"] or ""
    chunks = [chunk async for chunk in provider.stream(request)]
    assert len({(c["id"], c["created"] > 0, c["model"], c["object"]) for c in chunks}) == 1
    roles = [c["choices"][0]["delta"].get("role") for c in chunks]
    assert roles == ["assistant"] + [None] * (len(chunks) - 1)
    assert chunks[-1].get("usage") == answer["usage"]
    await provider.aclose()
    return message, joined(chunks)


async def test_text_and_usage(make: Any, kind: str) -> None:
    """Text, finish reason and usage are the same in each format, called and streamed."""
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="m")
        message, streamed = await both(provider, chat("Hello, Zürich", system="Be brief."))
        usage = (await provider.call(chat("Hello, Zürich")))["usage"]
        await provider.aclose()
    assert message["content"] == streamed["content"] == "You said: Hello, Zürich"
    assert message["finish_reason"] == streamed["finish_reason"] == "stop"
    assert usage["prompt_tokens"] == 3
    assert usage["completion_tokens"] == 4
    assert usage["total_tokens"] == 7
    assert usage["prompt_tokens_details"]["cached_tokens"] == 1


async def test_include_usage_adds_a_chunk(make: Any, kind: str) -> None:
    """With include_usage each format's stream ends in a chunk without choices."""
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="m")
        request = chat("Hello", stream_options={"include_usage": True})
        *chunks, last = [chunk async for chunk in provider.stream(request)]
        await provider.aclose()
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] > 0
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert all(chunk["choices"] and not chunk.get("usage") for chunk in chunks)


async def test_parallel_tool_calls_and_their_results(make: Any, kind: str) -> None:
    """Calls are complete, called and streamed, and their results are accepted in the next turn."""
    tools = [tool("weather"), tool("clock")]
    async with FakeProvider() as fake:
        for model in ("gemini-3-pro", "gemini-2.5-pro"):
            provider = make(kind, fake, model=model)
            request = chat("weather and clock", tools=tools)
            for message in await both(provider, request):
                assert message["finish_reason"] == "tool_calls"
                calls = message["tool_calls"]
                assert [call["function"]["name"] for call in calls] == ["weather", "clock"]
                assert len({call["id"] for call in calls}) == 2
                for call in calls:
                    arguments = json.loads(call["function"]["arguments"])
                    assert arguments == {"city": "Zürich", "warm": True}
                turn = {"role": "assistant", "content": None, "tool_calls": calls}
                results = [
                    {"role": "tool", "tool_call_id": call["id"], "content": f"{place} degrees"}
                    for place, call in enumerate(calls)
                ]
                messages = [*request["messages"], turn, *results]
                last = await provider.call(chat(messages, tools=tools))
                assert "1 degrees" in text_of(last)
            await provider.aclose()


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("auto", []),
        ("none", []),
        ("required", ["weather"]),
        ({"type": "function", "function": {"name": "clock"}}, ["clock"]),
    ],
)
async def test_tool_choice(make: Any, kind: str, choice: Any, called: list[str]) -> None:
    """Auto, none, required and a named tool have the same effect in each format."""
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="m")
        request = chat("hi", tools=[tool("weather"), tool("clock")], tool_choice=choice)
        for message in await both(provider, request):
            calls = message.get("tool_calls") or ()
            assert [call["function"]["name"] for call in calls] == called


async def test_json_schema(make: Any, kind: str) -> None:
    """An answer to a JSON Schema is valid JSON for it."""
    form = {"type": "json_schema", "json_schema": {"name": "w", "schema": SCHEMA, "strict": True}}
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="m")
        for message in await both(provider, chat("x", response_format=form)):
            assert json.loads(message["content"]) == {"city": "Zürich", "warm": True}


async def test_json_mode(make: Any, kind: str) -> None:
    """JSON mode is a field of the format, or an instruction where there is none."""
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="m")
        request = chat("x", response_format={"type": "json_object"})
        for message in await both(provider, request):
            assert message["content"]
        assert "JSON" in json.dumps(fake.requests[0].body).upper()


async def test_length_and_stop(make: Any, kind: str) -> None:
    """A token limit ends with `length`, a stop sequence with `stop`."""
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="m")
        words = 16  # the least that Responses accepts
        prompt, answer = "one " * words, "You said: " + "one " * (words - 2)
        for limit in ({"max_tokens": words}, {"max_completion_tokens": words}):
            for message in await both(provider, chat(prompt, **limit)):
                assert (message["content"], message["finish_reason"]) == (answer, "length")
        for stop in ("two", ["two"]) if kind != "responses" else ():
            for message in await both(provider, chat("one two three", stop=stop)):
                assert (message["content"], message["finish_reason"]) == ("You said: one ", "stop")


@pytest.mark.parametrize("kind", ["openai", "gemini"])
async def test_n_and_log_probabilities(make: Any, kind: str) -> None:
    """Formats with n and logprobs return both, called and streamed."""
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="m")
        request = chat("hi", n=2, logprobs=True, top_logprobs=2, seed=1, presence_penalty=0.5)
        answer = await provider.call(request)
        chunks = [chunk async for chunk in provider.stream(request)]
        await provider.aclose()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    tokens = answer["choices"][1]["logprobs"]["content"]
    assert (tokens[0]["logprob"], len(tokens[0]["top_logprobs"])) == (-0.5, 2)
    finished = [c["index"] for k in chunks for c in k["choices"] if c["finish_reason"]]
    assert sorted(finished) == [0, 1]
    assert any(c.get("logprobs") for k in chunks for c in k["choices"])


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("openai", {}),
        ("anthropic", {}),
        ("anthropic", {"thinking": "budget"}),
        (
            "gemini",
            {"options": {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}},
        ),
    ],
)
async def test_reasoning(make: Any, kind: str, settings: Any) -> None:
    """Reasoning is separate from content, called and streamed."""
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="m", **settings)
        request = chat("x", reasoning_effort="high", temperature=0.3)
        for message in await both(provider, request):
            assert message["reasoning_content"] == "Let me think. "
            assert message["content"] == "You said: x"
            if kind == "anthropic":
                (block,) = message["thinking_blocks"]
                assert block["thinking"] == "Let me think. "
                assert block["signature"]


@pytest.mark.parametrize("kind", ["anthropic", "gemini"])
async def test_images_and_documents(make: Any, kind: str) -> None:
    """Images and PDF are sent inside the request."""
    parts = [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
        {"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}},
    ]
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="m")
        for message in await both(provider, chat(parts)):
            assert message["content"].count("[") == 2
        assert "iVBORw" not in json.dumps(fake.requests[0].headers)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("anthropic", "n", 2),
        ("anthropic", "logprobs", True),
        ("anthropic", "logit_bias", {"1": 5}),
        ("anthropic", "audio", {"voice": "alloy"}),
        ("anthropic", "modalities", ["text", "audio"]),
        ("anthropic", "functions", [{}]),
        ("anthropic", "stop", [" \n"]),
        ("anthropic", "response_format", {"type": "grammar"}),
        ("anthropic", "tools", [{"type": "custom", "custom": {"name": "x"}}]),
        ("gemini", "logit_bias", {"1": 5}),
        ("gemini", "web_search_options", {}),
        ("gemini", "stop", list("abcdef")),
        ("gemini", "response_format", {"type": "grammar"}),
        ("gemini", "tools", [{"type": "custom", "custom": {"name": "x"}}]),
    ],
)
async def test_unsupported_fields_are_rejected(
    make: Any, kind: str, field: str, value: Any
) -> None:
    """A field that the format cannot express raises a `request` error before anything is sent."""
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="m")
        request = {**chat("x"), field: value}
        for attempt in (provider.call, lambda r: anext(aiter(provider.stream(r)))):
            with pytest.raises(ProviderError, match=field) as caught:
                await attempt(request)
            assert (caught.value.kind, caught.value.code) == (
                FailureKind.UNSUPPORTED,
                "unsupported",
            )
        assert not fake.requests
        await provider.aclose()


@pytest.mark.parametrize("kind", ["anthropic", "gemini"])
@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "video", "video": {}}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "ftp://x/y"}}]},
        {"role": "user", "content": [{"type": "image_url"}]},
        {"role": "user", "content": [{"type": "file", "file": {"file_id": "file-of-openai"}}]},
        {"role": "user", "content": [{"type": "file", "file": {"file_data": "AAAA"}}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]},
        {"role": "user", "content": 7},
        {"role": "wizard", "content": "x"},
        {"role": "function", "name": "f", "content": "x"},
        {"role": "assistant", "audio": {"id": "a"}},
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "custom", "custom": {}}]},
    ],
)
async def test_unsupported_content_is_rejected(make: Any, kind: str, message: Any) -> None:
    """Content that a format cannot express is never silently changed."""
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="m")
        with pytest.raises(ProviderError) as caught:
            await provider.call({"messages": [message]})
        assert caught.value.kind in {FailureKind.UNSUPPORTED, FailureKind.REQUEST}
        assert not fake.requests
        await provider.aclose()


@pytest.mark.parametrize("kind", ["anthropic", "gemini"])
async def test_harmless_values_are_accepted(make: Any, kind: str) -> None:
    """Values without an effect (None, n=1, logprobs=False, text only) are accepted."""
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="m")
        request = chat("x", n=1, logprobs=False, modalities=["text"], store=True, verbosity="low")
        answer = await provider.call({**request, "logit_bias": {}, "audio": None, "stop": None})
        await provider.aclose()
    assert text_of(answer) == "You said: x"


async def test_model_from_the_request(make: Any, kind: str) -> None:
    """Without `model=` the request's own model is used."""
    async with FakeProvider() as fake:
        provider = make(kind, fake)
        assert (await provider.call(chat("x", model="from-request")))["model"] == "from-request"
        await provider.aclose()


async def test_requests_are_not_mutated(make: Any, kind: str) -> None:
    """The same request can go to another provider next."""
    request = chat(
        [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "weather"},
            {
                "role": "assistant",
                "content": "trailing ",
                "tool_calls": [
                    {
                        "id": "c 1",
                        "type": "function",
                        "function": {"name": "weather", "arguments": ""},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "c 1", "content": "42"},
        ],
        tools=[tool("weather")],
        response_format={"type": "json_object"},
    )
    before = json.dumps(request)
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="gemini-3-pro")
        await both(provider, request)
    assert json.dumps(request) == before
