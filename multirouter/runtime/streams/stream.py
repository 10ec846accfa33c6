"""What a router's `stream` gives its consumer: awaited or entered, then iterated.

A stream is judged by how it ends. Up to its first content it is an attempt like any other, and
fails over like one. From then on its permit is kept until the end; what breaks it counts for its
provider, and `StreamPolicy.on_interrupt` says whether the consumer notices.
"""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic

from multirouter.errors import UsageError
from multirouter.model import AttemptRecord, CallOutcome, ChunkT_co
from multirouter.runtime.streams.session import StreamRestarted, StreamSession

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Stream", "StreamRestarted"]


class Stream(Generic[ChunkT_co]):
    """A streamed answer: `await` it or enter it with `async with`, then iterate, once.

    Reading to the end, `aclose()` or leaving the block gives the provider's permit back. One task
    reads at a time; another one may close it.
    """

    def __init__(self, begin: Callable[[], StreamSession]) -> None:
        self._begin = begin
        self._delivery: StreamSession | None = None
        self._opened = False

    @property
    def outcome(self) -> CallOutcome[None] | None:
        """How the call ended, once it has; its trail has every attempt and splice."""
        return None if self._delivery is None else self._delivery.outcome

    @property
    def provider(self) -> str:
        """Who is serving, or has served; changes when a stream goes on elsewhere.

        Raises:
            UsageError: before the stream was opened.
        """
        if self._delivery is None or not self._opened:
            raise UsageError("the stream is not open: await it, or enter it with `async with`")
        return self._delivery.provider

    @property
    def attempts(self) -> tuple[AttemptRecord, ...]:
        """The trail so far; the attempt that serves is not ended and not in it."""
        return () if self._delivery is None else self._delivery.attempts

    def __await__(self) -> Generator[Any, None, Self]:
        """Opens the stream: returns when the first content is there."""
        return self.__aenter__().__await__()

    async def __aenter__(self) -> Self:
        """Opens the stream: returns when the first content is there."""
        await self._open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """As `aclose`."""
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[ChunkT_co]:
        """The chunks; a stream can be read once."""
        return self

    def __anext__(self) -> Coroutine[Any, Any, ChunkT_co]:
        """The next chunk; with `on_interrupt="restart"` a `StreamRestarted` where it begins anew.

        Raises:
            StopAsyncIteration: at the end of the answer, which is whole then.
            StreamInterrupted: when it broke and cannot go on; `__cause__` says why.
            CallFailed: as `call`, when the stream was not opened before and nobody could serve.
            UsageError: when another task is reading, or a hook of the policy is wrong.
        """
        # No coroutine of its own: this runs for each chunk.
        delivery = self._delivery
        return self._first() if delivery is None else delivery.next()

    async def aclose(self) -> None:
        """Ends the stream; stopping early is neutral for the provider, and closes it at once."""
        if self._delivery is not None:
            await self._delivery.aclose()

    def __del__(self) -> None:
        """Gives the permit back for a consumer that forgot to, and closes the provider's stream."""
        delivery = self._delivery
        if delivery is not None and delivery.outcome is None:
            delivery.forget()
            warnings.warn("a stream was dropped without being closed", ResourceWarning, 2)

    async def _open(self) -> StreamSession:
        delivery = self._delivery
        if delivery is None:
            delivery = self._delivery = self._begin()
            await delivery.open()
            self._opened = delivery.outcome is None
        return delivery

    async def _first(self) -> ChunkT_co:
        delivery = await self._open()
        chunk: ChunkT_co = await delivery.next()
        return chunk

    def __repr__(self) -> str:
        ended = "" if self.outcome is None else f" ended {self.outcome.result}"
        return f"<Stream{f' by {self.provider}' if self._opened else ''}{ended}>"
