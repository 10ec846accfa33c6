"""`Stream.hold_back`: what a consumer uses only when it is whole does not end a broken stream."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter import ConfigurationError, MultiProviderRouter, StreamPolicy, UsageError
from multirouter.core.chat.completions import has_tool_calls
from multirouter.model import CANCELLED
from tests.scenarios.harness import harness
from tests.scenarios.scripted_streams import (
    CHAT,
    CONNECTION_LOST,
    CONTINUE,
    END,
    ROLE,
    chat_chunk,
    scripted_stream,
)

CALL = chat_chunk(tool_calls=[{"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}])
REST = chat_chunk(tool_calls=[{"index": 0, "function": {"arguments": "{}"}}])

ORDER = ["a", "b"]


def test_only_an_open_stream_holds_back() -> None:
    """Before it was opened there is no stream that could."""
    router = MultiProviderRouter([scripted_stream("a", [END])])
    with pytest.raises(UsageError, match="not open"):
        router.stream(CHAT).hold_back(has_tool_calls)


async def test_a_break_in_a_call_is_continued() -> None:
    """What was kept back is void; of the complete answer it comes last, in order."""
    broken = [ROLE, chat_chunk("one "), CALL, chat_chunk("later"), CONNECTION_LOST]
    whole = [ROLE, chat_chunk("one "), chat_chunk("two"), CALL, REST, END]
    async with (
        harness(scripted_stream("a", broken), scripted_stream("b", whole), stream=CONTINUE) as env,
        env.router.stream(CHAT, route=ORDER) as stream,
    ):
        stream.hold_back(has_tool_calls)
        got: list[Any] = [chunk async for chunk in stream]
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
    assert got == [ROLE, chat_chunk("one "), chat_chunk("two"), CALL, REST, END]
    assert [record.provider for record in stream.attempts] == ["a", "b"]


async def test_a_call_that_comes_first_is_begun_anew() -> None:
    """Nothing was delivered: a restart is none for the consumer."""
    policy = StreamPolicy(on_interrupt="restart")
    async with (
        harness(
            scripted_stream("a", [CALL, CONNECTION_LOST]),
            scripted_stream("b", [CALL, REST, END]),
            stream=policy,
        ) as env,
        env.router.stream(CHAT, route=ORDER) as stream,
    ):
        stream.hold_back(has_tool_calls)
        assert [chunk async for chunk in stream] == [CALL, REST, END]


async def test_what_was_kept_back_ends_with_the_stream() -> None:
    """A consumer that closes the stream, before its end or behind it, gets nothing more."""
    for read in (0, 1, 2, 3):
        async with (
            harness(scripted_stream("a", [chat_chunk("x"), CALL, REST, END])) as env,
            env.router.stream(CHAT) as stream,
        ):
            stream.hold_back(has_tool_calls)
            for _ in range(read):
                await anext(stream)
            await stream.aclose()
            assert [chunk async for chunk in stream] == []


async def test_a_function_that_raises_is_the_consumers_fault() -> None:
    """Reading raises a UsageError, and the provider is not blamed."""

    def hold(_: Any) -> bool:
        raise KeyError("wobble")

    async with (
        harness(scripted_stream("a", [ROLE, chat_chunk("x"), END])) as env,
        env.router.stream(CHAT) as stream,
    ):
        stream.hold_back(hold)
        with pytest.raises(UsageError, match=r"Stream\.hold_back raised KeyError"):
            await anext(stream)
        assert stream.attempts[-1].verdict == CANCELLED


async def later(_: Any) -> bool:
    raise NotImplementedError


class Unreadable(Exception):
    """An exception whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


async def test_a_function_that_raises_something_unreadable() -> None:
    """The error names the function all the same, and the provider is not blamed."""

    def hold(_: Any) -> bool:
        raise Unreadable

    async with (
        harness(scripted_stream("a", [ROLE, chat_chunk("x"), END])) as env,
        env.router.stream(CHAT) as stream,
    ):
        with pytest.raises(ConfigurationError, match=r"Stream\.hold_back"):
            stream.hold_back(later)  # type: ignore[arg-type]
        stream.hold_back(hold)
        with pytest.raises(UsageError, match=r"Stream\.hold_back raised Unreadable"):
            await anext(stream)
        assert stream.attempts[-1].verdict == CANCELLED
