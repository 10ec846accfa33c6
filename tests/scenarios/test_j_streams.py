"""Section J: streams up to their first content, and their results."""

from __future__ import annotations

import asyncio
import gc
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
    UsageError,
)
from multirouter.core.chat.completions import ERROR_FINISH_REASONS
from multirouter.model import FailureKind
from tests.scenarios.harness import TRIPS_AT_ONCE, harness
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
    """With `n` answers the first finish reason proves nothing for the others that have begun."""
    begun = {"choices": [{"index": 1, "delta": {"content": "x"}, "finish_reason": None}]}
    other = {"choices": [{"index": 1, "delta": {"content": "x"}, "finish_reason": "stop"}]}
    request = CHAT | {"n": 2}
    scripts = [begun, *COMPLETE], [begun, *COMPLETE, other]
    async with harness(scripted_stream("a", *scripts)) as env:
        with pytest.raises(StreamInterrupted):
            await read(env, request)
        assert await read(env, request) == [begun, *COMPLETE, other]


async def test_a_service_may_ignore_the_number_of_choices() -> None:
    """A stream that ends by itself is whole when all choices that began have ended."""
    async with harness(scripted_stream("a", COMPLETE)) as env:
        assert await read(env, CHAT | {"n": 2}) == COMPLETE
        assert env.recorder.attempts[-1].ok
