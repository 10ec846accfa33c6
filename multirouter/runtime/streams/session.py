"""One stream on its way to its consumer: opened, read, mended where it breaks, ended once."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from multirouter.core.chat.chunk_reader import Misused
from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import ServeStep
from multirouter.core.planning.stream_limits import StreamLimits
from multirouter.core.planning.stream_plan import lease_of
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.errors import StreamInterrupted, UsageError
from multirouter.model import CANCELLED, SUCCESS, AttemptRecord, CallOutcome
from multirouter.runtime.deadline import Bound
from multirouter.runtime.event_loops.running_loop import know_its_own
from multirouter.runtime.streams.opening import StreamOpener
from multirouter.runtime.streams.provider_stream import ProviderStream

Soon = Callable[[Callable[[], object]], object]
"""Has something called in one loop, from any thread and from the garbage collector too."""


_LEFT = GeneratorExit("the consumer stopped")


@dataclass(frozen=True, slots=True)
class StreamRestarted:
    """Stands in a stream where the answer begins anew (`on_interrupt="restart"`).

    Attributes:
        provider: who serves from here on.
        chunks: how many chunks came before, which are void now.
    """

    provider: str
    chunks: int


class StreamSession:
    """Drives one stream's plan from its opening to its end.

    Args:
        plan: the call's plan.
        opener: what opens upstreams.
        policy: the route's stream policy.
        drive: runs the one loop until somebody serves or the call has ended.
        ended: told when the call is over, so that the router may count it out.

    Attributes:
        outcome: how the call ended, once it has.
    """

    def __init__(
        self,
        plan: Plan,
        opener: StreamOpener,
        policy: StreamPolicy,
        drive: Callable[[], Awaitable[CallOutcome[Any] | ServeStep]],
        ended: Callable[[], None],
    ) -> None:
        self.outcome: CallOutcome[None] | None = None
        self._plan = plan
        self._opener = opener
        self._policy = policy
        self._drive = drive
        self._ended = ended
        self._busy = False
        self._left = False
        self._search: Bound | None = None
        self._marker: StreamRestarted | None = None
        self._upstream: ProviderStream
        self._flow: StreamLimits
        self._soon = _soon_in(opener.loop.name)

    @property
    def provider(self) -> str:
        """Who serves, or has served last."""
        return self._upstream.step.member.name

    @property
    def attempts(self) -> tuple[AttemptRecord, ...]:
        """The trail so far."""
        return tuple(self._plan.attempts)

    async def open(self) -> None:
        """Finds somebody who serves, unless another task closes it meanwhile.

        Raises:
            Exception: what `call` would raise, when nobody does.
        """
        self._busy = True
        try:
            outcome = await self._found()
        finally:
            self._busy = False
        if outcome is not None:
            self._end(outcome)
            raise outcome.error or AssertionError("only a failure ends what nobody serves")
        if self.outcome is None:
            upstream, now = self._upstream, self._opener.loop.time()
            self._flow = StreamLimits(self._policy, upstream.step.member, now, rated=upstream.rated)

    async def next(self) -> Any:
        """The next chunk, or the marker of a new beginning.

        Raises:
            StopAsyncIteration: at the end.
            StreamInterrupted: when it broke and cannot go on.
            UsageError: when another task is reading it, or a hook is wrong.
        """
        if self._busy:
            raise UsageError("the stream is being read by another task: one reader at a time")
        self._busy = True
        try:
            while self.outcome is None:
                if self._marker is not None:
                    marker, self._marker = self._marker, None
                    return marker
                chunk, error = await self._read(self._upstream)
                if error is None:
                    return chunk
                await self._go_on_or_end(error)
        except GeneratorExit as error:  # nothing can be awaited here: the collector closes it
            self._stop(error)
            raise
        except BaseException as error:
            await self._leave(error)
            await know_its_own(error, self._opener.loop)
            raise
        finally:
            self._busy = False
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Ends it; when another task is reading, that one stops reading and closes it."""
        if self.outcome is not None:
            return
        self._left = True
        if not self._busy:
            await self._leave()
        elif self._search is not None:
            self._search.ring()
        elif self._opener.upstream is not None:
            self._opener.upstream.interrupt()

    def forget(self) -> None:
        """Ends it for a consumer that dropped it, from wherever the garbage collector runs."""
        try:
            self._soon(self._forgotten)
        except RuntimeError:  # the loop is over: nobody can close the upstream in it any more
            self._stop(GeneratorExit("the consumer dropped the stream"))

    # -- inside -----------------------------------------------------------------------------

    async def _read(self, upstream: ProviderStream) -> tuple[Any, Exception | None]:
        """The next chunk, or the end of this upstream, good or bad."""
        try:
            chunk = await upstream.next(self._flow)
            self._opener.delivered.note(chunk, upstream.reader)
        except Exception as error:  # noqa: BLE001 - whatever a provider raises is judged
            return None, error
        if self._left:
            return None, StopAsyncIteration()
        step = upstream.step
        if step.permit.trial:
            self._plan.flowing(step, self._opener.loop.time(), lease_of(step))
        return chunk, None

    async def _go_on_or_end(self, error: Exception) -> None:
        """After the end of an upstream: that of the answer, or a break, mended where it can be."""
        if not self._left:
            if isinstance(error, StopAsyncIteration):
                await self._leave(None)
            elif isinstance(error, Misused):
                raise error
            else:
                await self._mend(self._upstream, error)
        if self._left:  # another task has closed it meanwhile
            await self._leave()

    async def _mend(self, broken: ProviderStream, error: Exception) -> None:
        """Goes on elsewhere, or raises StreamInterrupted."""
        plan, opener, flow = self._plan, self._opener, self._flow
        now = opener.loop.time()
        opener.upstream = None
        verdict = flow.verdict if error is flow.error else opener.judge(error)
        plan.record(broken.step, verdict, None, error, now)
        await broken.close()
        if self._left:
            return
        why_not = self._bar(now)
        if not why_not:
            plan.broken(now, flow.ends_at)
            opener.delivered.broken = True
            outcome = await self._found()
            if outcome is None:
                self._spliced(broken)
                return
            why_not = f"nobody could go on: {outcome.error}"
        raise self._interrupted(broken, error, why_not)

    def _bar(self, now: float) -> str:
        """Why a broken stream cannot go on, in words; "" when it can."""
        if self._policy.on_interrupt != "raise" and not self._plan.idempotent:
            return "the call said idempotent=False"
        if self._policy.on_interrupt != "raise" and now >= self._flow.ends_at:
            return "StreamPolicy.total has passed"
        return self._opener.delivered.bar

    async def _found(self) -> CallOutcome[Any] | None:
        """Walks the plan until somebody serves, or it is closed; else how the walk ended."""
        try:
            step = await self._walk()
        except GeneratorExit as error:
            self._stop(error)
            raise
        except BaseException as error:
            await self._leave(error)
            raise
        if self._left:
            await self._leave()
        elif isinstance(step, CallOutcome):
            return step
        else:
            self._upstream = self._opener.upstream  # type: ignore[assignment] # who serves is open
        return None

    async def _walk(self) -> CallOutcome[Any] | ServeStep | None:
        """Walks the plan to its next stop, or until another task closes it."""
        step: CallOutcome[Any] | ServeStep | None = None
        self._search = self._opener.loop.bound(math.inf)
        try:
            with self._search as search:
                step = await self._drive()
        finally:
            self._search = None
        if search.stray:
            raise asyncio.CancelledError("nobody had asked for it")
        return step

    def _spliced(self, broken: ProviderStream) -> None:
        if self.outcome is not None:  # it was closed during the search
            return
        upstream, chunks = self._upstream, self._opener.delivered.chunks
        self._flow.serves(upstream.step.member, rated=upstream.rated)
        how = upstream.approach.how
        if how is None:
            self._marker = StreamRestarted(self.provider, chunks)
        self._plan.stream_continued(
            upstream.step, broken.step.member.name, how or "restart", chunks
        )

    def _interrupted(self, broken: ProviderStream, error: Exception, why: str) -> StreamInterrupted:
        name, chunks = broken.step.member.name, self._opener.delivered.chunks
        interrupted = StreamInterrupted(
            f"the stream of {name!r} broke after {chunks} chunks: {error} ({why})",
            provider=name,
            chunks=chunks,
            attempts=self.attempts,
        )
        interrupted.__cause__ = error
        outcome = self._plan.broken_off(interrupted, self._opener.loop.time())
        interrupted.elapsed = outcome.elapsed
        self._end(outcome)
        return interrupted

    async def _leave(self, error: BaseException | None = _LEFT) -> None:
        """Ends it, and closes the upstream at once."""
        upstream = self._stop(error)
        if upstream is not None:
            await upstream.close()

    def _forgotten(self) -> None:
        upstream = self._stop(GeneratorExit("the consumer dropped the stream"))
        if upstream is not None:
            self._opener.loop.spawn(f"closing {self.provider}'s stream", upstream.close)

    def _stop(self, error: BaseException | None) -> ProviderStream | None:
        """Books the end, once; who stops after the proof has a whole answer.

        Returns:
            The upstream that is to be closed, if one is open.
        """
        opener, plan = self._opener, self._plan
        now = opener.loop.time()
        upstream, opener.upstream = opener.upstream, None
        if upstream is not None:
            error = None if upstream.whole else error
            plan.record(upstream.step, CANCELLED if error else SUCCESS, None, None, now)
        if self.outcome is None:
            ended = plan.broken_off(error, now) if error else plan.next_step(now)
            self._end(ended)  # type: ignore[arg-type] # a recorded success ends a plan
        return upstream

    def _end(self, outcome: CallOutcome[Any]) -> None:
        self.outcome = outcome
        self._plan.finish(outcome)
        self._ended()


def _soon_in(loop: Literal["asyncio", "trio"]) -> Soon:
    """Has something called in the running loop; RuntimeError once that is over."""
    if loop == "asyncio":
        return asyncio.get_running_loop().call_soon_threadsafe
    import trio

    return trio.lowlevel.current_trio_token().run_sync_soon
