"""Stream chunks of other formats, as plain data and as SDK objects: content, text and end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from multirouter.core.chat import completions as chat
from multirouter.core.chat.chunk_reader import ChunkReader
from multirouter.core.cost.metering import UsageMeter
from multirouter.core.settings.stream_policy import StreamPolicy
from tests.core.kit import unpriced


def thing(value: Any) -> Any:
    """Plain data as SDK objects."""
    if isinstance(value, dict):
        return SimpleNamespace(**{key: thing(inner) for key, inner in value.items()})
    return [thing(inner) for inner in value] if isinstance(value, list) else value


def completion(end: str | None = None, index: int = 0, **delta: Any) -> Any:
    """A chunk of OpenAI's SDK."""
    return thing({"choices": [{"index": index, "delta": delta, "finish_reason": end}]})


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **fields}


def block(index: int = 0, **fields: Any) -> dict[str, Any]:
    return event("content_block_start", index=index, content_block=fields)


def delta(**fields: Any) -> dict[str, Any]:
    return event("content_block_delta", index=0, delta=fields)


def candidate(*parts: Any, end: str | None = None) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": list(parts)}, "finishReason": end}]}


MESSAGES = [
    event("message_start", message={"usage": {"input_tokens": 9, "output_tokens": 1}}),
    block(type="thinking", thinking=""),
    delta(type="thinking_delta", thinking="hmm"),
    delta(type="signature_delta", signature="s"),
    block(type="text", text=""),
    delta(type="text_delta", text="one "),
    event("ping"),
    delta(type="text_delta", text="two"),
    block(type="tool_use", id="t", name="f", input={}),
    delta(type="input_json_delta", partial_json="{}"),
    event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 7}),
    event("message_stop"),
]
RESPONSES = [
    event("response.created", response={}),
    event("response.reasoning_summary_text.delta", delta="hmm"),
    event("response.output_text.delta", delta="one "),
    event("response.output_text.delta", delta="two"),
    event("response.function_call_arguments.delta", delta="{}"),
    event("response.completed", response={"usage": {"input_tokens": 9, "output_tokens": 7}}),
]
GEMINI = [
    candidate({"text": "hmm", "thought": True}),
    candidate({"text": "one "}),
    candidate({"text": "two"}, {"functionCall": {"name": "f", "args": {}}}),
    {
        **candidate(end="STOP"),
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 7},
    },
]
COMPLETIONS = [
    completion(role="assistant", content=""),
    completion(reasoning_content="hmm"),
    completion(content="one "),
    completion(content="two", tool_calls=[{"index": 0, "function": {"arguments": "{}"}}]),
    completion("tool_calls"),
    thing({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 7}}),
]
STREAMS = [
    pytest.param(COMPLETIONS, 2, id="completions"),
    pytest.param(MESSAGES, 2, id="messages"),
    pytest.param(list(map(thing, MESSAGES)), 2, id="messages, objects"),
    pytest.param(RESPONSES, 2, id="responses"),
    pytest.param(list(map(thing, RESPONSES)), 2, id="responses, objects"),
    pytest.param(GEMINI, 0, id="gemini"),
    pytest.param(list(map(thing, GEMINI)), 0, id="gemini, objects"),
]


def reader(chunks: list[Any], **settings: Any) -> ChunkReader:
    return StreamPolicy(**settings).reader(chunks[0])


@pytest.mark.parametrize(("chunks", "arguments"), STREAMS)
def test_every_format_is_read(chunks: list[Any], arguments: int) -> None:
    """Text, reasoning, tool calls, size and end are the same in every format."""
    read = reader(chunks)
    assert read.size is not None
    assert read.proves_end is not None
    assert "".join(map(read.text, chunks)) == "one two"
    assert sum(map(read.size, chunks)) == len("hmmone two") + arguments
    reasoning = [read.is_reasoning_only(chunk) for chunk in chunks]
    assert reasoning.count(True) == 1
    assert [c for c in chunks if read.content(c)].index(chunks[reasoning.index(True)]) == 0
    assert any(map(read.has_non_text_content, chunks))
    assert not any(map(read.has_non_text_content, [c for c in chunks if read.text(c) == "one "]))
    proofs = [bool(read.proves_end(chunk)) for chunk in chunks]
    assert proofs.count(True) == 1
    assert not any(map(read.content, chunks[proofs.index(True) :]))


@pytest.mark.parametrize(("chunks", "_"), STREAMS)
def test_usage_is_final_with_the_last_chunk_that_reports_it(chunks: list[Any], _: int) -> None:
    """Usage reported at the beginning of a stream is not final."""
    meter, read = UsageMeter(unpriced("a")), reader(chunks)
    meter.record(chunks[0], read)
    assert not meter.has_final_usage
    for chunk in chunks[1:]:
        meter.record(chunk, read)
    assert meter.has_final_usage
    assert meter.usage is not None
    assert (meter.usage.input, meter.usage.output) == (9, 7)


@pytest.mark.parametrize(("chunks", "_"), STREAMS)
def test_text_is_replaced_in_a_copy(chunks: list[Any], _: int) -> None:
    """The copy has the new text; the chunk itself is not changed."""
    read = reader(chunks)
    assert read.replace_text is not None
    (chunk,) = [c for c in chunks if read.text(c) == "one "]
    assert read.text(read.replace_text(chunk, "e ")) == "e "
    assert read.text(chunk) == "one "


def test_replacing_text_of_a_completion_removes_the_role() -> None:
    """The role and the log probabilities are removed; other choices stay."""
    chunk = completion(role="assistant", content="one")
    chunk.choices[0].logprobs = {"content": []}
    chunk.choices += completion(index=1, content="uno").choices
    read = reader([chunk])
    assert read.replace_text is not None
    first, second = read.replace_text(chunk, "e").choices
    assert (first.delta.content, first.delta.role, first.logprobs) == ("e", None, None)
    assert second.delta.content == "uno"


def test_the_role_is_removed_in_a_copy() -> None:
    """In the middle of an answer; a chunk without a role stays itself."""
    chunk = thing(
        {
            "choices": [
                {"index": 0, "delta": {"content": "one"}, "finish_reason": None},
                {"index": 1, "delta": {"content": "two", "role": "assistant"}},
            ]
        }
    )
    reader = StreamPolicy().reader(chunk, None)
    edited = reader.as_continuation(chunk)
    assert [vars(choice.delta) for choice in edited.choices] == [
        {"content": "one"},
        {"content": "two", "role": None},
    ]
    assert chunk.choices[1].delta.role == "assistant"
    assert reader.as_continuation(edited) is edited


def test_replacing_text_of_gemini_keeps_thoughts() -> None:
    """The new text is in the first text part; thoughts stay as they are."""
    chunk = candidate({"text": "hm", "thought": True}, {"text": "on"}, {"text": "e"})
    read = reader([chunk])
    assert read.replace_text is not None
    parts = read.replace_text(chunk, "e")["candidates"][0]["content"]["parts"]
    assert [part["text"] for part in parts] == ["hm", "e", ""]


def test_text_in_the_start_of_a_block() -> None:
    """A block may start with text, which can be replaced too."""
    read, start = reader(MESSAGES), block(type="text", text="one")
    assert read.text(start) == "one"
    assert read.replace_text is not None
    assert read.text(read.replace_text(start, "e")) == "e"


@pytest.mark.parametrize("wrap", [dict, thing])
@pytest.mark.parametrize("name", ["promptFeedback", "prompt_feedback"])
def test_a_blocked_prompt_is_an_answer(wrap: Any, name: str) -> None:
    """Gemini answers a blocked prompt without candidates: that chunk is the complete answer."""
    chunk = wrap({name: thing({"blockReason": "SAFETY"})})
    read = reader([chunk])
    assert read.proves_end is not None
    assert read.proves_end(chunk)
    usage_only = {"usageMetadata": {}}
    assert not read.proves_end(usage_only)
    assert not read.content(usage_only)


def test_several_choices_of_objects() -> None:
    """Each of the requested choices must end."""
    first, second = completion("stop"), completion("stop", index=1)
    read = StreamPolicy().reader(first, {"messages": [], "n": 2})
    assert read.proves_end is not None
    assert [bool(read.proves_end(c)) for c in (first, first, second)] == [False, False, True]


def test_an_invalid_choice_fails_the_stream() -> None:
    """A choice of None raises, as it does in plain chunks."""
    read = reader(COMPLETIONS)
    with pytest.raises(TypeError, match="a choice must be an object"):
        read.content(thing({"choices": [None]}))


def test_hooks_take_precedence() -> None:
    """The hooks of the policy replace content, text and end of these formats too."""
    read = reader(MESSAGES, content=lambda _: True, text=lambda _: "x", complete=lambda _: "whole")
    assert (read.content(0), read.text(0), read.replace_text) == (True, "x", None)
    assert read.proves_end is not None
    assert read.proves_end(0) == "whole"


class Mock:
    """An object that has every attribute."""

    def __getattr__(self, name: str) -> Mock:
        return Mock()


@pytest.mark.parametrize("first", [Mock(), 7, None, {}, {"type": "other"}, ["choices"], object()])
def test_unknown_chunks_are_opaque(first: object) -> None:
    """Chunks of unknown type are content, without text, size or end."""
    read = StreamPolicy().reader(first)
    assert read.content(first)
    assert (read.text(first), read.size, read.proves_end, read.as_chat) == ("", None, None, None)


def test_chat_chunks_are_not_converted() -> None:
    """A chat chunk is read as it is."""
    chunk = {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}]}
    read = StreamPolicy().reader(chunk)
    assert read.as_chat is not None
    assert read.as_chat(chunk) is chunk
    assert read.text is chat.text_of
