"""One attempt of a call: awaits one provider under one deadline and classifies the result."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

from multirouter.core import function_checks as hooks
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.failures.classify import CLASSIFIER_FAILED, Classifier
from multirouter.core.failures.unreadable_exceptions import readable
from multirouter.core.limits.header_reports import ReportingCall
from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import AttemptStep
from multirouter.core.request_transform import TransformedCall, TransformFailed
from multirouter.core.selection.attempt_rules import Accept
from multirouter.errors import ProviderError, UsageError
from multirouter.model import CANCELLED, SUCCESS, FailureKind, Verdict
from multirouter.runtime.event_loops.base import EventLoop
from multirouter.runtime.stray_cancellation import (
    STRAY_CANCELLATION,
    STRAY_MESSAGE,
    CancellationRequested,
    is_own_cancellation,
    replaced_by,
)
from multirouter.runtime.timeouts import timed_out

if TYPE_CHECKING:
    from multirouter.runtime.event_loops.deadline import Bound  # which loads asyncio

TRANSFORM_ERROR = Verdict(FailureKind.REQUEST, reason="transform", unsent=True)
"""A `transform=` raised: the request failed before it was sent."""

INVALID_CALLABLE = Verdict(FailureKind.CANCELLED, reason="misuse", unsent=True)
"""The provider's function returned nothing to await or to iterate: nothing was sent."""


class Attempter(Protocol):
    """Makes the attempts of a plan: awaits a whole answer, or opens a stream.

    Attributes:
        loop: the event loop.
    """

    loop: EventLoop

    async def run(
        self,
        plan: Plan,
        step: AttemptStep,
        request: Any,
        cancellation_requested: CancellationRequested | None = None,
    ) -> float:
        """Makes one attempt and records its result.

        Args:
            plan: the call's plan.
            step: the attempt.
            request: the call's request.
            cancellation_requested: of an attempt in a task of its own; None in the caller's task,
                where any cancellation is the caller's.

        Returns:
            Loop time of its end, seconds.
        """
        ...

    def for_background(self, request: Any) -> Attempter:
        """The attempter for a copy of these attempts that runs in the background."""
        ...


class CallAttempter:
    """Awaits providers in one event loop and records each result in the plan.

    Attributes:
        loop: the event loop.
    """

    __slots__ = ("_accepts_values", "_classifier", "_dispatcher", "_stalls", "loop")

    def __init__(
        self, loop: EventLoop, classifier: Classifier, dispatcher: EventDispatcher
    ) -> None:
        self.loop: EventLoop = loop
        self._stalls = loop.stalls
        self._classifier = classifier
        self._dispatcher = dispatcher
        self._accepts_values = classifier.accepts_all_values

    async def run(  # noqa: C901, PLR0912 - once an attempt, where a further coroutine is measurable
        self,
        plan: Plan,
        step: AttemptStep,
        request: Any,
        cancellation_requested: CancellationRequested | None = None,
    ) -> float:
        """Makes one attempt and records it, see `Attempter.run`.

        Returns:
            Loop time of its end, seconds.

        Raises:
            BaseException: anything that is not an Exception (the caller's cancellation, a
                KeyboardInterrupt); recorded as neutral and raised on.
            UsageError: when the provider's function returns nothing to await, or its answer is
                still to be awaited, or `accept=` is an async function; neutral for the provider.
        """
        loop = self.loop
        if self._dispatcher.has_start_listeners:
            self.report_start(step)
            _trace_start(plan, step, request)
        value: Any = None
        error: BaseException | None = None
        bound = loop.bound(step.deadline, math.inf if step.role == "trial" else plan.deadline)
        try:
            # What `with bound:` does, whose two calls from C cost as much as four from Python.
            bound.__enter__()
            try:
                value = await (
                    step.member.call(request)
                    if step.member.dropping is None
                    else step.call_dropping(step.member.dropping, request)
                )
            except BaseException as raised:
                if not bound.__exit__(type(raised), raised, raised.__traceback__):
                    raise
            else:
                bound.__exit__(None, None, None)
        except Exception as raised:  # noqa: BLE001 - any error of a provider is classified
            error = readable(raised, step.member.name)
        except BaseException as raised:
            if not is_own_cancellation(raised, cancellation_requested):
                plan.record(step, CANCELLED, None, raised, loop.time())
                del plan, request, bound  # as below
                raise
            error, bound.stray = replaced_by(raised), True
        now = loop.time()
        stalls = self._stalls
        if error is None and not (bound.expired or bound.stray):
            if now > stalls.overdue_at or stalls.ended_at > step.started:
                step.stalled = stalls.distorts(step.started, now)
            accept = step.member.rules.accept
            if accept is None and self._accepts_values and type(value) in _PLAIN_ANSWERS:
                verdict = SUCCESS  # what the line below would find, at less cost
            else:
                verdict, error = self.classify_answer(step.member.name, accept, value, request)
        else:
            step.stalled = stalls.excuses(step.started, now)
            verdict, error = self.classify_failure(plan, step, error, bound, "attempt_timeout")
        plan.record(step, verdict, value, error, now)
        if error is not None:
            try:
                if verdict is INVALID_CALLABLE:
                    raise error
            finally:
                # The error's traceback holds this frame, and the plan holds the error. Without
                # this cycle, the request is released when the call ends.
                del plan, request, error, bound
        return now

    def for_background(self, request: Any) -> Attempter:
        """This attempter itself: a copy of a call is made like a call."""
        return self

    def report_start(self, step: AttemptStep) -> None:
        """Emits `attempt_started`."""
        self._dispatcher.post("attempt_started", (step.member.name, step.role))
        self._dispatcher.deliver()

    def classify(self, error: BaseException, request: object) -> Verdict:
        """The verdict on an exception that a provider raised; see `Classifier.classify_error`."""
        return self._classifier.classify_error(error, request)

    def classify_answer(
        self, name: str, accept: Accept | None, value: Any, request: Any
    ) -> tuple[Verdict, Exception | None]:
        """The verdict on a provider's answer, and the error that stands for a rejected one.

        Args:
            name: the provider's name.
            accept: the route's `accept=`.
            value: the answer.
            request: the call's request.
        """
        if hooks.is_awaitable(value):
            hooks.dispose(value)
            return INVALID_CALLABLE, UsageError(
                f"Provider({name!r}) answered with a {type(value).__name__} that nothing awaits: "
                "an `await` is missing in its function"
            )
        verdict = self._classifier.classify_value(value)
        if accept is not None and verdict is SUCCESS:
            verdict = _apply_accept(accept, value, request)
            if verdict is INVALID_CALLABLE:
                return verdict, UsageError("accept= must be a plain function, not an async one")
        if verdict is SUCCESS or verdict is CLASSIFIER_FAILED:
            return verdict, None
        return verdict, _error_of_value(name, verdict)

    def classify_failure(
        self, plan: Plan, step: AttemptStep, error: BaseException | None, bound: Bound, limit: str
    ) -> tuple[Verdict, BaseException | None]:
        """The verdict and the error of an attempt that returned no answer.

        Args:
            plan: the call's plan.
            step: the attempt.
            error: the exception it raised, or None.
            bound: the deadline block it ran in.
            limit: name of the setting that limits such attempts (`attempt_timeout`, `first_token`).
        """
        if bound.expired:
            return timed_out(plan, step, bound, limit)
        if error is None:
            text = f"{step.member.name!r} {STRAY_MESSAGE}"
            return STRAY_CANCELLATION, ProviderError(
                text, provider=step.member.name, kind=FailureKind.UNKNOWN
            )
        if isinstance(error, TransformFailed):
            return TRANSFORM_ERROR, error.error
        if isinstance(error, TypeError) and _raised_by_call_itself(error):
            text = f"Provider({step.member.name!r}).call cannot be called or awaited: {error}"
            return INVALID_CALLABLE, UsageError(text)
        return self._classifier.classify_error(error, plan.request), error


def _trace_start(plan: Plan, step: AttemptStep, request: Any) -> None:
    tracer = plan.tracer
    if tracer is not None:
        tracer.attempt_started(plan, step, request)
        tracer.enter(step)


def _apply_accept(accept: Accept, value: Any, request: Any) -> Verdict:
    """The verdict of `accept=` on an answer.

    What counts as False rejects it, but for None, which a function that only raises returns. So do
    a string and an exception.
    """
    try:
        result = accept(value, request)
        rejects = hooks.counts_as_false(result)
    except Exception as error:  # noqa: BLE001 - a check that raises rejects the answer
        return Verdict(FailureKind.INVALID, reason=f"accept raised {type(error).__name__}")
    if isinstance(result, str):
        return Verdict(FailureKind.INVALID, reason=result[:200])
    if isinstance(result, Verdict):
        return result  # a refusal, which the route looks for
    if hooks.is_awaitable(result):
        hooks.dispose(result)
        return INVALID_CALLABLE
    if rejects:
        what = "False" if result is False else f"{type(result).__name__} that counts as False"
        return Verdict(FailureKind.INVALID, reason=f"accept returned {what}")
    return SUCCESS


def _error_of_value(name: str, verdict: Verdict) -> ProviderError:
    """The error for an answer that is classified as a failure although nothing was raised."""
    reason = verdict.reason or "classify"
    text = f"{name!r} answered, but the answer counts as {verdict.kind} ({reason})"
    return ProviderError(text, provider=name, kind=verdict.kind, retry_after=verdict.retry_after)


_PLAIN_ANSWERS = frozenset({dict, str, list, bytes, type(None)})
"""Types of most answers: they are no awaitables."""


def _raised_by_call_itself(error: TypeError) -> bool:
    """Whether the TypeError was raised before any line of the provider's own code ran.

    That is so for wrong arguments and for a return value that cannot be awaited.
    """
    trace = error.__traceback__
    ours = {
        function.__code__
        for function in (CallAttempter.run, TransformedCall.__call__, ReportingCall.__call__)
    }
    while trace is not None and trace.tb_frame.f_code in ours:
        trace = trace.tb_next
    return trace is None
