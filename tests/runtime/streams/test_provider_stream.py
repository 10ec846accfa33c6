"""One provider's stream on its own: asked late, read within limits, closed on every way out."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from multirouter import AttemptTimeout, Provider, ProviderError, StreamPolicy, UsageError
from tests.scenarios.kit import house
from tests.scenarios.tapes import WORDS, read, tape, tapes


async def test_a_provider_that_turns_its_cancellation_into_an_error() -> None:
    """The limit that cut it off is the cause, not what the provider made of it."""

    async def stream(_: Any) -> Any:
        yield "x"
        try:
            await anyio.sleep(100)
        except BaseException as error:
            raise RuntimeError("torn down") from error

    policy = StreamPolicy(idle=2)
    async with house(Provider("a", stream=stream), stream=policy) as home:
        with pytest.raises(Exception, match="sent nothing for idle=2") as caught:
            await read(home)
        assert isinstance(caught.value.__cause__, AttemptTimeout)


@pytest.mark.backends("asyncio", "uvloop")
async def test_a_cancellation_nobody_asked_for() -> None:
    """A CancelledError out of a provider's stream breaks the stream, not its consumer's task."""
    import asyncio

    async def stream(_: Any) -> Any:
        yield "x"
        raise asyncio.CancelledError

    async with house(Provider("a", stream=stream)) as home:
        with pytest.raises(Exception, match="nobody had asked for") as caught:
            await read(home)
        assert isinstance(caught.value.__cause__, ProviderError)


async def test_an_upstream_that_will_not_close() -> None:
    """Closing is given up after a second; nobody waits for ever."""

    class Endless:
        def __aiter__(self) -> Endless:
            return self

        async def __anext__(self) -> str:
            return "x"

        async def aclose(self) -> None:
            await anyio.sleep_forever()

    async with house(Provider("a", stream=lambda _: Endless())) as home:
        begun = anyio.current_time()
        async with home.router.stream("q") as stream:
            await anext(stream)
        assert anyio.current_time() - begun == pytest.approx(1, abs=0.01)


async def test_an_iterator_without_any_close() -> None:
    """What cannot be closed is dropped."""

    class Plain:
        def __aiter__(self) -> Plain:
            return self

        async def __anext__(self) -> str:
            return "x"

    async with house(Provider("a", stream=lambda _: Plain())) as home:
        async with home.router.stream("q") as stream:
            assert await anext(stream) == "x"
        assert home.news.calls[-1].result == "cancelled"


async def test_the_end_of_plain_chunks_is_its_own_proof() -> None:
    """Strings, bytes and objects end well when their stream does."""
    for chunks in (WORDS, [b"one", b"two"], [object(), object()]):
        async with house(tape("a", chunks)) as home:
            assert await read(home) == chunks
            assert tapes(home)["a"].open == 0


async def test_a_stream_that_is_really_a_coroutine() -> None:
    """An SDK's call that wants to be awaited first is told so, and not left unawaited."""

    async def create() -> Any:
        return None

    async with house(Provider("a", stream=lambda _: create())) as home:  # type: ignore[arg-type,return-value]
        with pytest.raises(UsageError, match="coroutine"):
            await read(home)


async def test_a_repr_in_a_line() -> None:
    """It says whose it is and how far it has come."""
    async with house(tape("a", ["", "x"])) as home, home.router.stream("q") as stream:
        assert stream._delivery is not None
        shown = repr(stream._delivery._opener.upstream)
        assert shown == "<Upstream a proven=False held=2>"
