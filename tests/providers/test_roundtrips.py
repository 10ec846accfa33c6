"""Properties of the translations: what goes through a format and back is what it was."""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from multirouter.providers import chat
from multirouter.providers.adapter import Translator
from multirouter.providers.anthropic.request import Accent, to_anthropic
from multirouter.providers.anthropic.response import from_anthropic
from multirouter.providers.anthropic.stream import AnthropicTranslator
from multirouter.providers.failures import Failures
from multirouter.providers.gemini.request import to_gemini
from multirouter.providers.gemini.response import from_gemini
from multirouter.providers.gemini.stream import GeminiTranslator
from multirouter.providers.openai.stream import OpenAITranslator
from multirouter.providers.secret import Secret
from multirouter.providers.sse import SSEParser
from multirouter.testing.fakes.answers import Answer, Asked, Call, sample
from multirouter.testing.fakes.anthropic import AnthropicFormat
from multirouter.testing.fakes.formats import Format
from multirouter.testing.fakes.gemini import GeminiFormat
from multirouter.testing.fakes.openai import OpenAIFormat

FAILURES = Failures("up", Secret("key", "sk-abcdefghijkl"))
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
NAMES = st.from_regex(r"[a-zA-Z0-9_-]{1,16}", fullmatch=True)
IDS = st.from_regex(r"[a-zA-Z0-9_-]{1,24}", fullmatch=True)


@st.composite
def conversations(draw: Any) -> list[dict[str, Any]]:
    """Alternating turns; assistants may call tools, whose results follow in order."""
    talk: list[dict[str, Any]] = [{"role": "user", "content": draw(TEXT)}]
    for turn in range(draw(st.integers(0, 3))):
        calls = [
            {
                "id": f"{turn}-{place}-{draw(IDS)}",
                "type": "function",
                "function": {"name": draw(NAMES), "arguments": json.dumps(draw(ARGUMENTS))},
            }
            for place in range(draw(st.integers(0, 3)))
        ]
        said = draw(TEXT) if not calls else draw(st.none() | TEXT)
        message: dict[str, Any] = {"role": "assistant", "content": said}
        talk.append({**message, "tool_calls": calls} if calls else message)
        talk.extend(
            {"role": "tool", "tool_call_id": call["id"], "content": draw(TEXT)} for call in calls
        )
        if not calls:
            talk.append({"role": "user", "content": draw(TEXT)})
    return talk


def loaded(talk: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The conversation with arguments as values, so that spelling makes no difference."""
    made = []
    for message in talk:
        copied = {key: value for key, value in message.items() if value is not None}
        if "tool_calls" in copied:
            copied["tool_calls"] = [
                (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
                for call in copied["tool_calls"]
            ]
        made.append(copied)
    return made


def back_from_anthropic(body: dict[str, Any]) -> list[dict[str, Any]]:
    """A plain reading of Anthropic's turns, as its documents describe them."""
    talk: list[dict[str, Any]] = []
    for turn in body["messages"]:
        said: dict[str, Any] = {"role": turn["role"]}
        for block in turn["content"]:
            if block["type"] == "text":
                said["content"] = block["text"]
            elif block["type"] == "tool_use":
                call = (block["id"], block["name"], block["input"])
                said.setdefault("tool_calls", []).append(call)
            else:
                talk.append(
                    {
                        "role": "tool",
                        "tool_call_id": block["tool_use_id"],
                        "content": block["content"],
                    }
                )
        if len(said) > 1:
            talk.append(said)
    return talk


def back_from_gemini(body: dict[str, Any]) -> list[dict[str, Any]]:
    """A plain reading of Gemini's turns, as its documents describe them."""
    talk: list[dict[str, Any]] = []
    for content in body["contents"]:
        said: dict[str, Any] = {"role": {"model": "assistant"}.get(content["role"], "user")}
        for part in content["parts"]:
            if "text" in part:
                said["content"] = part["text"]
            elif "functionCall" in part:
                call = part["functionCall"]
                said.setdefault("tool_calls", []).append((call["id"], call["name"], call["args"]))
            else:
                response = part["functionResponse"]
                result = response["response"]["output"]
                talk.append({"role": "tool", "tool_call_id": response["id"], "content": result})
        if len(said) > 1:
            talk.append(said)
    return talk


@settings(max_examples=40)
@given(talk=conversations())
def test_a_conversation_survives_anthropic(talk: list[dict[str, Any]]) -> None:
    """Roles, texts, calls and results of any conversation come back from Anthropic's form."""
    body = to_anthropic(chat(talk), Accent(), FAILURES, stream=False)
    expected = loaded(talk)
    if expected[-1]["role"] == "assistant":
        expected[-1]["content"] = expected[-1]["content"].rstrip()
    assert back_from_anthropic(body) == expected
    roles = [turn["role"] for turn in body["messages"]]
    assert all(a != b for a, b in itertools.pairwise(roles))


@settings(max_examples=40)
@given(talk=conversations())
def test_a_conversation_survives_gemini(talk: list[dict[str, Any]]) -> None:
    """Roles, texts, calls and results of any conversation come back from Gemini's form."""
    body = to_gemini(chat(talk), MODEL, FAILURES)
    assert back_from_gemini(body) == loaded(talk)


# ── answers: the fakes write a format from an answer, the adapters read it back ─────────────────

CALLS = st.lists(st.builds(Call, IDS, NAMES, ARGUMENTS), max_size=3, unique_by=lambda call: call.id)
ANSWERS = st.builds(
    lambda thoughts, pieces, calls, finish: Answer(
        thoughts, pieces or ([] if calls else ["."]), calls, "calls" if calls else finish, 5
    ),
    st.lists(TEXT, max_size=3),
    st.lists(TEXT, max_size=4),
    CALLS,
    st.sampled_from(["stop", "length", "refusal"]),
)
ASKED = Asked(model=MODEL, prompt="x", stream=True)
FINISH = {"stop": "stop", "length": "length", "calls": "tool_calls", "refusal": "content_filter"}


def streamed(form: Format, translator: Translator, answer: Answer, size: int) -> dict[str, Any]:
    """The message that the chunks of a stream make, with the stream cut into equal pieces."""
    raw = b"".join(told.encoded(b"\n") for told in form.events(ASKED, answer))
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


def whole(completion: Any) -> dict[str, Any]:
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


def check(said: dict[str, Any], answer: Answer) -> None:
    assert said["text"] == answer.text
    assert said["thoughts"] == "".join(answer.thoughts)
    assert said["finish"] == FINISH[answer.finish]
    assert [(i, n, json.loads(a)) for i, n, a in said["calls"]] == [
        (call.id, call.name, call.arguments) for call in answer.calls
    ]


@settings(max_examples=40)
@given(answer=ANSWERS, size=st.integers(1, 300))
def test_any_answer_of_anthropics_is_read(answer: Answer, size: int) -> None:
    """Whole and streamed, cut anywhere, thoughts, text, calls, finish and usage are the same."""
    form = AnthropicFormat()
    called = whole(from_anthropic(form.whole(ASKED, answer), 1, FAILURES))
    translator = AnthropicTranslator(FAILURES, 1, usage_asked=False)
    pieces = streamed(form, translator, answer, size)
    check(called, answer)
    check(pieces, answer)
    assert called["usage"] == pieces["usage"]


@settings(max_examples=40)
@given(answer=ANSWERS, size=st.integers(1, 300))
def test_any_answer_of_geminis_is_read(answer: Answer, size: int) -> None:
    """Whole and streamed, cut anywhere, thoughts, text, calls, finish and usage are the same."""
    form = GeminiFormat(MODEL, stream=True)
    called = whole(from_gemini(form.whole(ASKED, answer), MODEL, 1, FAILURES))
    translator = GeminiTranslator(FAILURES, 1, MODEL, candidates=1, usage_asked=False)
    pieces = streamed(form, translator, answer, size)
    check(called, answer)
    check(pieces, answer)
    assert called["usage"] == pieces["usage"]


@settings(max_examples=40)
@given(answer=ANSWERS, size=st.integers(1, 300))
def test_any_answer_of_openais_is_read(answer: Answer, size: int) -> None:
    """A stream cut anywhere is passed on whole."""
    translator = OpenAITranslator(FAILURES, choices=1, usage_asked=False)
    content = Answer(answer.thoughts, answer.pieces, answer.calls, answer.finish, 5)
    check(streamed(OpenAIFormat(), translator, content, size), answer)


@settings(max_examples=20)
@given(value=JSON)
def test_a_sample_fits_its_schema(value: Any) -> None:
    """What the fake answers to a schema with one allowed value is that value."""
    schema = {"type": "object", "properties": {"a": {"enum": [value]}}}
    assert sample(schema) == {"a": value}
