"""The answer's type follows from the providers given, for mypy and pyright alike."""

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


async def pieces(prompt: str) -> AsyncIterator[bytes]:
    """A provider of pieces."""
    yield prompt.encode()


async def with_model(model: str, prompt: str) -> str:
    """A provider that is made by a partial."""
    return model + prompt


class Client:
    """A provider that is an object, or a bound method."""

    async def __call__(self, prompt: str) -> str:
        """Answers."""
        return prompt

    async def ask(self, prompt: str) -> str:
        """Answers as well."""
        return prompt

    async def tell(self, prompt: str) -> AsyncIterator[bytes]:
        """Answers in pieces."""
        yield prompt.encode()


class Teller:
    """A provider of pieces that is an object."""

    async def __call__(self, prompt: str) -> AsyncIterator[bytes]:
        """Answers in pieces."""
        yield prompt.encode()


assert_type(Provider("a", text), Provider[str, str, Never])
assert_type(Provider("a", stream=pieces), Provider[str, Never, bytes])
assert_type(Provider("a", text, stream=pieces), Provider[str, str, bytes])

router = MultiProviderRouter(
    [
        Provider("function", text),
        Provider("object", Client()),
        Provider("method", Client().ask),
    ]
)
assert_type(router, MultiProviderRouter[str, str, Never])
# What a partial still wants is unknown to mypy; what it gives is not: see `use`.
partials = MultiProviderRouter([Provider("partial", partial(with_model, "m"))])
tellers = MultiProviderRouter(
    [Provider("method", stream=Client().tell), Provider("object", stream=Teller())]
)
assert_type(tellers, MultiProviderRouter[str, Never, bytes])
both = MultiProviderRouter([Provider("both", Client(), stream=Client().tell)])
assert_type(both, MultiProviderRouter[str, str, bytes])
# Unlike results meet in what holds them all: written here, else `object` for mypy.
unlike = MultiProviderRouter[str, str | int]([Provider("a", text), Provider("b", number)])
assert_type(unlike, MultiProviderRouter[str, str | int, Never])
streaming = MultiProviderRouter([Provider("a", text, stream=pieces), Provider("b", text)])
assert_type(streaming, MultiProviderRouter[str, str, bytes])
empty = MultiProviderRouter[str, str]()
assert_type(empty, MultiProviderRouter[str, str, Never])


@empty.provider("late", weight=2)
async def late(prompt: str) -> str:
    """Registered by its decorator, and still what it was."""
    return prompt


chatty = MultiProviderRouter[str, str, bytes]()


@chatty.provider("pieces")
async def decorated_pieces(prompt: str) -> AsyncIterator[bytes]:
    """An async generator function is registered as a stream."""
    yield prompt.encode()


# One that does not fit is refused by the checkers.
empty.provider("number")(number)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
empty.provider("pieces")(pieces)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]

assert_type(late, Callable[[str], Coroutine[Any, Any, str]])
assert_type(decorated_pieces, Callable[[str], AsyncIterator[bytes]])


async def use() -> None:
    """What comes out of calls and streams."""
    assert_type(await partials.call("q"), str)
    assert_type(await unlike.call("q"), str | int)
    async for piece in tellers.stream("q"):
        assert_type(piece, bytes)
    assert_type(await router.call("q"), str)
    assert_type(await router.call_outcome("q"), CallOutcome[str])
    assert_type((await router.call_outcome("q")).value, str)
    async with streaming.stream("q") as stream:
        _ = assert_type(stream, Stream[bytes])
        async for chunk in stream:
            assert_type(chunk, bytes)
    assert_type(await late("q"), str)
