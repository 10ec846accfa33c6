"""One await of one provider under one deadline: the only place where user code is awaited."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.failures.classify import BROKEN, Classifier
from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import AttemptStep
from multirouter.core.request_transform import TransformedCall, TransformFailed
from multirouter.errors import AttemptTimeout, ProviderError, UsageError
from multirouter.model import CANCELLED, SUCCESS, FailureKind, Verdict
from multirouter.runtime.event_loops.base import EventLoop

if TYPE_CHECKING:
    from multirouter.runtime.deadline import Bound  # which loads asyncio

OUT_OF_TIME = Verdict(FailureKind.CANCELLED, reason="the call's deadline passed")
"""An attempt cut off by the call's own deadline says nothing about its provider."""

UNASKED = Verdict(FailureKind.REQUEST, reason="transform", unsent=True)
"""A request that a `transform=` could not bring into shape is its own fault."""

MISUSED = Verdict(FailureKind.CANCELLED, reason="misuse", unsent=True)
"""The provider's function gave nothing to await or to iterate: nobody was asked."""

STRAY = Verdict(FailureKind.UNKNOWN, reason="CancelledError that nobody asked for")


class Asks(Protocol):
    """Whoever makes attempts: a whole answer is awaited, or a stream opened.

    Attributes:
        loop: the event loop.
    """

    loop: EventLoop

    async def ask(self, plan: Plan, step: AttemptStep, request: Any) -> float:
        """Makes one attempt, records how it ended, and returns the loop time of that."""
        ...

    def copying(self) -> Asks:
        """Who makes a copy of such an attempt in the background."""
        ...


class Asker:
    """Awaits providers in one loop and tells the plans what came of it.

    Attributes:
        loop: the event loop.
    """

    __slots__ = ("_classifier", "_dispatcher", "_trusting", "loop")

    def __init__(
        self, loop: EventLoop, classifier: Classifier, dispatcher: EventDispatcher
    ) -> None:
        self.loop: EventLoop = loop
        self._classifier = classifier
        self._dispatcher = dispatcher
        self._trusting = classifier.trusting

    async def ask(self, plan: Plan, step: AttemptStep, request: Any) -> float:
        """Makes one attempt and records it.

        Returns:
            Loop time of its end, seconds.

        Raises:
            BaseException: what is no failure of the provider's (the caller's cancellation, an
                interrupt) is recorded as neutral and goes on its way.
            UsageError: when the provider's function returns nothing to await.
        """
        loop = self.loop
        if self._dispatcher.starts_heard:
            self.tell_start(step)
        value: Any = None
        error: BaseException | None = None
        bound = loop.bound(step.deadline)
        try:
            with bound:
                value = await step.member.call(request)
        except Exception as raised:  # noqa: BLE001 - whatever a provider raises is judged
            error = raised
        except BaseException as raised:
            plan.record(step, CANCELLED, None, raised, loop.time())
            raise
        now = loop.time()
        if error is None and not (bound.expired or bound.stray):
            accept = plan.route.accept
            verdict = SUCCESS if self._trusting else self._classifier.value(value)
            if accept is not None and verdict is SUCCESS:
                verdict = judged(accept, value)
            if verdict is not SUCCESS and verdict is not BROKEN:
                error = _unwelcome(step, verdict)
        else:
            verdict, error = self.judge_failure(plan, step, error, bound, "attempt_timeout")
        plan.record(step, verdict, value, error, now)
        return now

    def copying(self) -> Asks:
        """A copy of a call is a call."""
        return self

    def tell_start(self, step: AttemptStep) -> None:
        """Tells the news that an attempt begins."""
        self._dispatcher.post("attempt_started", (step.member.name, step.role))
        self._dispatcher.deliver()

    def judge(self, error: BaseException) -> Verdict:
        """The verdict on what a provider has raised."""
        return self._classifier.error(error)

    def judge_failure(
        self, plan: Plan, step: AttemptStep, error: BaseException | None, bound: Bound, limit: str
    ) -> tuple[Verdict, BaseException | None]:
        """What an attempt that brought nothing came to.

        Args:
            plan: the call's plan.
            step: the attempt.
            error: what it raised, or None.
            bound: the block it ran in.
            limit: the keyword that bounds such attempts.

        Raises:
            UsageError: when the provider's function returned nothing to await.
        """
        if bound.expired:
            return _cut_off(plan, step, limit)
        if error is None:
            text = f"{step.member.name!r} raised a CancelledError that nobody had asked for"
            return STRAY, ProviderError(text, provider=step.member.name, kind=FailureKind.UNKNOWN)
        if isinstance(error, TransformFailed):
            return UNASKED, error.error
        if isinstance(error, TypeError) and _raised_by_the_call_itself(error):
            plan.record(step, MISUSED, None, error, self.loop.time())
            raise UsageError(f"Provider({step.member.name!r}) cannot be awaited: {error}")
        return self._classifier.error(error), error


def _cut_off(plan: Plan, step: AttemptStep, keyword: str) -> tuple[Verdict, BaseException | None]:
    """The deadline passed: the call's own, which wins when both do, or the attempt's."""
    if step.deadline >= plan.deadline and step.role != "trial":
        return OUT_OF_TIME, None
    limit = step.deadline - step.started
    error = AttemptTimeout(step.member.name, keyword, limit)
    return Verdict(FailureKind.TIMEOUT, reason=f"{keyword} {limit:.3g} s"), error


def judged(accept: Callable[[Any], object], value: Any) -> Verdict:
    """What `accept=` says of an answer: False, a string or an exception refuses it."""
    try:
        said = accept(value)
    except Exception as error:  # noqa: BLE001 - a check that raises refuses the answer
        return Verdict(FailureKind.INVALID, reason=f"accept raised {type(error).__name__}")
    if isinstance(said, str):
        return Verdict(FailureKind.INVALID, reason=said[:200])
    return SUCCESS if said is not False else Verdict(FailureKind.INVALID, reason="accept")


def _unwelcome(step: AttemptStep, verdict: Verdict) -> ProviderError:
    """The error that stands for an answer which counts as a failure though nothing was raised."""
    reason = verdict.reason or "classify"
    text = f"{step.member.name!r} answered, but the answer counts as {verdict.kind} ({reason})"
    return ProviderError(
        text, provider=step.member.name, kind=verdict.kind, retry_after=verdict.retry_after
    )


def _raised_by_the_call_itself(error: TypeError) -> bool:
    """Whether no line of the provider's own code ran: wrong arguments, or nothing to await."""
    trace = error.__traceback__
    ours = (Asker.ask.__code__, TransformedCall.__call__.__code__)
    while trace is not None and trace.tb_frame.f_code in ours:
        trace = trace.tb_next
    return trace is None
