"""The official SDKs: their types accept our requests and responses, their clients the fakes."""

from __future__ import annotations

import base64
import functools
import json
import struct
from typing import Any

import anthropic
import openai
import pytest
from anthropic.types import message_create_params
from google import genai
from google.genai import types as google
from openai.types.chat import ChatCompletion, ChatCompletionChunk, completion_create_params
from openai.types.responses import response_create_params
from pydantic import TypeAdapter
from pydantic_core import SchemaValidator

from multirouter.providers import (
    GeminiEmbeddings,
    OpenAIEmbeddings,
    chat,
    text_of,
)
from multirouter.testing.fakes import FakeProvider

from .conftest import KEY

pytestmark = [
    pytest.mark.real_io,
    pytest.mark.backends("asyncio"),
    # The SDKs warn of what their own models and parameters become; none of it is ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

PNG = "data:image/png;base64,iVBORw0KGgo="
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": "d",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
    for name in ("weather", "clock")
]
REQUESTS: dict[str, dict[str, Any]] = {
    "plain": chat("Hello", system="Be brief.", temperature=0.5, max_tokens=50),
    "tools": chat("weather and clock", tools=TOOLS, tool_choice="auto", parallel_tool_calls=True),
    "forced": chat(
        "x", tools=TOOLS, tool_choice={"type": "function", "function": {"name": "clock"}}
    ),
    "parts": chat(
        [
            {"type": "text", "text": "see"},
            {"type": "image_url", "image_url": {"url": PNG}},
            {
                "type": "file",
                "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a"},
            },
        ]
    ),
    "schema": chat(
        "x",
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": {"type": "object", "properties": {}}},
        },
    ),
    "thinking": chat("x", reasoning_effort="high", user="me"),
    "talk": chat(
        [
            {"role": "user", "content": "weather?"},
            {
                "role": "assistant",
                "content": "Let me see.",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "weather", "arguments": '{"city": "Bern"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "12 degrees"},
        ],
        tools=TOOLS,
    ),
}


@functools.cache
def validator(kind: Any) -> SchemaValidator:
    """Returns a validator of an SDK's request type. It reads lists eagerly."""
    return SchemaValidator(eager(TypeAdapter(kind).core_schema))


def eager(schema: Any) -> Any:
    if isinstance(schema, dict):
        made = {key: eager(inner) for key, inner in schema.items()}
        return {**made, "type": "list"} if made.get("type") == "generator" else made
    return [eager(inner) for inner in schema] if isinstance(schema, list) else schema


def check_openai(body: Any) -> None:
    if body.pop("stream", False):
        kind: Any = completion_create_params.CompletionCreateParamsStreaming
        body = {**body, "stream": True}
    else:
        kind = completion_create_params.CompletionCreateParamsNonStreaming
    validator(kind).validate_python(body)


def check_anthropic(body: Any) -> None:
    if body.get("stream"):
        kind: Any = message_create_params.MessageCreateParamsStreaming
    else:
        kind = message_create_params.MessageCreateParamsNonStreaming
    validator(kind).validate_python(body)


def check_gemini(body: Any) -> None:
    for content in [*body["contents"], body.get("systemInstruction", {"parts": []})]:
        google.Content.model_validate(content)
    if "generationConfig" in body:
        google.GenerationConfig.model_validate(body["generationConfig"])
    for made in body.get("tools", ()):
        google.Tool.model_validate(made)
    if "toolConfig" in body:
        google.ToolConfig.model_validate(body["toolConfig"])


def check_responses(body: Any) -> None:
    if body.get("stream"):
        kind: Any = response_create_params.ResponseCreateParamsStreaming
    else:
        kind = response_create_params.ResponseCreateParamsNonStreaming
    validator(kind).validate_python(body)


CHECKS = {
    "openai": check_openai,
    "responses": check_responses,
    "anthropic": check_anthropic,
    "gemini": check_gemini,
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_requests_and_responses_fit_the_sdk_types(make: Any, kind: str, name: str) -> None:
    """Requests fit the SDKs' request types; responses and chunks fit OpenAI's response types."""
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="gemini-3-pro")
        answer = await provider.call(REQUESTS[name])
        chunks = [chunk async for chunk in provider.stream(REQUESTS[name])]
        await provider.aclose()
        for request in fake.requests:
            CHECKS[kind](json.loads(json.dumps(request.body)))
    ChatCompletion.model_validate(answer, strict=True)
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)


async def test_openai_client_agrees_with_the_adapter(make: Any) -> None:
    """The official client reads text, streams and errors of the fake as the adapter does."""
    async with (
        FakeProvider() as fake,
        openai.AsyncOpenAI(api_key=KEY, base_url=f"{fake.url}/v1", max_retries=0) as client,
    ):
        provider = make("openai", fake, model="gpt-5")
        request: Any = chat("Hello", model="gpt-5")
        expected = await client.chat.completions.create(**request)
        actual = await provider.call(request)
        assert expected.choices[0].message.content == text_of(actual)
        stream = await client.chat.completions.create(**request, stream=True)
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
        assert "".join(pieces) == text_of(actual)
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(**{**request, "model": "rate-limit"})
        vectors = await client.embeddings.create(model="m", input=["a", "bb"])
        assert [vector.embedding[0] for vector in vectors.data] == [1.0, 2.0][::-1]
        models = [model.id async for model in client.models.list()]
        assert models[0] == "gpt-5"
        await provider.aclose()


async def test_anthropic_client_agrees_with_the_adapter(make: Any) -> None:
    """The official client accumulates from the fake what the adapter translates."""
    async with (
        FakeProvider() as fake,
        anthropic.AsyncAnthropic(api_key=KEY, base_url=fake.url, max_retries=0) as client,
    ):
        provider = make("anthropic", fake, model="m")
        actual = await provider.call(chat("weather", tools=TOOLS))
        tools: Any = [{"name": "weather", "input_schema": TOOLS[0]["function"]["parameters"]}]
        messages: Any = [{"role": "user", "content": "weather"}]
        async with client.messages.stream(
            model="m", max_tokens=100, messages=messages, tools=tools
        ) as stream:
            expected = await stream.get_final_message()
        (block,) = expected.content
        call = actual["choices"][0]["message"]["tool_calls"][0]
        assert (block.id, block.name) == (call["id"], call["function"]["name"])
        assert block.input == json.loads(call["function"]["arguments"])
        usage = actual["usage"]
        assert (
            expected.usage.input_tokens + expected.usage.cache_read_input_tokens
            == (usage["prompt_tokens"])
        )
        with pytest.raises(anthropic.APIStatusError):
            async with client.messages.stream(
                model="event-error-1", max_tokens=9, messages=messages
            ) as broken:
                await broken.get_final_message()
        await provider.aclose()


async def test_google_client_agrees_with_the_adapter(make: Any) -> None:
    """The official client reads calls, signatures and errors of the fake as the adapter does."""
    async with FakeProvider() as fake:
        client = genai.Client(api_key=KEY, http_options=google.HttpOptions(base_url=fake.url))
        provider = make("gemini", fake, model="gemini-3-pro")
        actual = await provider.call(chat("weather", tools=TOOLS))
        function = google.FunctionDeclaration(
            name="weather", parameters_json_schema=TOOLS[0]["function"]["parameters"]
        )
        config = google.GenerateContentConfig(tools=[google.Tool(function_declarations=[function])])
        expected = await client.aio.models.generate_content(
            model="gemini-3-pro", contents="weather", config=config
        )
        call = actual["choices"][0]["message"]["tool_calls"][0]
        assert expected.function_calls[0].name == call["function"]["name"]
        assert expected.function_calls[0].args == json.loads(call["function"]["arguments"])
        assert expected.candidates[0].content.parts[0].thought_signature == b"gemini signed"
        pieces = [
            chunk.text or ""
            async for chunk in await client.aio.models.generate_content_stream(
                model="gemini-3-pro", contents="Hello"
            )
        ]
        assert "".join(pieces) == "You said: Hello"
        with pytest.raises(genai.errors.ClientError):
            await client.aio.models.generate_content(model="429-retry-after-9", contents="x")
        await client.aio.aclose()
        await provider.aclose()


# ── embeddings ──────────────────────────────────────────────────────────────────────────────────


async def test_embeddings_of_both_formats_agree() -> None:
    """Vectors are in the order of the inputs, as floats or base64, in OpenAI's form."""
    async with FakeProvider() as fake:
        for provider in (
            OpenAIEmbeddings("e", model="m", api_key=KEY, base_url=f"{fake.url}/v1"),
            GeminiEmbeddings("e", model="m", api_key=KEY, base_url=fake.url),
        ):
            answer = await provider.call({"input": ["a", "bb", "ccc"], "dimensions": 2})
            openai.types.CreateEmbeddingResponse.model_validate(answer)
            assert [item["index"] for item in answer["data"]] == [0, 1, 2]
            assert [item["embedding"] for item in answer["data"]] == [[1, 1], [2, 2], [3, 3]]
            one = await provider.call({"input": "four", "encoding_format": "base64"})
            packed = one["data"][0]["embedding"]
            assert isinstance(packed, str)
            decoded = struct.unpack("<3f", base64.b64decode(packed))
            assert decoded == (4.0, 4.0, 4.0)
            await provider.aclose()


async def test_token_ids_are_rejected_by_gemini() -> None:
    """OpenAI accepts token ids; Gemini's adapter rejects them before anything is sent."""
    async with FakeProvider() as fake:
        provider = OpenAIEmbeddings("e", model="m", api_key=KEY, base_url=f"{fake.url}/v1")
        assert (await provider.call({"input": [[1, 2], [3]]}))["data"][0]["embedding"][0] == 2
        await provider.aclose()
        gemini = GeminiEmbeddings("e", model="m", api_key=KEY, base_url=fake.url)
        with pytest.raises(Exception, match="token ids") as caught:
            await gemini.call({"input": [[1, 2]]})
        assert caught.value.kind == "unsupported"
        await gemini.aclose()


async def test_embeddings_fail_like_calls() -> None:
    """Failures of embeddings have the same kinds as those of chat."""
    async with FakeProvider() as fake:
        for model, kind in (
            ("fail-500", "server"),
            ("html-200", "transport"),
            ("no-choices", "transport"),
            ("rate-limit", "rate_limit"),
        ):
            provider = OpenAIEmbeddings("e", model=model, api_key=KEY, base_url=f"{fake.url}/v1")
            with pytest.raises(Exception, match="e: ") as caught:
                await provider.call({"input": "x"})
            assert caught.value.kind == kind
            await provider.aclose()
