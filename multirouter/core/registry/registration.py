"""The type of the decorator that registers a function as a provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Protocol, overload

from multirouter.model import ChunkT, RequestT, ResponseT


class Register(Protocol[RequestT, ResponseT, ChunkT]):
    """Decorator that `@router.provider(...)` returns: registers a function and returns it."""

    @overload
    def __call__(
        self, function: Callable[[RequestT], Coroutine[Any, Any, ResponseT]], /
    ) -> Callable[[RequestT], Coroutine[Any, Any, ResponseT]]: ...

    @overload
    def __call__(
        self, function: Callable[[RequestT], Awaitable[ResponseT]], /
    ) -> Callable[[RequestT], Awaitable[ResponseT]]: ...

    @overload
    def __call__(
        self, function: Callable[[RequestT], AsyncIterator[ChunkT]], /
    ) -> Callable[[RequestT], AsyncIterator[ChunkT]]: ...
