"""How the headers of a provider's answers reach the router that learns limits from them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self

Headers = Mapping[str, str]

Reader = Callable[[Any], Callable[[Headers], None]]
"""Returns what reads the headers of the answer to a request."""

_READER: ContextVar[Callable[[Headers], None] | None] = ContextVar("read_headers", default=None)


def report_headers(headers: Headers) -> None:
    """Reports the headers of an answer to the router that made the attempt.

    For the functions of a provider with `LimitPolicy(learn=True)`: it learns the provider's limits
    from its rate-limit headers. The providers of `multirouter.providers` do this themselves, and
    the headers of an exception with a `response` are read as well. Anywhere else it does nothing.

    Args:
        headers: the headers, names of any case.
    """
    read = _READER.get()
    if read is not None:
        read(headers)


def _reset(token: Token[Callable[[Headers], None] | None]) -> None:
    try:
        _READER.reset(token)
    except ValueError:
        return  # its loop is gone: it is collected in another context, where nothing was set


class ReportingCall:
    """A provider's coroutine function whose headers are read.

    Args:
        function: the provider's `call`.
        reader: returns what reads the headers of the answer to a request.
    """

    __slots__ = ("_function", "_reader")

    def __init__(self, function: Callable[[Any], Awaitable[Any]], reader: Reader) -> None:
        self._function = function
        self._reader = reader

    async def __call__(self, request: Any) -> Any:
        """Awaits the function."""
        token = _READER.set(self._reader(request))
        try:
            return await self._function(request)
        finally:
            _reset(token)


class ReportingStream:
    """A provider's async generator function whose headers are read until its first chunk.

    Args:
        function: the provider's `stream`.
        reader: returns what reads the headers of the answer to a request.
    """

    __slots__ = ("_function", "_reader")

    def __init__(self, function: Callable[[Any], AsyncIterator[Any]], reader: Reader) -> None:
        self._function = function
        self._reader = reader

    def __call__(self, request: Any) -> AsyncIterator[Any]:
        """Calls the function."""
        return _Chunks(aiter(self._function(request)), self._reader(request))


class _Chunks:
    __slots__ = ("_iterator", "_read")

    def __init__(self, iterator: AsyncIterator[Any], read: Callable[[Headers], None]) -> None:
        self._iterator = iterator
        self._read: Callable[[Headers], None] | None = read

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        read, self._read = self._read, None
        if read is None:
            return await anext(self._iterator)
        token = _READER.set(read)
        try:
            return await anext(self._iterator)
        finally:
            _reset(token)

    async def aclose(self) -> None:
        """Closes the provider's stream."""
        close: Callable[[], Awaitable[None]] | None = getattr(self._iterator, "aclose", None)
        if close is not None:
            await close()
