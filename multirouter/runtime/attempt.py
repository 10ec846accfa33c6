"""One attempt of a call: awaits one provider under one deadline and classifies the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.failures.classify import CLASSIFIER_FAILED, Classifier
from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import AttemptStep
from multirouter.core.request_transform import TransformedCall, TransformFailed
from multirouter.errors import AttemptTimeout, ProviderError, UsageError
from multirouter.model import CANCELLED, SUCCESS, FailureKind, Verdict
from multirouter.runtime.event_loops.base import EventLoop

if TYPE_CHECKING:
    from multirouter.runtime.deadline import Bound  # which loads asyncio

CALL_DEADLINE_PASSED = Verdict(FailureKind.CANCELLED, reason="the call's deadline passed")
"""An attempt that the call's own deadline ended; neutral for the provider."""

TRANSFORM_ERROR = Verdict(FailureKind.REQUEST, reason="transform", unsent=True)
"""A `transform=` raised: the request failed before it was sent."""

INVALID_CALLABLE = Verdict(FailureKind.CANCELLED, reason="misuse", unsent=True)
"""The provider's function returned nothing to await or to iterate: nothing was sent."""

STRAY_CANCELLATION = Verdict(FailureKind.UNKNOWN, reason="unrequested CancelledError")
STRAY_MESSAGE = "raised CancelledError although no task was cancelled"


class Attempter(Protocol):
    """Makes the attempts of a plan: awaits a whole answer, or opens a stream.

    Attributes:
        loop: the event loop.
    """

    loop: EventLoop

    async def run(self, plan: Plan, step: AttemptStep, request: Any) -> float:
        """Makes one attempt and records its result; returns the loop time of its end, seconds."""
        ...

    def for_background(self) -> Attempter:
        """The attempter for copies of these attempts that run in the background."""
        ...


class CallAttempter:
    """Awaits providers in one event loop and records each result in the plan.

    Attributes:
        loop: the event loop.
    """

    __slots__ = ("_accepts_values", "_classifier", "_dispatcher", "loop")

    def __init__(
        self, loop: EventLoop, classifier: Classifier, dispatcher: EventDispatcher
    ) -> None:
        self.loop: EventLoop = loop
        self._classifier = classifier
        self._dispatcher = dispatcher
        self._accepts_values = classifier.accepts_all_values

    async def run(self, plan: Plan, step: AttemptStep, request: Any) -> float:
        """Makes one attempt and records it.

        Returns:
            Loop time of its end, seconds.

        Raises:
            BaseException: anything that is not an Exception (the caller's cancellation, a
                KeyboardInterrupt); recorded as neutral and raised on.
            UsageError: when the provider's function returns nothing to await.
        """
        loop = self.loop
        if self._dispatcher.has_start_listeners:
            self.report_start(step)
        value: Any = None
        error: BaseException | None = None
        bound = loop.bound(step.deadline)
        try:
            with bound:
                value = await step.member.call(request)
        except Exception as raised:  # noqa: BLE001 - any error of a provider is classified
            error = raised
        except BaseException as raised:
            plan.record(step, CANCELLED, None, raised, loop.time())
            raise
        now = loop.time()
        if error is None and not (bound.expired or bound.stray):
            accept = plan.route.accept
            verdict = SUCCESS if self._accepts_values else self._classifier.classify_value(value)
            if accept is not None and verdict is SUCCESS:
                verdict = apply_accept(accept, value)
            if verdict is not SUCCESS and verdict is not CLASSIFIER_FAILED:
                error = _error_of_value(step, verdict)
        else:
            verdict, error = self.classify_failure(plan, step, error, bound, "attempt_timeout")
        plan.record(step, verdict, value, error, now)
        return now

    def for_background(self) -> Attempter:
        """This attempter itself: a copy of a call is made like a call."""
        return self

    def report_start(self, step: AttemptStep) -> None:
        """Emits `attempt_started`."""
        self._dispatcher.post("attempt_started", (step.member.name, step.role))
        self._dispatcher.deliver()

    def classify(self, error: BaseException) -> Verdict:
        """The verdict on an exception that a provider raised."""
        return self._classifier.classify_error(error)

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

        Raises:
            UsageError: when the provider's function returned nothing to await.
        """
        if bound.expired:
            return _timed_out(plan, step, limit)
        if error is None:
            text = f"{step.member.name!r} {STRAY_MESSAGE}"
            return STRAY_CANCELLATION, ProviderError(
                text, provider=step.member.name, kind=FailureKind.UNKNOWN
            )
        if isinstance(error, TransformFailed):
            return TRANSFORM_ERROR, error.error
        if isinstance(error, TypeError) and _raised_by_call_itself(error):
            plan.record(step, INVALID_CALLABLE, None, error, self.loop.time())
            raise UsageError(f"Provider({step.member.name!r}) cannot be awaited: {error}")
        return self._classifier.classify_error(error), error


def _timed_out(plan: Plan, step: AttemptStep, keyword: str) -> tuple[Verdict, BaseException | None]:
    """The result of an attempt whose deadline passed: the call's own deadline, or a timeout.

    When both passed, the call's own counts.
    """
    if step.deadline >= plan.deadline and step.role != "trial":
        return CALL_DEADLINE_PASSED, None
    limit = step.deadline - step.started
    error = AttemptTimeout(step.member.name, keyword, limit)
    return Verdict(FailureKind.TIMEOUT, reason=f"{keyword} {limit:.3g} s"), error


def apply_accept(accept: Callable[[Any], object], value: Any) -> Verdict:
    """The verdict of `accept=` on an answer: False, a string or an exception rejects it."""
    try:
        result = accept(value)
    except Exception as error:  # noqa: BLE001 - a check that raises rejects the answer
        return Verdict(FailureKind.INVALID, reason=f"accept raised {type(error).__name__}")
    if isinstance(result, str):
        return Verdict(FailureKind.INVALID, reason=result[:200])
    return SUCCESS if result is not False else Verdict(FailureKind.INVALID, reason="accept")


def _error_of_value(step: AttemptStep, verdict: Verdict) -> ProviderError:
    """The error for an answer that is classified as a failure although nothing was raised."""
    reason = verdict.reason or "classify"
    text = f"{step.member.name!r} answered, but the answer counts as {verdict.kind} ({reason})"
    return ProviderError(
        text, provider=step.member.name, kind=verdict.kind, retry_after=verdict.retry_after
    )


def _raised_by_call_itself(error: TypeError) -> bool:
    """Whether the TypeError was raised before any line of the provider's own code ran.

    That is so for wrong arguments and for a return value that cannot be awaited.
    """
    trace = error.__traceback__
    ours = (CallAttempter.run.__code__, TransformedCall.__call__.__code__)
    while trace is not None and trace.tb_frame.f_code in ours:
        trace = trace.tb_next
    return trace is None
