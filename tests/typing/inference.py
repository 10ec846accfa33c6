"""The response type follows from the given providers, for mypy and pyright alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from typing import Any, Never, assert_type

from multirouter import CallOutcome, MultiProviderRouter, Provider, Stream


async def text(prompt: str) -> str:
    """A provider of text."""
    return prompt


async def number(prompt: str) -> int:
    """A provider of numbers."""
    return len(prompt)


async def byte_stream(prompt: str) -> AsyncIterator[bytes]:
    """A provider of a byte stream."""
    yield prompt.encode()


async def with_model(model: str, prompt: str) -> str:
    """A provider function to be used with `partial`."""
    return model + prompt


class Client:
    """A provider as a callable object, or as a bound method."""

    async def __call__(self, prompt: str) -> str:
        """Answers."""
        return prompt

    async def complete(self, prompt: str) -> str:
        """Answers."""
        return prompt

    async def stream(self, prompt: str) -> AsyncIterator[bytes]:
        """Answers as a byte stream."""
        yield prompt.encode()


class StreamingClient:
    """A stream provider as a callable object."""

    async def __call__(self, prompt: str) -> AsyncIterator[bytes]:
        """Answers as a byte stream."""
        yield prompt.encode()


assert_type(Provider("a", text), Provider[str, str, Never])
assert_type(Provider("a", stream=byte_stream), Provider[str, Never, bytes])
assert_type(Provider("a", text, stream=byte_stream), Provider[str, str, bytes])

router = MultiProviderRouter(
    [
        Provider("function", text),
        Provider("object", Client()),
        Provider("method", Client().complete),
    ]
)
assert_type(router, MultiProviderRouter[str, str, Never])
# mypy knows what a partial returns (see `use`), but not what it still takes.
partials = MultiProviderRouter([Provider("partial", partial(with_model, "m"))])
streamers = MultiProviderRouter(
    [Provider("method", stream=Client().stream), Provider("object", stream=StreamingClient())]
)
assert_type(streamers, MultiProviderRouter[str, Never, bytes])
both = MultiProviderRouter([Provider("both", Client(), stream=Client().stream)])
assert_type(both, MultiProviderRouter[str, str, bytes])
# Different result types need an explicit union: mypy infers `object`.
unlike = MultiProviderRouter[str, str | int]([Provider("a", text), Provider("b", number)])
assert_type(unlike, MultiProviderRouter[str, str | int, Never])
streaming = MultiProviderRouter([Provider("a", text, stream=byte_stream), Provider("b", text)])
assert_type(streaming, MultiProviderRouter[str, str, bytes])
empty = MultiProviderRouter[str, str]()
assert_type(empty, MultiProviderRouter[str, str, Never])


@empty.provider("late", weight=2)
async def late(prompt: str) -> str:
    """Registered by the decorator, which keeps its type."""
    return prompt


both_kinds = MultiProviderRouter[str, str, bytes]()


@both_kinds.provider("pieces")
async def decorated_stream(prompt: str) -> AsyncIterator[bytes]:
    """An async generator function is registered as a stream."""
    yield prompt.encode()


# A function of another type is rejected by the type checkers.
empty.provider("number")(number)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
empty.provider("pieces")(byte_stream)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]

assert_type(late, Callable[[str], Coroutine[Any, Any, str]])
assert_type(decorated_stream, Callable[[str], AsyncIterator[bytes]])


async def use() -> None:
    """The types of the results of calls and streams."""
    assert_type(await partials.call("q"), str)
    assert_type(await unlike.call("q"), str | int)
    async for piece in streamers.stream("q"):
        assert_type(piece, bytes)
    assert_type(await router.call("q"), str)
    assert_type(await router.call_outcome("q"), CallOutcome[str])
    assert_type((await router.call_outcome("q")).value, str)
    async with streaming.stream("q") as stream:
        _ = assert_type(stream, Stream[bytes])
        async for chunk in stream:
            assert_type(chunk, bytes)
    assert_type(await late("q"), str)
