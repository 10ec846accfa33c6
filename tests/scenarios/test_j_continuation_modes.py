"""Section J: continuation of an interrupted stream by hook, prefill, matching and instruction."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter import (
    StreamInterrupted,
    StreamPolicy,
)
from tests.scenarios.harness import harness
from tests.scenarios.scripted_streams import (
    CALL,
    CHAT,
    CONNECTION_LOST,
    CONTINUE,
    HALF,
    ROLE,
    TEXT,
    WORDS,
    assert_continued,
    chat_chunk,
    read,
    scripted_stream,
    streams_of,
    text_of,
)


async def test_continue_by_the_users_hook() -> None:
    """`resume=` builds the request from the original and the text so far; the rest follows."""
    policy = StreamPolicy(on_interrupt="continue", resume=lambda q, text: f"{q}|{text}")
    async with harness(
        scripted_stream("a", ["one ", CONNECTION_LOST]),
        scripted_stream("b", WORDS[1:]),
        stream=policy,
    ) as env:
        async with env.router.stream("q", route=["a", "b"]) as stream:
            assert "".join([chunk async for chunk in stream]) == TEXT
            assert stream.provider == "b"
        assert streams_of(env)["b"].requests == ["q|one "]
        assert_continued(env, "resume")


async def test_continue_by_prefill() -> None:
    """A provider with prefill gets the text as the assistant's turn; its role is not repeated."""
    rest = [ROLE, chat_chunk(" three "), chat_chunk("four"), chat_chunk(end="stop")]
    b = scripted_stream("b", rest, capabilities=["prefill"])
    async with harness(scripted_stream("a", HALF), b, stream=CONTINUE) as env:
        chunks = await read(env, CHAT, route=["a", "b"])
        assert text_of(chunks) == TEXT
        assert chunks.count(ROLE) == 1
        assert streams_of(env)["b"].requests[0]["messages"][-1] == {
            "role": "assistant",
            "content": "one two",
        }
        assert_continued(env, "prefill")


@pytest.mark.parametrize("mode", ["prefill", "instruct", "resume"])
async def test_reasoning_before_a_continuation_is_dropped(mode: str) -> None:
    """Reasoning before a continuation's first text is left out; later reasoning is not."""
    thought, later = chat_chunk(reasoning_content="hm"), chat_chunk(reasoning_content="so")
    rest = [ROLE, thought, chat_chunk(" three "), later, chat_chunk("four", "stop")]
    script = [[chat_chunk("eins")], rest] if mode == "instruct" else [rest]
    policy = StreamPolicy(
        on_interrupt="continue", resume=(lambda q, _: q) if mode == "resume" else None
    )
    b = scripted_stream("b", *script, capabilities=["prefill"] if mode == "prefill" else [])
    async with harness(scripted_stream("a", HALF), b, stream=policy) as env:
        chunks = await read(env, CHAT, route=["a", "b"])
        assert text_of(chunks) == TEXT
        assert thought not in chunks
        assert later in chunks
        assert_continued(env, mode)


@pytest.mark.parametrize("repeats", [True, False])
async def test_prefill_never_ends_in_whitespace(repeats: bool) -> None:
    """Anthropic rejects trailing whitespace; a provider that repeats it is cut, another is not."""
    script = [chat_chunk(" two" if repeats else "two"), chat_chunk(end="stop")]
    b = scripted_stream("b", script, capabilities=["prefill"])
    async with harness(
        scripted_stream("a", [chat_chunk("one "), CONNECTION_LOST]), b, stream=CONTINUE
    ) as env:
        assert text_of(await read(env, CHAT, route=["a", "b"])) == "one two"
        assert streams_of(env)["b"].requests[0]["messages"][-1]["content"] == "one"


@pytest.mark.parametrize(
    "repeated",
    [
        pytest.param(
            [
                ROLE,
                chat_chunk("o"),
                chat_chunk("ne t"),
                chat_chunk("wo three "),
                chat_chunk("four"),
                chat_chunk(end="stop"),
            ],
            id="cut",
        ),
        pytest.param(
            [ROLE, chat_chunk("one two"), chat_chunk(" three four", "stop")], id="at the edge"
        ),
        pytest.param(
            [chat_chunk(reasoning_content="hm"), chat_chunk("one two three four", "stop")],
            id="reasoning",
        ),
    ],
)
async def test_continue_by_matching(repeated: list[Any]) -> None:
    """The same request again; repeated text is held back, cut to the character."""
    async with harness(
        scripted_stream("a", [ROLE, chat_chunk("one "), chat_chunk("two"), CONNECTION_LOST]),
        scripted_stream("b", repeated),
        stream=CONTINUE,
    ) as env:
        chunks = await read(env, CHAT, route=["a", "b"])
        assert text_of(chunks) == TEXT
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
        assert chunks.count(ROLE) == 1
        assert streams_of(env)["b"].requests == [CHAT]
        assert_continued(env, "match")


@pytest.mark.parametrize("capabilities", [[], ["prefill"]])
@pytest.mark.parametrize(
    "repeated",
    [
        pytest.param(
            [ROLE, chat_chunk("one two ", tool_calls=[CALL])], id="beside the repeated text"
        ),
        pytest.param([ROLE, chat_chunk("one two "), chat_chunk(tool_calls=[CALL])], id="after it"),
        pytest.param([ROLE, chat_chunk(tool_calls=[CALL])], id="instead of it"),
    ],
)
async def test_tool_call_is_not_cut_off(repeated: list[Any], capabilities: list[str]) -> None:
    """A tool call next to whitespace or text that is cut off is passed on whole."""
    end = chat_chunk(end="tool_calls")
    a = scripted_stream("a", [ROLE, chat_chunk("one "), chat_chunk("two "), CONNECTION_LOST])
    b = scripted_stream("b", [*repeated, end], capabilities=capabilities)
    async with harness(a, b, stream=CONTINUE) as env:
        *_, last_but_one, last = await read(env, CHAT, route=["a", "b"])
        assert last_but_one["choices"][0]["delta"]["tool_calls"] == [CALL]
        assert last == end


async def test_plain_strings_are_matched() -> None:
    """Plain strings are matched and cut; an answer that was delivered completely just ends."""
    async with harness(
        scripted_stream("a", ["one ", "tw", CONNECTION_LOST]),
        scripted_stream("b", [TEXT]),
        stream=CONTINUE,
    ) as env:
        assert "".join(await read(env, route=["a", "b"])) == TEXT
        assert_continued(env, "match")
    async with harness(
        scripted_stream("a", [TEXT, CONNECTION_LOST]), scripted_stream("b", WORDS), stream=CONTINUE
    ) as env:
        assert await read(env, route=["a", "b"]) == [TEXT]
        assert env.recorder.calls[-1].ok
    async with harness(
        scripted_stream("a", [TEXT, CONNECTION_LOST]),
        scripted_stream("b", WORDS[:2]),
        stream=CONTINUE,
    ) as env:
        with pytest.raises(StreamInterrupted):
            await read(env, route=["a", "b"])
        assert env.records("b")[0].verdict.reason == "diverged"


async def test_last_chunk_is_kept() -> None:
    """When only the end is missing, the finish reason arrives, and no text twice."""
    a, b = (
        scripted_stream("a", [chat_chunk("one two"), CONNECTION_LOST]),
        scripted_stream("b", [chat_chunk("one "), chat_chunk("two", "stop")]),
    )
    async with harness(a, b, stream=CONTINUE) as env:
        chunks = await read(env, CHAT, route=["a", "b"])
        assert text_of(chunks) == "one two"
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    "other",
    [
        pytest.param([chat_chunk("eins "), chat_chunk("zwei", "stop")], id="other words"),
        pytest.param([chat_chunk("one ", "stop")], id="shorter"),
    ],
)
async def test_divergence_is_instructed(other: list[Any]) -> None:
    """The same provider gets an instruction to continue, and no failure is counted."""
    rest = [ROLE, chat_chunk(" three four"), chat_chunk(end="stop")]
    async with harness(
        scripted_stream("a", HALF), scripted_stream("b", other, rest), stream=CONTINUE
    ) as env:
        assert text_of(await read(env, CHAT, route=["a", "b"])) == TEXT
        repeated, instructed = streams_of(env)["b"].requests
        assert repeated == CHAT
        assert [m["role"] for m in instructed["messages"]] == ["user", "assistant", "user"]
        assert streams_of(env)["b"].open == 0
        assert_continued(env, "instruct")


async def test_divergence_may_raise() -> None:
    """`on_divergence="raise"`: others are attempted, then the first error is raised, neutral."""
    policy = StreamPolicy(on_interrupt="continue", on_divergence="raise")
    providers = [
        scripted_stream("a", HALF),
        scripted_stream("b", [chat_chunk("eins")]),
        scripted_stream("c", [chat_chunk("un")]),
    ]
    async with harness(*providers, stream=policy) as env:
        with pytest.raises(StreamInterrupted, match="gone") as caught:
            await read(env, CHAT, route=["a", "b", "c"])
        assert caught.value.__cause__ is CONNECTION_LOST
        assert caught.value.provider == "a"
        assert {r.provider for r in caught.value.attempts} == {"a", "b", "c"}
        assert [env.provider_snapshot(name)["failures"] for name in "abc"] == [1, 0, 0]
        assert env.total("stream_continuations_total") == 0
