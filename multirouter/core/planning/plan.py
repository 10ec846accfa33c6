"""One call: which step comes next, given all that was learned so far.

`next_step(now)` answers with a Try (ask this provider), a Wait (rest, or park until there is
room) or the CallOutcome that ends the call; `record(...)` tells the plan how a Try ended. Whoever
drives it (the plain loop, a race of hedges, a stream) has no choices of its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from multirouter.core.events import RetryDenied
from multirouter.core.planning import final_errors as endings
from multirouter.core.planning.retrying import RetryState
from multirouter.core.planning.steps import AttemptStep, PlanContext, ServeStep, Step, WaitStep
from multirouter.core.planning.stream_plan import StreamPlan
from multirouter.core.routes.resolved_route import ResolvedRoute
from multirouter.core.selection.candidate import Candidate
from multirouter.core.selection.tier_tables import NOBODY
from multirouter.core.settings.failure_rules import Failover, Retry, Rule
from multirouter.errors import AttemptTimeout
from multirouter.model import SUCCESS, AttemptRecord, CallOutcome, CallResult, FailureKind, Verdict

_NOTHING: Any = object()
_CANCELLED = (
    FailureKind.CANCELLED
)  # an enum's members are looked up slowly, and this is the hot path


class Plan(StreamPlan):
    """One call's plan; see the module.

    Attributes:
        attempts: the trail so far.
    """

    __slots__ = (
        "_answer",
        "_answered_by",
        "_fault",
        "_started",
        "_wait_until",
        "attempts",
    )

    def __init__(
        self,
        commons: PlanContext,
        route: ResolvedRoute,
        now: float,
        timeout: float | None = None,
        wait: float = 0.0,
        idempotent: bool = True,  # noqa: FBT001, FBT002 - made once a call: keywords cost
        size: int = 0,
        request: Any = None,
        unfit: frozenset[str] = NOBODY,
    ) -> None:
        # No super().__init__: this runs once a call, and the second frame would show.
        self._commons = commons
        self._repetition = None
        self._size = size
        self._request = request
        self._unfit = unfit
        self.route = route
        self._timeout = route.timeout if timeout is None else timeout
        self.deadline: float = now + self._timeout
        self.idempotent = idempotent
        self._started = now
        self._wait_until = now + wait
        self.attempts: list[AttemptRecord] = []
        self._answer = _NOTHING
        self._answered_by: str | None = None
        self._fault: BaseException | None = None
        self._serving = None
        self._spliced = False
        commons.budget.call_started(now)

    # -- what next --------------------------------------------------------------------------

    def next_step(self, now: float) -> Step:
        """What to do now; a CallOutcome is the end, and `finish` tells the news of it."""
        if self._answer is not _NOTHING:
            return self._end("success", None, now)
        if self._serving is not None:
            return ServeStep(self._serving)
        if self._fault is not None:
            return self._end("failure", self._fault, now)
        if now >= self.deadline:
            return self._timed_out(now)
        if self._repetition is None:
            return self._somebody(now) or self._nobody(now)
        return self._next(self._repetition, now)

    @property
    def decided(self) -> bool:
        """Whether the call has its answer, or an error that no other attempt can mend."""
        answered = self._answer is not _NOTHING or self._serving is not None
        return answered or self._fault is not None

    def beside(self, now: float) -> AttemptStep | None:
        """Another attempt beside those under way, after one of them failed; None for none."""
        if self._repetition is None or self.decided or now >= self.deadline:
            return None
        return self._elsewhere(self._repetition, now)

    def hedge(self, slow: AttemptStep, now: float) -> AttemptStep | None:
        """Another attempt, elsewhere, beside one that is slow; None when none can be made."""
        if now >= self.deadline:
            return None
        repetition = self._repeating(slow)
        step = self._somebody(now, repetition.barred, "hedge")
        repetition.refusal = None  # what was refused is the hedge, and nothing else
        if step is not None:
            silent = now - slow.started
            step.why = f"hedge: {slow.member.name} silent for {silent:.2f} s; {step.why}"
        return step

    def broken_off(self, error: BaseException, now: float) -> CallOutcome[Any]:
        """The outcome of a call whose caller left, or that was used wrongly."""
        return self._end("failure" if isinstance(error, Exception) else "cancelled", error, now)

    def fallen_back(self, value: object, now: float) -> CallOutcome[Any]:
        """The outcome of a call that nobody could answer and that has a substitute."""
        self._answer = value
        return self._end("fallback", None, now)

    def finish(self, outcome: CallOutcome[Any]) -> None:
        """Tells the news of the call's end, once."""
        dispatcher = self._commons.dispatcher
        if outcome.result != "success":
            dispatcher.post("call_failed", outcome)
        dispatcher.post("call_ended", outcome)
        dispatcher.deliver()

    def ready_in(self, now: float) -> float | None:
        """Seconds until time alone makes room for this call; None when time alone will not."""
        waits = [shared.ready_in(self._size, now) for shared in self.route.limits]
        out = self._unfit if self._repetition is None else self._repetition.out
        left = [member for member in self.route.members if member.name not in out]
        waits.append(endings.soonest(left, now, self._size))
        known = [wait for wait in waits if wait is not None]
        return max(known) if len(known) == len(waits) else None

    # -- after a failure --------------------------------------------------------------------

    def _next(self, repetition: RetryState, now: float) -> Step:
        """The failed provider again, another one, the next round, or the end."""
        if now < repetition.resting_until:  # a timer may ring a little early
            return WaitStep(repetition.resting_until, for_room=False)
        if repetition.again is not None:
            step = self._same(repetition, repetition.again, now)
            if step is not None:
                return step
        return self._elsewhere(repetition, now) or self._next_round(repetition, now)

    def _same(
        self, repetition: RetryState, member: Candidate, now: float
    ) -> AttemptStep | WaitStep | None:
        """The failed provider again, after a rest; None when it is not worth resting for."""
        commons = self._commons
        if not repetition.rested:
            at = repetition.same_at(member, now, commons.rng.random())
            if at is not None and at < self.deadline and repetition.may_go_on(commons.budget, now):
                repetition.rested = True
                repetition.resting_until = at
                return WaitStep(at, for_room=False)
        rested, repetition.again = repetition.rested, None
        return self._enter(member, now, "") if rested and not self._blocked(now) else None

    def _next_round(self, repetition: RetryState, now: float) -> Step:
        members, commons = self.route.members, self._commons
        at = repetition.round_at(members, now, commons.rng.random())
        if at is None:
            return self._wait_for_room(repetition, now) or self._all_failed(repetition, now)
        if at >= self.deadline:
            repetition.refusal = "deadline"
        elif repetition.affords_any(members, commons.budget, now):
            repetition.next_round()
            repetition.resting_until = at
            return WaitStep(at, for_room=False)
        return self._all_failed(repetition, now)

    def _wait_for_room(self, repetition: RetryState | None, now: float) -> WaitStep | None:
        until = min(self._wait_until, self.deadline)
        if now >= until or len(self._unfit) == len(self.route.members):
            return None
        if repetition is not None:
            if not repetition.affords_any(self.route.members, self._commons.budget, now):
                return None
            repetition.next_round()
        return WaitStep(until, for_room=True)

    # -- how an attempt ended ---------------------------------------------------------------

    def record(
        self,
        step: AttemptStep,
        verdict: Verdict,
        value: object,
        error: BaseException | None,
        now: float,
    ) -> None:
        """Tells how a Try ended; exactly once for each.

        Args:
            step: the Try.
            verdict: what its outcome counts as.
            value: the answer, when there is no error.
            error: what was raised, or what stands for it. Without one the caller gets the answer,
                even when a broken `classify=` made the verdict a failure.
            now: loop time of the end, seconds.
        """
        route = self.route
        started = step.started
        elapsed = now - started
        late = self._learn(step, verdict, error, elapsed, now)
        for shared in route.limits:
            shared.leave()
        record = AttemptRecord(
            step.member.name,
            route.name,
            step.role,
            verdict,
            error,
            started,
            elapsed,
            step.why,
            late,
        )
        if step.served_at is not None:
            record.first_content = step.served_at - started
        if route.billing is not None:
            route.billing.book(record, step.meter, value, self._request, self._size)
        dispatcher = self._commons.dispatcher
        dispatcher.post("attempt_ended", record)
        if step.role != "trial":
            self.attempts.append(record)
            if error is None and verdict.kind is not _CANCELLED:
                if self._answer is _NOTHING:
                    self._answer = value
                    self._answered_by = step.member.name
                    return  # `finish` tells this news together with that of the call's end
            elif isinstance(error, Exception):
                self._failed(step, record, route.rules[verdict.kind])
        dispatcher.deliver()

    def _learn(
        self,
        step: AttemptStep,
        verdict: Verdict,
        error: BaseException | None,
        elapsed: float,
        now: float,
    ) -> bool:
        """Gives the permit back with what the attempt says of its provider.

        Returns:
            Whether it came too late for the circuit to count it.
        """
        member, permit, served_at = step.member, step.permit, step.served_at
        if verdict is not SUCCESS:
            if isinstance(error, AttemptTimeout) and served_at is None:
                member.latency.timed_out(elapsed, trial=permit.trial)
            circuit = self.route.rules[verdict.kind].circuit
            late = member.gate.release_unanswered(permit, verdict, circuit, now)
            member.learn(verdict.kind, circuit, elapsed, now)
            return late
        if served_at is None:
            took = elapsed
            slow = member.latency.answered(elapsed, now, trial=permit.trial)
        else:
            took = served_at - step.started
            slow = step.slow
        late = member.gate.release_answered(
            permit, now, took, slow=slow and self._has_others(member, now)
        )
        member.health.answered(now)
        if member.speed is not None:
            member.speed.learn(took, now)
        return late

    def _has_others(self, member: Candidate, now: float) -> bool:
        """Whether somebody else can be asked; who is alone is better slow than out."""
        return any(other is not member and other.gate.admits(now) for other in self.route.members)

    def abandon(self, step: AttemptStep) -> None:
        """Takes back a Try that was never begun."""
        step.member.gate.give_back(step.permit)
        for shared in self.route.limits:
            shared.leave()

    def _failed(self, step: AttemptStep, record: AttemptRecord, rule: Rule) -> None:
        repetition = self._repeating(step)
        members, retries = self.route.members, self.route.retries_per_provider
        # A span that was asked for comes back from two additions a little off.
        early = step.deadline - step.started < step.member.timeout - 1e-9
        impatient = early and step.served_at is None and isinstance(record.error, AttemptTimeout)
        if self._spliced and rule.failover is Failover.NEVER:
            # Who cannot go on with somebody else's answer says nothing about who else can.
            rule = replace(rule, failover=Failover.AT_ONCE)
        repetition.failed(record, step.member, rule, members, retries, impatient=impatient)
        if not self._spliced and self.route.is_final(record.verdict):
            self._fault = self._fault or endings.not_in_on(record, len(self.attempts))
        elif rule.failover is Failover.NEVER and rule.retry is Retry.NEVER:
            self._fault = self._fault or endings.own_fault(record, len(self.attempts))
        elif not self.idempotent and rule.side_effects_possible and not record.verdict.unsent:
            repetition.refusal = "not_idempotent"
            repetition.stop(members)

    def _repeating(self, step: AttemptStep) -> RetryState:
        """The state of a call that asks more than once, begun with the attempt that made it so."""
        if self._repetition is None:
            self._repetition = RetryState(self.route.retry, self._unfit)
            self._repetition.asked(step.member.name)
        return self._repetition

    # -- the end ----------------------------------------------------------------------------

    def _nobody(self, now: float) -> Step:
        waiting = self._wait_for_room(None, now)
        if waiting is not None:
            return waiting
        blocked = self._blocked(now)
        soonest = self.ready_in(now)
        fit = self.route.fit
        misfits = fit.why(self._request) if fit is not None and self._unfit else endings.FITTING
        error = endings.nobody_available(
            self.route, blocked, now, self._started, soonest, misfits=misfits
        )
        return self._end("refused", error, now)

    def _all_failed(self, repetition: RetryState, now: float) -> Step:
        if repetition.refusal is not None:
            names = (self._commons.router, self.route.name, repetition.refusal)
            self._commons.dispatcher.post("retry_denied", RetryDenied(*names))
        refusal = repetition.refusal
        error = endings.all_failed(self.route, self.attempts, refusal, now, self._started)
        return self._end("failure", error, now)

    def _timed_out(self, now: float) -> Step:
        started, deadline = self._started, self.deadline
        error = endings.timed_out(self.route, self.attempts, now, started, deadline)
        return self._end("failure", error, now)

    def _end(self, result: CallResult, error: BaseException | None, now: float) -> CallOutcome[Any]:
        route, trail, begun = self.route, tuple(self.attempts), self._started
        outcome: CallOutcome[Any] = CallOutcome(
            result, self._answer, error, self._answered_by, route.name, trail, begun, now - begun
        )
        if route.billing is not None:
            route.billing.settle(outcome)
        return outcome
