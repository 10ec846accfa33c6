"""Whom one call may ask now, and the permit to do so: no await between choice and permit."""

from __future__ import annotations

import math
from collections.abc import Collection

from multirouter.core.events import FailedOver, Panicked
from multirouter.core.model import Role
from multirouter.core.repetition import Repetition
from multirouter.core.roster import CompiledRoute
from multirouter.core.selection import Member, Table
from multirouter.core.steps import Commons, Try


class Admission:
    """One call at the doors of its route's providers.

    Attributes:
        route: the compiled route, one whole configuration for the call's whole life.
        deadline: loop time by which the call has ended.
        idempotent: whether asking twice does no harm.
    """

    __slots__ = ("_commons", "_repetition", "_size", "deadline", "idempotent", "route")

    _commons: Commons
    _repetition: Repetition | None
    _size: int
    route: CompiledRoute
    deadline: float
    idempotent: bool

    def _first(self, now: float) -> Try | None:
        if self.route.limits and self._blocked(now):
            return None
        for tier in self.route.tiers:
            table = tier.table(now)
            step = self._try(table, now) if table.trials else self._drawn(table, now, ())
            if step is not None:
                if table.trials and self.idempotent:
                    step.copies = self._copies(table, step, now)
                if self.route.hedge is not None:
                    self.hedge_later(step, now)
                return step
        return None

    def _elsewhere(self, repetition: Repetition, now: float) -> Try | None:
        if self.route.limits and self._blocked(now):
            return None
        for tier in self.route.tiers:
            step = self._try(tier.table(now), now, repetition.barred)
            if step is not None:
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
