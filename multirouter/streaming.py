"""The same plan when the answer comes in pieces: opened by the one loop, then served from here.

A stream is judged by how it ends. Up to its first content it is an attempt like any other, and
fails over like one. From then on its permit is kept until the end; what breaks it counts for its
provider, and `StreamPolicy.on_interrupt` says whether the consumer notices.
"""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic

from multirouter.core.model import (
    CANCELLED,
    SUCCESS,
    AttemptRecord,
    CallOutcome,
    ChunkT_co,
    Verdict,
)
from multirouter.core.plan import Plan
from multirouter.core.steps import Serve, Try
from multirouter.core.stream_policy import StreamPolicy
from multirouter.errors import AttemptTimeout, StreamInterrupted, UsageError
from multirouter.opening import Opener
from multirouter.upstream import Flow, Upstream, verdict_of

if TYPE_CHECKING:
    from typing import Self


@dataclass(frozen=True, slots=True)
class Restarted:
    """Stands in a stream where the answer begins anew (`on_interrupt="restart"`).

    Attributes:
        provider: who serves from here on.
        chunks: how many chunks came before, which are void now.
    """

    provider: str
    chunks: int


@dataclass(slots=True)
class Opened:
    """What a router hands to a stream: the plan that chose, and the loop that drives it.

    Attributes:
        plan: the call's plan.
        opener: what opens upstreams.
        drive: runs the one loop until somebody serves or the call has ended.
        ended: told when the call is over, so that the router may count it out.
        judge: the verdict on what an upstream has raised.
    """

    plan: Plan
    opener: Opener
    policy: StreamPolicy
    drive: Callable[[], Awaitable[CallOutcome[Any] | Serve]]
    ended: Callable[[], None]
    judge: Callable[[BaseException], Verdict]


class Stream(Generic[ChunkT_co]):
    """A streamed answer: `await` it or enter it with `async with`, then iterate.

    Reading to the end, `aclose()` or leaving the block gives the provider's permit back.

    Attributes:
        outcome: how the call ended, once it has.
    """

    def __init__(self, open_: Callable[[], Awaitable[Opened]]) -> None:
        self._open = open_
        self._opened: Opened | None = None
        self._flow: Flow | None = None
        self._restart: Restarted | None = None
        self.outcome: CallOutcome[None] | None = None

    @property
    def provider(self) -> str:
        """Who is serving, or has served; changes when a stream goes on elsewhere.

        Raises:
            UsageError: before the stream was opened.
        """
        return self._served().member.name

    @property
    def attempts(self) -> tuple[AttemptRecord, ...]:
        """The trail so far; the attempt that serves is not ended and not in it."""
        return () if self._opened is None else tuple(self._opened.plan.attempts)

    def __await__(self) -> Generator[Any, None, Self]:
        """Opens the stream: returns when the first content is there."""
        return self._begin().__await__()

    async def __aenter__(self) -> Self:
        """Opens the stream: returns when the first content is there."""
        return await self._begin()

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

    async def __anext__(self) -> ChunkT_co:
        """The next chunk.

        Raises:
            StopAsyncIteration: at the end of the answer, which is whole then.
            StreamInterrupted: when it broke and cannot go on; `__cause__` says why.
            CallFailed: as `call`, when the stream was not opened before and nobody could serve.
        """
        if self._opened is None:
            await self._begin_once()
        if self.outcome is not None:
            raise StopAsyncIteration
        while True:
            if self._restart is not None:
                marker, self._restart = self._restart, None
                return marker  # type: ignore[return-value] # what `restart` promises in its place
            chunk, error = await self._read()
            if error is None:
                return chunk  # type: ignore[no-any-return] # the provider's own type
            await self._mend(error)

    async def aclose(self) -> None:
        """Ends the stream; stopping early is neutral for the provider, and closes it at once."""
        opened = self._opened
        if opened is None or self.outcome is not None:
            return
        upstream = self._upstream()
        opened.plan.record(upstream.step, CANCELLED, None, None, opened.opener.loop.time())
        self._end(GeneratorExit("the consumer stopped"))
        await upstream.close()

    def __del__(self) -> None:
        """Gives the permit back for a consumer that forgot to; its upstream closes by itself."""
        opened = self._opened
        if opened is not None and self.outcome is None:
            warnings.warn(f"stream of {self.provider!r} was never closed", ResourceWarning, 2)
            step = self._upstream().step
            opened.plan.record(step, CANCELLED, None, None, opened.opener.loop.time())
            self._end(GeneratorExit("the consumer stopped"))

    # -- inside -----------------------------------------------------------------------------

    async def _begin(self) -> Self:
        await self._begin_once()
        return self

    async def _begin_once(self) -> None:
        if self._opened is None:
            opened = await self._open()
            self._opened = opened
            self._flow = Flow(opened.policy, opened.opener.loop.time())

    def _upstream(self) -> Upstream:
        upstream = None if self._opened is None else self._opened.opener.upstream
        if upstream is None:
            raise UsageError("the stream is not open: await it, or enter it with `async with`")
        return upstream

    def _served(self) -> Try:
        return self._upstream().step

    async def _read(self) -> tuple[Any, Exception | None]:
        """The next chunk, or the error that broke the stream."""
        opened, flow = self._opened, self._flow
        assert opened is not None and flow is not None, "only an open stream is read"  # noqa: PT018
        upstream = self._upstream()
        loop = opened.opener.loop
        now = loop.time()
        if upstream.chunks:
            chunk = upstream.chunks.popleft()
        else:
            bound = loop.bound(flow.deadline(upstream.step.member, now))
            try:
                with bound:
                    chunk = await upstream.next()
            except StopAsyncIteration:
                await self._complete(upstream)
                raise
            except Exception as error:
                return None, error
            except BaseException as error:
                opened.plan.record(upstream.step, CANCELLED, None, error, loop.time())
                self._end(error)
                await upstream.close()
                raise
            if bound.expired or bound.stray:
                return None, flow.expired(upstream.step.member, loop.time())
        return chunk, self._note(chunk, upstream, opened, flow)

    def _note(
        self, chunk: Any, upstream: Upstream, opened: Opened, flow: Flow
    ) -> AttemptTimeout | None:
        """Books a chunk that came; an error when the stream is too slow to go on."""
        step, policy = upstream.step, opened.policy
        if step.permit.trial:
            opened.plan.flowing(step, opened.opener.loop.time(), step.member.idle)
        opened.opener.delivered.note(chunk, upstream.reader)
        if policy.min_rate is None or upstream.proven:
            return None
        now = opened.opener.loop.time()
        return flow.too_slow(upstream.reader.text(chunk), step.member.name, now)

    async def _complete(self, upstream: Upstream) -> None:
        assert self._opened is not None, "only an open stream ends"
        self._opened.plan.record(
            upstream.step, SUCCESS, None, None, self._opened.opener.loop.time()
        )
        self._end(None)

    async def _mend(self, error: Exception) -> None:
        """Goes on elsewhere, or raises."""
        opened = self._opened
        assert opened is not None, "only an open stream breaks"
        plan, opener = opened.plan, opened.opener
        broken = self._upstream()
        now = opener.loop.time()
        verdict = verdict_of(error) if isinstance(error, AttemptTimeout) else opened.judge(error)
        plan.record(broken.step, verdict, None, error, now)
        await broken.close()
        if self._may_go_on(opened):
            plan.broken(now)
            opener.delivered.spliced = True
            went = await self._elsewhere(opened)
            if went:
                return
        interrupted = StreamInterrupted(
            f"the stream of {broken.step.member.name!r} broke after "
            f"{opener.delivered.chunks} chunks: {error}",
            provider=broken.step.member.name,
            chunks=opener.delivered.chunks,
            attempts=tuple(plan.attempts),
            elapsed=now - broken.step.started,
        )
        interrupted.__cause__ = error
        self._end(interrupted)
        raise interrupted

    def _may_go_on(self, opened: Opened) -> bool:
        how, plan = opened.policy.on_interrupt, opened.plan
        if how == "raise" or not plan.idempotent:
            return False
        return how == "restart" or opened.opener.delivered.may_continue

    async def _elsewhere(self, opened: Opened) -> bool:
        """Whether another provider serves now."""
        delivered = opened.opener.delivered
        if opened.policy.on_interrupt == "restart":
            delivered.forget()
            delivered.spliced = False
        try:
            served = isinstance(await opened.drive(), Serve)
        except BaseException as error:
            self._end(error)
            raise
        if not served or self._flow is None:
            return False
        self._flow.resume(opened.opener.loop.time())
        if opened.policy.on_interrupt == "restart":
            self._restart = Restarted(self.provider, delivered.chunks)
        return True

    def _end(self, error: BaseException | None) -> None:
        opened = self._opened
        assert opened is not None, "only an open stream ends"
        plan, now = opened.plan, opened.opener.loop.time()
        if error is None:
            outcome = plan.next_step(now)
            assert isinstance(outcome, CallOutcome), "a recorded success ends a plan"
        else:
            outcome = plan.broken_off(error, now)
        self.outcome = outcome
        plan.finish(outcome)
        opened.ended()
