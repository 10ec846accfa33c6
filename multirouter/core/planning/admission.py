"""Whom one call may ask now, and the permit to do so: no await between choice and permit."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import Any

from multirouter.core.events import FailedOver, PanicStarted
from multirouter.core.planning.retrying import RetryState
from multirouter.core.planning.steps import AttemptStep, PlanContext
from multirouter.core.routes.resolved_route import ResolvedRoute
from multirouter.core.selection.candidate import Candidate
from multirouter.core.selection.tier_tables import TierTable
from multirouter.core.selection.weighted import WeightedChoice
from multirouter.core.settings.policies import HedgePolicy
from multirouter.errors import AttemptTimeout
from multirouter.model import AttemptRecord, Role

LEASE_MARGIN = 1.0
"""Seconds that a trial's lease outlasts its deadline: a trial that is cut off is recorded a moment
later, and must not be taken for lost before that; else a provider that hangs would not reopen."""


class Admission:
    """One call at the doors of its route's providers.

    Attributes:
        route: the compiled route, one whole configuration for the call's whole life.
        deadline: loop time by which the call has ended.
        idempotent: whether asking twice does no harm.
    """

    __slots__ = (
        "_commons",
        "_repetition",
        "_request",
        "_size",
        "_unfit",
        "deadline",
        "idempotent",
        "route",
    )

    _commons: PlanContext
    _repetition: RetryState | None
    _request: Any
    _size: int
    _unfit: frozenset[str]
    route: ResolvedRoute
    deadline: float
    idempotent: bool

    def _somebody(
        self, now: float, barred: Collection[str] = (), role: Role = "call"
    ) -> AttemptStep | None:
        """An attempt at the first tier that has somebody to ask; None when no tier has.

        The tiers are walked twice: who is degraded is asked when nobody healthy can be.

        Half-open circuits get their trial as a copy beside an attempt at a healthy provider, so
        a caller is their trial only when nobody healthy is left, in any tier. A call that must
        not be copied is their trial first: else nobody would ever try them.
        """
        if self.route.limits and self._blocked(now):
            return None
        trials: tuple[Candidate, ...] = ()
        for tier in self.route.tiers:
            table = tier.table(now, self._unfit)
            if table.trials:
                trials = (*trials, *table.trials)
                if not self.idempotent:
                    unprobed = [m for m in table.trials if m.provider.health_check is None]
                    step = self._trial(unprobed, now, barred, role)
                    if step is not None:
                        return step
            step = self._drawn(table, table.healthy, now, barred, role)
            if step is not None:
                return self._with_copies(step, trials, now) if trials else step
        step = self._degraded(now, barred, role)
        if step is not None:
            return self._with_copies(step, trials, now) if trials else step
        return self._trial(trials, now, barred, role)

    def _degraded(self, now: float, barred: Collection[str], role: Role) -> AttemptStep | None:
        """An attempt at the first tier that has somebody degraded to ask."""
        for tier in self.route.tiers:
            table = tier.table(now, self._unfit)
            if table.degraded is not None:
                step = self._drawn(table, table.degraded, now, barred, role)
                if step is not None:
                    return step
        return None

    def _elsewhere(self, repetition: RetryState, now: float) -> AttemptStep | None:
        """An attempt after one that failed: outside the domain that failed, when that can be."""
        if repetition.wary:
            members = self.route.members
            near = {m.name for m in members if repetition.wary.intersection(m.provider.domains)}
            outside = near | repetition.barred
            # No trial here: who is half-open is asked when nobody healthy is left anywhere.
            step = None
            if len(outside) < len(members):
                step = self._somebody(now, outside | self._on_trial(now))
            if step is not None:
                return step
        return self._somebody(now, repetition.barred)

    def _on_trial(self, now: float) -> set[str]:
        return {m.name for t in self.route.tiers for m in t.table(now, self._unfit).trials}

    def _drawn(
        self,
        table: TierTable,
        draw: WeightedChoice,
        now: float,
        barred: Collection[str],
        role: Role,
    ) -> AttemptStep | None:
        """One of those in the draw; who refuses at the door is drawn no more."""
        while True:
            member = draw.pick(self._commons.rng, barred, now, self._request)
            if member is None:
                return None
            alone = bool(barred or len(table.closed) == 1) and self._is_alone(table, barred)
            step = self._enter(member, now, draw.why, role, alone=alone, panic=table.panic_started)
            if step is not None:
                return step
            barred = {*barred, member.name}

    def _is_alone(self, table: TierTable, barred: Collection[str]) -> bool:
        """Whether nobody else could be asked after the one who is drawn now."""
        if len(self.route.tiers) > 1:
            return False
        drawn = (m for m in table.closed if m.weight > 0 and m.name not in barred)
        return sum(1 for _ in drawn) <= 1

    def _trial(
        self, trials: Iterable[Candidate], now: float, barred: Collection[str], role: Role
    ) -> AttemptStep | None:
        """The caller's own attempt as the trial of a half-open circuit."""
        for member in trials:
            if member.name not in barred:
                step = self._enter(member, now, "trial of a half-open circuit", role)
                if step is not None:
                    return step
        return None

    def _with_copies(
        self, step: AttemptStep, trials: Iterable[Candidate], now: float
    ) -> AttemptStep:
        """The attempt, with the trials that are due beside a call's first one."""
        if self.idempotent and self._repetition is None:
            step.copies = self._copies(trials, now)
        return step

    def _copies(self, trials: Iterable[Candidate], now: float) -> tuple[AttemptStep, ...]:
        """Trials of half-open circuits as copies, so that they cost their caller nothing."""
        copies = []
        budget = self._commons.budget
        for member in trials:
            if member.provider.health_check or not budget.allows(now) or self._blocked(now):
                continue
            copy = self._enter(member, now, "trial of a half-open circuit", "trial")
            if copy is not None:
                budget.pay(now)
                copies.append(copy)
        return tuple(copies)

    def _enter(
        self,
        member: Candidate,
        now: float,
        why: str,
        role: Role = "call",
        *,
        alone: bool = False,
        panic: bool = False,
    ) -> AttemptStep | None:
        """Asks at one provider's door; what repeats an earlier attempt is paid for.

        The provider's own past cuts an attempt off only where somebody else is left to ask.
        """
        repetition, budget = self._repetition, self._commons.budget
        if repetition is not None and not repetition.affordable(member, role, budget, now):
            return None
        limit = member.timeout
        if not alone and (usual := member.latency.limit) < limit:
            limit = usual
        lease = limit if limit < math.inf else member.gate.circuit.policy.open_duration
        permit = member.gate.acquire(now, self._size, lease + LEASE_MARGIN, panic=panic)
        if permit is None:
            return None
        for shared in self.route.limits:
            shared.take(self._size, now)
        if repetition is not None:
            why = self._repeats(repetition, member, role, now, why)
        if panic:
            news = PanicStarted(self._commons.router, self.route.name)
            self._commons.dispatcher.post("panic_started", news)
        deadline = now + limit
        if self.deadline < deadline and role != "trial":
            deadline = self.deadline
        step = AttemptStep(member, permit, now, deadline, role, why)
        if self.route.hedge is not None and role != "trial":
            self._hedge_later(step, self.route.hedge, now)
        return step

    def _repeats(
        self, repetition: RetryState, member: Candidate, role: Role, now: float, why: str
    ) -> str:
        """Books an attempt that is not the first, tells of a failover, and says why."""
        repetition.pay(member, role, self._commons.budget, now)
        repetition.asked(member.name)
        last = repetition.last
        if last is None or role == "hedge":
            return why
        kind = last.verdict.kind
        if last.provider == member.name:
            return f"again after {kind}"
        names = (self._commons.router, self.route.name, last.provider, member.name)
        self._commons.dispatcher.post("failed_over", FailedOver(*names, kind, _limit_of(last)))
        return f"failover from {last.provider} ({kind}); {why}"

    def _blocked(self, now: float) -> str:
        """Which limit of route or router keeps every attempt from starting, or ""."""
        refusals = (shared.refuses(self._size, now) for shared in self.route.limits)
        return next(filter(None, refusals), "")

    def _hedge_later(self, step: AttemptStep, policy: HedgePolicy, now: float) -> None:
        """Names the instant at which an attempt is so slow that it wants another beside it."""
        if not self.idempotent or len(self.route.members) == 1:
            return
        if policy.after is not None:
            step.hedge_at = now + policy.after
        elif policy.percentile is not None:  # pragma: no branch - one of the two is always set
            latencies = step.member.latency.latencies
            if latencies.samples >= policy.minimum_samples:
                step.hedge_at = now + latencies.percentile(policy.percentile)


def _limit_of(record: AttemptRecord) -> str:
    """The limit of a stream that has passed, or ""; the kind says enough of any other failure."""
    error = record.error
    if isinstance(error, AttemptTimeout) and error.limit != "attempt_timeout":
        return error.limit
    return ""
