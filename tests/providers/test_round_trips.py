"""Property tests of the translations: a translation and back gives the original."""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from multirouter.providers import chat
from multirouter.providers.adapter import Translator
from multirouter.providers.anthropic.request import ModelSettings, to_anthropic
from multirouter.providers.anthropic.response import from_anthropic
from multirouter.providers.anthropic.stream import AnthropicTranslator
from multirouter.providers.api_keys.secret import Secret
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.gemini.request import to_gemini
from multirouter.providers.gemini.response import from_gemini
from multirouter.providers.gemini.stream import GeminiTranslator
from multirouter.providers.openai.stream import OpenAITranslator
from multirouter.providers.transport.sse import SSEParser
from multirouter.testing.fakes.answers import Answer, ParsedRequest, ToolCall, sample
from multirouter.testing.fakes.anthropic import AnthropicFormat
from multirouter.testing.fakes.formats import Format
from multirouter.testing.fakes.gemini import GeminiFormat
from multirouter.testing.fakes.openai import OpenAIFormat

ERRORS = ErrorFactory("up", Secret("key", "sk-abcdefghijkl"))
MODEL = "gemini-3-pro"

TEXT = st.text(min_size=1, max_size=20).filter(lambda text: bool(text.strip()))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
ARGUMENTS = st.dictionaries(st.text(min_size=1, max_size=8), JSON, max_size=4)
NAMES = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_-]{0,20}", fullmatch=True)
IDS = st.from_regex(r"[a-zA-Z0-9_-]{1,24}", fullmatch=True)


@st.composite
def conversations(draw: Any) -> list[dict[str, Any]]:
    """Alternating turns; assistant messages may have tool calls, whose results follow in order."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": draw(TEXT)}]
    for turn in range(draw(st.integers(0, 3))):
        calls = [
            {
                "id": f"{turn}-{call_index}-{draw(IDS)}",
                "type": "function",
                "function": {"name": draw(NAMES), "arguments": json.dumps(draw(ARGUMENTS))},
            }
            for call_index in range(draw(st.integers(0, 3)))
        ]
        content = draw(TEXT) if not calls else draw(st.none() | TEXT)
        message: dict[str, Any] = {"role": "assistant", "content": content}
        messages.append({**message, "tool_calls": calls} if calls else message)
        messages.extend(
            {"role": "tool", "tool_call_id": call["id"], "content": draw(TEXT)} for call in calls
        )
        if not calls:
            messages.append({"role": "user", "content": draw(TEXT)})
    return messages


def loaded(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the messages with parsed arguments, so that JSON formatting makes no difference."""
    made = []
    for message in messages:
        copied = {key: value for key, value in message.items() if value is not None}
        if "tool_calls" in copied:
            copied["tool_calls"] = [
                (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
                for call in copied["tool_calls"]
            ]
        made.append(copied)
    return made


def back_from_anthropic(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Reads Anthropic's turns as its API reference describes them."""
    messages: list[dict[str, Any]] = []
    for turn in body["messages"]:
        message: dict[str, Any] = {"role": turn["role"]}
        for block in turn["content"]:
            if block["type"] == "text":
                message["content"] = block["text"]
            elif block["type"] == "tool_use":
                call = (block["id"], block["name"], block["input"])
                message.setdefault("tool_calls", []).append(call)
            else:
                messages.append(
                    {
                        "role": "tool",
                        "tool_call_id": block["tool_use_id"],
                        "content": block["content"],
                    }
                )
        if len(message) > 1:
            messages.append(message)
    return messages


def back_from_gemini(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Reads Gemini's turns as its API reference describes them."""
    messages: list[dict[str, Any]] = []
    for content in body["contents"]:
        message: dict[str, Any] = {"role": {"model": "assistant"}.get(content["role"], "user")}
        for part in content["parts"]:
            if "text" in part:
                message["content"] = part["text"]
            elif "functionCall" in part:
                call = part["functionCall"]
                message.setdefault("tool_calls", []).append(
                    (call["id"], call["name"], call["args"])
                )
            else:
                response = part["functionResponse"]
                result = response["response"]["output"]
                messages.append({"role": "tool", "tool_call_id": response["id"], "content": result})
        if len(message) > 1:
            messages.append(message)
    return messages


@settings(max_examples=40)
@given(messages=conversations())
def test_conversation_round_trip_anthropic(messages: list[dict[str, Any]]) -> None:
    """Property: roles, texts, calls and results of any conversation are unchanged."""
    body = to_anthropic(chat(messages), ModelSettings(), ERRORS, stream=False)
    expected = loaded(messages)
    if expected[-1]["role"] == "assistant":
        expected[-1]["content"] = expected[-1]["content"].rstrip()
    assert back_from_anthropic(body) == expected
    roles = [turn["role"] for turn in body["messages"]]
    assert all(a != b for a, b in itertools.pairwise(roles))


@settings(max_examples=40)
@given(messages=conversations())
def test_conversation_round_trip_gemini(messages: list[dict[str, Any]]) -> None:
    """Property: roles, texts, calls and results of any conversation are unchanged."""
    body = to_gemini(chat(messages), MODEL, ERRORS)
    assert back_from_gemini(body) == loaded(messages)


# ── answers: the fakes write an answer in a format, the adapters read it ────────────────────────

CALLS = st.lists(
    st.builds(ToolCall, IDS, NAMES, ARGUMENTS), max_size=3, unique_by=lambda call: call.id
)
ANSWERS = st.builds(
    lambda thoughts, pieces, calls, finish: Answer(
        thoughts, pieces or ([] if calls else ["."]), calls, "calls" if calls else finish, 5
    ),
    st.lists(TEXT, max_size=3),
    st.lists(TEXT, max_size=4),
    CALLS,
    st.sampled_from(["stop", "length", "refusal"]),
)
REQUEST = ParsedRequest(model=MODEL, prompt="x", stream=True)
FINISH = {"stop": "stop", "length": "length", "calls": "tool_calls", "refusal": "content_filter"}


def streamed(form: Format, translator: Translator, answer: Answer, size: int) -> dict[str, Any]:
    """Returns the message of a stream that is split into equal parts of `size` bytes."""
    raw = b"".join(event.encoded(b"\n") for event in form.events(REQUEST, answer))
    parser = SSEParser()
    message: dict[str, Any] = {"text": "", "thoughts": "", "calls": []}
    chunks: list[Any] = []
    for start in range(0, len(raw), size):
        for event in parser.feed(raw[start : start + size]):
            chunks.extend(translator.feed(event))
    assert translator.complete
    chunks.extend(translator.finish())
    for chunk in chunks:
        (choice,) = chunk["choices"]
        delta = choice["delta"]
        message["text"] += delta.get("content") or ""
        message["thoughts"] += delta.get("reasoning_content") or ""
        for call in delta.get("tool_calls", ()):
            if "id" in call:
                message["calls"].append([call["id"], call["function"]["name"], ""])
            message["calls"][call["index"]][2] += call["function"]["arguments"]
    message["finish"] = chunks[-1]["choices"][0]["finish_reason"]
    message["usage"] = chunks[-1].get("usage")
    return message


def full_response(completion: Any) -> dict[str, Any]:
    choice = completion["choices"][0]
    message = choice["message"]
    return {
        "text": message["content"] or "",
        "thoughts": message.get("reasoning_content", ""),
        "calls": [
            [call["id"], call["function"]["name"], call["function"]["arguments"]]
            for call in message.get("tool_calls", ())
        ],
        "finish": choice["finish_reason"],
        "usage": completion["usage"],
    }


def check(message: dict[str, Any], answer: Answer) -> None:
    assert message["text"] == answer.text
    assert message["thoughts"] == "".join(answer.thoughts)
    assert message["finish"] == FINISH[answer.finish]
    assert [(i, n, json.loads(a)) for i, n, a in message["calls"]] == [
        (call.id, call.name, call.arguments) for call in answer.calls
    ]


@settings(max_examples=40)
@given(answer=ANSWERS, size=st.integers(1, 300))
def test_answer_round_trip_anthropic(answer: Answer, size: int) -> None:
    """Property: called and streamed, split anywhere, an answer and its usage are equal."""
    form = AnthropicFormat()
    called = full_response(from_anthropic(form.full_response(REQUEST, answer), 1, ERRORS))
    translator = AnthropicTranslator(ERRORS, 1, include_usage=False)
    pieces = streamed(form, translator, answer, size)
    check(called, answer)
    check(pieces, answer)
    assert called["usage"] == pieces["usage"]


@settings(max_examples=40)
@given(answer=ANSWERS, size=st.integers(1, 300))
def test_answer_round_trip_gemini(answer: Answer, size: int) -> None:
    """Property: called and streamed, split anywhere, an answer and its usage are equal."""
    form = GeminiFormat(MODEL, stream=True)
    called = full_response(from_gemini(form.full_response(REQUEST, answer), MODEL, 1, ERRORS))
    translator = GeminiTranslator(ERRORS, 1, MODEL, candidates=1, include_usage=False)
    pieces = streamed(form, translator, answer, size)
    check(called, answer)
    check(pieces, answer)
    assert called["usage"] == pieces["usage"]


@settings(max_examples=40)
@given(answer=ANSWERS, size=st.integers(1, 300))
def test_answer_round_trip_openai(answer: Answer, size: int) -> None:
    """Property: a stream split anywhere is passed on unchanged."""
    translator = OpenAITranslator(ERRORS, choices=1, include_usage=False)
    content = Answer(answer.thoughts, answer.pieces, answer.calls, answer.finish, 5)
    check(streamed(OpenAIFormat(), translator, content, size), answer)


@settings(max_examples=20)
@given(value=JSON)
def test_sample_matches_its_schema(value: Any) -> None:
    """The fake's answer to a schema with one allowed value is that value."""
    schema = {"type": "object", "properties": {"a": {"enum": [value]}}}
    assert sample(schema) == {"a": value}
