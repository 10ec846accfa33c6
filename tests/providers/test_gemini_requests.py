"""Translation of requests for Gemini's generateContent."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter import ProviderError
from multirouter.model import FailureKind
from multirouter.providers import Gemini, chat
from multirouter.providers.api_keys.secret import Secret
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.gemini.conversation import FOREIGN_SIGNATURE
from multirouter.providers.gemini.request import to_gemini
from multirouter.testing.fakes import FakeProvider

ERRORS = ErrorFactory("up", Secret("key", "sk-abcdefghijkl"))
TOOL = {"type": "function", "function": {"name": "f", "description": "d"}}


def translated(request: Any, model: str = "gemini-3-pro") -> dict[str, Any]:
    return to_gemini(request, model, ERRORS)


def call(call_id: str, signature: str = "") -> dict[str, Any]:
    made = {"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    extra = {"google": {"thought_signature": signature}}
    return {**made, "extra_content": extra} if signature else made


def test_turns_and_system_instruction() -> None:
    """The first system messages are the instruction; later ones and neighbours share a turn."""
    body = translated(
        chat(
            [
                {"role": "system", "content": "a"},
                {"role": "user", "content": "x"},
                {"role": "developer", "content": "b"},
                {"role": "user", "content": [{"type": "text", "text": "y"}]},
                {"role": "assistant", "content": "z"},
            ]
        )
    )
    assert body == {
        "systemInstruction": {"parts": [{"text": "a"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "x"}, {"text": "b"}, {"text": "y"}]},
            {"role": "model", "parts": [{"text": "z"}]},
        ],
    }


def test_tool_results_have_the_function_name() -> None:
    """A result has the name of its call; results of one turn share a turn."""
    body = translated(
        chat(
            [
                {"role": "assistant", "content": "hm", "tool_calls": [call("a", "S"), call("b")]},
                {"role": "tool", "tool_call_id": "a", "content": "1"},
                {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "2"}]},
            ]
        )
    )
    model, user = body["contents"]
    assert model["parts"][1] == {
        "functionCall": {"id": "a", "name": "f", "args": {}},
        "thoughtSignature": "S",
    }
    assert "thoughtSignature" not in model["parts"][2]
    assert [part["functionResponse"] for part in user["parts"]] == [
        {"id": "a", "name": "f", "response": {"output": "1"}},
        {"id": "b", "name": "f", "response": {"output": "2"}},
    ]


@pytest.mark.parametrize("message", [{"tool_call_id": "lost"}, {}])
def test_tool_result_without_call_is_rejected(message: Any) -> None:
    """The API requires a name, which only the call has."""
    with pytest.raises(ProviderError, match="does not match an earlier tool call"):
        translated(chat([{"role": "tool", "content": "1", **message}]))


@pytest.mark.parametrize("model", ["gemini-3-pro", "gemini-2.5-pro"])
def test_pictures_of_tools(model: str) -> None:
    """A picture is part of the tool's result, or stands behind it for older models."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
    turns = [
        {"role": "assistant", "tool_calls": [call("a")]},
        {"role": "tool", "tool_call_id": "a", "content": [picture, {"type": "text", "text": "t"}]},
    ]
    parts = translated(chat(turns), model)["contents"][1]["parts"]
    media = {"inlineData": {"mimeType": "image/png", "data": "AA"}}
    response = {"id": "a", "name": "f", "response": {"output": "t"}}
    if model == "gemini-3-pro":
        assert parts == [{"functionResponse": {**response, "parts": [media]}}]
    else:
        assert parts == [{"functionResponse": response}, media]


def test_system_messages_alone_are_a_turn() -> None:
    """The API requires a turn: system messages alone become one of the user."""
    body = translated(chat([{"role": "system", "content": "Say hi"}]))
    assert body == {"contents": [{"role": "user", "parts": [{"text": "Say hi"}]}]}


@pytest.mark.parametrize(
    ("model", "signature"),
    [
        ("gemini-3-pro", FOREIGN_SIGNATURE),
        ("models/gemini-2.5-pro", None),
        ("gemini-4", FOREIGN_SIGNATURE),
    ],
)
def test_calls_of_other_models_get_a_signature(model: str, signature: str | None) -> None:
    """Models that require signatures get the one that Google documents for foreign calls."""
    turn = {"role": "assistant", "tool_calls": [call("a"), call("b")]}
    first, second = translated(chat([turn]), model)["contents"][0]["parts"]
    assert first.get("thoughtSignature") == signature
    assert "thoughtSignature" not in second


def test_text_signature_is_sent_back() -> None:
    """A signature that came with text is on the text's part again."""
    extra = {"google": {"thought_signature": "S"}}
    turn = {"role": "assistant", "content": "a", "refusal": "b", "extra_content": extra}
    parts = translated(chat([turn]))["contents"][0]["parts"]
    assert parts == [{"text": "a"}, {"text": "b", "thoughtSignature": "S"}]


@pytest.mark.parametrize(
    ("part", "made"),
    [
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
            {"inlineData": {"mimeType": "image/png", "data": "AA"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "gs://bucket/a.png"}},
            {"fileData": {"fileUri": "gs://bucket/a.png", "mimeType": "image/png"}},
        ),
        (
            {"type": "input_audio", "input_audio": {"format": "wav", "data": "AA"}},
            {"inlineData": {"mimeType": "audio/wav", "data": "AA"}},
        ),
        (
            {"type": "file", "file": {"file_data": "AA", "filename": "a.pdf"}},
            {"inlineData": {"mimeType": "application/pdf", "data": "AA"}},
        ),
        (
            {
                "type": "file",
                "file": {"file_id": "https://generativelanguage.googleapis.com/v1beta/files/x"},
            },
            {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/x"}},
        ),
        ({"type": "refusal", "refusal": "no"}, {"text": "no"}),
    ],
)
def test_parts_are_translated(part: Any, made: Any) -> None:
    """Images, audio and documents are sent inline, Google's own files by URI."""
    assert translated(chat([part]))["contents"][0]["parts"] == [made]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_audio", "input_audio": {"format": "flac", "data": "AA"}},
        {"type": "image_url", "image_url": {"url": "https://elsewhere.org/a.png"}},
    ],
)
def test_other_parts_are_rejected(part: Any) -> None:
    """Other audio formats, and images that would have to be fetched, are rejected."""
    with pytest.raises(ProviderError) as caught:
        translated(chat([part]))
    assert caught.value.kind is FailureKind.UNSUPPORTED


def test_generation_config() -> None:
    """Each setting of a request has its name in generationConfig."""
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    body = translated(
        chat(
            "x",
            temperature=1.5,
            top_p=0.9,
            n=2,
            seed=3,
            presence_penalty=0.1,
            frequency_penalty=0.2,
            logprobs=True,
            top_logprobs=4,
            max_tokens=5,
            stop="s",
            response_format=form,
            reasoning_effort="xhigh",
        )
    )
    assert body["generationConfig"] == {
        "temperature": 1.5,
        "topP": 0.9,
        "candidateCount": 2,
        "seed": 3,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "responseLogprobs": True,
        "logprobs": 4,
        "maxOutputTokens": 5,
        "stopSequences": ["s"],
        "responseMimeType": "application/json",
        "responseJsonSchema": {"type": "object"},
        "thinkingConfig": {"thinkingLevel": "HIGH", "includeThoughts": True},
    }


@pytest.mark.parametrize(("effort", "budget"), [("none", 0), ("low", 1024), ("max", 24576)])
def test_gemini_2_has_a_thinking_budget(effort: Any, budget: int) -> None:
    """Gemini 2 has no thinking levels; thoughts are requested where there are any."""
    body = translated(chat("x", reasoning_effort=effort), "gemini-2.5-flash")
    thoughts = {"includeThoughts": True} if budget else {}
    thinking = {"thinkingBudget": budget, **thoughts}
    assert body["generationConfig"] == {"thinkingConfig": thinking}


def test_allowed_tools() -> None:
    """A choice among some tools names them, with mode ANY or VALIDATED."""
    for mode, mode_name in (("required", "ANY"), ("auto", "VALIDATED")):
        allowed = {"mode": mode, "tools": [{"type": "function", "function": {"name": "f"}}]}
        choice = {"type": "allowed_tools", "allowed_tools": allowed}
        config = translated(chat("x", tools=[TOOL], tool_choice=choice))["toolConfig"]
        assert config["functionCallingConfig"] == {"mode": mode_name, "allowedFunctionNames": ["f"]}
    with pytest.raises(ProviderError, match="tool_choice"):
        translated(chat("x", tools=[TOOL], tool_choice={"type": "custom"}))


def test_missing_model_is_rejected() -> None:
    """The URL needs a model, from the provider or from the request."""
    provider = Gemini("g", api_key="sk-abcdefghij")
    with pytest.raises(ProviderError, match="model"):
        provider.call(chat("x")).send(None)  # type: ignore[union-attr] # a coroutine


@pytest.mark.real_io
@pytest.mark.backends("asyncio")
async def test_options_are_merged() -> None:
    """An option for generationConfig is merged with the request's settings."""
    options = {"generationConfig": {"topK": 40}, "safetySettings": []}
    async with FakeProvider() as fake:
        provider = Gemini(
            "g", model="models/m", api_key="sk-abcdefghij", base_url=fake.url, options=options
        )
        await provider.call(chat("x", temperature=1))
        await provider.aclose()
        (request,) = fake.requests
    assert request.path == "/v1beta/models/m:generateContent"
    assert request.headers["x-goog-api-key"] == "sk-abcdefghij"
    assert request.body["generationConfig"] == {"temperature": 1, "topK": 40}
    assert request.body["safetySettings"] == []
