"""One provider's stream, read chunk by chunk, from the call of its function to its end."""

from __future__ import annotations

import inspect
import math
import warnings
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import anyio

from multirouter.core.chat.chunk_reader import BrokenOff, Misused, Reader
from multirouter.core.planning.steps import AttemptStep
from multirouter.core.planning.stream_limits import StreamLimits
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.errors import ProviderError
from multirouter.model import FailureKind
from multirouter.runtime.deadline import Bound
from multirouter.runtime.event_loops.base import EventLoop
from multirouter.runtime.streams.continuation import Approach, Diverged

CLOSING = 1.0
"""Seconds an upstream may take to close before it is dropped."""

STRAY = "raised a CancelledError that nobody had asked for"


class ProviderStream:
    """One provider's stream.

    Attributes:
        step: the attempt it is.
        approach: how it was asked.
        first_at: loop time of the first content that it said; infinite before.
        proven: whether a chunk has proved that the answer is whole.
    """

    __slots__ = (
        "_bound",
        "_chunks",
        "_iterator",
        "_loop",
        "_meter",
        "_policy",
        "_reader",
        "_source",
        "approach",
        "first_at",
        "proven",
        "step",
    )

    approach: Approach

    def __init__(self, step: AttemptStep, policy: StreamPolicy, loop: EventLoop) -> None:
        self.step: AttemptStep = step
        self.first_at: float = math.inf
        self.proven: bool = False
        self._loop = loop
        self._policy = policy
        self._meter = step.meter
        self._chunks: deque[Any] = deque()
        self._source: Any = None
        self._iterator: AsyncIterator[Any] | None = None
        self._reader: Reader | None = None
        self._bound: Bound | None = None

    @property
    def reader(self) -> Reader:
        """How its chunks are read, which its first chunk decides."""
        return self._reader  # type: ignore[return-value] # asked after the first chunk only

    @property
    def rated(self) -> bool:
        """Whether a throughput floor makes sense: somebody can say how much a chunk brings."""
        return self.reader.size is not None

    @property
    def whole(self) -> bool:
        """Whether the answer is proven whole, and all of it passed on."""
        return self.proven and not self._chunks

    def __repr__(self) -> str:
        return f"<Upstream {self.step.member.name} proven={self.proven} held={len(self._chunks)}>"

    def begin(self, approach: Approach) -> None:
        """Is going to ask the provider, from the beginning, at the first `advance`."""
        self.approach = approach
        self.proven = False
        self._source = self._iterator = None
        self._reader = None

    @property
    def asked(self) -> bool:
        """Whether the provider's function has given something that can be read."""
        return self._iterator is not None

    def spoke(self, now: float) -> None:
        """Notes when content came; the first time counts."""
        self.first_at = min(self.first_at, now)

    def _ask(self) -> AsyncIterator[Any]:
        """Calls the provider's function.

        Raises:
            Misused: when it gives nothing that can be iterated.
            Exception: whatever it raises.
        """
        try:
            self._source = self.step.member.stream(self.approach.request)
            self._iterator = aiter(self._source)
        except TypeError as error:
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise
            if inspect.iscoroutine(self._source):
                self._source.close()
            raise Misused(f"Provider({self.step.member.name!r}).stream: {error}") from error
        return self._iterator

    async def advance(self) -> bool:
        """Reads up to the next content, or to a proven end without any.

        Returns:
            Whether there is something to pass on; False while the provider only repeats what was
            delivered, or thinks about how to go on.

        Raises:
            Diverged: when it says something else than what was delivered.
            Misused: when the provider's function gives nothing that can be iterated.
            Exception: whatever the provider raises; ProviderError when the stream ends before.
        """
        begun = self.approach.how is None
        iterator = self._iterator  # which may have a length, of 0
        async for chunk in self._ask() if iterator is None else iterator:
            if self._look(chunk) or self.reader.content(chunk):
                return self._keep_new(chunk, begun=begun)
            if begun:
                self._chunks.append(chunk)
        return self._ended_without_content()

    async def next(self, flow: StreamLimits) -> Any:
        """The next chunk, within the limits of a stream that flows.

        Raises:
            StopAsyncIteration: at the end, when the answer is whole; also when something goes
                wrong after it was proven to be.
            AttemptTimeout: when a limit has passed; it is the flow's `error` then.
            Exception: whatever the provider raises; ProviderError for an end without proof.
        """
        if self._chunks:
            return self._chunks.popleft()
        now = self._loop.time()
        if now >= flow.ends_at:
            raise self._cut(flow.overdue())
        chunk: Any = None
        bound = self._bound = self._loop.bound(flow.deadline(now))
        try:
            with bound:
                chunk = await anext(self._iterator)  # type: ignore[arg-type] # it is open
        except StopAsyncIteration:
            raise self._ended() from None
        except Exception as error:
            if bound.expired:
                raise self._cut(flow.expired()) from error
            if self.proven:
                raise StopAsyncIteration from error
            raise
        if bound.expired or bound.stray:
            raise self._cut(flow.expired() if bound.expired else self._incomplete(STRAY))
        self._note(chunk, flow)
        return chunk

    def interrupt(self) -> None:
        """Wakes whoever waits for the next chunk in another task."""
        if self._bound is not None:
            self._bound.ring()

    async def close(self) -> None:
        """Closes the provider's stream at once, also when the consumer is being cancelled.

        What it says to that moves nothing any more, so an exception is shown as a warning.
        """
        failures = [await _closed(self._iterator)]
        if self._source is not self._iterator:
            failures.append(await _closed(self._source))
        for error in filter(None, failures):
            text = f"closing the stream of {self.step.member.name!r} raised {error!r}"
            warnings.warn(text, ResourceWarning, stacklevel=2)

    # -- inside -----------------------------------------------------------------------------

    def _look(self, chunk: Any) -> bool:
        """Whether a chunk, perhaps the first, has proved the answer whole."""
        reader = self._reader
        if reader is None:
            reader = self._reader = self._policy.reader(chunk, self.approach.request)
        if self._meter is not None:
            self._meter.note(chunk, reader)
        proves = reader.proves_end
        try:
            if proves is not None and not self.proven and proves(chunk):
                self.proven = True
        except BrokenOff as end:
            raise self._incomplete(f"says that it broke off ({end})", FailureKind.SERVER) from None
        return self.proven

    def _keep_new(self, chunk: Any, *, begun: bool) -> bool:
        """Keeps what of a chunk is new to the consumer; whether anything is."""
        if not (begun or self.proven) and self.reader.only_thinks(chunk):
            return False
        matcher = self.approach.matcher
        new = (chunk,) if matcher is None else matcher.rest_of(chunk, self.reader, last=self.proven)
        self._chunks.extend(new if begun else map(self.reader.going_on, new))
        return bool(self._chunks)

    def _note(self, chunk: Any, flow: StreamLimits) -> None:
        """Looks at a chunk that came in time, and whether it came fast enough."""
        if not self.proven or self._meter is not None:
            self._look(chunk)
        size = self.reader.size
        if flow.rated and not self.proven and size is not None:
            slow = flow.came(size(chunk), self._loop.time())
            if slow is not None:
                raise slow

    def _ended(self) -> Exception:
        if self.proven or self.reader.proves_end is None:
            return StopAsyncIteration()
        return self._incomplete("ended without proof that the answer is whole")

    def _ended_without_content(self) -> bool:
        """An end that is whole when all was repeated and the end itself is the proof."""
        matcher, reader = self.approach.matcher, self._reader
        repeats = self.approach.how == "match" and reader is not None
        if matcher is None or not repeats or self.reader.proves_end is not None:
            raise self._incomplete("ended before its first content")
        if not matcher.done:
            raise Diverged
        return True

    def _cut(self, error: Exception) -> Exception:
        """What a stream ends with; after the proof it ends well."""
        return StopAsyncIteration() if self.proven else error

    def _incomplete(self, what: str, kind: FailureKind = FailureKind.INTERRUPTED) -> ProviderError:
        name = self.step.member.name
        return ProviderError(f"the stream of {name!r} {what}", provider=name, kind=kind)


async def _closed(stream: Any) -> Exception | None:
    """Closes an async iterator, or the object that it came from; what that raised."""
    close = getattr(stream, "aclose", None) or getattr(stream, "close", None)
    if close is None:
        return None
    try:
        with anyio.move_on_after(CLOSING, shield=True):
            closing = close()
            if inspect.isawaitable(closing):
                await closing
    except Exception as error:  # noqa: BLE001 - see Upstream.close
        return error
    return None
