"""The stream of one provider: limits, cancellation, and closing on every path."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from multirouter import AttemptTimeout, Provider, ProviderError, StreamPolicy, UsageError
from tests.scenarios.harness import harness
from tests.scenarios.scripted_streams import WORDS, read, scripted_stream, streams_of


async def test_a_replaced_cancellation_counts_as_the_timeout() -> None:
    """The cause is the limit that fired, not the exception that the provider made of it."""

    async def stream(_: Any) -> Any:
        yield "x"
        try:
            await anyio.sleep(100)
        except BaseException as error:
            raise RuntimeError("torn down") from error

    policy = StreamPolicy(idle=2)
    async with harness(Provider("a", stream=stream), stream=policy) as env:
        with pytest.raises(Exception, match="sent nothing for idle=2") as caught:
            await read(env)
        assert isinstance(caught.value.__cause__, AttemptTimeout)


@pytest.mark.backends("asyncio", "uvloop")
async def test_a_stray_cancellation_breaks_the_stream() -> None:
    """A CancelledError of the provider's own breaks the stream, not the consumer's task."""
    import asyncio

    async def stream(_: Any) -> Any:
        yield "x"
        raise asyncio.CancelledError

    async with harness(Provider("a", stream=stream)) as env:
        with pytest.raises(Exception, match="although no task was cancelled") as caught:
            await read(env)
        assert isinstance(caught.value.__cause__, ProviderError)


async def test_closing_takes_at_most_one_second() -> None:
    """An upstream that does not close is dropped after a second."""

    class Endless:
        def __aiter__(self) -> Endless:
            return self

        async def __anext__(self) -> str:
            return "x"

        async def aclose(self) -> None:
            await anyio.sleep_forever()

    async with harness(Provider("a", stream=lambda _: Endless())) as env:
        started = anyio.current_time()
        async with env.router.stream("q") as stream:
            await anext(stream)
        assert anyio.current_time() - started == pytest.approx(1, abs=0.01)


async def test_an_iterator_without_close_is_dropped() -> None:
    """An iterator that cannot be closed is dropped."""

    class Plain:
        def __aiter__(self) -> Plain:
            return self

        async def __anext__(self) -> str:
            return "x"

    async with harness(Provider("a", stream=lambda _: Plain())) as env:
        async with env.router.stream("q") as stream:
            assert await anext(stream) == "x"
        assert env.recorder.calls[-1].result == "cancelled"


async def test_the_end_of_plain_chunks_needs_no_proof() -> None:
    """Streams of strings, bytes and objects are complete when they end."""
    for chunks in (WORDS, [b"one", b"two"], [object(), object()]):
        async with harness(scripted_stream("a", chunks)) as env:
            assert await read(env) == chunks
            assert streams_of(env)["a"].open == 0


async def test_a_stream_function_that_returns_a_coroutine_raises() -> None:
    """A client method that must be awaited first raises UsageError, and is not left unawaited."""

    async def create() -> Any:
        return None

    async with harness(Provider("a", stream=lambda _: create())) as env:  # type: ignore[arg-type,return-value]
        with pytest.raises(UsageError, match="coroutine"):
            await read(env)


async def test_repr_shows_the_provider_and_the_progress() -> None:
    """The repr names the provider and its progress."""
    async with harness(scripted_stream("a", ["", "x"])) as env, env.router.stream("q") as stream:
        assert stream._session is not None
        shown = repr(stream._session._opener.upstream)
        assert shown == "<ProviderStream a proven=False held=2>"
