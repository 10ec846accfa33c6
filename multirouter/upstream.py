"""One provider's stream, read chunk by chunk, and the limits of time on a stream that flows."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import anyio

from multirouter.core.model import Kind, Verdict
from multirouter.core.selection import Member
from multirouter.core.steps import Try
from multirouter.core.stream_policy import Reader, StreamPolicy
from multirouter.errors import AttemptTimeout, ProviderError
from multirouter.splicing import Delivered, Diverged, Matcher

CLOSING = 1.0
"""Seconds an upstream may take to close before it is dropped."""


class Upstream:
    """One provider's stream, from the call of its function to its end.

    Attributes:
        step: the attempt it is.
        chunks: chunks that were read and not yet passed on.
        proven: whether a chunk has proved that the answer is whole.
        reader: how its chunks are read; known from the first chunk on.
    """

    __slots__ = ("_iterator", "_meter", "_policy", "chunks", "proven", "reader", "step")

    reader: Reader

    def __init__(self, step: Try, policy: StreamPolicy) -> None:
        self.step = step
        self.chunks: deque[Any] = deque()
        self.proven = False
        self._meter = step.meter
        self._policy = policy
        self._iterator: AsyncIterator[Any] | None = None

    async def open(self, delivered: Delivered) -> None:
        """Reads up to the first content that is new, or up to a proven end without any.

        Raises:
            Exception: whatever the provider raises; ProviderError when the stream ends before,
                or when it cannot go on from what was delivered.
        """
        request, matcher = delivered.request_for(self.step.member)
        try:
            await self._open(request, matcher, keep_all=not delivered.spliced)
        except Diverged:
            instructed = delivered.instructed()
            if instructed is None:
                raise self.incomplete("says something else than what was delivered") from None
            await self.close()
            await self._open(instructed, None, keep_all=False)

    async def _open(self, request: Any, matcher: Matcher | None, *, keep_all: bool) -> None:
        iterator = self._iterator = aiter(self.step.member.stream(request))
        first = True
        async for chunk in iterator:
            if first:
                first = False
                self.reader = self._policy.reader(chunk)
            self._look(chunk)
            content = self.reader.content(chunk)
            if content and matcher is not None:
                new = matcher.rest_of(chunk, self.reader)
                self.chunks.extend(new)
                content = bool(new)
            elif keep_all or content or self.proven:
                self.chunks.append(chunk)
            if content or self.proven:
                return
        raise self.incomplete("ended before its first content")

    async def next(self) -> Any:
        """The next chunk.

        Raises:
            StopAsyncIteration: at the end, when the answer is whole.
            Exception: whatever the provider raises; ProviderError for an end without proof.
        """
        assert self._iterator is not None, "open comes first"
        try:
            chunk = await anext(self._iterator)
        except StopAsyncIteration:
            if self.reader.proves_end is not None and not self.proven:
                raise self.incomplete("ended without proof that the answer is whole") from None
            raise
        if not self.proven or self._meter is not None:
            self._look(chunk)
        return chunk

    async def close(self) -> None:
        """Closes the provider's stream at once, also when the consumer is being cancelled."""
        aclose = getattr(self._iterator, "aclose", None)
        if aclose is not None:
            with anyio.move_on_after(CLOSING, shield=True):
                await aclose()

    def incomplete(self, what: str) -> ProviderError:
        """The error of a stream that is not whole."""
        name = self.step.member.name
        return ProviderError(f"the stream of {name!r} {what}", provider=name, kind=Kind.INTERRUPTED)

    def _look(self, chunk: Any) -> None:
        if self._meter is not None:
            self._meter.note(chunk, self.reader)
        proves = self.reader.proves_end
        if proves is not None and proves(chunk):
            self.proven = True


class Flow:
    """The limits of a stream that flows: idle, total and the throughput floor.

    Attributes:
        ends_at: loop time at which the stream must have ended.
    """

    __slots__ = ("_characters", "_policy", "_window_from", "ends_at")

    def __init__(self, policy: StreamPolicy, now: float) -> None:
        self._policy = policy
        self.ends_at = now + policy.total
        self._window_from = now
        self._characters = 0

    def resume(self, now: float) -> None:
        """Another provider serves from here: its rate is its own, the total goes on."""
        self._window_from = now
        self._characters = 0

    def deadline(self, member: Member, now: float) -> float:
        """Loop time by which the next chunk must have come."""
        at = now + member.idle
        return at if at < self.ends_at else self.ends_at

    def expired(self, member: Member, now: float) -> AttemptTimeout:
        """The error of the limit that has just passed."""
        if now >= self.ends_at:
            return AttemptTimeout(member.name, "total", self._policy.total)
        return AttemptTimeout(member.name, "idle", member.idle)

    def too_slow(self, text: str, provider: str, now: float) -> AttemptTimeout | None:
        """The error of a stream whose text came too slowly over the last window, or None."""
        policy = self._policy
        floor = policy.min_rate or 0.0
        self._characters += len(text)
        passed = now - self._window_from
        if passed < policy.rate_window:
            return None
        slow = self._characters < floor * passed
        self._window_from, self._characters = now, 0
        return AttemptTimeout(provider, "min_rate", floor) if slow else None


def verdict_of(error: AttemptTimeout) -> Verdict:
    """The verdict on a stream that one of its limits has cut off."""
    return Verdict(Kind.TIMEOUT, reason=f"{error.limit} {error.seconds:g}")
