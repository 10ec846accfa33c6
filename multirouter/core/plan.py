"""One call: which step comes next, given all that was learned so far.

`next_step(now)` answers with a Try (ask this provider), a Wait (rest, or park until there is
room) or the CallOutcome that ends the call; `record(...)` tells the plan how a Try ended. Whoever
drives it (the plain loop, a race of hedges, a stream) has no choices of its own.
"""

from __future__ import annotations

from typing import Any

from multirouter.core import endings
from multirouter.core.admission import Admission
from multirouter.core.events import RetryRefused
from multirouter.core.model import (
    SUCCESS,
    AttemptRecord,
    CallOutcome,
    CallResult,
    Kind,
    Verdict,
)
from multirouter.core.repetition import Repetition
from multirouter.core.roster import CompiledRoute
from multirouter.core.rules import Other, Rule, Same
from multirouter.core.selection import Member
from multirouter.core.steps import Commons, Step, Try, Wait
from multirouter.errors import AttemptTimeout

_NOTHING: Any = object()
_CANCELLED = Kind.CANCELLED  # an enum's members are looked up slowly, and this is the hot path


class Plan(Admission):
    """One call's plan; see the module.

    Attributes:
        attempts: the trail so far.
    """

    __slots__ = ("_answer", "_answered_by", "_fault", "_started", "_wait_until", "attempts")

    def __init__(
        self,
        commons: Commons,
        route: CompiledRoute,
        now: float,
        timeout: float | None = None,
        wait: float = 0.0,
        idempotent: bool = True,  # noqa: FBT001, FBT002 - made once a call: keywords cost
        size: int = 0,
    ) -> None:
        # No super().__init__: this runs once a call, and the second frame would show.
        self._commons = commons
        self._repetition = None
        self._size = size
        self.route = route
        self.deadline = now + (route.timeout if timeout is None else timeout)
        self.idempotent = idempotent
        self._started = now
        self._wait_until = now + wait
        self.attempts: list[AttemptRecord] = []
        self._answer = _NOTHING
        self._answered_by: str | None = None
        self._fault: BaseException | None = None
        commons.budget.call_started(now)

    # -- what next --------------------------------------------------------------------------

    def next_step(self, now: float) -> Step:
        """What to do now; a CallOutcome is the end, and `finish` tells the news of it."""
        if self._answer is not _NOTHING:
            return self._end("success", None, now)
        if self._fault is not None:
            return self._end("failure", self._fault, now)
        if now >= self.deadline:
            return self._timed_out(now)
        if self._repetition is None:
            return self._first(now) or self._nobody(now)
        return self._next(self._repetition, now)

    @property
    def decided(self) -> bool:
        """Whether the call has its answer, or an error that no other attempt can mend."""
        return self._answer is not _NOTHING or self._fault is not None

    def beside(self, now: float) -> Try | None:
        """Another attempt beside those under way, after one of them failed; None for none."""
        if self._repetition is None or self.decided or now >= self.deadline:
            return None
        return self._elsewhere(self._repetition, now)

    def hedge(self, slow: Try, now: float) -> Try | None:
        """Another attempt, elsewhere, beside one that is slow; None when none can be made."""
        step = self._elsewhere(self._repeating(slow), now)
        if step is not None:
            step.role = "hedge"
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
        wire = self._commons.wire
        wire.post("call_ended", outcome)
        wire.deliver()

    def ready_in(self, now: float) -> float | None:
        """Seconds until time alone makes room for this call; None when time alone will not."""
        if self.route.limits:
            waits = [shared.ready_in(self._size, now) for shared in self.route.limits]
            if None in waits:
                return None
        return endings.soonest(self.route.members, now, self._size)

    # -- after a failure --------------------------------------------------------------------

    def _next(self, repetition: Repetition, now: float) -> Step:
        """The failed provider again, another one, the next round, or the end."""
        if repetition.again is not None:
            step = self._same(repetition, repetition.again, now)
            if step is not None:
                return step
        return self._elsewhere(repetition, now) or self._next_round(repetition, now)

    def _same(self, repetition: Repetition, member: Member, now: float) -> Try | Wait | None:
        if repetition.again_at is None:
            rest = repetition.rest_before_same(member, now, self._commons.rng.random())
            if rest is not None and now + rest < self.deadline:
                repetition.again_at = now + rest
                return Wait(now + rest, for_room=False)
        repetition.again = repetition.again_at = None
        return self._enter(member, now, "")

    def _next_round(self, repetition: Repetition, now: float) -> Step:
        members = self.route.members
        rest = repetition.rest_before_round(members, now, self._commons.rng.random())
        if rest is None:
            return self._wait_for_room(repetition, now) or self._all_failed(repetition, now)
        if repetition.refusal is None and now + rest >= self.deadline:
            repetition.refusal = "deadline"
        if not repetition.may_go_on(self._commons.budget, now):
            return self._all_failed(repetition, now)
        repetition.next_round()
        return Wait(now + rest, for_room=False)

    def _wait_for_room(self, repetition: Repetition | None, now: float) -> Wait | None:
        until = min(self._wait_until, self.deadline)
        if now >= until:
            return None
        if repetition is not None:
            if repetition.over(self.route.members):
                return None
            repetition.next_round()
        return Wait(until, for_room=True)

    # -- how an attempt ended ---------------------------------------------------------------

    def record(
        self, step: Try, verdict: Verdict, value: object, error: BaseException | None, now: float
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
        route, member, permit = self.route, step.member, step.permit
        elapsed = now - step.started
        if verdict is SUCCESS:
            slow = member.pace.answered(elapsed, trial=permit.trial)
            late = member.gate.release_answered(permit, now, elapsed, slow=slow)
        else:
            if isinstance(error, AttemptTimeout):
                member.pace.timed_out(elapsed, trial=permit.trial)
            rule = route.rules[verdict.kind]
            late = member.gate.release_unanswered(permit, verdict, rule.circuit, now)
        for shared in route.limits:
            shared.leave()
        record = AttemptRecord(
            member.name,
            route.name,
            step.role,
            verdict,
            error,
            step.started,
            elapsed,
            step.why,
            late,
        )
        wire = self._commons.wire
        wire.post("attempt_ended", record)
        if step.role != "probe":
            self.attempts.append(record)
            if error is None and verdict.kind is not _CANCELLED:
                if self._answer is _NOTHING:
                    self._answer = value
                    self._answered_by = member.name
                    return  # `finish` tells this news together with that of the call's end
            elif verdict.kind is not _CANCELLED:
                self._failed(step, record, route.rules[verdict.kind])
        wire.deliver()

    def abandon(self, step: Try) -> None:
        """Takes back a Try that was never begun."""
        step.member.gate.give_back(step.permit)
        for shared in self.route.limits:
            shared.leave()

    def _failed(self, step: Try, record: AttemptRecord, rule: Rule) -> None:
        repetition = self._repeating(step)
        if rule.other is Other.NEVER and rule.same is Same.NEVER:
            self._fault = self._fault or endings.own_fault(record, len(self.attempts))
        elif not self.idempotent and rule.may_have_acted and not record.verdict.unsent:
            repetition.refusal = "not_idempotent"
            repetition.stop(self.route.members)
        members, retries = self.route.members, self.route.retries_per_provider
        repetition.failed(record, step.member, rule, members, retries)

    def _repeating(self, step: Try) -> Repetition:
        """The state of a call that asks more than once, begun with the attempt that made it so."""
        if self._repetition is None:
            self._repetition = Repetition(self.route.retry)
            self._repetition.asked(step.member.name)
        return self._repetition

    # -- the end ----------------------------------------------------------------------------

    def _nobody(self, now: float) -> Step:
        waiting = self._wait_for_room(None, now)
        if waiting is not None:
            return waiting
        blocked = self._blocked(now)
        error = endings.nobody_available(self.route, blocked, now, self._started, self._size)
        return self._end("refused", error, now)

    def _all_failed(self, repetition: Repetition, now: float) -> Step:
        if repetition.refusal is not None:
            names = (self._commons.router, self.route.name, repetition.refusal)
            self._commons.wire.post("retry_refused", RetryRefused(*names))
        refusal = repetition.refusal
        error = endings.all_failed(self.route, self.attempts, refusal, now, self._started)
        return self._end("failure", error, now)

    def _timed_out(self, now: float) -> Step:
        started, deadline = self._started, self.deadline
        error = endings.timed_out(self.route, self.attempts, now, started, deadline)
        return self._end("failure", error, now)

    def _end(self, result: CallResult, error: BaseException | None, now: float) -> CallOutcome[Any]:
        return CallOutcome(
            result,
            self._answer,
            error,
            self._answered_by,
            self.route.name,
            tuple(self.attempts),
            self._started,
            now - self._started,
        )
