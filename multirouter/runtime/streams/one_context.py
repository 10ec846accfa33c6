"""Runs the code of one stream in one context, in whichever tasks it is begun, read and closed.

A generator may set a context variable around its yields, as a tracing span does. Python lets it
reset the variable only in the context in which it was set, and each task runs in another one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextvars import copy_context
from types import coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from typing import Self

T = TypeVar("T")

_READY: Any = object()
"""What a reading coroutine passes on when it has a chunk, or has ended."""

_ENDED: Any = object()
"""Stands in the place of a chunk after the last one."""


class OneContext:
    """A copy of the current context, for all code of one stream.

    Attributes:
        call: calls a function in the context, with the arguments that follow; it adds no frame of
            Python to a traceback.
    """

    __slots__ = ("call",)

    def __init__(self) -> None:
        self.call: Callable[..., Any] = copy_context().run

    def read(self, iterator: AsyncIterator[T]) -> AsyncIterator[T]:
        """An iterator whose steps run those of `iterator` in the context."""
        return _Reader(self.call, iterator)

    async def wait(self, awaitable: Awaitable[T]) -> T:
        """Awaits in the context."""
        return await anext(self.read(_Once(awaitable)))


class _Once:
    """An async iterator with one item, which it awaits."""

    __slots__ = ("_awaitable",)

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self._awaitable = awaitable

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return await self._awaitable


class _Reader:
    """Reads an async iterator in a context.

    One coroutine, which only ever runs in the context, iterates; each step lets it run until it has
    a chunk. Entering the context costs a third of a microsecond for each chunk.
    """

    __slots__ = ("_chunk", "_run", "_send", "_throw")

    def __init__(self, run: Callable[..., Any], iterator: AsyncIterator[Any]) -> None:
        self._chunk: list[Any] = [None]
        reading = _iterate(iterator, self._chunk)
        self._run = run
        self._send = reading.send
        self._throw = reading.throw

    def __aiter__(self) -> Self:
        return self

    @coroutine
    def __anext__(self) -> Generator[Any, Any, Any]:
        try:
            signal = self._run(self._send, None)
            if signal is not _READY:
                yield from self._wait(signal)
        except BaseException:
            del self._run, self._send, self._throw  # the traceback must not hold the context
            raise
        chunk = self._chunk[0]
        if chunk is _ENDED:
            raise StopAsyncIteration
        return chunk

    def _wait(self, signal: Any) -> Generator[Any, Any, None]:
        """Passes on to the event loop what the coroutine waits for, until it has a chunk."""
        while signal is not _READY:
            try:
                answer = yield signal
            except BaseException as error:  # noqa: BLE001 - the iterator handles it
                signal = self._run(self._throw, error)
            else:
                try:
                    signal = self._run(self._send, answer)
                finally:
                    answer = None  # on trio it may hold an exception, which holds this frame


async def _iterate(iterator: AsyncIterator[Any], chunk: list[Any]) -> None:
    """Puts each chunk into a list of one place, which makes no reference cycle."""
    async for chunk[0] in iterator:
        await _pass(_READY)
    chunk[0] = _ENDED
    while True:
        await _pass(_READY)


@coroutine
def _pass(signal: object) -> Generator[object, None, None]:
    yield signal
