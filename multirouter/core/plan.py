"""One call: which step comes next, given all that was learned so far.

`next_step(now)` answers with a Try (ask this provider), a Wait (rest, or park until there is
room) or the CallOutcome that ends the call; `record(...)` tells the plan how a Try ended. Whoever
drives it (the plain loop, a race of hedges, a stream) has no choices of its own.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from random import Random
from typing import Any

from multirouter.core import endings
from multirouter.core.circuit import Permit
from multirouter.core.events import FailedOver, Newswire, Panicked, RetryRefused
from multirouter.core.limits import RetryBudget
from multirouter.core.model import AttemptRecord, CallOutcome, CallResult, Kind, Role, Verdict
from multirouter.core.repetition import Repetition
from multirouter.core.roster import CompiledRoute
from multirouter.core.rules import Other, Rule, Same
from multirouter.core.selection import Member, Table
from multirouter.errors import AttemptTimeout


class Commons:
    """What all plans of one router share: its name, chance, retry budget and newswire."""

    __slots__ = ("budget", "rng", "router", "wire")

    def __init__(self, router: str, rng: Random, budget: RetryBudget, wire: Newswire) -> None:
        self.router = router
        self.rng = rng
        self.budget = budget
        self.wire = wire


class Try:
    """Ask this provider now.

    Attributes:
        member: whom.
        permit: its permit; `record` or `abandon` gives it back.
        started: loop time at which it was chosen.
        deadline: loop time at which the attempt is cut off.
        role: whether it is the call's own attempt, a hedge or a probe.
        why: why this provider, in words.
        copies: attempts to make in the background beside it: trials that cost nobody anything.
        hedge_at: loop time at which the plan wants to be asked for a second attempt; infinite
            when this one is awaited alone.
    """

    __slots__ = ("copies", "deadline", "hedge_at", "member", "permit", "role", "started", "why")

    def __init__(
        self,
        member: Member,
        permit: Permit,
        started: float,
        deadline: float,
        role: Role,
        why: str,
    ) -> None:
        self.member = member
        self.permit = permit
        self.started = started
        self.deadline = deadline
        self.role: Role = role
        self.why = why
        self.copies: tuple[Try, ...] = ()
        self.hedge_at = math.inf


class Wait:
    """Do nothing for a while.

    Attributes:
        until: loop time at which to ask again.
        for_room: whether to stand in the line of those who wait for a provider to become free.
    """

    __slots__ = ("for_room", "until")

    def __init__(self, until: float, *, for_room: bool) -> None:
        self.until = until
        self.for_room = for_room


Step = Try | Wait | CallOutcome[Any]

_NOTHING: Any = object()


class Plan:
    """One call's plan; see the module.

    Attributes:
        route: the compiled route, one whole configuration for the call's whole life.
        deadline: loop time by which the call has ended.
        idempotent: whether asking twice does no harm.
        attempts: the trail so far.
    """

    __slots__ = (
        "_answer",
        "_answered_by",
        "_commons",
        "_fault",
        "_repetition",
        "_size",
        "_started",
        "_wait_until",
        "attempts",
        "deadline",
        "idempotent",
        "route",
    )

    def __init__(
        self,
        commons: Commons,
        route: CompiledRoute,
        now: float,
        *,
        timeout: float | None = None,
        wait: float = 0.0,
        idempotent: bool = True,
        size: int = 0,
    ) -> None:
        self._commons = commons
        self.route = route
        self._started = now
        self.deadline = now + (route.timeout if timeout is None else timeout)
        self._wait_until = now + wait
        self.idempotent = idempotent
        self._size = size
        self.attempts: list[AttemptRecord] = []
        self._answer = _NOTHING
        self._answered_by: str | None = None
        self._fault: BaseException | None = None
        self._repetition: Repetition | None = None
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

    # -- the first attempt ------------------------------------------------------------------

    def _first(self, now: float) -> Try | None:
        if self.route.limits and self._blocked(now):
            return None
        for tier in self.route.tiers:
            table = tier.table(now)
            step = self._try(table, now)
            if step is not None:
                if table.trials and self.idempotent:
                    step.copies = self._copies(table, step, now)
                self.hedge_later(step, now)
                return step
        return None

    def _try(self, table: Table, now: float, barred: Collection[str] = ()) -> Try | None:
        """An attempt at somebody of one tier; without copies, trials come first, else last."""
        if table.trials and not self.idempotent:
            return self._trial(table, now, barred) or self._drawn(table, now, barred)
        step = self._drawn(table, now, barred)
        if step is None and table.trials:
            return self._trial(table, now, barred)
        return step

    def _drawn(self, table: Table, now: float, barred: Collection[str]) -> Try | None:
        """One of the table's members by weight; who refuses at the door is drawn no more."""
        while True:
            member = table.draw(self._commons.rng, barred)
            if member is None:
                return None
            step = self._enter(member, now, table.why, panic=table.panicked)
            if step is not None:
                return step
            barred = {*barred, member.name}

    def _trial(self, table: Table, now: float, barred: Collection[str]) -> Try | None:
        """The caller's own attempt as the trial of a half-open circuit."""
        for member in table.trials:
            if member.name not in barred:
                step = self._enter(member, now, "trial of a half-open circuit")
                if step is not None:
                    return step
        return None

    def _copies(self, table: Table, step: Try, now: float) -> tuple[Try, ...]:
        """Trials of half-open circuits as copies, so that they cost their caller nothing."""
        copies = []
        budget = self._commons.budget
        for member in table.trials:
            if member is step.member or member.provider.probe or not budget.allows(now):
                continue
            copy = self._enter(member, now, "trial of a half-open circuit", role="probe")
            if copy is not None:
                budget.pay(now)
                copies.append(copy)
        return tuple(copies)

    def _enter(
        self, member: Member, now: float, why: str, *, role: Role = "call", panic: bool = False
    ) -> Try | None:
        """Asks at one provider's door; what repeats an earlier attempt is paid for."""
        repetition = self._repetition
        if repetition is not None and not repetition.affordable(member, self._commons.budget, now):
            return None
        limit = member.pace.limit
        limit = min(limit, member.timeout)
        lease = limit if limit < math.inf else member.gate.circuit.policy.open_for
        permit = member.gate.acquire(now, self._size, lease, panic=panic)
        if permit is None:
            return None
        for shared in self.route.limits:
            shared.take(self._size, now)
        if repetition is not None:
            why = self._repeats(repetition, member, now, why)
        if panic:
            news = Panicked(self._commons.router, self.route.name)
            self._commons.wire.post("panicked", news)
        deadline = now + limit
        if self.deadline < deadline and role != "probe":
            deadline = self.deadline
        return Try(member, permit, now, deadline, role, why)

    def _repeats(self, repetition: Repetition, member: Member, now: float, why: str) -> str:
        """Books an attempt that is not the first, tells of a failover, and says why."""
        repetition.pay(member, self._commons.budget, now)
        repetition.asked(member.name)
        last = repetition.last
        if last is None:
            return why
        kind = last.verdict.kind
        if last.provider == member.name:
            return f"again after {kind}"
        names = (self._commons.router, self.route.name, last.provider, member.name)
        self._commons.wire.post("failed_over", FailedOver(*names, kind))
        return f"failover from {last.provider} ({kind}); {why}"

    def _blocked(self, now: float) -> str:
        """Which limit of route or router keeps every attempt from starting, or ""."""
        refusals = (shared.refuses(self._size, now) for shared in self.route.limits)
        return next(filter(None, refusals), "")

    def hedge_later(self, step: Try, now: float) -> None:
        """Names the instant at which an attempt is so slow that it wants another beside it."""
        policy = self.route.hedge
        if policy is None or not self.idempotent or len(self.route.members) == 1:
            return
        if policy.after is not None:
            step.hedge_at = now + policy.after
        elif policy.percentile is not None:
            latencies = step.member.pace.latencies
            if latencies.samples >= policy.minimum_samples:
                step.hedge_at = now + latencies.percentile(policy.percentile)

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

    def _elsewhere(self, repetition: Repetition, now: float) -> Try | None:
        if self.route.limits and self._blocked(now):
            return None
        for tier in self.route.tiers:
            step = self._try(tier.table(now), now, repetition.barred)
            if step is not None:
                return step
        return None

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
        slow = False
        if verdict.kind is Kind.SUCCESS:
            slow = member.pace.answered(elapsed, trial=permit.trial)
        elif isinstance(error, AttemptTimeout):
            member.pace.timed_out(elapsed, trial=permit.trial)
        rule = route.rules[verdict.kind]
        late = member.gate.release(permit, verdict, rule, now, elapsed, slow=slow)
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
            if verdict.kind is not Kind.CANCELLED:
                if error is None:
                    self._answered(step, value)
                else:
                    self._failed(step, record, rule)
        wire.deliver()

    def abandon(self, step: Try) -> None:
        """Takes back a Try that was never begun."""
        step.member.gate.give_back(step.permit)
        for shared in self.route.limits:
            shared.leave()

    def _answered(self, step: Try, value: object) -> None:
        if self._answer is _NOTHING:
            self._answer = value
            self._answered_by = step.member.name

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
