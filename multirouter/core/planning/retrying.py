"""Retry state of one call: which providers are excluded, what retries cost, how long they wait."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from typing import Literal

from multirouter.core.failures import backoff
from multirouter.core.limits.retry_budget import RetryBudget
from multirouter.core.planning.evidence import Evidence
from multirouter.core.planning.hedge_timing import HEDGE_BUDGET_SHARE
from multirouter.core.selection.candidate import Candidate
from multirouter.core.settings.failure_rules import Failover, Retry, Rule
from multirouter.core.settings.policies import RetryPolicy
from multirouter.model import AttemptRecord, FailureKind, Role

DenialReason = Literal["budget", "attempts", "deadline", "not_idempotent"]
"""Why a retry that was possible was not made."""

DOMAIN_FAILURES = frozenset(
    {FailureKind.TRANSPORT, FailureKind.SERVER, FailureKind.OVERLOADED, FailureKind.CREDENTIALS}
)
"""Failures that concern a vendor, region or account rather than one model."""


class RetryState:
    """State of a call after its first attempt failed or was hedged.

    Attributes:
        excluded: keys of candidates that are not attempted in this round: attempted already, or
            excluded for the call.
        excluded_for_call: keys that are not attempted again in this call.
        last: the record of the newest failure, or None.
        last_key: the key of the candidate that failed last.
        retry_same: the provider that is retried before another one is attempted, or None.
        backed_off: whether the backoff before that retry is over or under way.
        backoff_until: loop time before which no attempt starts, seconds.
        denial: why a retry that was possible was not made, or None.
        evidence: which of the call's failures count against their providers.
        suspect_domains: domains with a failure in this round that may concern all their providers.
    """

    __slots__ = (
        "_attempts",
        "_attempts_in_round",
        "_paid",
        "_policy",
        "backed_off",
        "backoff_until",
        "denial",
        "evidence",
        "excluded",
        "excluded_for_call",
        "last",
        "last_key",
        "retry_same",
        "suspect_domains",
    )

    def __init__(self, policy: RetryPolicy, ineligible: Iterable[str] = ()) -> None:
        self._policy = policy
        self._attempts: dict[str, int] = {}
        self._attempts_in_round = 0
        self._paid = 0
        self.excluded: set[str] = set(ineligible)
        self.excluded_for_call: set[str] = set(self.excluded)
        self.suspect_domains: set[str] = set()
        self.last: AttemptRecord | None = None
        self.last_key: str = ""
        self.retry_same: Candidate | None = None
        self.backed_off: bool = False
        self.backoff_until: float = -math.inf
        self.denial: DenialReason | None = None
        self.evidence: Evidence = Evidence()

    def record_attempt(self, key: str) -> None:
        """Records an attempt; the candidate is not attempted a second time in this round."""
        self._attempts[key] = self._attempts.get(key, 0) + 1
        self._attempts_in_round += 1
        self.excluded.add(key)

    def failed(
        self,
        record: AttemptRecord,
        member: Candidate,
        rule: Rule,
        others: Iterable[Candidate],
        retries_per_provider: int,
        *,
        cut_short: bool = False,
    ) -> None:
        """Applies the rule of one failure: which providers to exclude, which to retry.

        Args:
            record: the attempt.
            member: the provider that failed.
            rule: the rule of its failure kind.
            others: the route's providers.
            retries_per_provider: see `Route`.
            cut_short: whether the adaptive timeout ended the attempt before the provider's
                `attempt_timeout`. The provider then stays available for a later round.
        """
        self.last, self.last_key = record, member.key
        if cut_short:
            return
        if record.verdict.kind in DOMAIN_FAILURES:
            self.suspect_domains.update(member.provider.domains)
        retryable = rule.retry is not Retry.NEVER and not record.verdict.retried
        attempts = self._attempts.get(member.key, 0)
        if not retryable or (rule.retry is Retry.QUICK and attempts > 1):
            self._exclude(member.key)
        elif attempts <= retries_per_provider and not _cooldown_is_a_guess(record):
            self.retry_same, self.backed_off = member, False
        if rule.failover is Failover.LARGER:
            window = member.provider.context_window or 0  # an unknown window excludes no provider
            self.exclude_all(o for o in others if _known_window(o) <= window)
        elif rule.failover is Failover.NEVER:
            self.exclude_all(o for o in others if o is not member)

    def exclude_all(self, members: Iterable[Candidate]) -> None:
        """Excludes providers for the rest of the call."""
        for member in members:
            self._exclude(member.key)

    def _exclude(self, key: str) -> None:
        self.excluded_for_call.add(key)
        self.excluded.add(key)
        if self.retry_same is not None and self.retry_same.key == key:
            self.retry_same = None

    # -- cost of retries -------------------------------------------------------------------------

    def can_afford(self, member: Candidate, role: Role, budget: RetryBudget, now: float) -> bool:
        """Whether the next attempt may go to `member`; sets `denial` when not."""
        return self._is_free(member, role, now) or self.may_retry(budget, now, role, member)

    def can_afford_any(self, members: Iterable[Candidate], budget: RetryBudget, now: float) -> bool:
        """Whether any of the providers may be attempted in a later round; sets `denial` if not."""
        left = [member for member in members if member.key not in self.excluded_for_call]
        return any(self.can_afford(member, "call", budget, now) for member in left)

    def spend(self, member: Candidate, role: Role, budget: RetryBudget, now: float) -> None:
        """Charges the attempt that is about to go to `member`."""
        if not self._is_free(member, role, now):
            self._paid += not self._is_own_retry(member)
            budget.spend(now)

    def attempted_once(self, member: Candidate, now: float) -> bool:
        """Whether a provider was attempted once, is not degraded, and may be attempted again."""
        return (
            self._attempts.get(member.key) == 1
            and member.key not in self.excluded_for_call
            and not member.degraded
            and member.gate.selectable(now)
        )

    def _is_own_retry(self, member: Candidate | None) -> bool:
        """Whether the next attempt at `member` is one of `Provider.retries`."""
        if member is None or member is not self.retry_same:
            return False
        return member.provider.retries is not None

    def _is_free(self, member: Candidate, role: Role, now: float) -> bool:
        """Whether an attempt is free: the first one at a healthy provider, unless it is a hedge."""
        first = role == "call" and member.key not in self._attempts
        return first and not member.gate.unhealthy(now)

    def may_retry(
        self,
        budget: RetryBudget,
        now: float,
        role: Role = "call",
        member: Candidate | None = None,
    ) -> bool:
        """Whether one more paid attempt may be made, at `member` if given; sets `denial` if not.

        The budget is consulted each time, since it refills. A retry of a provider's own
        (`Provider.retries`) is not counted in `RetryPolicy.attempts`.
        """
        share = HEDGE_BUDGET_SHARE if role == "hedge" else 1.0
        if not self._is_own_retry(member) and 1 + self._paid >= self._policy.attempts:
            self.denial = "attempts"
        else:
            self.denial = None if budget.allows(now, share=share) else "budget"
        return self.denial is None

    # -- backoff ---------------------------------------------------------------------------------

    def retry_same_at(self, member: Candidate, now: float, random: float) -> float | None:
        """Loop time at which the provider that failed may be retried, seconds; None for never."""
        return self._backoff_end([member], now, random, member.provider.backoff)

    def next_round_at(
        self, members: Iterable[Candidate], now: float, random: float
    ) -> float | None:
        """Loop time of the next round, seconds; None when no provider could be attempted in it.

        Args:
            members: the route's providers.
            now: loop time, seconds.
            random: a number uniform in [0, 1), for the jitter.
        """
        if not self._attempts_in_round:
            return None
        left = [member for member in members if member.key not in self.excluded_for_call]
        return self._backoff_end(left, now, random)

    def _backoff_end(
        self, members: Iterable[Candidate], now: float, random: float, base: float | None = None
    ) -> float | None:
        """End of the backoff. A short cooldown is waited for, an open circuit is not."""
        instants = [
            max(now, member.gate.cooldown_until)
            for member in members
            if member.gate.circuit.is_closed and member.gate.hold != "open"
        ]
        earliest = min(instants, default=math.inf)
        floor = earliest - now
        if floor > self._policy.max_retry_after:
            return None
        round_number = max(self._attempts.values(), default=1)
        delay = backoff.backoff_delay(self._policy, round_number, floor, random, base)
        return max(earliest, now + delay)  # the sum may round to just before the cooldown's end

    def wait_class(self) -> Hashable:
        """Equal for waiting calls that may attempt the same providers at the same cost."""
        return frozenset(self.excluded_for_call), frozenset(self._attempts), self._paid

    def next_round(self) -> None:
        """Begins a round: providers that are not excluded for the call may be attempted again."""
        self._attempts_in_round = 0
        self.excluded = set(self.excluded_for_call)
        self.retry_same = None
        self.suspect_domains.clear()


def _known_window(member: Candidate) -> float:
    """A provider's context window; infinite when it is unknown."""
    window = member.provider.context_window
    return math.inf if window is None else window


def _cooldown_is_a_guess(record: AttemptRecord) -> bool:
    """Whether a rate limit came without Retry-After; such a cooldown is not waited for."""
    return record.verdict.kind is FailureKind.RATE_LIMIT and record.verdict.retry_after is None
