"""Cancellations: whose they are, also where asyncio hides or repeats them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest

from multirouter import HedgePolicy, Listener, Provider, StreamPolicy
from multirouter.model import AttemptRecord
from multirouter.runtime.event_loops.task_cancellation import COUNT_IS_EXACT
from multirouter.testing import VirtualClock
from tests.scenarios.harness import TRIPS_AT_ONCE, Harness, harness, scripted

pytestmark = pytest.mark.backends("asyncio", "uvloop")

CHAIN = ("a", "b")


def current() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def words(request: object) -> AsyncIterator[str]:
    for word in ("one", "two", "three"):
        yield word
        await anyio.sleep(1)


async def read(env: Harness, before_second: Callable[[], object] = bool) -> list[str]:
    """Reads a stream; calls `before_second` before its second chunk."""
    chunks = []
    async with env.router.stream("q", route=CHAIN) as stream:
        async for chunk in stream:
            chunks.append(chunk)
            if len(chunks) == 1:
                before_second()
    return chunks


def two(**settings: Any) -> Any:
    """A router of two healthy providers that also stream."""
    providers = [scripted(name, latency=0.1, stream=words) for name in CHAIN]
    return harness(*providers, circuit=TRIPS_AT_ONCE, **settings)


@contextmanager
def ends_as_cancelled(env: Harness, attempted: int) -> Iterator[None]:
    """Asserts a cancellation that is neutral for all providers, after so many attempts."""
    with pytest.raises(asyncio.CancelledError):
        yield
    assert [env.state(name) for name in CHAIN] == ["closed", "closed"]
    assert [str(record.verdict.kind) for record in env.recorder.attempts] == [
        "cancelled"
    ] * attempted
    assert env.recorder.calls[-1].result == "cancelled"
    assert current().cancelling() == 1
    current().uncancel()


# ── requested, and not yet raised ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("hedge", [None, HedgePolicy(after=5)], ids=["plain", "hedged"])
async def test_a_cancellation_before_a_call_is_raised_by_it(hedge: HedgePolicy | None) -> None:
    """Case 75: the call's first await raises it, and no provider is blamed."""
    async with two(hedge=hedge) as env:
        with ends_as_cancelled(env, attempted=1):
            current().cancel()
            await env.call(*CHAIN)


async def test_a_cancellation_before_a_chunk_is_raised_by_it() -> None:
    """Case 75: `on_interrupt="continue"` does not continue it on another provider."""
    async with two(stream=StreamPolicy(on_interrupt="continue")) as env:
        with ends_as_cancelled(env, attempted=1):
            await read(env, current().cancel)


async def test_a_listener_that_cancels_between_attempts_ends_the_call() -> None:
    """Case 75: the second attempt is cancelled at its first await."""

    class Canceller(Listener):
        def attempt_ended(self, record: AttemptRecord) -> None:
            if not record.ok and not current().cancelling():
                current().cancel()

    async with harness("a", "b", listeners=[Canceller()]) as env:
        env["a"].then("error")
        with pytest.raises(asyncio.CancelledError):
            await env.call(*CHAIN)
        assert [str(record.verdict.kind) for record in env.recorder.attempts] == [
            "server",
            "cancelled",
        ]
        current().uncancel()


async def test_an_error_that_comes_with_a_requested_cancellation_ends_the_call() -> None:
    """Case 75: no other provider is attempted, and the caller's cleanup may await."""

    async def fails(request: object) -> str:
        current().cancel()
        raise ConnectionResetError

    cleaned: list[bool] = []
    async with two() as env:
        env.router.add(Provider("c", fails))
        with pytest.raises(asyncio.CancelledError):
            try:
                await env.call("c", "a")
            finally:
                await asyncio.sleep(1)
                cleaned.append(True)
        assert cleaned
        assert env.records("a") == []
        assert env.state("c") == "closed"
        current().uncancel()


@pytest.mark.skipif(not COUNT_IS_EXACT, reason="the count may be a leftover of a task group")
async def test_a_generator_that_returns_when_it_is_cancelled_is_not_continued() -> None:
    """Case 75: its end is no break, since its reader was cancelled."""

    async def returns(request: object) -> AsyncIterator[str]:
        yield "one"
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return

    policy = StreamPolicy(on_interrupt="continue", complete=lambda chunk: chunk == "three")
    async with two(stream=policy) as env:
        env.router.add(Provider("c", stream=returns))
        task = asyncio.create_task(read_all(env, "c", "a"))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert env.records("a") == []


async def read_all(env: Harness, *route: str) -> list[str]:
    return [chunk async for chunk in env.router.stream("q", route=route)]


@pytest.mark.parametrize("work", ["call", "hedged", "stream"])
def test_ctrl_c_before_an_await_interrupts_the_program(work: str) -> None:
    """Ctrl-C while the program prepares a prompt, or handles a chunk, ends it."""
    attempted: list[str] = []

    def press_ctrl_c() -> None:
        signal.raise_signal(signal.SIGINT)

    async def main() -> None:
        hedge = HedgePolicy(after=5) if work == "hedged" else None
        async with two(hedge=hedge, stream=StreamPolicy(on_interrupt="continue")) as env:
            try:
                if work == "stream":
                    await read(env, press_ctrl_c)
                else:
                    press_ctrl_c()
                    await env.call(*CHAIN)
            finally:
                attempted.extend(record.provider for record in env.recorder.attempts)

    runner = asyncio.Runner(loop_factory=VirtualClock().new_loop)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    try:
        with runner, pytest.raises(KeyboardInterrupt):
            runner.run(main())
    finally:
        signal.signal(signal.SIGINT, before)
    assert attempted == ["a"]


async def test_a_requested_cancellation_does_not_cut_the_close_of_a_stream() -> None:
    """The provider's stream is closed first, then it is raised."""
    closed: list[bool] = []

    async def words_with_cleanup(request: object) -> AsyncIterator[str]:
        try:
            yield "one"
            yield "two"
        finally:
            await asyncio.sleep(0.5)
            closed.append(True)

    async with two() as env:
        env.router.add(Provider("c", stream=words_with_cleanup))
        with pytest.raises(asyncio.CancelledError):
            async with env.router.stream("q", route=["c"]) as stream:
                assert await anext(stream) == "one"
                current().cancel()
        assert closed
        assert current().cancelling() == 1
        current().uncancel()
