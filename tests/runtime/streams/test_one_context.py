"""The code of a stream runs in one context, in whichever tasks it is begun, read and closed."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from multirouter import HedgePolicy, Provider, StreamPolicy
from multirouter.model import SUCCESS
from tests.scenarios.harness import TRIPS_AT_ONCE, Harness, harness

SPAN: ContextVar[str] = ContextVar("SPAN", default="none")

WORDS = ["one", "two", "three"]


class Spans:
    """A provider whose generator sets a context variable around its yields, as a span does."""

    def __init__(self) -> None:
        self.closed: list[str] = []
        self.seen: set[str] = set()

    async def words(self, request: Any) -> AsyncIterator[str]:
        token = SPAN.set(f"span of {request}")
        try:
            for word in WORDS:
                await anyio.sleep(0.1)
                self.seen.add(SPAN.get())
                yield word
        finally:
            SPAN.reset(token)
            self.closed.append(SPAN.get())


async def read(stream: Any, stop: int = 99) -> list[str]:
    chunks = []
    async with stream:
        async for chunk in stream:
            chunks.append(chunk)
            assert SPAN.get() == "the caller's"
            if len(chunks) == stop:
                break
    return chunks


def check(env: Harness, spans: Spans) -> None:
    """The generator saw its own value throughout, and reset it in its own context."""
    assert spans.seen == {"span of q"}
    assert spans.closed == ["the caller's"]
    assert env.state("a") == "closed"


@pytest.mark.parametrize("stop", [1, 2, 99])
@pytest.mark.parametrize("hedged", [False, True])
async def test_a_generator_may_set_a_variable_around_its_yields(hedged: bool, stop: int) -> None:
    """A stream that is read in part or whole; a hedged one begins in a task of its own."""
    spans = Spans()
    settings: dict[str, Any] = {"hedge": HedgePolicy(after=5)} if hedged else {}
    async with harness(Provider("a", stream=spans.words), circuit=TRIPS_AT_ONCE, **settings) as env:
        env.router.add(Provider("b", stream=spans.words))
        SPAN.set("the caller's")
        assert await read(env.router.stream("q", route=["a", "b"]), stop) == WORDS[:stop]
        check(env, spans)


async def test_a_stream_may_be_read_and_closed_in_other_tasks() -> None:
    """Opened in one task, read in a second, closed in a third, as web frameworks do."""
    spans = Spans()
    async with harness(Provider("a", stream=spans.words), circuit=TRIPS_AT_ONCE) as env:
        SPAN.set("the caller's")
        stream = env.router.stream("q")
        chunks: list[str] = []

        async def open_it() -> None:
            _ = await stream

        async def read_one() -> None:
            SPAN.set("a reader's")
            chunks.append(await anext(stream))

        for step in (open_it, read_one, read_one, stream.aclose):
            async with anyio.create_task_group() as group:
                group.start_soon(step)
        assert chunks == WORDS[:2]
        check(env, spans)


async def test_a_dropped_stream_is_closed_in_its_context() -> None:
    """The garbage collector has no part in it: a task of the router closes it."""
    spans = Spans()
    async with harness(Provider("a", stream=spans.words), circuit=TRIPS_AT_ONCE) as env:
        SPAN.set("the caller's")
        stream = await env.router.stream("q")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            del stream
            gc.collect()
        await anyio.sleep(1)
        check(env, spans)


async def test_a_continuation_has_a_context_of_its_own() -> None:
    """What a broken stream left set is not seen by the one that continues it."""
    seen: list[str] = []

    async def breaks(request: Any) -> AsyncIterator[str]:
        SPAN.set("of the broken stream")
        yield "one "
        raise ConnectionResetError

    async def goes_on(request: Any) -> AsyncIterator[str]:
        seen.append(SPAN.get())
        for word in ("one ", "two"):
            yield word

    settings = {"stream": StreamPolicy(on_interrupt="continue")}
    providers = [Provider("a", stream=breaks), Provider("b", stream=goes_on)]
    async with harness(*providers, **settings) as env:
        SPAN.set("the caller's")
        assert await read(env.router.stream("q", route=["a", "b"])) == ["one ", "two"]
        assert seen == ["the caller's"]


class ByHand:
    """An iterator whose methods are plain functions, or return other awaitables than coroutines."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, request: Any) -> ByHand:
        SPAN.set("by hand")
        return self

    def __aiter__(self) -> ByHand:
        self.seen.append(SPAN.get())
        return self

    def __anext__(self) -> Any:
        self.seen.append(SPAN.get())
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(1, future.set_result, "word")
        return future

    def close(self) -> None:
        self.seen.append(SPAN.get())


@pytest.mark.backends("asyncio", "uvloop")
async def test_an_iterator_of_any_kind_runs_in_the_context() -> None:
    """Its methods too, and it may return any awaitable."""
    by_hand = ByHand()
    async with harness(Provider("a", stream=by_hand)) as env:
        SPAN.set("the caller's")
        assert await read(env.router.stream("q"), 2) == ["word", "word"]
        assert set(by_hand.seen) == {"by hand"}
        assert len(by_hand.seen) >= 4


async def test_cancellation_reaches_the_generator() -> None:
    """It may clean up, with awaits in a shield, and sees the exception itself."""
    cleaned: list[str] = []

    async def words(request: Any) -> AsyncIterator[str]:
        SPAN.set("the span")
        yield "one"
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.5)
            cleaned.append(SPAN.get())
            raise

    async with harness(Provider("a", stream=words)) as env:
        SPAN.set("the caller's")
        with anyio.move_on_after(2) as scope:
            await read(env.router.stream("q"))
        assert scope.cancelled_caught
        assert cleaned == ["the span"]
        assert [record.outcome for record in env.recorder.attempts] == ["cancelled"]


async def test_a_limit_ends_the_stream_in_its_context() -> None:
    """The generator of an idle stream cleans up there."""
    spans: list[str] = []

    async def words(request: Any) -> AsyncIterator[str]:
        token = SPAN.set("the span")
        try:
            yield "one"
            await anyio.sleep_forever()
        finally:
            SPAN.reset(token)
            spans.append(SPAN.get())

    async with harness(Provider("a", stream=words), stream=StreamPolicy(idle=3)) as env:
        SPAN.set("the caller's")
        with pytest.raises(Exception, match="idle"):
            await read(env.router.stream("q"))
        assert spans == ["the caller's"]
        assert env.recorder.attempts[0].verdict is not SUCCESS
