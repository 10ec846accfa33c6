"""Plan of a call whose route is a chain: failover from each target to the next."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any, cast

from multirouter.core.limits.rate_limits import AdmissionLimit
from multirouter.core.planning.plan import Plan
from multirouter.core.planning.retrying import RetryState
from multirouter.core.planning.steps import AttemptStep, PlanContext
from multirouter.core.routes.chain_route import ChainRoute, Link
from multirouter.core.routes.resolved_route import ResolvedRoute
from multirouter.core.selection.candidate import Candidate
from multirouter.core.selection.eligibility import NONE_EXCLUDED
from multirouter.core.settings.failure_rules import CircuitEffect, Rule
from multirouter.core.settings.wait_policy import WaitPolicy
from multirouter.model import AttemptRecord, CallOutcome, CallResult, FailureKind, Role, Verdict

USUAL_SHARE = 0.9
"""Share of a provider's answers that a target's `attempt_timeout` must be longer than, for an
attempt that it ends to count against the provider."""

MIN_TIMEOUT = 1.0
"""The same in seconds, while too few answers are known. A caller chooses the timeout: a very short
one must not open the circuit of a provider that other calls use."""


class ChainPlan(Plan):
    """Plan of a call whose route is a chain; see `Chain`.

    A failure that forbids failover concerns its own target alone, as long as the chain leads on.
    The newest failure decides whether later targets may be tried.
    """

    __slots__ = ("_barred",)

    def __init__(
        self,
        context: PlanContext,
        route: ResolvedRoute,
        now: float,
        timeout: float | None = None,
        wait: float | WaitPolicy = 0.0,
        idempotent: bool = True,  # noqa: FBT001, FBT002 - as for `Plan`
        size: int = 0,
        request: Any = None,
        ineligible: frozenset[str] = NONE_EXCLUDED,
    ) -> None:
        super().__init__(context, route, now, timeout, wait, idempotent, size, request, ineligible)
        self._barred: set[str] = set()

    @property
    def _chain(self) -> ChainRoute:
        return cast("ChainRoute", self.route)

    def _link_of(self, member: Candidate) -> Link:
        return self._chain.links[self._chain.position(member)]

    # -- after a failure -------------------------------------------------------------------------

    def _scope(self, member: Candidate, verdict: Verdict, rule: Rule) -> Sequence[Candidate]:
        at = self._chain.position(member)
        later = [one for link in self._chain.links[at + 1 :] for one in link.members]
        leads_on = self._continuing or self._chain.chain.leads_on(verdict, rule)
        if self._retry_state is not None:  # pragma: no branch - a failure has made one
            self._bar(self._retry_state, () if leads_on else later)
        return self._chain.links[at].members if leads_on and later else self.route.members

    def _bar(self, retry_state: RetryState, members: Iterable[Candidate]) -> None:
        """Excludes these members, and no longer those that an earlier failure excluded."""
        retry_state.excluded_for_call -= self._barred
        retry_state.excluded -= self._barred
        self._barred = {member.key for member in members} - retry_state.excluded_for_call
        retry_state.excluded_for_call |= self._barred
        retry_state.excluded |= self._barred

    def _hedge_excluded(self, slow: AttemptStep, retry_state: RetryState) -> Collection[str]:
        own = {member.key for member in self._link_of(slow.member).members}
        others = {member.key for member in self.route.members if member.key not in own}
        return retry_state.excluded | others

    # -- timeouts that the caller chose ----------------------------------------------------------

    def _release_unanswered(
        self,
        step: AttemptStep,
        verdict: Verdict,
        error: BaseException | None,
        elapsed: float,
        now: float,
    ) -> bool:
        if self._says_nothing(step, verdict):
            error = None
        return super()._release_unanswered(step, verdict, error, elapsed, now)

    def _effect_of(self, step: AttemptStep, verdict: Verdict) -> CircuitEffect:
        if self._says_nothing(step, verdict):
            return CircuitEffect.NEUTRAL
        return super()._effect_of(step, verdict)

    def _says_nothing(self, step: AttemptStep, verdict: Verdict) -> bool:
        """Whether an attempt had less time than the provider's answers usually take."""
        member = step.member
        limit = self._link_of(member).attempt_timeout
        if verdict.kind is not FailureKind.TIMEOUT or step.served_at is not None:
            return False
        if limit > member.timeout:  # its own timeout is shorter
            return False
        latency = member.latency
        usual = MIN_TIMEOUT
        if latency.has_enough_samples:
            usual = latency.latencies.percentile(USUAL_SHARE)
        return limit < usual

    # -- limits of the targets -------------------------------------------------------------------

    def _acquire(
        self,
        member: Candidate,
        now: float,
        why: str,
        role: Role = "call",
        is_last: bool = False,  # noqa: FBT001, FBT002 - as in the base class
        panic: bool = False,  # noqa: FBT001, FBT002
        join: bool = False,  # noqa: FBT001, FBT002
    ) -> AttemptStep | None:
        if not self._within(self._link_of(member).limits, now):
            return None
        return super()._acquire(member, now, why, role, is_last, panic, join)

    def _link_rejection(self, link: Link, now: float) -> str:
        """Why a limit of a target rejects every attempt there; "" when none does."""
        return next(filter(None, (limit.rejection(self._size, now) for limit in link.limits)), "")

    def _unavailable(self, now: float) -> Mapping[str, str]:
        reasons = {
            member.key: why
            for link in self._chain.links
            if (why := self._link_rejection(link, now))
            for member in link.members
        }
        return {**reasons, **super()._unavailable(now)}

    def _key_of(self, record: AttemptRecord) -> str:
        members = self._chain.links[record.target].members
        return next(member.key for member in members if member.name == record.provider)

    def _groups(
        self, left: Sequence[Candidate]
    ) -> list[tuple[tuple[AdmissionLimit, ...], Sequence[Candidate]]]:
        keys = {member.key for member in left}
        groups = [
            ((*self.route.limits, *link.limits), [m for m in link.members if m.key in keys])
            for link in self._chain.links
        ]
        return [group for group in groups if group[1]] or super()._groups(left)

    def wait_class(self) -> Hashable:
        """See `CapacityWait.wait_class`."""
        return self.route, super().wait_class()

    # -- records ---------------------------------------------------------------------------------

    def _charge(self, step: AttemptStep, record: AttemptRecord, value: object, now: float) -> None:
        record.operation = self._chain.chain.operation
        super()._charge(step, record, value, now)

    def _end(self, result: CallResult, error: BaseException | None, now: float) -> CallOutcome[Any]:
        outcome = super()._end(result, error, now)
        outcome.operation = self._chain.chain.operation
        if any(record.target for record in outcome.attempts):
            outcome.served_by_first_choice = False
        return outcome
