"""`Stream`, the result of `MultiProviderRouter.stream`: awaited or entered, then iterated.

The verdict on a stream depends on how it ends. Until its first content it is an attempt like any
other and fails over like one. Afterwards its permit is kept until the end; a break counts as a
failure of its provider, and `StreamPolicy.on_interrupt` decides whether the consumer notices.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic

from multirouter.core import function_checks as hooks
from multirouter.core.settings.stream_policy import guarded_hook
from multirouter.errors import UsageError
from multirouter.model import AttemptRecord, CallOutcome, ChunkT_co
from multirouter.pickling import NotCopyable
from multirouter.runtime.streams.continuation import StreamRestarted
from multirouter.runtime.streams.session import StreamSession

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Stream", "StreamRestarted"]

_NOT_OPEN = "the stream is not open: await it, or enter it with `async with`"


class Stream(NotCopyable, Generic[ChunkT_co]):
    """A streamed answer: `await` it or enter it with `async with`, then iterate, once.

    Reading to the end, `aclose()` and leaving the block release the provider's permit. One task
    reads at a time; another task may close the stream.
    """

    def __init__(self, start: Callable[[], StreamSession]) -> None:
        self._start = start
        self._session: StreamSession | None = None
        self._opened = False

    @property
    def outcome(self) -> CallOutcome[None] | None:
        """How the call ended, None before; its trail has every attempt and continuation."""
        return None if self._session is None else self._session.outcome

    @property
    def provider(self) -> str:
        """Name of the provider that serves, or served last; changes with a continuation.

        Raises:
            UsageError: before the stream was opened.
        """
        if self._session is None or not self._opened:
            raise UsageError(_NOT_OPEN)
        return self._session.provider

    @property
    def dropped(self) -> tuple[str, ...]:
        """Fields that the provider was not sent, on a route with `unsupported="drop"`.

        Raises:
            UsageError: before the stream was opened.
        """
        if self._session is None or not self._opened:
            raise UsageError(_NOT_OPEN)
        return self._session.dropped

    @property
    def attempts(self) -> tuple[AttemptRecord, ...]:
        """The trail so far; without the serving attempt, which has not ended."""
        return () if self._session is None else self._session.attempts

    def hold_back(self, hold: Callable[[Any], bool]) -> None:
        """Keeps chunks back until the answer is complete; to be called before the first is read.

        What is kept back was not delivered, so a stream that breaks behind it can be continued: a
        consumer that uses tool calls only when they are whole gets whole ones.

        Args:
            hold: whether a chunk is kept back, with all chunks behind it. When it raises, so does
                reading: a UsageError.

        Raises:
            UsageError: before the stream was opened.
            ConfigurationError: `hold` is no plain function of a chunk.
        """
        if self._session is None or not self._opened:
            raise UsageError(_NOT_OPEN)
        name = "Stream.hold_back"
        hooks.plain_function(name, hold, "chunk")
        self._session.delivered.hold = guarded_hook(name, hold)

    def __await__(self) -> Generator[Any, None, Self]:
        """Opens the stream: returns when the first content is there."""
        return self.__aenter__().__await__()

    async def __aenter__(self) -> Self:
        """Opens the stream: returns when the first content is there."""
        try:
            await self._open()
            return self
        finally:
            del self  # as in StreamSession

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
        """The next chunk; with `on_interrupt="restart"` a `StreamRestarted` where it restarts.

        Raises:
            StopAsyncIteration: at the end of a complete answer.
            StreamInterrupted: when it broke and cannot be continued; `__cause__` is the reason.
            CallFailed: as `call`, when the stream was not opened before and no provider serves.
            UsageError: when another task is reading, or a hook of the policy is wrong.
        """
        # Returns the session's coroutine and adds none: this runs for each chunk.
        session = self._session
        return self._first() if session is None else session.next()

    async def aclose(self) -> None:
        """Ends the stream and closes it at once; stopping early is neutral for the provider."""
        if self._session is not None:
            await self._session.aclose()

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        """Releases the permit and closes the provider's stream when the consumer did not."""
        session = self._session
        if session is not None and session.outcome is None and not is_finalizing():
            session.drop()
            text = "a stream was dropped without being closed: use `async with router.stream(...)`"
            warnings.warn(text, ResourceWarning, 2)

    async def _open(self) -> StreamSession:
        session = self._session
        try:
            if session is None:
                session = self._session = self._start()
                await session.open()
                self._opened = session.outcome is None
            return session
        finally:
            del self, session  # as in StreamSession

    async def _first(self) -> ChunkT_co:
        session: StreamSession | None = None
        try:
            session = await self._open()
            chunk: ChunkT_co = await session.next()
            return chunk
        finally:
            del self, session  # as in StreamSession

    def __repr__(self) -> str:
        ended = "" if self.outcome is None else f" ended {self.outcome.result}"
        return f"<Stream{f' by {self.provider}' if self._opened else ''}{ended}>"
