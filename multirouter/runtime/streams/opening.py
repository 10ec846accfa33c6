"""Opens a stream as an attempt of a plan: until its first content it fails over like a call."""

from __future__ import annotations

import math
from typing import Any

from multirouter.core.chat.chunk_reader import StreamHookError
from multirouter.core.cost.metering import UsageMeter
from multirouter.core.failures.unreadable_exceptions import readable
from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import AttemptStep
from multirouter.core.planning.stream_limits import StreamLimits
from multirouter.core.planning.stream_plan import PROVEN_AFTER, trial_lease
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.errors import AttemptTimeout, ProviderError
from multirouter.model import CANCELLED, SUCCESS, FailureKind, Verdict
from multirouter.runtime.attempt import INVALID_CALLABLE, Attempter, CallAttempter
from multirouter.runtime.event_loops.base import EventLoop
from multirouter.runtime.event_loops.deadline import Bound
from multirouter.runtime.stray_cancellation import (
    CancellationRequested,
    is_own_cancellation,
    replaced_by,
)
from multirouter.runtime.streams.continuation import Approach, Delivered, Diverged
from multirouter.runtime.streams.provider_stream import ProviderStream
from multirouter.runtime.timeouts import CALL_DEADLINE_PASSED

_REJECTED = frozenset({FailureKind.REQUEST, FailureKind.UNSUPPORTED})
"""Kinds with which a provider rejects a prefill."""

DIVERGED = Verdict(FailureKind.CANCELLED, reason="diverged")
"""The answer differs from what another provider has begun; neutral for the provider."""

Failure = tuple[Verdict, BaseException | None]
"""The verdict and the error of an attempt without content."""


class StreamOpener:
    """Opens streams as attempts of a plan; the one that serves stays open in `upstream`.

    Args:
        attempter: the router's attempter for calls.
        policy: the route's stream policy.
        delivered: what the consumer has received.
        drained: whether the streams are background copies without a consumer, to be read here.

    Attributes:
        loop: the event loop.
        delivered: what the consumer has received.
        upstream: the stream that serves; None before one does.
    """

    __slots__ = ("_attempter", "_drained", "_policy", "_stalls", "delivered", "loop", "upstream")

    def __init__(
        self,
        attempter: CallAttempter,
        policy: StreamPolicy,
        delivered: Delivered,
        *,
        drained: bool = False,
    ) -> None:
        self.loop: EventLoop = attempter.loop
        self.delivered: Delivered = delivered
        self.upstream: ProviderStream | None = None
        self._attempter = attempter
        self._stalls = attempter.loop.stalls
        self._policy = policy
        self._drained = drained

    async def run(
        self,
        plan: Plan,
        step: AttemptStep,
        request: Any,
        cancellation_requested: CancellationRequested | None = None,
    ) -> float:
        """Makes one attempt, until the first content; a background copy until it has proven itself.

        See `Attempter.run`.

        Raises:
            StreamHookError: when a function of the user is wrong; neutral for the provider.
        """
        self._attempter.report_start(step)
        if plan.tracer is not None:
            plan.tracer.attempt_started(plan, step, request)
        step.meter = UsageMeter(step.member.pricing)
        upstream = ProviderStream(step, self._policy, self.loop, plan.tracer)
        try:
            failure = await self._open(plan, upstream, request, cancellation_requested)
            if failure is None and self._drained:
                failure = await self._drain(plan, upstream)
        except BaseException as raised:
            error = None if isinstance(raised, Exception) else raised
            opened = upstream.opened or not isinstance(raised, StreamHookError)
            plan.record(
                step, CANCELLED if opened else INVALID_CALLABLE, None, error, self.loop.time()
            )
            if not isinstance(raised, GeneratorExit):  # where awaiting is impossible
                await upstream.close()
            del plan, error
            raise
        try:
            now = self.loop.time()
            if failure is not None:
                plan.record(step, failure[0], None, failure[1], now)
            elif plan.begin_serving(step, upstream.first_at):
                self.upstream = upstream
                return now
            else:
                plan.record(step, CANCELLED, None, None, now)
            await upstream.close()
            return now
        finally:
            del plan, failure  # as in `CallAttempter.run`

    def classify(self, error: Exception, request: object) -> Verdict:
        """The verdict on an exception that an upstream raised."""
        return self._attempter.classify(error, request)

    def for_background(self, request: Any) -> Attempter:
        """An opener for a background copy of this request, which it also reads."""
        delivered = Delivered(self._policy, request)
        return StreamOpener(self._attempter, self._policy, delivered, drained=True)

    # -- inside -----------------------------------------------------------------------------

    async def _open(
        self,
        plan: Plan,
        upstream: ProviderStream,
        request: Any,
        requested: CancellationRequested | None,
    ) -> Failure | None:
        """Tries one approach after the other; the failure of the last one, None for content."""
        step = upstream.step
        limit, deadline = step.deadline - step.started, step.deadline
        failure: Failure | None = None
        try:
            for approach in self.delivered.approaches(step.member, request):
                if failure is not None:
                    await upstream.close()
                    deadline = min(self.loop.time() + limit, plan.deadline)
                upstream.start(approach)
                failure = await self._advance(plan, upstream, deadline, requested)
                if failure is None or not _try_next_approach(failure, approach):
                    break
            return failure
        finally:
            del plan, failure  # as in `CallAttempter.run`

    async def _advance(
        self,
        plan: Plan,
        upstream: ProviderStream,
        until: float,
        requested: CancellationRequested | None,
    ) -> Failure | None:
        """Reads until a chunk can be passed on, within `first_token` and then `idle` seconds."""
        step, began, limit = upstream.step, self.loop.time(), "first_token"
        error: BaseException | None = None
        bound: Bound | None = None
        try:
            while True:
                ready = False
                bound = self.loop.bound(until, math.inf if step.role == "trial" else plan.deadline)
                try:
                    with bound:
                        ready = await upstream.advance()
                except StreamHookError:
                    raise
                except Exception as raised:  # noqa: BLE001 - any error of a provider is classified
                    error = readable(raised, step.member.name)
                except BaseException as raised:
                    if not is_own_cancellation(raised, requested):
                        raise
                    error, bound.stray = replaced_by(raised), True
                if error is not None or bound.expired or bound.stray:
                    cut_off = AttemptTimeout(step.member.name, limit, until - began)
                    step.stalled = self._stalls.excuses(step.started, self.loop.time(), began)
                    return self._classify(
                        plan, step, error, bound, cut_off, early=bound.deadline < plan.deadline
                    )
                began = self.loop.time()
                if upstream.first_at == math.inf:
                    step.stalled = self._stalls.distorts(step.started, began)
                upstream.note_content(began)
                if ready:
                    return None
                until, limit = min(began + step.member.idle, plan.deadline), "idle"
                if step.permit.trial:
                    plan.renew_trial_lease(step, began, trial_lease(step))
        finally:
            del plan, error, bound  # as in `CallAttempter.run`

    def _classify(
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
            text = f"the stream of {name!r} differs from what was delivered"
            return DIVERGED, ProviderError(text, provider=name, kind=FailureKind.INTERRUPTED)
        if not bound.expired:
            return self._attempter.classify_failure(plan, step, error, bound, cut_off.limit)
        if not (early or step.role == "trial"):
            return CALL_DEADLINE_PASSED, None
        return Verdict(
            FailureKind.TIMEOUT, reason=f"{cut_off.limit} {cut_off.seconds:.3g} s"
        ), cut_off

    async def _drain(self, plan: Plan, upstream: ProviderStream) -> Failure:
        """Reads a background copy until it ends, or for `PROVEN_AFTER` seconds."""
        step, first_at = upstream.step, upstream.first_at
        plan.record_first_content(step, first_at)
        limits = StreamLimits(
            self._policy,
            step.member,
            first_at,
            rate_measurable=upstream.rate_measurable,
            lost=self._stalls.lost,
        )
        try:
            while True:
                now, lost = self.loop.time(), self._stalls.lost_since(first_at)
                if now - first_at - lost >= PROVEN_AFTER:
                    break
                if step.permit.trial:
                    plan.renew_trial_lease(step, now, trial_lease(step), lost)
                await upstream.next(limits)
        except StopAsyncIteration:
            pass
        except StreamHookError:
            raise
        except Exception as raised:  # noqa: BLE001 - any error of a provider is classified
            step.stalled = upstream.excused(self.loop.time())
            error = readable(raised, step.member.name)
            try:
                return limits.verdict_on(error) or self.classify(error, plan.request), error
            finally:
                del error  # its traceback holds this frame
        finally:
            del plan  # as in `CallAttempter.run`
        return SUCCESS, None


def _try_next_approach(failure: Failure, approach: Approach) -> bool:
    """Whether the next approach may be tried: this one failed, but the provider is healthy."""
    verdict = failure[0]
    return verdict is DIVERGED or (approach.mode == "prefill" and verdict.kind in _REJECTED)
