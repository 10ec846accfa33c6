"""Admission of one call's attempts: choose a provider and acquire its permit, without an await."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from multirouter.core.circuit.model_circuits import ModelPermit
from multirouter.core.circuit.trial_lease import lease_for
from multirouter.core.cost.prompt_caches import CachedPrompt
from multirouter.core.events import FailedOver, PanicStarted
from multirouter.core.limits.rate_limits import AdmissionLimit
from multirouter.core.planning.hedge_timing import schedule_hedge
from multirouter.core.planning.retrying import RetryState
from multirouter.core.planning.steps import AttemptStep, PlanContext
from multirouter.core.routes.resolved_route import ResolvedRoute
from multirouter.core.selection.cache_costs import CacheCosts
from multirouter.core.selection.candidate import Candidate
from multirouter.core.selection.sticky import Sticky
from multirouter.core.selection.tier_tables import TierTable
from multirouter.core.selection.weighted import WeightedChoice
from multirouter.errors import AttemptTimeout
from multirouter.model import AttemptRecord, FailureKind, Role

REJECTED = ModelPermit("", None)
"""Stands for the permit of a model whose circuit does not admit the attempt."""

HOLDS_PROMPT = "its prompt cache holds the conversation"
"""Trail text of an attempt at the provider that a conversation moved to."""

MOVED = "cheapest for the conversation, the lost prompt cache included"
"""Trail text of an attempt for which a conversation leaves its provider."""

TRIAL = "trial of a half-open circuit"
"""Trail text of an attempt that decides a half-open circuit."""


class Admission:
    """Chooses the providers of one call and acquires their permits.

    Attributes:
        route: the resolved route, one whole configuration that stays the same during the call.
        deadline: loop time by which the call ends, seconds.
        idempotent: whether the request may be sent twice without harm.
    """

    __slots__ = (
        "_context",
        "_conversation",
        "_ineligible",
        "_prompt",
        "_request",
        "_retry_state",
        "_size",
        "deadline",
        "idempotent",
        "route",
    )

    _context: PlanContext
    _conversation: str | bytes | int | None
    _ineligible: frozenset[str]
    _prompt: tuple[str, CachedPrompt] | None
    _request: Any
    _retry_state: RetryState | None
    _size: int
    route: ResolvedRoute
    deadline: float
    idempotent: bool

    def _choose_attempt(
        self, now: float, excluded: Collection[str] = (), role: Role = "call"
    ) -> AttemptStep | None:
        """Returns an attempt from the first tier with an available provider; None without one.

        The tiers are searched twice: healthy providers first, then degraded ones.

        The trial of a half-open circuit normally runs in the background beside an attempt at a
        healthy provider. The caller's own attempt becomes the trial in two cases: no tier has
        another provider left, or the call must not be duplicated (then the trial comes first,
        since the circuit would otherwise never be tried).
        """
        if self.route.limits and not self._within(self.route.limits, now):
            return None
        if self.route.sticky is not None and self._retry_state is None and role == "call":
            step = self._choose_warm(self.route.sticky, now)
            if step is not None:
                return step
        trials: tuple[Candidate, ...] = ()
        for tier in self.route.tiers:
            table = tier.table(now, self._ineligible)
            if table.half_open:
                trials = (*trials, *table.half_open)
                if not self.idempotent:
                    unchecked = [m for m in table.half_open if m.provider.health_check is None]
                    step = self._choose_trial(unchecked, now, excluded, role)
                    if step is not None:
                        return step
            step = self._choose_from(table, table.healthy, now, excluded, role)
            if step is not None:
                return self._with_trials(step, trials, now) if trials else step
        step = self._choose_degraded(now, excluded, role)
        if step is not None:
            return self._with_trials(step, trials, now) if trials else step
        return self._choose_trial(trials, now, excluded, role, join=role == "call")

    def _choose_warm(self, sticky: Sticky, now: float) -> AttemptStep | None:
        """Returns an attempt where the conversation's prompt is cached; None to choose as usual."""
        try:
            key = self._conversation = sticky.key_of(self._request)
        except Exception:  # noqa: BLE001 - the strategy's choice reports it
            return None
        if key is None:
            return None
        caches, request = self._context.prompt_caches, self._request
        found = self._prompt = caches.latest(key, now - sticky.cache_ttl)
        if found is None:
            return None
        home, peers, current, half_open = self._where(found[0], now)
        if current is None or home is None or (half_open and not self.idempotent):
            return None
        costs = CacheCosts(caches, sticky, key, found[1], request, now)
        chosen = home
        if sticky.returns == "when_idle" or (
            sticky.returns == "when_cheaper" and not costs.cheaper(current, home)
        ):
            chosen = current
        if sticky.leaves == "when_cheaper":
            chosen = costs.cheapest(chosen, peers)
        if chosen is home:
            return None
        step = self._acquire(chosen, now, MOVED if chosen is not current else HOLDS_PROMPT)
        return step and self._with_trials(step, half_open, now)

    def _where(
        self, place: str, now: float
    ) -> tuple[Candidate | None, tuple[Candidate, ...], Candidate | None, tuple[Candidate, ...]]:
        """Returns the usual choice, its peers, the candidate `place`, and half-open candidates.

        The last are those of the tiers up to that of `place`.
        """
        home: Candidate | None = None
        peers: tuple[Candidate, ...] = ()
        half_open: tuple[Candidate, ...] = ()
        for tier in self.route.tiers:
            table = tier.table(now, self._ineligible)
            half_open = (*half_open, *table.half_open)
            if home is None:
                home = table.healthy.pick(self._context.rng, (), now, self._request)
                peers = table.healthy.members
            for member in table.healthy.members:
                if member.key == place:
                    return home, peers, member, half_open
        return home, peers, None, half_open

    def _choose_degraded(
        self, now: float, excluded: Collection[str], role: Role
    ) -> AttemptStep | None:
        """Returns an attempt from the first tier with an available degraded provider."""
        for tier in self.route.tiers:
            table = tier.table(now, self._ineligible)
            if table.degraded is not None:
                step = self._choose_from(table, table.degraded, now, excluded, role)
                if step is not None:
                    return step
        return None

    def _choose_from(
        self,
        table: TierTable,
        choice: WeightedChoice,
        now: float,
        excluded: Collection[str],
        role: Role,
    ) -> AttemptStep | None:
        """Returns an attempt at a provider that `choice` picks; after a rejection, picks again."""
        while True:
            member = choice.pick(self._context.rng, excluded, now, self._request)
            if member is None:
                return None
            is_last = False
            if excluded or len(table.selectable) == 1:
                is_last = self._is_last_candidate(table, excluded)
            step = self._acquire(member, now, choice.why, role, is_last, table.panic)
            if step is not None:
                return step
            excluded = {*excluded, member.key}

    def _is_last_candidate(self, table: TierTable, excluded: Collection[str]) -> bool:
        """Whether no further provider could be attempted after the one just picked."""
        if len(self.route.tiers) > 1:
            return False
        candidates = (m for m in table.selectable if m.weight > 0 and m.key not in excluded)
        return sum(1 for _ in candidates) <= 1

    def _choose_trial(
        self,
        half_open: Iterable[Candidate],
        now: float,
        excluded: Collection[str],
        role: Role,
        *,
        join: bool = False,
    ) -> AttemptStep | None:
        """Returns the caller's own attempt as a trial of a half-open circuit.

        With `join`, for a call that no other provider can serve, it may join trials in flight.
        """
        left = [member for member in half_open if member.key not in excluded]
        for joining in (False, True) if join else (False,):
            for member in left:
                step = self._acquire(member, now, TRIAL, role, join=joining)
                if step is not None:
                    return step
        return None

    def _with_trials(
        self, step: AttemptStep, half_open: Iterable[Candidate], now: float
    ) -> AttemptStep:
        """Adds the due background trials to a call's first attempt."""
        if self.idempotent and self._retry_state is None:
            step.trials = self._background_trials(half_open, now)
        return step

    def _background_trials(
        self, half_open: Iterable[Candidate], now: float
    ) -> tuple[AttemptStep, ...]:
        """Trials of half-open circuits that run beside the caller's attempt, at no cost to it."""
        trials = []
        budget = self._context.budget
        for member in half_open:
            if member.provider.health_check:
                continue
            if not budget.allows(now) or self._shared_rejection(now):
                continue
            if not member.gate.circuit.copy_due(now):
                continue
            trial = self._acquire(member, now, TRIAL, "trial")
            if trial is not None:
                budget.spend(now)
                trials.append(trial)
        return tuple(trials)

    def _acquire(  # noqa: C901 - once an attempt, where a further function is measurable
        self,
        member: Candidate,
        now: float,
        why: str,
        role: Role = "call",
        is_last: bool = False,  # noqa: FBT001, FBT002 - once an attempt, where keywords cost time
        panic: bool = False,  # noqa: FBT001, FBT002
        join: bool = False,  # noqa: FBT001, FBT002
    ) -> AttemptStep | None:
        """Acquires one provider's permit; None when its gate or the retry budget rejects.

        The provider's adaptive timeout applies only when another provider is left.
        """
        retry_state, budget = self._retry_state, self._context.budget
        if retry_state is not None and not retry_state.can_afford(member, role, budget, now):
            return None
        timeout = member.timeout
        if not is_last and (limit := member.latency.limit) < timeout:
            timeout = limit
        gate, model, lease = member.gate, None, 0.0
        if gate.circuit.shared_permit is None or gate.models is not None:  # else nothing is leased
            lease = lease_for(timeout, gate.circuit.policy.open_duration)
        if gate.models is not None and not panic:
            model = self._acquire_model(member, now, lease)
            if model is REJECTED:
                return None
        limit_model = "" if member.on_headers is None else member.limit_model(self._request)
        permit = gate.acquire(now, self._size, lease, panic, join, limit_model)
        if permit is None:
            if model is not None:
                gate.release_model(model)
            return None
        for shared in member.rules.limits:
            shared.acquire(self._size, now)
        if retry_state is not None:
            why = self._record_repeat(retry_state, member, role, now, why)
        if panic:
            event = PanicStarted(self._context.router, self.route.name)
            self._context.dispatcher.post("panic_started", event)
        deadline = now + timeout
        if deadline > self.deadline and role != "trial":
            deadline = self.deadline
        step = AttemptStep(member, permit, now, deadline, role, why)
        step.model, step.limit_model = model, limit_model
        hedge = self.route.hedge
        if hedge is not None and role != "trial" and self._can_hedge():
            schedule_hedge(step, hedge, now)
        return step

    def _can_hedge(self) -> bool:
        return self.idempotent and len(self.route.members) > 1

    def _acquire_model(self, member: Candidate, now: float, lease: float) -> ModelPermit | None:
        """Acquires the permit of the request's model; None without one, or `REJECTED`."""
        models, name = member.gate.models, member.pricing.model_of(self._request)
        if models is None or name is None or member.gate.hold is not None:
            return None
        alone = len(self.route.members) == 1
        return models.acquire(name, now, lease, join=alone) or REJECTED

    def _record_repeat(
        self, retry_state: RetryState, member: Candidate, role: Role, now: float, why: str
    ) -> str:
        """Charges an attempt after the first, reports a failover, and returns the trail text."""
        retry_state.spend(member, role, self._context.budget, now)
        retry_state.record_attempt(member.key)
        last = retry_state.last
        if last is None or role == "hedge":
            return why
        kind = last.verdict.kind
        if retry_state.last_key == member.key:
            return f"retry after {kind}"
        names = (self._context.router, self.route.name, last.provider, member.name)
        cause = last.verdict.reason if kind is FailureKind.UNKNOWN else ""
        event = FailedOver(*names, kind, _exceeded_stream_limit(last), cause)
        self._context.dispatcher.post("failed_over", event)
        return f"failover from {last.provider} ({kind}); {why}"

    def _within(self, limits: Iterable[AdmissionLimit], now: float) -> bool:
        """Whether limits admit an attempt that is about to start; they count one that may not."""
        return all(limit.admits(self._size, now) for limit in limits)

    def _shared_rejection(self, now: float) -> str:
        """Why a limit of the route or router rejects every attempt; "" when none does."""
        reasons = (shared.rejection(self._size, now) for shared in self.route.limits)
        return next(filter(None, reasons), "")


def _exceeded_stream_limit(record: AttemptRecord) -> str:
    """The stream limit that was exceeded; "" for any other failure, whose kind says enough."""
    error = record.error
    if isinstance(error, AttemptTimeout) and error.limit != "attempt_timeout":
        return error.limit
    return ""
