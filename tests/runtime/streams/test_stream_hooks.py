"""Hooks of `StreamPolicy` and stream functions: errors in them, and opaque chunks."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from multirouter import (
    Provider,
    StreamInterrupted,
    StreamPolicy,
    UsageError,
)
from tests.scenarios.harness import TRIPS_AT_ONCE, harness
from tests.scenarios.scripted_streams import (
    CONNECTION_LOST,
    WORDS,
    read,
    scripted_stream,
    streams_of,
)


def raising_hook(*_: Any) -> Any:
    """A hook with a bug in it."""
    raise KeyError("typo")


class Silent(ConnectionError):
    """An exception without a text: `str` raises."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("error", [Silent(), ConnectionError(), ConnectionError("y" * 10_000_000)])
async def test_the_text_of_an_exception_is_no_problem(error: Exception) -> None:
    """One that has none, or ten million characters, interrupts a stream like any other."""
    async with harness(scripted_stream("a", ["x", error])) as env:
        with pytest.raises(StreamInterrupted) as caught:
            await read(env)
        assert caught.value.__cause__ is error
        assert type(error).__name__ in str(caught.value) or "yyy" in str(caught.value)
        assert len(str(caught.value)) < 500


def silent_hook(*_: Any) -> Any:
    """A hook whose exception has no text."""
    raise Silent


@pytest.mark.parametrize("setting", ["requires", "route"])
async def test_the_exception_of_a_hook_without_a_text(setting: str) -> None:
    """It is named by its class."""
    async with harness(scripted_stream("a", WORDS), **{setting: lambda _: silent_hook()}) as env:
        with pytest.raises(UsageError, match=rf"{setting}= raised Silent$"):
            await read(env)


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
async def test_a_hook_that_raises_is_named_and_neutral(hook: str, settings: Any) -> None:
    """A UsageError names the hook; upstreams are closed, permits returned, no failure counts."""
    policy = StreamPolicy(**{hook: raising_hook}, **settings)
    async with harness(
        scripted_stream("a", ["x", 1, "y", CONNECTION_LOST]),
        scripted_stream("b", WORDS),
        stream=policy,
    ) as env:
        with pytest.raises(UsageError, match=f"StreamPolicy.{hook} raised KeyError") as caught:
            await read(env, route=["a", "b"])
        assert isinstance(caught.value.__cause__, KeyError)
        assert {t.open for t in streams_of(env).values()} == {0}
        failed = [r for r in env.recorder.attempts if r.outcome == "failure"]
        assert [r.error for r in failed] == ([CONNECTION_LOST] if hook == "resume" else [])
        assert env.recorder.calls[-1].error is caught.value


async def test_a_text_hook_must_return_a_string() -> None:
    """A `text=` that returns no string raises UsageError."""
    policy = StreamPolicy(on_interrupt="continue", text=lambda _: None)  # type: ignore[arg-type,return-value]
    async with harness(scripted_stream("a", WORDS), stream=policy) as env:
        with pytest.raises(UsageError, match="must return a str"):
            await read(env)


async def test_hooks_make_opaque_chunks_continuable() -> None:
    """With `content`, `text` and `complete` of the user's own, opaque chunks are continued too."""
    policy = StreamPolicy(
        on_interrupt="continue",
        content=lambda chunk: "t" in chunk,
        text=lambda chunk: chunk.get("t", ""),
        complete=lambda chunk: chunk.get("done", False),
        resume=lambda q, text: (q, text),
        min_rate=0.1,
    )
    a = [{"ping": 1}, {"t": "one "}, CONNECTION_LOST]
    b = [{"ping": 2}, {"t": "two"}, {"done": True}]
    async with harness(scripted_stream("a", a), scripted_stream("b", b), stream=policy) as env:
        chunks = await read(env, route=["a", "b"])
        assert chunks == [{"ping": 1}, {"t": "one "}, {"t": "two"}, {"done": True}]
        assert streams_of(env)["b"].requests == [("q", "one ")]


@pytest.mark.parametrize(
    "stream",
    [lambda _: 5, lambda _: iter("abc"), lambda _: anyio.sleep(1)],
    ids=["a number", "a plain iterator", "a coroutine"],
)
async def test_a_stream_function_must_return_an_async_iterator(stream: Any) -> None:
    """A wrong return value is a UsageError, and no failure of a provider."""
    async with harness(
        Provider("a", stream=stream), scripted_stream("b", WORDS), circuit=TRIPS_AT_ONCE
    ) as env:
        with pytest.raises(UsageError, match=r"Provider\('a'\).stream"):
            await read(env, route=["a", "b"])
        assert env.state("a") == "closed"


async def test_a_type_error_inside_the_provider_is_its_failure() -> None:
    """A TypeError from within the provider's code fails over like any exception."""

    def stream(request: Any) -> Any:
        return len(request + 1)

    async with harness(Provider("a", stream=stream), scripted_stream("b", WORDS)) as env:
        assert await read(env, route=["a", "b"]) == WORDS
        assert env.provider_snapshot("a")["failures"] == 1


@pytest.mark.parametrize("name", ["content", "complete", "text"])
async def test_a_hook_that_hides_its_async(name: str) -> None:
    """A coroutine is never false: every chunk would be content, and every stream complete."""

    async def lazily(chunk: Any) -> bool:
        return False

    hooks: dict[str, Any] = {name: lambda chunk: lazily(chunk)}  # noqa: PLW0108
    policy = StreamPolicy(**hooks, on_interrupt="continue")
    async with harness(scripted_stream("a", WORDS), stream=policy, circuit=TRIPS_AT_ONCE) as env:
        with pytest.raises(UsageError, match=rf"StreamPolicy\.{name} .*coroutine"):
            await read(env, route=["a"])
        assert env.state("a") == "closed"
