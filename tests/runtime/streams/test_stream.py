"""`Stream` and its consumer: two tasks, limits, memory, the close of a router."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from multirouter import (
    HedgePolicy,
    LimitPolicy,
    MultiProviderRouter,
    NoProviderAvailable,
    Provider,
    RetryPolicy,
    StreamPolicy,
    UsageError,
)
from tests.scenarios.harness import TICK, TRIPS_AT_ONCE, harness
from tests.scenarios.scripted_streams import (
    CONNECTION_LOST,
    WORDS,
    read,
    scripted_stream,
    streams_of,
)

# ── two tasks ───────────────────────────────────────────────────────────────────────────────────


async def test_a_second_reader_raises() -> None:
    """A second task that reads gets a UsageError, and the first one's stream is not affected."""
    async with harness(scripted_stream("a", ["x", 5, "y"])) as env:
        async with env.router.stream("q") as stream, anyio.create_task_group() as group:
            got = []

            async def reader() -> None:
                got.extend([chunk async for chunk in stream])

            group.start_soon(reader)
            await anyio.sleep(1)
            with pytest.raises(UsageError, match="one reader at a time"):
                await anext(stream)
        assert got == ["x", "y"]


@pytest.mark.parametrize("when", ["reading", "searching"])
async def test_another_task_may_close(when: str) -> None:
    """`aclose` from another task ends the reader's loop; the upstream is closed."""
    policy = StreamPolicy(on_interrupt="restart")
    script = ["x", 500] if when == "reading" else ["x", CONNECTION_LOST]
    async with harness(
        scripted_stream("a", script), scripted_stream("b", [9, "y", 9]), stream=policy
    ) as env:
        async with (
            env.router.stream("q", route=["a", "b"]) as stream,
            anyio.create_task_group() as group,
        ):
            got = []

            async def reader() -> None:
                got.extend([chunk async for chunk in stream])

            group.start_soon(reader)
            await anyio.sleep(1)
            await stream.aclose()
            await anyio.sleep(10)
            assert got == ["x"]
            assert {t.open for t in streams_of(env).values()} == {0}
        assert env.recorder.calls[-1].result == "cancelled"


async def test_a_stream_is_opened_once() -> None:
    """Awaited, entered and iterated: still one call; its repr shows the state."""
    async with harness(scripted_stream("a", WORDS)) as env:
        stream = env.router.stream("q")
        assert "by" not in repr(stream)
        assert await stream is stream
        assert stream.outcome is None
        assert repr(stream) == "<Stream by a>"
        async with stream:
            assert [chunk async for chunk in stream] == WORDS
        assert repr(stream) == "<Stream by a ended success>"
        assert stream.outcome is not None
        assert stream.outcome.provider == "a"
        assert len(stream.attempts) == 1
        assert [chunk async for chunk in env.router.stream("q")] == WORDS
        assert len(env.recorder.calls) == 2
        await env.router.stream("q").aclose()


# ── limits, closing, memory ───────────────────────────────────────────────────────────────────


async def test_limits_hold_until_the_end_of_the_stream() -> None:
    """A stream counts against the limit until it ends, then a waiting call is served."""
    async with harness(scripted_stream("a", ["x", 5, "y"]), limits=LimitPolicy(in_flight=1)) as env:
        async with env.router.stream("q") as stream:
            with pytest.raises(NoProviderAvailable):
                await read(env)
            started = anyio.current_time()
            waited: list[float] = []

            async def waiter() -> None:
                async with env.router.stream("q", wait=60) as other:
                    waited.append(anyio.current_time() - started)
                    async for _ in other:
                        pass

            env.group.start_soon(waiter)
            await anyio.sleep(1)
            async for _ in stream:
                assert not waited
        await anyio.sleep(6)
        assert waited == [pytest.approx(6, abs=0.1)]


async def test_a_closing_router_waits_for_open_streams() -> None:
    """`aclose` waits for open streams as for calls, up to `grace`; no new one begins meanwhile."""
    async with harness(scripted_stream("a", ["x", 2, "y"])) as env:
        async with env.router.stream("q") as stream:
            env.group.start_soon(env.router.aclose)
            await anyio.sleep(0)
            assert [chunk async for chunk in stream] == ["x", "y"]
        with pytest.raises(UsageError, match="closed"):
            await env.router.stream("q")


async def test_a_stream_may_outlive_its_router() -> None:
    """After `grace` a stream is left to its consumer: it goes on, and its end leaves nothing."""
    async with harness(scripted_stream("a", ["x", 20, "y"])) as env:
        async with env.router.stream("q") as stream:
            started = anyio.current_time()
            await env.router.aclose(grace=1)
            assert anyio.current_time() - started == pytest.approx(1, abs=0.01)
            assert [chunk async for chunk in stream] == ["x", "y"]
        assert env.provider_snapshot("a")["in_flight"] == 0


class RaisesOnClose:
    """A stream that raises when it is closed."""

    def __aiter__(self) -> RaisesOnClose:
        return self

    async def __anext__(self) -> str:
        return "x"

    async def aclose(self) -> None:
        raise OSError("cannot close")


async def test_an_error_in_closing_is_a_warning() -> None:
    """An exception from closing does not change the outcome."""
    async with harness(Provider("a", stream=lambda _: RaisesOnClose())) as env:
        with pytest.warns(ResourceWarning, match="cannot close"):
            async with env.router.stream("q") as stream:
                await anext(stream)
        assert env.recorder.calls[-1].result == "cancelled"


class SdkResponse:
    """As in SDKs: an object that makes the iterator, and must be closed itself."""

    def __init__(self) -> None:
        self.closed = False

    async def __aiter__(self) -> Any:
        for word in WORDS:
            yield word

    async def close(self) -> None:
        self.closed = True


async def test_the_object_behind_the_iterator_is_closed() -> None:
    """An SDK's stream object has `close`, and its iterator may have another: both are closed."""
    response = SdkResponse()
    async with harness(Provider("a", stream=lambda _: response)) as env:
        async with env.router.stream("q") as stream:
            await anext(stream)
        assert response.closed


@pytest.mark.backends("asyncio")
async def test_memory_stays_flat_over_a_long_stream() -> None:
    """Delivered chunks are not kept, unless the stream may have to be continued."""

    async def endless(_: Any) -> Any:
        while True:
            yield "word " * 20

    async with harness(Provider("a", stream=endless)) as env, env.router.stream("q") as stream:
        for _ in range(100):
            await anext(stream)
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(3000):
            await anext(stream)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
    assert grown < 20_000


async def test_nothing_is_read_ahead_of_the_consumer() -> None:
    """A slow consumer slows the provider's stream down."""
    made: list[int] = []

    async def counting(_: Any) -> Any:
        for number in range(1000):
            made.append(number)
            yield str(number)

    async with harness(Provider("a", stream=counting)) as env:
        async with env.router.stream("q") as stream:
            for _ in range(5):
                await anext(stream)
                await anyio.sleep(1)
        assert len(made) == 5


@pytest.mark.backends("asyncio", "uvloop")
def test_a_stream_dropped_after_its_loop_releases_its_permit(virtual_clock: Any) -> None:
    """A stream that outlives its loop still releases its permit, for the next loop's calls."""
    router = MultiProviderRouter([scripted_stream("a", WORDS)], limits=LimitPolicy(in_flight=1))
    kept: list[Any] = []

    async def start() -> None:
        kept.append(await router.stream("q"))

    async def again() -> list[Any]:
        return [chunk async for chunk in router.stream("q")]

    virtual_clock.run(start)
    with pytest.warns(ResourceWarning):
        kept.clear()
    gc.collect()
    assert virtual_clock.run(again) == WORDS


@pytest.mark.backends("asyncio", "uvloop")
@pytest.mark.parametrize("where", ["opening", "reading", "searching"])
async def test_a_dropped_coroutine_leaves_nothing_in_flight(where: str) -> None:
    """A coroutine that is dropped while it waits, as at a loop's end, leaves nothing in flight.

    Its upstream cannot be awaited any more: the garbage collector closes it.
    """
    script = {"opening": [50, "x"], "reading": ["x", 50], "searching": ["x", CONNECTION_LOST]}[
        where
    ]
    policy = StreamPolicy(on_interrupt="restart")
    async with harness(
        scripted_stream("a", script), scripted_stream("b", [50, "y"]), stream=policy
    ) as env:
        stream = env.router.stream("q", route=["a", "b"])
        if where != "opening":
            assert await anext(stream) == "x"
        step: Any = stream.__anext__()
        step.send(None)  # as far as it comes without waiting
        step.close()
        assert (
            env.provider_snapshot("a")["in_flight"] == env.provider_snapshot("b")["in_flight"] == 0
        )
        assert env.recorder.calls[-1].result == "cancelled"


@pytest.mark.parametrize("hedge", [None, HedgePolicy(after=0.5)])
async def test_closing_while_the_stream_opens(hedge: HedgePolicy | None) -> None:
    """`aclose` during the opening ends the search and the reader's loop; it is neutral."""
    slow = [5, "x", 50]
    settings = {"hedge": hedge, "circuit": TRIPS_AT_ONCE, "retry": RetryPolicy()}
    async with harness(scripted_stream("a", slow), scripted_stream("b", slow), **settings) as env:
        stream = env.router.stream("q")
        got: list[Any] = []

        async def reader() -> None:
            got.extend([chunk async for chunk in stream])

        env.group.start_soon(reader)
        await anyio.sleep(1)
        assert sum(scripted_stream.open for scripted_stream in streams_of(env).values()) == (
            2 if hedge else 1
        )
        await stream.aclose()
        await anyio.sleep(TICK)
        assert {scripted_stream.open for scripted_stream in streams_of(env).values()} == {0}
        assert got == []
        assert env.recorder.calls[-1].result == "cancelled"
        assert {record.outcome for record in env.recorder.attempts} == {"cancelled"}
        assert repr(stream) == "<Stream ended cancelled>"


@pytest.mark.backends("asyncio")
async def test_a_stray_cancellation_is_not_the_end_of_the_answer() -> None:
    """A CancelledError although no task was cancelled is raised, and does not end the answer."""
    async with harness(scripted_stream("a", WORDS)) as env:
        stream = env.router.stream("q")
        session = stream._start()
        session._call_loop = SimpleNamespace(drive=raise_cancelled)  # type: ignore[assignment]
        stream._session = session
        with pytest.raises(asyncio.CancelledError):
            await session.open()
        assert env.recorder.calls[-1].result == "cancelled"


async def raise_cancelled(*args: Any) -> Any:
    raise asyncio.CancelledError


async def test_a_stream_dropped_and_closed_at_once_ends_once() -> None:
    """A stream that is closed before the finalizer's callback runs ends once."""
    async with harness(scripted_stream("a", WORDS)) as env:
        stream = await env.router.stream("q")
        session = stream._session
        assert session is not None
        session.drop()
        await stream.aclose()
        await anyio.sleep(0)
        assert len(env.recorder.calls) == 1
        assert len(env.recorder.attempts) == 1
