"""Section J: continuation of an interrupted stream: rejections, restarts, limits, cancellation."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from multirouter import (
    Provider,
    ProviderError,
    StreamInterrupted,
    StreamPolicy,
    StreamRestarted,
)
from multirouter.model import FailureKind
from tests.scenarios.harness import harness
from tests.scenarios.scripted_streams import (
    CHAT,
    COMPLETE,
    CONNECTION_LOST,
    CONTINUE,
    HALF,
    TEXT,
    WORDS,
    assert_continued,
    chat_chunk,
    read,
    scripted_stream,
    streams_of,
    text_of,
)

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
