"""Streams behind a real router: failover, results, time limits, continuation, cleanup."""

from __future__ import annotations

import asyncio
import gc
import math
from typing import Any

import anyio
import pytest

from multirouter import (
    AllProvidersFailed,
    AttemptTimeout,
    CallTimeout,
    Provider,
    ProviderError,
    StreamInterrupted,
    StreamPolicy,
    StreamRestarted,
    UsageError,
)
from multirouter.core.chat.completions import ERROR_FINISH_REASONS
from multirouter.model import FailureKind
from tests.scenarios.harness import TRIPS_AT_ONCE, Harness, harness
from tests.scenarios.scripted_streams import (
    CHAT,
    COMPLETE,
    CONNECTION_LOST,
    ROLE,
    TEXT,
    WORDS,
    chat_chunk,
    read,
    scripted_stream,
    streams_of,
    text_of,
)

# ── up to the first content ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(
            [ProviderError("overloaded", provider="a", kind=FailureKind.OVERLOADED)], id="event"
        ),
        pytest.param([], id="empty"),
        pytest.param(["", ""], id="nothing in it"),
        pytest.param([ROLE, CONNECTION_LOST], id="role, then an error"),
        pytest.param([ROLE], id="role, then the end"),
        pytest.param([{"choices": [None]}], id="invalid"),
    ],
)
async def test_failure_before_content_fails_over(script: list[Any]) -> None:
    """An error event in a 200, an empty stream or only a role fails over."""
    async with harness(scripted_stream("a", script), scripted_stream("b", COMPLETE)) as env:
        chunks = await read(env, CHAT, route=["a", "b"])
        assert chunks == COMPLETE
        assert [r.provider for r in env.recorder.attempts] == ["a", "b"]
        assert env.provider_snapshot("a")["failures"] == 1
        assert streams_of(env)["a"].open == 0


async def test_first_token_limit() -> None:
    """Silence before the content ends the attempt as `first_token`, and is counted as such."""
    async with harness(
        scripted_stream("a", [60, "late"]),
        scripted_stream("b", WORDS),
        stream=StreamPolicy(first_token=2),
    ) as env:
        started = anyio.current_time()
        assert await read(env, route=["a", "b"]) == WORDS
        assert anyio.current_time() - started == pytest.approx(2, abs=0.01)
        error = env.records("a")[0].error
        assert isinstance(error, AttemptTimeout)
        assert error.limit == "first_token"
        assert env.records("a")[0].verdict.reason.startswith("first_token")
        assert env.total("failovers_total", provider="a", reason="first_token") == 1


async def test_first_token_limit_adapts() -> None:
    """A provider that usually starts at once is cut off long before the maximum."""
    fast = [[0.1, "x"]] * 40
    async with harness(scripted_stream("a", *fast, [50, "x"]), scripted_stream("b", WORDS)) as env:
        for _ in fast:
            await read(env, route=["a", "b"])
        started = anyio.current_time()
        assert await read(env, route=["a", "b"]) == WORDS
        assert anyio.current_time() - started < 10


async def test_call_timeout_limits_the_search() -> None:
    """`timeout` ends at the first content, all attempts included, and is neutral."""
    async with harness(scripted_stream("a", [60, "x"]), scripted_stream("b", [60, "x"])) as env:
        with pytest.raises(CallTimeout):
            await read(env, timeout=3)
        assert [r.outcome for r in env.recorder.attempts] == ["cancelled"]
        assert env.recorder.calls[-1].result == "failure"


async def test_stream_without_a_provider() -> None:
    """Opening raises what a call raises, and the stream has the outcome and the trail."""
    async with harness(scripted_stream("a", [CONNECTION_LOST])) as env:
        stream = env.router.stream("q")
        with pytest.raises(AllProvidersFailed):
            await stream
        assert stream.outcome is not None
        assert stream.outcome.result == "failure"
        assert len(stream.attempts) == 1
        with pytest.raises(UsageError, match="not open"):
            _ = stream.provider
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


# ── results ─────────────────────────────────────────────────────────────────────────────────────


async def test_case_80_interruption_after_content_is_raised() -> None:
    """Case 80: no retry, no failover by default; the failure counts when the stream has ended."""
    async with harness(
        scripted_stream("a", ["x", 5, CONNECTION_LOST]),
        scripted_stream("b", WORDS),
        circuit=TRIPS_AT_ONCE,
    ) as env:
        received = []
        with pytest.raises(StreamInterrupted) as caught:
            async with env.router.stream("q", route=["a", "b"]) as stream:
                assert stream.provider == "a"
                async for chunk in stream:
                    received.append(chunk)
                    assert env.state("a") == "closed"
                    assert env.provider_snapshot("a")["in_flight"] == 1
        assert received == ["x"]
        assert env.state("a") == "open"
        assert (caught.value.provider, caught.value.chunks) == ("a", 1)
        assert caught.value.__cause__ is CONNECTION_LOST
        assert caught.value.elapsed == pytest.approx(5, abs=0.01)
        assert [r.provider for r in caught.value.attempts] == ["a"]
        assert streams_of(env)["b"].requests == []
        assert env.recorder.calls[-1].error is caught.value


@pytest.mark.parametrize("end", ["break", "aclose", "error"])
async def test_case_80_consumer_that_stops_is_neutral(end: str) -> None:
    """Case 80: stopping early closes the provider's stream at once, and is neutral."""
    async with harness(scripted_stream("a", ["x", "y", 100]), circuit=TRIPS_AT_ONCE) as env:
        started = anyio.current_time()
        try:
            async with env.router.stream("q") as stream:
                async for _ in stream:
                    if end == "aclose":
                        await stream.aclose()
                        await stream.aclose()
                    if end == "error":
                        raise KeyError(end)
                    break
        except KeyError:
            assert end == "error"
        assert streams_of(env)["a"].open == 0
        assert anyio.current_time() == started
        assert env.recorder.attempts[-1].outcome == "cancelled"
        assert env.recorder.calls[-1].result == "cancelled"
        assert env.provider_snapshot("a")["failures"] == 0
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_cancelled_consumer_is_neutral() -> None:
    """Cancellation during a read, or between two reads, closes the provider's stream."""
    async with harness(scripted_stream("a", ["x", 100]), circuit=TRIPS_AT_ONCE) as env:
        for between in (True, False):
            with anyio.move_on_after(3):
                async with env.router.stream("q") as stream:
                    await anext(stream)
                    await (anyio.sleep(50) if between else anext(stream))
            assert streams_of(env)["a"].open == 0
            assert env.recorder.attempts[-1].outcome == "cancelled"
            assert env.recorder.calls[-1].result == "cancelled"


@pytest.mark.backends("asyncio", "uvloop")
async def test_cancelled_task_is_neutral() -> None:
    """The same for an asyncio task that is cancelled during a read."""
    async with harness(scripted_stream("a", ["x", 100])) as env:
        task = asyncio.create_task(read(env))
        await anyio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert streams_of(env)["a"].open == 0
        assert env.recorder.attempts[-1].outcome == "cancelled"


async def test_cancelled_opening_is_neutral() -> None:
    """A caller cancelled before the first content leaves nothing behind."""
    async with harness(scripted_stream("a", [50, "x"])) as env:
        with anyio.move_on_after(1):
            await read(env)
        assert streams_of(env)["a"].open == 0
        assert env.recorder.calls[-1].result == "cancelled"


class PlainIterator:
    """An iterator that is no generator, so only the router closes it."""

    def __init__(self) -> None:
        self.closed = 0

    def __aiter__(self) -> PlainIterator:
        return self

    async def __anext__(self) -> str:
        return "x"

    async def aclose(self) -> None:
        self.closed += 1


async def test_dropped_stream_is_neutral() -> None:
    """Garbage collection returns the permit and closes the provider's stream, with a warning."""
    lines = PlainIterator()
    async with harness(Provider("a", stream=lambda _: lines)) as env:
        stream = await env.router.stream("q")
        await anext(stream)
        assert env.provider_snapshot("a")["in_flight"] == 1
        with pytest.warns(ResourceWarning, match="without being closed"):
            del stream
        gc.collect()
        await anyio.sleep(0.01)
        assert env.provider_snapshot("a")["in_flight"] == 0
        assert lines.closed == 1
        assert env.recorder.calls[-1].result == "cancelled"


async def test_stop_after_the_finish_reason_is_success() -> None:
    """A consumer that stops at the finish reason, as most do, is a success for the provider."""
    async with harness(scripted_stream("a", [*COMPLETE, 100])) as env:
        async with env.router.stream(CHAT) as stream:
            async for chunk in stream:
                if chunk["choices"][0]["finish_reason"]:
                    break
        assert env.recorder.attempts[-1].ok
        assert env.recorder.calls[-1].ok
        assert streams_of(env)["a"].open == 0


async def test_stop_before_reading_the_end_is_neutral() -> None:
    """An answer in one chunk is complete when it was read, not when it waits to be."""
    async with harness(scripted_stream("a", [chat_chunk("one", "stop")])) as env:
        async with env.router.stream(CHAT):
            pass
        assert env.recorder.attempts[-1].outcome == "cancelled"
        async with env.router.stream(CHAT) as stream:
            await anext(stream)
        assert env.recorder.attempts[-1].outcome == "success"


@pytest.mark.parametrize("after", [CONNECTION_LOST, 100], ids=["error", "silence"])
async def test_failure_after_the_finish_reason_is_ignored(after: Any) -> None:
    """An error, or an idle connection, after the finish reason ends a complete answer."""
    async with harness(scripted_stream("a", [*COMPLETE, after])) as env:
        assert await read(env, CHAT) == COMPLETE
        assert env.recorder.attempts[-1].ok


async def test_end_without_proof_is_interrupted() -> None:
    """A clean end without a finish reason, or without what `complete=` requires, is no success."""
    for request, script, policy in (
        (CHAT, COMPLETE[:-1], StreamPolicy()),
        ("q", WORDS, StreamPolicy(complete=lambda chunk: chunk == "END")),
    ):
        async with harness(scripted_stream("a", script), stream=policy) as env:
            with pytest.raises(StreamInterrupted, match="without proof"):
                await read(env, request)
            assert env.recorder.attempts[-1].verdict.kind is FailureKind.INTERRUPTED
            assert env.provider_snapshot("a")["failures"] == 1


@pytest.mark.parametrize("reason", sorted(ERROR_FINISH_REASONS))
async def test_error_finish_reason_is_a_failure(reason: str) -> None:
    """A finish reason by which a service reports its failure is a failure, of any choice."""
    script = [ROLE, chat_chunk("one "), chat_chunk(end=reason), chat_chunk(end="stop")]
    async with harness(scripted_stream("a", script), scripted_stream("b", COMPLETE)) as env:
        with pytest.raises(StreamInterrupted, match=reason):
            await read(env, CHAT)
        assert env.recorder.attempts[-1].verdict.kind is FailureKind.SERVER
    async with harness(
        scripted_stream("a", [chat_chunk(end=reason)]), scripted_stream("b", COMPLETE)
    ) as env:
        assert text_of(await read(env, CHAT)) == TEXT


async def test_every_choice_must_end() -> None:
    """With `n` answers the first finish reason proves nothing for the others."""
    other = {"choices": [{"index": 1, "delta": {"content": "x"}, "finish_reason": "stop"}]}
    request = CHAT | {"n": 2}
    async with harness(scripted_stream("a", COMPLETE, [*COMPLETE, other])) as env:
        with pytest.raises(StreamInterrupted):
            await read(env, request)
        assert await read(env, request) == [*COMPLETE, other]


# ── time limits ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("limit", "policy", "at", "script"),
    [
        ("idle", StreamPolicy(idle=4), 4, ["x", 60, "y"]),
        ("total", StreamPolicy(total=6), 6, ["x", *[1, "y"] * 60]),
        ("min_rate", StreamPolicy(min_rate=2, rate_window=5), 5, ["x" * 5, *[1, "y"] * 60]),
        ("min_rate", StreamPolicy(min_rate=2, rate_window=5), 5, ["x", 60, "y"]),
        ("min_rate", StreamPolicy(min_rate=2, rate_window=5), 15, ["x", 1, "y" * 20, 14, "z"]),
    ],
)
async def test_each_limit_has_its_reason(
    limit: str, policy: StreamPolicy, at: float, script: list[Any]
) -> None:
    """Verdict, trail and error name the limit that was exceeded, at the time it is exceeded."""
    async with harness(scripted_stream("a", script), stream=policy) as env:
        started = anyio.current_time()
        with pytest.raises(StreamInterrupted) as caught:
            await read(env)
        assert anyio.current_time() - started == pytest.approx(at, abs=0.05)
        cause = caught.value.__cause__
        assert isinstance(cause, AttemptTimeout)
        assert cause.limit == limit
        record = env.recorder.attempts[-1]
        assert record.verdict.kind is FailureKind.TIMEOUT
        assert record.verdict.reason.startswith(limit)
        assert env.provider_snapshot("a")["failures"] == 1
        assert streams_of(env)["a"].open == 0


async def test_failover_reason_is_the_limit() -> None:
    """The failover's reason is the limit that was exceeded."""
    policy = StreamPolicy(idle=4, on_interrupt="restart")
    async with harness(
        scripted_stream("a", ["x", 60]), scripted_stream("b", WORDS), stream=policy
    ) as env:
        await read(env, route=["a", "b"])
        assert env.total("failovers_total", provider="a", reason="idle") == 1
        assert env.recorder.of("failed_over")[0].limit == "idle"


async def test_slow_consumer_is_neutral() -> None:
    """Its time counts for neither `idle` nor `min_rate`; a `total` that it spends is neutral."""
    policy = StreamPolicy(idle=2, min_rate=1, rate_window=1)
    async with harness(scripted_stream("a", [*["x", 0.1] * 20]), stream=policy) as env:
        async with env.router.stream("q") as stream:
            async for _ in stream:
                await anyio.sleep(30)
        assert env.recorder.attempts[-1].ok
    async with harness(scripted_stream("a", ["x", "y"]), stream=StreamPolicy(total=20)) as env:
        with pytest.raises(StreamInterrupted):
            async with env.router.stream("q") as stream:
                async for _ in stream:
                    await anyio.sleep(30)
        assert env.recorder.attempts[-1].outcome == "cancelled"
        assert env.provider_snapshot("a")["failures"] == 0


async def test_reasoning_counts_for_the_rate() -> None:
    """Reasoning and tool calls count as characters."""
    thought = chat_chunk(reasoning_content="hm " * 10)
    called = chat_chunk(tool_calls=[{"function": {"arguments": "x" * 30}}])
    legacy = chat_chunk(function_call={"arguments": "x" * 30})
    script = [*[thought, 1] * 10, *[called, 1] * 10, *[legacy, 1] * 10, chat_chunk(end="stop")]
    async with harness(
        scripted_stream("a", script), stream=StreamPolicy(min_rate=5, rate_window=3)
    ) as env:
        assert len(await read(env, CHAT)) == 31


async def test_idle_of_a_provider_comes_first() -> None:
    """The provider's own `idle=` goes before the policy's."""
    async with harness(
        scripted_stream("a", ["x", 50, "y"], idle=60), stream=StreamPolicy(idle=1)
    ) as env:
        assert await read(env) == ["x", "y"]
    async with harness(
        scripted_stream("a", ["x", 5000, "y"]), stream=StreamPolicy(idle=math.inf)
    ) as env:
        assert await read(env) == ["x", "y"]


# ── continuation ────────────────────────────────────────────────────────────────────────────────

CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CONTINUE = StreamPolicy(on_interrupt="continue")
END = chat_chunk(end="stop")
HALF = [ROLE, chat_chunk("one "), chat_chunk("two"), CONNECTION_LOST]


def assert_continued(env: Harness, mode: str) -> None:
    """Exactly one continuation is reported, counted and in the trail."""
    (event,) = env.recorder.of("stream_continued")
    assert (event.mode, event.provider, event.to) == (mode, "a", "b")
    assert env.total("stream_continuations_total", mode=mode, route="adhoc") == 1
    assert env.total("stream_continuations_total") == 1
    last = env.recorder.attempts[-1]
    assert f"continued by {mode} after {event.chunks} chunks from a" in last.why
    assert env.recorder.calls[-1].ok
    assert env.recorder.calls[-1].failovers == 1


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


PREFILL_REJECTED = ProviderError(
    "prefill is not supported", provider="b", kind=FailureKind.REQUEST, status=400
)


async def test_rejected_prefill_falls_back_to_matching() -> None:
    """After a 400 to a prefill the same provider is attempted by matching."""
    b = scripted_stream(
        "b",
        [PREFILL_REJECTED],
        [chat_chunk("one two three four", "stop")],
        capabilities=["prefill"],
    )
    async with harness(scripted_stream("a", HALF), b, stream=CONTINUE) as env:
        assert text_of(await read(env, CHAT, route=["a", "b"])) == TEXT
        assert len(streams_of(env)["b"].requests) == 2
        assert_continued(env, "match")


async def test_rejected_continuation_fails_over() -> None:
    """A provider that rejects is skipped; when all do, the interruption itself is the cause."""
    never = [PREFILL_REJECTED], [PREFILL_REJECTED], [PREFILL_REJECTED]
    b = scripted_stream("b", *never, capabilities=["prefill"])
    c = scripted_stream("c", [chat_chunk("one two three four", "stop")])
    async with harness(scripted_stream("a", HALF), b, c, stream=CONTINUE) as env:
        assert text_of(await read(env, CHAT, route=["a", "b", "c"])) == TEXT
        with pytest.raises(StreamInterrupted, match="no provider could continue") as caught:
            await read(env, CHAT, route=["a", "b"])
        assert caught.value.__cause__ is CONNECTION_LOST
        assert env.provider_snapshot("b")["failures"] == 0


@pytest.mark.parametrize(
    ("chunk", "request_"),
    [
        pytest.param(
            chat_chunk(tool_calls=[{"index": 0, "function": {"arguments": "{"}}]), CHAT, id="tool"
        ),
        pytest.param(chat_chunk(refusal="I ca"), CHAT, id="refusal"),
        pytest.param({"choices": [{"index": 1, "delta": {"content": "x"}}]}, CHAT, id="choice"),
        pytest.param(object(), "q", id="opaque"),
    ],
)
async def test_only_text_is_continued(chunk: Any, request_: Any) -> None:
    """A tool call, a refusal, a second answer, an unknown object: raised, not guessed."""
    async with harness(
        scripted_stream("a", [chunk, CONNECTION_LOST]),
        scripted_stream("b", COMPLETE),
        stream=CONTINUE,
    ) as env:
        with pytest.raises(StreamInterrupted, match="more than the text"):
            await read(env, request_, route=["a", "b"])
        assert streams_of(env)["b"].requests == []
    restart = StreamPolicy(on_interrupt="restart")
    async with harness(
        scripted_stream("a", [chunk, CONNECTION_LOST]),
        scripted_stream("b", COMPLETE),
        stream=restart,
    ) as env:
        assert await read(env, request_, route=["a", "b"]) == [
            chunk,
            StreamRestarted("b", 1),
            *COMPLETE,
        ]
        assert_continued(env, "restart")


async def test_several_choices_are_never_continued() -> None:
    """The delivered text may be that of one choice; the other would lose its beginning."""
    async with harness(
        scripted_stream("a", HALF), scripted_stream("b", COMPLETE), stream=CONTINUE
    ) as env:
        with pytest.raises(StreamInterrupted, match="another choice"):
            await read(env, {**CHAT, "n": 2}, route=["a", "b"])
        assert streams_of(env)["b"].requests == []


async def test_restart() -> None:
    """The consumer gets a marker, then the whole answer, its first chunks included."""
    policy = StreamPolicy(on_interrupt="restart")
    async with harness(
        scripted_stream("a", HALF), scripted_stream("b", COMPLETE), stream=policy
    ) as env:
        chunks = await read(env, CHAT, route=["a", "b"])
        assert chunks == [*HALF[:3], StreamRestarted("b", 3), *COMPLETE]
        assert_continued(env, "restart")


async def test_continuation_may_be_interrupted_too() -> None:
    """Each interruption is continued in its turn, as long as a provider is left."""
    providers = [
        scripted_stream(n, s)
        for n, s in {
            "a": HALF,
            "b": [chat_chunk("one two three "), CONNECTION_LOST],
            "c": [chat_chunk(TEXT, "stop")],
        }.items()
    ]
    async with harness(*providers, stream=CONTINUE) as env:
        assert text_of(await read(env, CHAT, route=["a", "b", "c"])) == TEXT
        assert [event.to for event in env.recorder.of("stream_continued")] == ["b", "c"]


async def test_non_idempotent_stream_is_not_continued() -> None:
    """With `idempotent=False` an interrupted stream is not continued, and the error says why."""
    async with harness(
        scripted_stream("a", HALF), scripted_stream("b", COMPLETE), stream=CONTINUE
    ) as env:
        with pytest.raises(StreamInterrupted, match="idempotent=False"):
            await read(env, CHAT, route=["a", "b"], idempotent=False)
        assert streams_of(env)["b"].requests == []


async def test_search_for_a_continuation_is_limited() -> None:
    """A continuation has the call's timeout again, and no more than is left of `total`."""
    slow = scripted_stream("b", [500, chat_chunk(TEXT, "stop")], attempt_timeout=400)
    for policy, at in ((CONTINUE, 30), (StreamPolicy(on_interrupt="continue", total=7), 7)):
        async with harness(scripted_stream("a", HALF), slow, stream=policy) as env:
            started = anyio.current_time()
            with pytest.raises(StreamInterrupted) as caught:
                await read(env, CHAT, route=["a", "b"], timeout=30)
            assert anyio.current_time() - started == pytest.approx(at, abs=0.1)
            assert caught.value.__cause__ is CONNECTION_LOST
            assert env.recorder.attempts[-1].outcome == "cancelled"


async def test_long_repetition_is_no_slow_first_token() -> None:
    """A provider that repeats minutes of text has time for it, as long as it is not idle."""
    long = [chat_chunk(f"{n} ") for n in range(60)]
    repeated = [step for chunk in long for step in (chunk, 1)]
    policy = StreamPolicy(on_interrupt="continue", first_token=5)
    providers = (
        scripted_stream("a", [*long, CONNECTION_LOST]),
        scripted_stream("b", [*repeated, chat_chunk("end", "stop")]),
    )
    async with harness(*providers, stream=policy) as env:
        assert text_of(await read(env, CHAT, route=["a", "b"])).endswith("59 end")
        assert env.recorder.attempts[-1].first_content == pytest.approx(0, abs=0.1)


async def test_continuation_has_its_own_limits() -> None:
    """After a continuation the next provider's own `idle` applies, and its failure is its own."""
    policy = StreamPolicy(on_interrupt="restart")
    b = scripted_stream("b", ["y", 9, "z", 60], idle=10)
    async with harness(
        scripted_stream("a", ["x", CONNECTION_LOST], idle=2), b, stream=policy
    ) as env:
        with pytest.raises(StreamInterrupted) as caught:
            await read(env, route=["a", "b"])
        assert caught.value.provider == "b"
        assert str(caught.value.__cause__) == "'b' sent nothing for idle=10 s"


async def test_no_continuation_after_the_total() -> None:
    """A stream whose total has passed ends, whatever `on_interrupt` says."""
    policy = StreamPolicy(on_interrupt="restart", total=5)
    async with harness(
        scripted_stream("a", ["x", 60]), scripted_stream("b", WORDS), stream=policy
    ) as env:
        with pytest.raises(StreamInterrupted, match="total has passed"):
            await read(env, route=["a", "b"])


async def test_cancelled_during_a_continuation() -> None:
    """Cancelled during the search: nothing stays open, and all metrics add up."""
    async with harness(
        scripted_stream("a", HALF),
        scripted_stream("b", [50, chat_chunk(TEXT, "stop")]),
        stream=CONTINUE,
    ) as env:
        with anyio.move_on_after(5):
            await read(env, CHAT, route=["a", "b"])
        assert [stream.open for stream in streams_of(env).values()] == [0, 0]
        assert env.recorder.calls[-1].result == "cancelled"
        assert [r.outcome for r in env.recorder.attempts] == ["failure", "cancelled"]


async def test_stream_closed_during_an_interruption() -> None:
    """Another task closes it while the interrupted one is closing: no further attempt."""

    class Slow:
        chunks = 0

        def __aiter__(self) -> Slow:
            return self

        async def __anext__(self) -> str:
            self.chunks += 1
            if self.chunks > 1:
                raise CONNECTION_LOST.with_traceback(None)
            return "one "

        async def aclose(self) -> None:
            await anyio.sleep(0.5)

    async def close(stream: Any) -> None:
        await anyio.sleep(0.25)
        await stream.aclose()

    a, b = Provider("a", stream=lambda _: Slow()), scripted_stream("b", WORDS)
    async with harness(a, b, stream=CONTINUE) as env, anyio.create_task_group() as group:
        async with env.router.stream("q", route=["a", "b"]) as stream:
            assert await anext(stream) == "one "
            group.start_soon(close, stream)
            assert [chunk async for chunk in stream] == []
        assert streams_of(env)["b"].requests == []
