"""The stream of one provider, read chunk by chunk, from the call of its function to its close."""

from __future__ import annotations

import inspect
import math
import warnings
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import anyio

from multirouter.core.chat.chunk_reader import ChunkReader, FinishedWithError, StreamHookError
from multirouter.core.chat.refusals import refusal_in_chunk
from multirouter.core.planning.steps import AttemptStep, CallTracer
from multirouter.core.planning.stream_limits import StreamLimits
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.errors import ProviderError
from multirouter.model import FailureKind
from multirouter.runtime.event_loops.base import EventLoop
from multirouter.runtime.event_loops.deadline import Bound
from multirouter.runtime.event_loops.running_loop import requested_cancellation
from multirouter.runtime.stray_cancellation import STRAY_MESSAGE
from multirouter.runtime.streams.continuation import Approach, Diverged
from multirouter.runtime.streams.one_context import OneContext

CLOSE_TIMEOUT = 1.0
"""Seconds an upstream may take to close before it is dropped."""


class ProviderStream:
    """The stream of one provider.

    Attributes:
        step: the attempt it belongs to.
        approach: how it was requested.
        first_at: loop time of its first content, seconds; `math.inf` before.
        proven: whether a chunk has proven that the answer is complete.
    """

    __slots__ = (
        "_bound",
        "_chunks",
        "_context",
        "_iterator",
        "_loop",
        "_meter",
        "_policy",
        "_reader",
        "_to_close",
        "_tracer",
        "_waiting_since",
        "approach",
        "first_at",
        "proven",
        "step",
    )

    approach: Approach
    _context: OneContext

    def __init__(
        self,
        step: AttemptStep,
        policy: StreamPolicy,
        loop: EventLoop,
        tracer: CallTracer | None = None,
    ) -> None:
        self.step: AttemptStep = step
        self.first_at: float = math.inf
        self.proven: bool = False
        self._loop = loop
        self._policy = policy
        self._meter = step.meter
        self._chunks: deque[Any] = deque()
        self._tracer = tracer
        self._to_close: tuple[Any, ...] = ()
        self._iterator: AsyncIterator[Any] | None = None
        self._reader: ChunkReader | None = None
        self._bound: Bound | None = None
        self._waiting_since = step.started

    @property
    def reader(self) -> ChunkReader:
        """Reads its chunks; chosen by its first chunk, and not to be used before that."""
        return self._reader  # type: ignore[return-value] # used after the first chunk only

    @property
    def rate_measurable(self) -> bool:
        """Whether `min_rate` applies: the size of its chunks is known."""
        return self.reader.size is not None

    @property
    def complete(self) -> bool:
        """Whether the answer is proven complete, and all of it was passed on."""
        return self.proven and not self._chunks

    def __repr__(self) -> str:
        name, held = self.step.member.name, len(self._chunks)
        return f"<ProviderStream {name} proven={self.proven} held={held}>"

    def start(self, approach: Approach) -> None:
        """Prepares a request; the provider's function is called at the first `advance`."""
        self.approach = approach
        self.proven = False
        self._iterator = None
        self._to_close = ()
        self._reader = None

    @property
    def opened(self) -> bool:
        """Whether the provider's function returned something that can be iterated."""
        return self._iterator is not None

    def note_content(self, now: float) -> None:
        """Records the loop time of content; the first one counts."""
        self.first_at = min(self.first_at, now)

    def _open(self) -> AsyncIterator[Any]:
        """Calls the provider's function.

        Raises:
            StreamHookError: when it returns nothing that can be iterated.
            Exception: whatever it raises.
        """
        context = self._context = OneContext()
        if self._tracer is not None:
            context.call(self._tracer.enter_copy, self.step)
        try:
            request, step = self.approach.request, self.step
            if step.member.dropping is not None:
                request, step.dropped = context.call(step.member.dropping.apply, request)
            source = context.call(step.member.stream, request)
            self._to_close = (source,)
            iterator = context.call(aiter, source)
        except TypeError as error:
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise
            what = f"Provider({self.step.member.name!r}).stream"
            raise StreamHookError(f"{what} must return an async iterator: {error}") from error
        if iterator is not source:
            self._to_close = (iterator, source)
        self._iterator = context.read(iterator)
        return self._iterator

    async def advance(self) -> bool:
        """Reads until the next content, or until a proven end without content.

        Returns:
            Whether there is a chunk to pass on; False while the provider only repeats what was
            delivered, or emits reasoning before it continues.

        Raises:
            Diverged: when the answer differs from what was delivered.
            ProviderError: of kind `refusal`, where refusals fail and nothing was delivered.
            StreamHookError: when the provider's function returns nothing that can be iterated.
            Exception: whatever the provider raises; ProviderError when the stream ends before.
        """
        from_start = self.approach.mode is None
        iterator = self._iterator  # compared with None: an iterator may have length 0
        async for chunk in self._open() if iterator is None else iterator:
            if self._inspect(chunk) or self.reader.content(chunk):
                if from_start and self.step.member.rules.refusals_fail:
                    self._check_refusal(chunk)
                return self._keep_new(chunk, from_start=from_start)
            if from_start:
                self._chunks.append(chunk)
        return self._ended_without_content()

    async def next(self, limits: StreamLimits) -> Any:
        """The next chunk of a serving stream, within its limits.

        Raises:
            StopAsyncIteration: at the end of a complete answer; also for an error after the answer
                was proven complete.
            AttemptTimeout: when a limit has passed; it is then the `error` of the limits.
            Exception: whatever the provider raises; ProviderError for an end without proof.
        """
        now = self._waiting_since = self._loop.time()
        if self._loop.stalls.lost != limits.lost:
            limits.give_back(self._loop.stalls.lost)
        if self._chunks and (now < limits.ends_at or self.proven):
            return self._chunks.popleft()
        if now >= limits.ends_at:
            raise self._unless_proven(limits.total_expired())
        chunk: Any = None
        bound = self._bound = self._loop.bound(limits.deadline(now))
        try:
            with bound:
                chunk = await anext(self._iterator)  # type: ignore[arg-type] # it is open
        except StopAsyncIteration:
            raise self._ended() from None
        except Exception as error:
            if bound.expired:
                raise self._unless_proven(limits.expired()) from error
            if self.proven:
                raise StopAsyncIteration from error
            raise
        finally:
            self._bound = None
            expired, stray = bound.expired, bound.stray
            del bound  # it holds the task, and a traceback may hold this frame
        if expired or stray:
            raise self._unless_proven(
                limits.expired() if expired else self._incomplete_error(STRAY_MESSAGE)
            )
        self._note(chunk, limits)
        return chunk

    def excused(self, now: float) -> bool:
        """Whether a failure at `now` may come from a stall of the event loop."""
        return self._loop.stalls.excuses(self.step.started, now, self._waiting_since)

    def interrupt(self) -> None:
        """Ends the wait for the next chunk in another task."""
        if self._bound is not None:
            self._bound.expire()

    async def close(self) -> None:
        """Closes the provider's stream at once, also while the consumer is being cancelled.

        An exception from closing has no effect on the outcome; it is emitted as a ResourceWarning.
        """
        to_close, self._to_close = self._to_close, ()
        if not to_close:
            return
        cancelled = await requested_cancellation(self._loop)
        context = self._context
        del self._context  # tracebacks of errors hold this stream, and must not hold the context
        for stream in to_close:
            error = await _close_quietly(stream, context, self._loop)
            if error is None:
                continue
            text = f"closing the stream of {self.step.member.name!r} raised {error!r}"
            warnings.warn(text, ResourceWarning, stacklevel=2)
        if cancelled is not None:
            raise cancelled

    # -- inside -----------------------------------------------------------------------------

    def _inspect(self, chunk: Any) -> bool:
        """Reads a chunk for metering and the proof of the end; whether that is now proven."""
        reader = self._reader
        if reader is None:
            reader = self._reader = self._policy.reader(chunk, self.approach.request)
        if self._meter is not None:
            self._meter.record(chunk, reader)
        proves = reader.proves_end
        try:
            if proves is not None and not self.proven and proves(chunk):
                self.proven = True
        except FinishedWithError as end:
            raise self._incomplete_error(
                f"ended with an error ({end})", FailureKind.SERVER
            ) from None
        return self.proven

    def _check_refusal(self, chunk: Any) -> None:
        """Raises for a refusal, of which nothing has been delivered yet."""
        convert = self.reader.as_chat
        sign = "" if convert is None else refusal_in_chunk(convert(chunk))
        if self.step.member.rules.fails(sign):
            name = self.step.member.name
            text = f"the answer of {name!r} is a refusal: {sign}"
            raise ProviderError(text, provider=name, kind=FailureKind.REFUSAL, code=sign)

    def _keep_new(self, chunk: Any, *, from_start: bool) -> bool:
        """Keeps the part of a chunk that is new to the consumer; whether there is any."""
        if not (from_start or self.proven) and self.reader.is_reasoning_only(chunk):
            return False
        matcher = self.approach.matcher
        new = (
            (chunk,) if matcher is None else matcher.new_part(chunk, self.reader, last=self.proven)
        )
        self._chunks.extend(new if from_start else map(self.reader.as_continuation, new))
        return bool(self._chunks)

    def _note(self, chunk: Any, limits: StreamLimits) -> None:
        """Inspects a chunk of a serving stream; raises when the stream is below `min_rate`."""
        if not self.proven or self._meter is not None:
            self._inspect(chunk)
        size = self.reader.size
        if limits.rate_measurable and not self.proven and size is not None:
            lost = self._loop.stalls.lost - limits.lost
            slow = limits.chunk_arrived(size(chunk), self._loop.time(), lost)
            if slow is not None:
                raise slow

    def _ended(self) -> Exception:
        reader = self.reader
        whole = self.proven or reader.proves_end is None
        if whole or (reader.may_end is not None and reader.may_end()):
            return StopAsyncIteration()
        return self._incomplete_error("ended without proof that the answer is complete")

    def _ended_without_content(self) -> bool:
        """Handles an end before new content: complete only if everything was repeated.

        That holds for formats without an end marker, where the end itself is the proof.
        """
        matcher, reader = self.approach.matcher, self._reader
        repeats = self.approach.mode == "match" and reader is not None
        if matcher is None or not repeats or self.reader.proves_end is not None:
            raise self._incomplete_error("ended before its first content")
        if not matcher.done:
            raise Diverged
        return True

    def _unless_proven(self, error: Exception) -> Exception:
        """The error, or StopAsyncIteration when the answer was already proven complete."""
        return StopAsyncIteration() if self.proven else error

    def _incomplete_error(
        self, what: str, kind: FailureKind = FailureKind.INTERRUPTED
    ) -> ProviderError:
        name = self.step.member.name
        return ProviderError(f"the stream of {name!r} {what}", provider=name, kind=kind)


async def _close_quietly(stream: Any, context: OneContext, loop: EventLoop) -> Exception | None:
    """Closes an async iterator, or the object it came from; returns what that raised."""
    close = getattr(stream, "aclose", None) or getattr(stream, "close", None)
    if close is None:
        return None
    try:
        # The shield keeps the cancelled scopes of anyio away. Their own deadline may lose a
        # cancellation of the task that comes with it, which the bound does not.
        with anyio.CancelScope(shield=True), loop.bound(loop.time() + CLOSE_TIMEOUT):
            closing = context.call(close)
            if inspect.isawaitable(closing):
                await context.wait(closing)
    except Exception as error:  # noqa: BLE001 - see ProviderStream.close
        return error
    return None
