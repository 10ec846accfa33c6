"""Delivery of one stream to its consumer: opening, reading, continuation after a break, end."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

from multirouter.core.chat.chunk_reader import StreamHookError
from multirouter.core.error_text import message_of
from multirouter.core.failures.unreadable_exceptions import readable
from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import ServeStep
from multirouter.core.planning.stream_limits import StreamLimits
from multirouter.core.planning.stream_plan import trial_lease
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.errors import StreamInterrupted, UsageError
from multirouter.model import CANCELLED, SUCCESS, AttemptRecord, CallOutcome
from multirouter.runtime.call_loop import CallLoop
from multirouter.runtime.event_loops.call_soon import call_soon_in
from multirouter.runtime.event_loops.deadline import Bound
from multirouter.runtime.event_loops.running_loop import redeliver_cancellation
from multirouter.runtime.stray_cancellation import for_outcome
from multirouter.runtime.streams.continuation import HELD, Delivered, StreamRestarted
from multirouter.runtime.streams.opening import StreamOpener
from multirouter.runtime.streams.provider_stream import ProviderStream


class StreamSession:
    """Delivers one streamed call, from its opening to its end.

    The traceback of a provider's exception holds the frames of the methods that awaited it, and the
    session holds the exception in its trail. So these methods let go of the session when they end:
    without that cycle the request is released with the stream.

    Args:
        plan: the call's plan.
        request: the call's request.
        opener: opens the streams of providers.
        policy: the route's stream policy.
        call_loop: runs the plan until a provider serves or the call has ended.
        on_end: called once when the call has ended.

    Attributes:
        outcome: how the call ended, once it has.
        delivered: what the consumer has got.
    """

    def __init__(
        self,
        plan: Plan,
        request: Any,
        opener: StreamOpener,
        policy: StreamPolicy,
        call_loop: CallLoop,
        on_end: Callable[[], None],
    ) -> None:
        self.outcome: CallOutcome[None] | None = None
        self.delivered: Delivered = opener.delivered
        self._plan = plan
        self._request = request
        self._opener = opener
        self._policy = policy
        self._call_loop = call_loop
        self._on_end = on_end
        self._reading = False
        self._closing = False
        self._search: Bound | None = None
        self._marker: StreamRestarted | None = None
        self._upstream: ProviderStream
        self._limits: StreamLimits
        self._call_soon = call_soon_in(opener.loop.name)

    @property
    def provider(self) -> str:
        """Name of the provider that serves, or served last."""
        return self._upstream.step.member.name

    @property
    def dropped(self) -> tuple[str, ...]:
        """Fields that the provider that serves was not sent."""
        return self._upstream.step.dropped

    @property
    def attempts(self) -> tuple[AttemptRecord, ...]:
        """The trail so far."""
        return tuple(self._plan.attempts)

    async def open(self) -> None:
        """Finds a provider that serves, unless another task closes the stream meanwhile.

        Raises:
            Exception: what `call` would raise, when no provider serves.
        """
        outcome: CallOutcome[Any] | None = None
        self._reading = True
        try:
            outcome = await self._find_provider()
            if outcome is not None:
                self._end(outcome)
                _ = outcome.value  # raises: without a serving provider there is an error
            elif self.outcome is None:
                upstream, now = self._upstream, self._opener.loop.time()
                self._limits = StreamLimits(
                    self._policy,
                    upstream.step.member,
                    now,
                    rate_measurable=upstream.rate_measurable,
                    lost=self._opener.loop.stalls.lost,
                )
        finally:
            self._reading = False
            del self, outcome

    async def next(self) -> Any:
        """The next chunk, or the marker of a restart.

        Raises:
            StopAsyncIteration: at the end.
            StreamInterrupted: when the stream broke and cannot be continued.
            UsageError: when another task is reading the stream, or a hook is wrong.
        """
        if self._reading:
            raise UsageError("another task is reading the stream: only one reader at a time")
        self._reading = True
        try:
            while self.outcome is None:
                if self._marker is not None:
                    marker, self._marker = self._marker, None
                    return marker
                chunk, end = await self._read(self._upstream)
                if end is not None:
                    await self._continue_or_end(end)
                elif chunk is not HELD:
                    return chunk
            if self.delivered.held:
                return self.delivered.held.popleft()
        except GeneratorExit as error:  # no awaiting here: the garbage collector closes the stream
            self._settle(error)
            raise
        except BaseException as error:
            await self._end_and_close(error)
            await redeliver_cancellation(error, self._opener.loop)
            raise
        finally:
            self._reading = False
            end = None
            del self
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Ends the stream; a task that is reading stops and closes it."""
        self._closing = True
        if self.outcome is not None:
            self.delivered.held.clear()
        elif not self._reading:
            await self._stop()
        elif self._search is not None:
            self._search.expire()
        elif self._opener.upstream is not None:
            self._opener.upstream.interrupt()

    def drop(self) -> None:
        """Ends a stream that its consumer dropped; called from the garbage collector."""
        try:
            self._call_soon(self._end_dropped)
        except RuntimeError:  # the loop has ended, and the upstream cannot be closed in it
            self._settle(GeneratorExit("the consumer dropped the stream"))

    # -- inside -----------------------------------------------------------------------------

    async def _read(self, upstream: ProviderStream) -> tuple[Any, Exception | None]:
        """The next chunk and None, or None and the exception that ended this upstream."""
        try:
            try:
                chunk = await upstream.next(self._limits)
                chunk = self.delivered.note(chunk, upstream.reader)
            except Exception as error:  # noqa: BLE001 - any error of a provider is classified
                return None, readable(error, upstream.step.member.name)
            if self._closing:
                return None, StopAsyncIteration()
            step = upstream.step
            if step.permit.trial:
                loop = self._opener.loop
                lost = loop.stalls.lost_since(upstream.first_at)
                self._plan.renew_trial_lease(step, loop.time(), trial_lease(step), lost)
            return chunk, None
        finally:
            del self

    async def _continue_or_end(self, error: Exception) -> None:
        """Handles the end of an upstream: the end of the answer, or a break to be continued."""
        try:
            if not self._closing:
                if isinstance(error, StopAsyncIteration):
                    await self._end_and_close(None)
                elif isinstance(error, StreamHookError):
                    raise error
                else:
                    await self._continue_elsewhere(self._upstream, error)
            if self._closing:  # another task has closed it meanwhile
                await self._stop()
        finally:
            del self, error

    async def _continue_elsewhere(self, previous: ProviderStream, error: Exception) -> None:
        """Continues on another provider, or raises StreamInterrupted."""
        plan, opener, limits = self._plan, self._opener, self._limits
        try:
            now = opener.loop.time()
            opener.upstream = None
            self.delivered.interrupt()
            previous.step.stalled = previous.excused(now)
            limits.give_back(opener.loop.stalls.lost)
            verdict = limits.verdict_on(error) or opener.classify(error, self._request)
            plan.record(previous.step, verdict, None, error, now)
            await previous.close()
            if self._closing:
                return
            why_not = self._cannot_continue(now)
            if not why_not:
                plan.begin_continuation(now, limits.ends_at)
                outcome = await self._find_provider()
                if outcome is None:
                    self._continued(previous)
                    return
                why_not = f"no provider could continue: {outcome.error}"
            raise self._interrupted(previous, error, why_not)
        finally:
            outcome = None
            del self, plan, error

    def _cannot_continue(self, now: float) -> str:
        """Why a broken stream cannot be continued, as text; "" when it can."""
        if self._policy.on_interrupt != "raise" and not self._plan.idempotent:
            return "the call has idempotent=False"
        if self._policy.on_interrupt != "raise" and now >= self._limits.ends_at:
            return "StreamPolicy.total has passed"
        return self.delivered.obstacle

    async def _find_provider(self) -> CallOutcome[Any] | None:
        """Runs the plan until a provider serves or the stream is closed.

        Returns:
            The outcome of a call that ended without a serving provider, else None.
        """
        try:
            step = await self._run_plan()
            if self._closing:
                await self._stop()
            elif isinstance(step, CallOutcome):
                return step
            else:
                self._upstream = self._opener.upstream  # type: ignore[assignment] # a serving stream is open
            return None
        except GeneratorExit as error:
            self._settle(error)
            raise
        except BaseException as error:
            await self._end_and_close(error)
            raise
        finally:
            step = None
            del self

    async def _run_plan(self) -> CallOutcome[Any] | ServeStep | None:
        """Runs the call loop until it returns, or until another task closes the stream."""
        opener, step = self._opener, None
        search = self._search = opener.loop.bound(math.inf)
        try:
            with search:
                now = opener.loop.time()
                step = await self._call_loop.drive(self._plan, self._request, opener, now)
            if search.stray:
                raise asyncio.CancelledError("no task was cancelled")
            return step
        finally:
            self._search = None
            del self, step, search

    def _continued(self, previous: ProviderStream) -> None:
        if self.outcome is not None:  # it was closed during the search
            return
        upstream, chunks = self._upstream, self.delivered.chunks
        self._limits.switch_to(upstream.step.member, rate_measurable=upstream.rate_measurable)
        mode = upstream.approach.mode
        if mode is None and chunks:
            self._marker = StreamRestarted(self.provider, chunks)
        self._plan.stream_continued(
            upstream.step, previous.step.member.name, mode or "restart", chunks
        )

    def _interrupted(
        self, previous: ProviderStream, error: Exception, why: str
    ) -> StreamInterrupted:
        name, chunks = previous.step.member.name, self.delivered.chunks
        delivered = "1 chunk" if chunks == 1 else f"{chunks} chunks"
        interrupted = StreamInterrupted(
            f"the stream of {name!r} was interrupted after {delivered}: "
            f"{message_of(error) or type(error).__qualname__} (not continued: {why})",
            provider=name,
            chunks=chunks,
            attempts=self.attempts,
        )
        interrupted.__cause__ = error
        outcome = self._plan.abort(interrupted, self._opener.loop.time())
        interrupted.elapsed = outcome.elapsed
        self._end(outcome)
        return interrupted

    async def _stop(self) -> None:
        """Ends a stream that its consumer stopped early, and closes the upstream at once."""
        await self._end_and_close(GeneratorExit("the consumer stopped"))

    async def _end_and_close(self, error: BaseException | None) -> None:
        """Ends the stream and closes the upstream at once."""
        upstream = self._settle(error)
        if upstream is not None:
            await upstream.close()

    def _end_dropped(self) -> None:
        upstream = self._settle(GeneratorExit("the consumer dropped the stream"))
        if upstream is not None:
            self._opener.loop.spawn(f"closing {self.provider}'s stream", upstream.close)

    def _settle(self, error: BaseException | None) -> ProviderStream | None:
        """Records the end, once; a stop after the proof of the end is a success.

        Returns:
            The open upstream, which the caller must close, or None.
        """
        opener, plan = self._opener, self._plan
        now = opener.loop.time()
        upstream, opener.upstream = opener.upstream, None
        if error is not None:
            self.delivered.held.clear()
        if upstream is not None:
            error = None if upstream.complete else error
            verdict = SUCCESS if error is None else CANCELLED
            plan.record(upstream.step, verdict, None, None, now)
        if self.outcome is None:
            ended = plan.next_step(now) if error is None else plan.abort(for_outcome(error), now)
            self._end(ended)  # type: ignore[arg-type] # a recorded success ends a plan
        return upstream

    def _end(self, outcome: CallOutcome[Any]) -> None:
        self.outcome = outcome
        self._plan.finish(outcome)
        self._on_end()
