"""Opens a stream as an attempt of a plan: up to its first content it fails over like any call."""

from __future__ import annotations

from typing import Any

from multirouter.core.chat.chunk_reader import Misused
from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import AttemptStep
from multirouter.core.planning.stream_limits import StreamLimits
from multirouter.core.planning.stream_plan import FLOW_PROVES, lease_of
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.errors import AttemptTimeout, ProviderError
from multirouter.model import CANCELLED, SUCCESS, FailureKind, Verdict
from multirouter.runtime.attempt import MISUSED, OUT_OF_TIME, Asker, Asks
from multirouter.runtime.deadline import Bound
from multirouter.runtime.event_loops.base import EventLoop
from multirouter.runtime.streams.continuation import Approach, Delivered, Diverged
from multirouter.runtime.streams.provider_stream import ProviderStream

DIVERGED = Verdict(FailureKind.CANCELLED, reason="diverged")
"""Who gives another answer than somebody else has begun is not ill."""

Failure = tuple[Verdict, BaseException | None]
"""What an attempt that brought nothing came to, and the error that stands for it."""


class StreamOpener:
    """Opens streams as attempts of a plan; the one that serves stays open in `upstream`.

    Args:
        asker: the router's own way to ask.
        policy: the route's stream policy.
        delivered: what the consumer has already.
        drained: whether it opens copies, that nobody reads: they are read here.

    Attributes:
        loop: the event loop.
        delivered: as given.
        upstream: the stream that serves, once one does.
    """

    __slots__ = ("_asker", "_drained", "_policy", "delivered", "loop", "upstream")

    def __init__(
        self, asker: Asker, policy: StreamPolicy, delivered: Delivered, *, drained: bool = False
    ) -> None:
        self.loop: EventLoop = asker.loop
        self.delivered: Delivered = delivered
        self.upstream: ProviderStream | None = None
        self._asker = asker
        self._policy = policy
        self._drained = drained

    async def ask(self, plan: Plan, step: AttemptStep, request: Any) -> float:
        """Makes one attempt: up to the first content, or until a copy has shown what it can.

        Raises:
            Misused: when a function of the user's own is wrong; no provider is blamed.
        """
        self._asker.tell_start(step)
        billing = plan.route.billing
        step.meter = None if billing is None else billing.meter(step.member.name)
        upstream = ProviderStream(step, self._policy, self.loop)
        try:
            failure = await self._open(plan, upstream)
            if failure is None and self._drained:
                failure = await self._drain(plan, upstream)
        except BaseException as raised:
            error = None if isinstance(raised, Exception) else raised
            asked = upstream.asked or not isinstance(raised, Misused)
            plan.record(step, CANCELLED if asked else MISUSED, None, error, self.loop.time())
            if not isinstance(raised, GeneratorExit):  # where nothing can be awaited
                await upstream.close()
            raise
        now = self.loop.time()
        if failure is not None:
            plan.record(step, failure[0], None, failure[1], now)
        elif plan.serving(step, upstream.first_at):
            self.upstream = upstream
            return now
        else:
            plan.record(step, CANCELLED, None, None, now)
        await upstream.close()
        return now

    def judge(self, error: Exception) -> Verdict:
        """The verdict on what an upstream has raised."""
        return self._asker.judge(error)

    def copying(self) -> Asks:
        """A copy of a stream is read, until it has shown whether its provider is well."""
        return StreamOpener(self._asker, self._policy, self.delivered, drained=True)

    # -- inside -----------------------------------------------------------------------------

    async def _open(self, plan: Plan, upstream: ProviderStream) -> Failure | None:
        """Asks in one way after the other; what the last of them came to, None for content."""
        step = upstream.step
        limit, deadline = step.deadline - step.started, step.deadline
        failure: Failure | None = None
        for approach in self.delivered.approaches(step.member):
            if failure is not None:
                await upstream.close()
                deadline = min(self.loop.time() + limit, plan.deadline)
            upstream.begin(approach)
            failure = await self._advance(plan, upstream, deadline)
            if failure is None or not _leaves_another_way(failure, approach):
                break
        return failure

    async def _advance(self, plan: Plan, upstream: ProviderStream, until: float) -> Failure | None:
        """Reads up to what can be passed on: the first content in time, then each in time."""
        step, began, limit = upstream.step, self.loop.time(), "first_token"
        while True:
            error: BaseException | None = None
            ready = False
            bound = self.loop.bound(until)
            try:
                with bound:
                    ready = await upstream.advance()
            except Misused:
                raise
            except Exception as raised:  # noqa: BLE001 - whatever a provider raises is judged
                error = raised
            if error is not None or bound.expired or bound.stray:
                cut_off = AttemptTimeout(step.member.name, limit, until - began)
                return self._judged(plan, step, error, bound, cut_off, early=until < plan.deadline)
            began = self.loop.time()
            upstream.spoke(began)
            if ready:
                return None
            until, limit = min(began + step.member.idle, plan.deadline), "idle"
            if step.permit.trial:
                plan.flowing(step, began, lease_of(step))

    def _judged(
        self,
        plan: Plan,
        step: AttemptStep,
        error: BaseException | None,
        bound: Bound,
        cut_off: AttemptTimeout,
        *,
        early: bool,
    ) -> Failure:
        if isinstance(error, Diverged):
            name = step.member.name
            text = f"the stream of {name!r} says something else than what was delivered"
            return DIVERGED, ProviderError(text, provider=name, kind=FailureKind.INTERRUPTED)
        if not bound.expired:
            return self._asker.judge_failure(plan, step, error, bound, cut_off.limit)
        if not (early or step.role == "trial"):
            return OUT_OF_TIME, None
        return Verdict(
            FailureKind.TIMEOUT, reason=f"{cut_off.limit} {cut_off.seconds:.3g}"
        ), cut_off

    async def _drain(self, plan: Plan, upstream: ProviderStream) -> Failure:
        """Reads a copy until it ends, or has flowed for so long that it proves its provider."""
        step, first_at = upstream.step, upstream.first_at
        plan.opened(step, first_at)
        flow = StreamLimits(self._policy, step.member, first_at, rated=upstream.rated)
        try:
            while self.loop.time() - first_at < FLOW_PROVES:
                if step.permit.trial:
                    plan.flowing(step, self.loop.time(), lease_of(step))
                await upstream.next(flow)
        except StopAsyncIteration:
            pass
        except Misused:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a provider raises is judged
            return (flow.verdict if error is flow.error else self.judge(error)), error
        return SUCCESS, None


def _leaves_another_way(failure: Failure, approach: Approach) -> bool:
    """Whether the same provider may be asked in another way: it is well, only the way was not."""
    verdict = failure[0]
    return verdict is DIVERGED or (
        approach.how == "prefill" and verdict.kind is FailureKind.REQUEST
    )
