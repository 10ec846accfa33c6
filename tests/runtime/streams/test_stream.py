"""Streams in their consumer's hands: hooks that break, two tasks, limits, the end of a router."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
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
from tests.scenarios.kit import BRITTLE, TICK, house
from tests.scenarios.tapes import GONE, WORDS, read, tape, tapes


def broken(*_: Any) -> Any:
    """A hook with a bug in it."""
    raise KeyError("typo")


# ── hooks ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("hook", "settings"),
    [
        ("content", {}),
        ("complete", {}),
        ("text", {"on_interrupt": "continue"}),
        ("text", {"min_rate": 1.0}),
        ("resume", {"on_interrupt": "continue"}),
    ],
)
async def test_a_broken_hook_is_named_and_blames_nobody(hook: str, settings: Any) -> None:
    """A UsageError names the hook; upstreams are closed, permits back, no failure is counted."""
    policy = StreamPolicy(**{hook: broken}, **settings)
    async with house(tape("a", ["x", 1, "y", GONE]), tape("b", WORDS), stream=policy) as home:
        with pytest.raises(UsageError, match=f"StreamPolicy.{hook} raised KeyError") as caught:
            await read(home, route=["a", "b"])
        assert isinstance(caught.value.__cause__, KeyError)
        assert {t.open for t in tapes(home).values()} == {0}
        failed = [r for r in home.news.attempts if r.outcome == "failure"]
        assert [r.error for r in failed] == ([GONE] if hook == "resume" else [])
        assert home.news.calls[-1].error is caught.value


async def test_a_text_that_is_none() -> None:
    """A `text=` that returns no string is told so."""
    policy = StreamPolicy(on_interrupt="continue", text=lambda _: None)  # type: ignore[arg-type,return-value]
    async with house(tape("a", WORDS), stream=policy) as home:
        with pytest.raises(UsageError, match="must return a str"):
            await read(home)


async def test_hooks_read_what_nobody_else_can() -> None:
    """With `content`, `text` and `complete` of the user's own, opaque chunks are continued too."""
    policy = StreamPolicy(
        on_interrupt="continue",
        content=lambda chunk: "t" in chunk,
        text=lambda chunk: chunk.get("t", ""),
        complete=lambda chunk: chunk.get("done", False),
        resume=lambda q, text: (q, text),
        min_rate=0.1,
    )
    a = [{"ping": 1}, {"t": "one "}, GONE]
    b = [{"ping": 2}, {"t": "two"}, {"done": True}]
    async with house(tape("a", a), tape("b", b), stream=policy) as home:
        chunks = await read(home, route=["a", "b"])
        assert chunks == [{"ping": 1}, {"t": "one "}, {"t": "two"}, {"done": True}]
        assert tapes(home)["b"].asked == [("q", "one ")]


@pytest.mark.parametrize(
    "stream",
    [lambda: None, lambda _: 5, lambda _: iter("abc")],
    ids=["takes nothing", "a number", "a plain iterator"],
)
async def test_what_is_no_stream_is_the_users_mistake(stream: Any) -> None:
    """A function that cannot be called so, or gives nothing to iterate, is nobody's failure."""
    async with house(Provider("a", stream=stream), tape("b", WORDS), circuit=BRITTLE) as home:
        with pytest.raises(UsageError, match=r"Provider\('a'\).stream"):
            await read(home, route=["a", "b"])
        assert home.state("a") == "closed"


async def test_a_type_error_of_the_providers_own_is_its_failure() -> None:
    """A TypeError from within the provider's code fails over like any exception."""

    def stream(request: Any) -> Any:
        return len(request + 1)

    async with house(Provider("a", stream=stream), tape("b", WORDS)) as home:
        assert await read(home, route=["a", "b"]) == WORDS
        assert home.seen("a")["failures"] == 1


# ── two tasks ───────────────────────────────────────────────────────────────────────────────────


async def test_one_reader_at_a_time() -> None:
    """A second task that reads is told so, and the first one's stream is not harmed."""
    async with house(tape("a", ["x", 5, "y"])) as home:
        async with home.router.stream("q") as stream, anyio.create_task_group() as group:
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
    """`aclose` from elsewhere wakes the reader, whose loop just ends; the upstream is closed."""
    policy = StreamPolicy(on_interrupt="restart")
    script = ["x", 500] if when == "reading" else ["x", GONE]
    async with house(tape("a", script), tape("b", [9, "y", 9]), stream=policy) as home:
        async with (
            home.router.stream("q", route=["a", "b"]) as stream,
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
            assert {t.open for t in tapes(home).values()} == {0}
        assert home.news.calls[-1].result == "cancelled"


async def test_a_stream_is_opened_once() -> None:
    """Awaited, entered and iterated: still one call; its repr tells where it is."""
    async with house(tape("a", WORDS)) as home:
        stream = home.router.stream("q")
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
        assert [chunk async for chunk in home.router.stream("q")] == WORDS
        assert len(home.news.calls) == 2
        await home.router.stream("q").aclose()


# ── room, closing, memory ───────────────────────────────────────────────────────────────────────


async def test_limits_hold_until_the_end_of_the_stream() -> None:
    """A stream takes its place until it ends, then a call that waits for room gets it."""
    async with house(tape("a", ["x", 5, "y"]), limits=LimitPolicy(in_flight=1)) as home:
        async with home.router.stream("q") as stream:
            with pytest.raises(NoProviderAvailable):
                await read(home)
            begun = anyio.current_time()
            waited: list[float] = []

            async def waiter() -> None:
                async with home.router.stream("q", wait=60) as other:
                    waited.append(anyio.current_time() - begun)
                    async for _ in other:
                        pass

            home.group.start_soon(waiter)
            await anyio.sleep(1)
            async for _ in stream:
                assert not waited
        await anyio.sleep(6)
        assert waited == [pytest.approx(6, abs=0.1)]


async def test_a_closing_router_lets_streams_end() -> None:
    """`aclose` waits for open streams as for calls, for `grace`; no new one begins meanwhile."""
    async with house(tape("a", ["x", 2, "y"])) as home:
        async with home.router.stream("q") as stream:
            home.group.start_soon(home.router.aclose)
            await anyio.sleep(0)
            assert [chunk async for chunk in stream] == ["x", "y"]
        with pytest.raises(UsageError, match="closed"):
            await home.router.stream("q")


async def test_a_stream_may_outlive_its_router() -> None:
    """After `grace` a stream is left to its consumer: it goes on, and its end leaves nothing."""
    async with house(tape("a", ["x", 20, "y"])) as home:
        async with home.router.stream("q") as stream:
            begun = anyio.current_time()
            await home.router.aclose(grace=1)
            assert anyio.current_time() - begun == pytest.approx(1, abs=0.01)
            assert [chunk async for chunk in stream] == ["x", "y"]
        assert home.seen("a")["in_flight"] == 0


class Stubborn:
    """A stream that raises when it is closed."""

    def __aiter__(self) -> Stubborn:
        return self

    async def __anext__(self) -> str:
        return "x"

    async def aclose(self) -> None:
        raise OSError("cannot close")


async def test_an_error_in_closing_is_a_warning() -> None:
    """What closing raises changes no outcome."""
    async with house(Provider("a", stream=lambda _: Stubborn())) as home:
        with pytest.warns(ResourceWarning, match="cannot close"):
            async with home.router.stream("q") as stream:
                await anext(stream)
        assert home.news.calls[-1].result == "cancelled"


class Response:
    """As SDKs have it: an object that makes the iterator, and is itself what must be closed."""

    def __init__(self) -> None:
        self.closed = False

    async def __aiter__(self) -> Any:
        for word in WORDS:
            yield word

    async def close(self) -> None:
        self.closed = True


async def test_the_object_behind_the_iterator_is_closed() -> None:
    """An SDK's stream object has `close`, and its iterator another end: both are closed."""
    response = Response()
    async with house(Provider("a", stream=lambda _: response)) as home:
        async with home.router.stream("q") as stream:
            await anext(stream)
        assert response.closed


@pytest.mark.backends("asyncio")
async def test_memory_stays_flat_over_a_long_stream() -> None:
    """Nothing is kept of what was delivered, unless somebody may have to continue it."""

    async def endless(_: Any) -> Any:
        while True:
            yield "word " * 20

    async with house(Provider("a", stream=endless)) as home, home.router.stream("q") as stream:
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


async def test_a_slow_consumer_holds_the_provider_back() -> None:
    """Nothing is read ahead of the consumer."""
    made: list[int] = []

    async def counting(_: Any) -> Any:
        for number in range(1000):
            made.append(number)
            yield str(number)

    async with house(Provider("a", stream=counting)) as home:
        async with home.router.stream("q") as stream:
            for _ in range(5):
                await anext(stream)
                await anyio.sleep(1)
        assert len(made) == 5


@pytest.mark.backends("asyncio", "uvloop")
def test_a_stream_dropped_after_its_loop(virtual_clock: Any) -> None:
    """A stream that outlives its loop still gives its place back, for the next loop's calls."""
    router = MultiProviderRouter([tape("a", WORDS)], limits=LimitPolicy(in_flight=1))
    kept: list[Any] = []

    async def begin() -> None:
        kept.append(await router.stream("q"))

    async def again() -> list[Any]:
        return [chunk async for chunk in router.stream("q")]

    virtual_clock.run(begin)
    with pytest.warns(ResourceWarning):
        kept.clear()
    gc.collect()
    assert virtual_clock.run(again) == WORDS


@pytest.mark.backends("asyncio", "uvloop")
@pytest.mark.parametrize("where", ["opening", "reading", "searching"])
async def test_a_coroutine_that_is_dropped(where: str) -> None:
    """A coroutine that is thrown away amid its wait, as at a loop's end, leaves nothing in flight.

    What it was waiting in cannot be awaited any more: closing that is the collector's.
    """
    script = {"opening": [50, "x"], "reading": ["x", 50], "searching": ["x", GONE]}[where]
    policy = StreamPolicy(on_interrupt="restart")
    async with house(tape("a", script), tape("b", [50, "y"]), stream=policy) as home:
        stream = home.router.stream("q", route=["a", "b"])
        if where != "opening":
            assert await anext(stream) == "x"
        step: Any = stream.__anext__()
        step.send(None)  # as far as it comes without waiting
        step.close()
        assert home.seen("a")["in_flight"] == home.seen("b")["in_flight"] == 0
        assert home.news.calls[-1].result == "cancelled"


@pytest.mark.parametrize("hedge", [None, HedgePolicy(after=0.5)])
async def test_closing_while_it_opens(hedge: HedgePolicy | None) -> None:
    """`aclose` during the opening ends the search at once, and the loop; nobody is blamed."""
    slow = [5, "x", 50]
    settings = {"hedge": hedge, "circuit": BRITTLE, "retry": RetryPolicy()}
    async with house(tape("a", slow), tape("b", slow), **settings) as home:
        stream = home.router.stream("q")
        got: list[Any] = []

        async def reader() -> None:
            got.extend([chunk async for chunk in stream])

        home.group.start_soon(reader)
        await anyio.sleep(1)
        assert sum(tape.open for tape in tapes(home).values()) == (2 if hedge else 1)
        await stream.aclose()
        await anyio.sleep(TICK)
        assert {tape.open for tape in tapes(home).values()} == {0}
        assert got == []
        assert home.news.calls[-1].result == "cancelled"
        assert {record.outcome for record in home.news.attempts} == {"cancelled"}
        assert repr(stream) == "<Stream ended cancelled>"


@pytest.mark.backends("asyncio")
async def test_a_stray_cancellation_is_no_end() -> None:
    """A CancelledError that nobody asked for does not pass for the end of the answer."""
    async with house(tape("a", WORDS)) as home:
        stream = home.router.stream("q")
        delivery = stream._begin()
        delivery._drive = stray
        stream._delivery = delivery
        with pytest.raises(asyncio.CancelledError):
            await delivery.open()
        assert home.news.calls[-1].result == "cancelled"


async def stray() -> Any:
    raise asyncio.CancelledError


async def test_dropped_and_ended_in_one_breath() -> None:
    """A stream that ends before the collector's word arrives is ended once."""
    async with house(tape("a", WORDS)) as home:
        stream = await home.router.stream("q")
        delivery = stream._delivery
        assert delivery is not None
        delivery.forget()
        await stream.aclose()
        await anyio.sleep(0)
        assert len(home.news.calls) == 1
        assert len(home.news.attempts) == 1
