"""Streams behind a real router: what counts, what is mended, what is left behind (nothing)."""

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
from multirouter.core.chat.completions import BROKEN_OFF
from multirouter.model import FailureKind
from tests.scenarios.kit import BRITTLE, House, house
from tests.scenarios.tapes import (
    CHAT,
    GONE,
    ROLE,
    TEXT,
    WHOLE,
    WORDS,
    read,
    said,
    tape,
    tapes,
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
        pytest.param([ROLE, GONE], id="role, then an error"),
        pytest.param([ROLE], id="role, then the end"),
        pytest.param([{"choices": [None]}], id="rubbish"),
    ],
)
async def test_what_fails_before_content_fails_over(script: list[Any]) -> None:
    """An error event in a 200, an empty stream or a mere role commits to nothing."""
    async with house(tape("a", script), tape("b", WHOLE)) as home:
        chunks = await read(home, CHAT, route=["a", "b"])
        assert chunks == WHOLE
        assert [r.provider for r in home.news.attempts] == ["a", "b"]
        assert home.seen("a")["failures"] == 1
        assert tapes(home)["a"].open == 0


async def test_the_first_token_has_a_limit_of_its_own() -> None:
    """Silence before the content ends the attempt as `first_token`, and is counted as such."""
    async with house(
        tape("a", [60, "late"]), tape("b", WORDS), stream=StreamPolicy(first_token=2)
    ) as home:
        begun = anyio.current_time()
        assert await read(home, route=["a", "b"]) == WORDS
        assert anyio.current_time() - begun == pytest.approx(2, abs=0.01)
        error = home.records("a")[0].error
        assert isinstance(error, AttemptTimeout)
        assert error.limit == "first_token"
        assert home.records("a")[0].verdict.reason.startswith("first_token")
        assert home.total("failovers_total", provider="a", reason="first_token") == 1


async def test_the_first_token_adapts() -> None:
    """A provider known to begin at once is cut off long before the ceiling."""
    fast = [[0.1, "x"]] * 40
    async with house(tape("a", *fast, [50, "x"]), tape("b", WORDS)) as home:
        for _ in fast:
            await read(home, route=["a", "b"])
        begun = anyio.current_time()
        assert await read(home, route=["a", "b"]) == WORDS
        assert anyio.current_time() - begun < 10


async def test_the_calls_timeout_bounds_the_search() -> None:
    """`timeout` is up to the first content, all attempts included; the provider is not blamed."""
    async with house(tape("a", [60, "x"]), tape("b", [60, "x"])) as home:
        with pytest.raises(CallTimeout):
            await read(home, timeout=3)
        assert [r.outcome for r in home.news.attempts] == ["cancelled"]
        assert home.news.calls[-1].result == "failure"


async def test_a_stream_that_nobody_serves() -> None:
    """The opening raises what a call raises, and the stream has the outcome and the trail."""
    async with house(tape("a", [GONE])) as home:
        stream = home.router.stream("q")
        with pytest.raises(AllProvidersFailed):
            await stream
        assert stream.outcome is not None
        assert stream.outcome.result == "failure"
        assert len(stream.attempts) == 1
        with pytest.raises(UsageError, match="not open"):
            _ = stream.provider
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


# ── how it ends ─────────────────────────────────────────────────────────────────────────────────


async def test_case_80_a_break_after_content_is_raised_and_counts_at_its_end() -> None:
    """Case 80: no retry, no failover by default; the failure counts when the stream has ended."""
    async with house(tape("a", ["x", 5, GONE]), tape("b", WORDS), circuit=BRITTLE) as home:
        got = []
        with pytest.raises(StreamInterrupted) as caught:
            async with home.router.stream("q", route=["a", "b"]) as stream:
                assert stream.provider == "a"
                async for chunk in stream:
                    got.append(chunk)
                    assert home.state("a") == "closed"
                    assert home.seen("a")["in_flight"] == 1
        assert got == ["x"]
        assert home.state("a") == "open"
        assert (caught.value.provider, caught.value.chunks) == ("a", 1)
        assert caught.value.__cause__ is GONE
        assert caught.value.elapsed == pytest.approx(5, abs=0.01)
        assert [r.provider for r in caught.value.attempts] == ["a"]
        assert tapes(home)["b"].asked == []
        assert home.news.calls[-1].error is caught.value


@pytest.mark.parametrize("end", ["break", "aclose", "error"])
async def test_case_80_a_consumer_that_stops_is_neutral(end: str) -> None:
    """Case 80: who stops early closes the upstream at once, and says nothing about it."""
    async with house(tape("a", ["x", "y", 100]), circuit=BRITTLE) as home:
        begun = anyio.current_time()
        try:
            async with home.router.stream("q") as stream:
                async for _ in stream:
                    if end == "aclose":
                        await stream.aclose()
                        await stream.aclose()
                    if end == "error":
                        raise KeyError(end)
                    break
        except KeyError:
            assert end == "error"
        assert tapes(home)["a"].open == 0
        assert anyio.current_time() == begun
        assert home.news.attempts[-1].outcome == "cancelled"
        assert home.news.calls[-1].result == "cancelled"
        assert home.seen("a")["failures"] == 0
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_a_cancelled_consumer_is_neutral() -> None:
    """Cancellation amid a read, or between two reads, closes the upstream and blames nobody."""
    async with house(tape("a", ["x", 100]), circuit=BRITTLE) as home:
        for between in (True, False):
            with anyio.move_on_after(3):
                async with home.router.stream("q") as stream:
                    await anext(stream)
                    await (anyio.sleep(50) if between else anext(stream))
            assert tapes(home)["a"].open == 0
            assert home.news.attempts[-1].outcome == "cancelled"
            assert home.news.calls[-1].result == "cancelled"


@pytest.mark.backends("asyncio", "uvloop")
async def test_a_cancelled_task_is_neutral() -> None:
    """The same for a task of asyncio's own that is cancelled amid a read."""
    async with house(tape("a", ["x", 100])) as home:
        task = asyncio.create_task(read(home))
        await anyio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert tapes(home)["a"].open == 0
        assert home.news.attempts[-1].outcome == "cancelled"


async def test_a_cancelled_opening_is_neutral() -> None:
    """A caller who leaves before the first content leaves nothing behind."""
    async with house(tape("a", [50, "x"])) as home:
        with anyio.move_on_after(1):
            await read(home)
        assert tapes(home)["a"].open == 0
        assert home.news.calls[-1].result == "cancelled"


class Lines:
    """An iterator that is no generator, so nothing but the router closes it."""

    def __init__(self) -> None:
        self.closed = 0

    def __aiter__(self) -> Lines:
        return self

    async def __anext__(self) -> str:
        return "x"

    async def aclose(self) -> None:
        self.closed += 1


async def test_a_stream_that_is_dropped_is_neutral() -> None:
    """Garbage collection gives the permit back and closes the upstream; a warning tells of it."""
    lines = Lines()
    async with house(Provider("a", stream=lambda _: lines)) as home:
        stream = await home.router.stream("q")
        await anext(stream)
        assert home.seen("a")["in_flight"] == 1
        with pytest.warns(ResourceWarning, match="without being closed"):
            del stream
        gc.collect()
        await anyio.sleep(0.01)
        assert home.seen("a")["in_flight"] == 0
        assert lines.closed == 1
        assert home.news.calls[-1].result == "cancelled"


async def test_who_stops_after_the_proof_has_a_whole_answer() -> None:
    """A consumer that leaves at the finish reason, as most do, is a success for the provider."""
    async with house(tape("a", [*WHOLE, 100])) as home:
        async with home.router.stream(CHAT) as stream:
            async for chunk in stream:
                if chunk["choices"][0]["finish_reason"]:
                    break
        assert home.news.attempts[-1].ok
        assert home.news.calls[-1].ok
        assert tapes(home)["a"].open == 0


async def test_who_stops_before_he_has_the_proof_is_neutral() -> None:
    """An answer in one chunk is whole when it was read, not when it merely waits to be."""
    async with house(tape("a", [said("one", "stop")])) as home:
        async with home.router.stream(CHAT):
            pass
        assert home.news.attempts[-1].outcome == "cancelled"
        async with home.router.stream(CHAT) as stream:
            await anext(stream)
        assert home.news.attempts[-1].outcome == "success"


@pytest.mark.parametrize("after", [GONE, 100], ids=["error", "silence"])
async def test_what_goes_wrong_after_the_proof_harms_nobody(after: Any) -> None:
    """An error, or an idle connection, after the finish reason is the end of a whole answer."""
    async with house(tape("a", [*WHOLE, after])) as home:
        assert await read(home, CHAT) == WHOLE
        assert home.news.attempts[-1].ok


async def test_no_proof_is_no_success() -> None:
    """A clean end without a finish reason, or without what `complete=` wants, is none."""
    for request, script, policy in (
        (CHAT, WHOLE[:-1], StreamPolicy()),
        ("q", WORDS, StreamPolicy(complete=lambda chunk: chunk == "END")),
    ):
        async with house(tape("a", script), stream=policy) as home:
            with pytest.raises(StreamInterrupted, match="without proof"):
                await read(home, request)
            assert home.news.attempts[-1].verdict.kind is FailureKind.INTERRUPTED
            assert home.seen("a")["failures"] == 1


@pytest.mark.parametrize("reason", sorted(BROKEN_OFF))
async def test_an_end_that_tells_of_a_failure_proves_nothing(reason: str) -> None:
    """A finish reason by which a service says that it failed is its failure, of any choice."""
    broken = [ROLE, said("one "), said(end=reason), said(end="stop")]
    async with house(tape("a", broken), tape("b", WHOLE)) as home:
        with pytest.raises(StreamInterrupted, match=reason):
            await read(home, CHAT)
        assert home.news.attempts[-1].verdict.kind is FailureKind.SERVER
    async with house(tape("a", [said(end=reason)]), tape("b", WHOLE)) as home:
        assert text_of(await read(home, CHAT)) == TEXT


async def test_every_choice_must_end() -> None:
    """With `n` answers the first finish reason proves nothing for the others."""
    other = {"choices": [{"index": 1, "delta": {"content": "x"}, "finish_reason": "stop"}]}
    request = CHAT | {"n": 2}
    async with house(tape("a", WHOLE, [*WHOLE, other])) as home:
        with pytest.raises(StreamInterrupted):
            await read(home, request)
        assert await read(home, request) == [*WHOLE, other]


# ── the limits of a stream that flows ───────────────────────────────────────────────────────────


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
    """Verdict, trail, error and failover tell which of the limits has passed, when it passes."""
    async with house(tape("a", script), stream=policy) as home:
        begun = anyio.current_time()
        with pytest.raises(StreamInterrupted) as caught:
            await read(home)
        assert anyio.current_time() - begun == pytest.approx(at, abs=0.05)
        cause = caught.value.__cause__
        assert isinstance(cause, AttemptTimeout)
        assert cause.limit == limit
        record = home.news.attempts[-1]
        assert record.verdict.kind is FailureKind.TIMEOUT
        assert record.verdict.reason.startswith(limit)
        assert home.seen("a")["failures"] == 1
        assert tapes(home)["a"].open == 0


async def test_a_limit_is_counted_where_it_fails_over() -> None:
    """The failover's reason is the limit that has passed."""
    policy = StreamPolicy(idle=4, on_interrupt="restart")
    async with house(tape("a", ["x", 60]), tape("b", WORDS), stream=policy) as home:
        await read(home, route=["a", "b"])
        assert home.total("failovers_total", provider="a", reason="idle") == 1
        assert home.news.of("failed_over")[0].limit == "idle"


async def test_a_slow_consumer_is_nobodys_fault() -> None:
    """Its own time counts for no idle and no rate, and a total that it spends is neutral."""
    policy = StreamPolicy(idle=2, min_rate=1, rate_window=1)
    async with house(tape("a", [*["x", 0.1] * 20]), stream=policy) as home:
        async with home.router.stream("q") as stream:
            async for _ in stream:
                await anyio.sleep(30)
        assert home.news.attempts[-1].ok
    async with house(tape("a", ["x", "y"]), stream=StreamPolicy(total=20)) as home:
        with pytest.raises(StreamInterrupted):
            async with home.router.stream("q") as stream:
                async for _ in stream:
                    await anyio.sleep(30)
        assert home.news.attempts[-1].outcome == "cancelled"
        assert home.seen("a")["failures"] == 0


async def test_thinking_is_no_silence() -> None:
    """A model that thinks aloud, or writes a tool call, brings characters as well as any."""
    thought = said(reasoning_content="hm " * 10)
    called = said(tool_calls=[{"function": {"arguments": "x" * 30}}])
    of_old = said(function_call={"arguments": "x" * 30})
    script = [*[thought, 1] * 10, *[called, 1] * 10, *[of_old, 1] * 10, said(end="stop")]
    async with house(tape("a", script), stream=StreamPolicy(min_rate=5, rate_window=3)) as home:
        assert len(await read(home, CHAT)) == 31


async def test_a_provider_may_rest_as_it_says() -> None:
    """The provider's own `idle=` goes before the policy's."""
    async with house(tape("a", ["x", 50, "y"], idle=60), stream=StreamPolicy(idle=1)) as home:
        assert await read(home) == ["x", "y"]
    async with house(tape("a", ["x", 5000, "y"]), stream=StreamPolicy(idle=math.inf)) as home:
        assert await read(home) == ["x", "y"]


# ── going on elsewhere ──────────────────────────────────────────────────────────────────────────

CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CONTINUE = StreamPolicy(on_interrupt="continue")
END = said(end="stop")
HALF = [ROLE, said("one "), said("two"), GONE]


def stream_continued(home: House, how: str) -> None:
    """Exactly one splice is told, counted and seen in the trail."""
    (news,) = home.news.of("stream_continued")
    assert (news.how, news.provider, news.to) == (how, "a", "b")
    assert home.total("stream_continuations_total", how=how, route="adhoc") == 1
    assert home.total("stream_continuations_total") == 1
    last = home.news.attempts[-1]
    assert f"goes on by {how} after {news.chunks} chunks of a" in last.why
    assert home.news.calls[-1].ok
    assert home.news.calls[-1].failovers == 1


async def test_continue_by_the_users_hook() -> None:
    """`resume=` builds the request from the original and the text so far; the rest follows."""
    policy = StreamPolicy(on_interrupt="continue", resume=lambda q, text: f"{q}|{text}")
    async with house(tape("a", ["one ", GONE]), tape("b", WORDS[1:]), stream=policy) as home:
        async with home.router.stream("q", route=["a", "b"]) as stream:
            assert "".join([chunk async for chunk in stream]) == TEXT
            assert stream.provider == "b"
        assert tapes(home)["b"].asked == ["q|one "]
        stream_continued(home, "resume")


async def test_continue_by_prefill() -> None:
    """A provider that can is given the text as the assistant's turn; its role is not repeated."""
    rest = [ROLE, said(" three "), said("four"), said(end="stop")]
    b = tape("b", rest, capabilities=["prefill"])
    async with house(tape("a", HALF), b, stream=CONTINUE) as home:
        chunks = await read(home, CHAT, route=["a", "b"])
        assert text_of(chunks) == TEXT
        assert chunks.count(ROLE) == 1
        assert tapes(home)["b"].asked[0]["messages"][-1] == {
            "role": "assistant",
            "content": "one two",
        }
        stream_continued(home, "prefill")


@pytest.mark.parametrize("way", ["prefill", "instruct", "resume"])
async def test_who_goes_on_thinks_for_himself(way: str) -> None:
    """The thinking before a continuation's first word is left out; what is thought later is not."""
    thought, later = said(reasoning_content="hm"), said(reasoning_content="so")
    rest = [ROLE, thought, said(" three "), later, said("four", "stop")]
    script = [[said("eins")], rest] if way == "instruct" else [rest]
    policy = StreamPolicy(
        on_interrupt="continue", resume=(lambda q, _: q) if way == "resume" else None
    )
    b = tape("b", *script, capabilities=["prefill"] if way == "prefill" else [])
    async with house(tape("a", HALF), b, stream=policy) as home:
        chunks = await read(home, CHAT, route=["a", "b"])
        assert text_of(chunks) == TEXT
        assert thought not in chunks
        assert later in chunks
        stream_continued(home, way)


@pytest.mark.parametrize("repeats", [True, False])
async def test_a_prefill_never_ends_in_white_space(repeats: bool) -> None:
    """Anthropic refuses that, so it is left out; who says it again is cut, who does not is not."""
    script = [said(" two" if repeats else "two"), said(end="stop")]
    b = tape("b", script, capabilities=["prefill"])
    async with house(tape("a", [said("one "), GONE]), b, stream=CONTINUE) as home:
        assert text_of(await read(home, CHAT, route=["a", "b"])) == "one two"
        assert tapes(home)["b"].asked[0]["messages"][-1]["content"] == "one"


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(
            [ROLE, said("o"), said("ne t"), said("wo three "), said("four"), said(end="stop")],
            id="cut",
        ),
        pytest.param([ROLE, said("one two"), said(" three four", "stop")], id="at the edge"),
        pytest.param(
            [said(reasoning_content="hm"), said("one two three four", "stop")], id="thinks"
        ),
    ],
)
async def test_continue_by_matching(again: list[Any]) -> None:
    """The same request again; what only repeats is held back, cut to the character."""
    async with house(
        tape("a", [ROLE, said("one "), said("two"), GONE]), tape("b", again), stream=CONTINUE
    ) as home:
        chunks = await read(home, CHAT, route=["a", "b"])
        assert text_of(chunks) == TEXT
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
        assert chunks.count(ROLE) == 1
        assert tapes(home)["b"].asked == [CHAT]
        stream_continued(home, "match")


@pytest.mark.parametrize("capabilities", [[], ["prefill"]])
@pytest.mark.parametrize(
    "again",
    [
        pytest.param([ROLE, said("one two ", tool_calls=[CALL])], id="beside the repeated text"),
        pytest.param([ROLE, said("one two "), said(tool_calls=[CALL])], id="after it"),
        pytest.param([ROLE, said(tool_calls=[CALL])], id="instead of it"),
    ],
)
async def test_a_tool_call_is_no_repetition(again: list[Any], capabilities: list[str]) -> None:
    """A tool call next to blanks or text that are cut off goes through whole."""
    end = said(end="tool_calls")
    a = tape("a", [ROLE, said("one "), said("two "), GONE])
    b = tape("b", [*again, end], capabilities=capabilities)
    async with house(a, b, stream=CONTINUE) as home:
        *_, last_but_one, last = await read(home, CHAT, route=["a", "b"])
        assert last_but_one["choices"][0]["delta"]["tool_calls"] == [CALL]
        assert last == end


async def test_words_are_matched_too() -> None:
    """Plain strings are matched and cut; an answer that was all delivered just ends."""
    async with house(tape("a", ["one ", "tw", GONE]), tape("b", [TEXT]), stream=CONTINUE) as home:
        assert "".join(await read(home, route=["a", "b"])) == TEXT
        stream_continued(home, "match")
    async with house(tape("a", [TEXT, GONE]), tape("b", WORDS), stream=CONTINUE) as home:
        assert await read(home, route=["a", "b"]) == [TEXT]
        assert home.news.calls[-1].ok
    async with house(tape("a", [TEXT, GONE]), tape("b", WORDS[:2]), stream=CONTINUE) as home:
        with pytest.raises(StreamInterrupted):
            await read(home, route=["a", "b"])
        assert home.records("b")[0].verdict.reason == "diverged"


async def test_the_last_chunk_is_not_swallowed() -> None:
    """When all was delivered but the end, the finish reason comes, and no text twice."""
    a, b = tape("a", [said("one two"), GONE]), tape("b", [said("one "), said("two", "stop")])
    async with house(a, b, stream=CONTINUE) as home:
        chunks = await read(home, CHAT, route=["a", "b"])
        assert text_of(chunks) == "one two"
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    "other",
    [
        pytest.param([said("eins "), said("zwei", "stop")], id="other words"),
        pytest.param([said("one ", "stop")], id="shorter"),
    ],
)
async def test_what_diverges_is_instructed(other: list[Any]) -> None:
    """The same provider is asked to go on from the text so far, and no failure is counted."""
    rest = [ROLE, said(" three four"), said(end="stop")]
    async with house(tape("a", HALF), tape("b", other, rest), stream=CONTINUE) as home:
        assert text_of(await read(home, CHAT, route=["a", "b"])) == TEXT
        again, instructed = tapes(home)["b"].asked
        assert again == CHAT
        assert [m["role"] for m in instructed["messages"]] == ["user", "assistant", "user"]
        assert tapes(home)["b"].open == 0
        stream_continued(home, "instruct")


async def test_what_diverges_may_give_up() -> None:
    """`on_divergence="raise"`: others are tried, then the first error is raised; none is ill."""
    policy = StreamPolicy(on_interrupt="continue", on_divergence="raise")
    made = [tape("a", HALF), tape("b", [said("eins")]), tape("c", [said("un")])]
    async with house(*made, stream=policy) as home:
        with pytest.raises(StreamInterrupted, match="gone") as caught:
            await read(home, CHAT, route=["a", "b", "c"])
        assert caught.value.__cause__ is GONE
        assert caught.value.provider == "a"
        assert {r.provider for r in caught.value.attempts} == {"a", "b", "c"}
        assert [home.seen(name)["failures"] for name in "abc"] == [1, 0, 0]
        assert home.total("stream_continuations_total") == 0


REFUSED = ProviderError(
    "prefill is not supported", provider="b", kind=FailureKind.REQUEST, status=400
)


async def test_a_refused_prefill_is_asked_in_another_way() -> None:
    """A 400 to a prefill: the same provider is asked by matching, and served."""
    b = tape("b", [REFUSED], [said("one two three four", "stop")], capabilities=["prefill"])
    async with house(tape("a", HALF), b, stream=CONTINUE) as home:
        assert text_of(await read(home, CHAT, route=["a", "b"])) == TEXT
        assert len(tapes(home)["b"].asked) == 2
        stream_continued(home, "match")


async def test_a_refusal_hides_neither_the_first_error_nor_the_next_provider() -> None:
    """Who cannot go on is passed over; when nobody can, the break itself is the cause."""
    never = [REFUSED], [REFUSED], [REFUSED]
    b = tape("b", *never, capabilities=["prefill"])
    c = tape("c", [said("one two three four", "stop")])
    async with house(tape("a", HALF), b, c, stream=CONTINUE) as home:
        assert text_of(await read(home, CHAT, route=["a", "b", "c"])) == TEXT
        with pytest.raises(StreamInterrupted, match="nobody could go on") as caught:
            await read(home, CHAT, route=["a", "b"])
        assert caught.value.__cause__ is GONE
        assert home.seen("b")["failures"] == 0


@pytest.mark.parametrize(
    ("chunk", "request_"),
    [
        pytest.param(
            said(tool_calls=[{"index": 0, "function": {"arguments": "{"}}]), CHAT, id="tool"
        ),
        pytest.param(said(refusal="I ca"), CHAT, id="refusal"),
        pytest.param({"choices": [{"index": 1, "delta": {"content": "x"}}]}, CHAT, id="choice"),
        pytest.param(object(), "q", id="opaque"),
    ],
)
async def test_what_is_more_than_text_is_never_continued(chunk: Any, request_: Any) -> None:
    """A tool call, a refusal, a second answer, an object nobody can read: raised, not guessed."""
    async with house(tape("a", [chunk, GONE]), tape("b", WHOLE), stream=CONTINUE) as home:
        with pytest.raises(StreamInterrupted, match="more than the text"):
            await read(home, request_, route=["a", "b"])
        assert tapes(home)["b"].asked == []
    restart = StreamPolicy(on_interrupt="restart")
    async with house(tape("a", [chunk, GONE]), tape("b", WHOLE), stream=restart) as home:
        assert await read(home, request_, route=["a", "b"]) == [
            chunk,
            StreamRestarted("b", 1),
            *WHOLE,
        ]
        stream_continued(home, "restart")


async def test_several_answers_are_never_continued() -> None:
    """What was delivered may be text of the first of two alone: the other would lose its begin."""
    async with house(tape("a", HALF), tape("b", WHOLE), stream=CONTINUE) as home:
        with pytest.raises(StreamInterrupted, match="another choice"):
            await read(home, {**CHAT, "n": 2}, route=["a", "b"])
        assert tapes(home)["b"].asked == []


async def test_restart() -> None:
    """The consumer gets a marker, then the whole answer, its first chunks included."""
    policy = StreamPolicy(on_interrupt="restart")
    async with house(tape("a", HALF), tape("b", WHOLE), stream=policy) as home:
        chunks = await read(home, CHAT, route=["a", "b"])
        assert chunks == [*HALF[:3], StreamRestarted("b", 3), *WHOLE]
        stream_continued(home, "restart")


async def test_a_continuation_may_break_too() -> None:
    """Each break is mended in its turn, as long as somebody is left."""
    made = [
        tape(n, s)
        for n, s in {
            "a": HALF,
            "b": [said("one two three "), GONE],
            "c": [said(TEXT, "stop")],
        }.items()
    ]
    async with house(*made, stream=CONTINUE) as home:
        assert text_of(await read(home, CHAT, route=["a", "b", "c"])) == TEXT
        assert [news.to for news in home.news.of("stream_continued")] == ["b", "c"]


async def test_what_does_harm_twice_is_not_asked_twice() -> None:
    """`idempotent=False`: a broken stream goes on nowhere, and says why."""
    async with house(tape("a", HALF), tape("b", WHOLE), stream=CONTINUE) as home:
        with pytest.raises(StreamInterrupted, match="idempotent=False"):
            await read(home, CHAT, route=["a", "b"], idempotent=False)
        assert tapes(home)["b"].asked == []


async def test_the_search_has_its_limits() -> None:
    """A splice has the call's timeout again, and no more than is left of `total`."""
    slow = tape("b", [500, said(TEXT, "stop")], attempt_timeout=400)
    for policy, at in ((CONTINUE, 30), (StreamPolicy(on_interrupt="continue", total=7), 7)):
        async with house(tape("a", HALF), slow, stream=policy) as home:
            begun = anyio.current_time()
            with pytest.raises(StreamInterrupted) as caught:
                await read(home, CHAT, route=["a", "b"], timeout=30)
            assert anyio.current_time() - begun == pytest.approx(at, abs=0.1)
            assert caught.value.__cause__ is GONE
            assert home.news.attempts[-1].outcome == "cancelled"


async def test_a_long_repetition_is_no_slow_first_token() -> None:
    """Who says again what took minutes has time for it, as long as it does not rest."""
    long = [said(f"{n} ") for n in range(60)]
    again = [step for chunk in long for step in (chunk, 1)]
    policy = StreamPolicy(on_interrupt="continue", first_token=5)
    made = tape("a", [*long, GONE]), tape("b", [*again, said("end", "stop")])
    async with house(*made, stream=policy) as home:
        assert text_of(await read(home, CHAT, route=["a", "b"])).endswith("59 end")
        assert home.news.attempts[-1].first_content == pytest.approx(0, abs=0.1)


async def test_who_goes_on_has_limits_of_his_own() -> None:
    """After a splice the next provider's own `idle` holds, and the blame is his."""
    policy = StreamPolicy(on_interrupt="restart")
    b = tape("b", ["y", 9, "z", 60], idle=10)
    async with house(tape("a", ["x", GONE], idle=2), b, stream=policy) as home:
        with pytest.raises(StreamInterrupted) as caught:
            await read(home, route=["a", "b"])
        assert caught.value.provider == "b"
        assert str(caught.value.__cause__) == "'b' sent nothing for idle=10 s"


async def test_after_the_total_nobody_goes_on() -> None:
    """A stream whose total has passed is over, whatever `on_interrupt` says."""
    policy = StreamPolicy(on_interrupt="restart", total=5)
    async with house(tape("a", ["x", 60]), tape("b", WORDS), stream=policy) as home:
        with pytest.raises(StreamInterrupted, match="total has passed"):
            await read(home, route=["a", "b"])


async def test_a_consumer_leaves_during_a_splice() -> None:
    """Cancelled while somebody else is sought: nothing stays open, and all books balance."""
    async with house(tape("a", HALF), tape("b", [50, said(TEXT, "stop")]), stream=CONTINUE) as home:
        with anyio.move_on_after(5):
            await read(home, CHAT, route=["a", "b"])
        assert [tape.open for tape in tapes(home).values()] == [0, 0]
        assert home.news.calls[-1].result == "cancelled"
        assert [r.outcome for r in home.news.attempts] == ["failure", "cancelled"]


async def test_a_stream_closed_while_its_broken_one_closes_goes_nowhere() -> None:
    """Another task closes it while what broke is being let go: nobody else is asked."""

    class Slow:
        said = 0

        def __aiter__(self) -> Slow:
            return self

        async def __anext__(self) -> str:
            self.said += 1
            if self.said > 1:
                raise GONE.with_traceback(None)
            return "one "

        async def aclose(self) -> None:
            await anyio.sleep(0.5)

    async def close(stream: Any) -> None:
        await anyio.sleep(0.25)
        await stream.aclose()

    a, b = Provider("a", stream=lambda _: Slow()), tape("b", WORDS)
    async with house(a, b, stream=CONTINUE) as home, anyio.create_task_group() as group:
        async with home.router.stream("q", route=["a", "b"]) as stream:
            assert await anext(stream) == "one "
            group.start_soon(close, stream)
            assert [chunk async for chunk in stream] == []
        assert tapes(home)["b"].asked == []
