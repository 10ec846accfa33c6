"""What a call may still do after one of its attempts failed: whom to ask, at what price, when."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from multirouter.core.failures import backoff
from multirouter.core.limits.rate_limits import RetryBudget
from multirouter.core.selection.candidate import Candidate
from multirouter.core.settings.failure_rules import Failover, Retry, Rule
from multirouter.core.settings.policies import RetryPolicy
from multirouter.model import AttemptRecord, FailureKind, Role

Refusal = Literal["budget", "attempts", "deadline", "not_idempotent"]

OF_THE_DOMAIN = frozenset(
    {FailureKind.TRANSPORT, FailureKind.SERVER, FailureKind.OVERLOADED, FailureKind.CREDENTIALS}
)
"""Failures that speak of a vendor, region or account rather than of one model."""


HEDGES_SHARE = 0.5
"""The part of the budget that hedges may use up. An outage makes many calls slow at once, and who
is merely slow must not take the last attempt from who has failed."""


class RetryState:
    """The state that a call has only once something went wrong.

    Attributes:
        barred: names that are not asked in this round: asked already, or out for good.
        out: names that are not asked again in this call.
        last: the record of the newest failure, or None.
        again: the provider that is asked again before another one is tried, or None.
        rested: whether the rest before that was taken.
        resting_until: loop time before which nobody is asked.
        refusal: why another attempt that was possible was not made, or None.
        wary: domains in which something failed in this round that may befall all of them.
    """

    __slots__ = (
        "_asked",
        "_asked_in_round",
        "_paid",
        "_policy",
        "again",
        "barred",
        "last",
        "out",
        "refusal",
        "rested",
        "resting_until",
        "wary",
    )

    def __init__(self, policy: RetryPolicy, unfit: Iterable[str] = ()) -> None:
        self._policy = policy
        self._asked: dict[str, int] = {}
        self._asked_in_round = 0
        self._paid = 0
        self.barred: set[str] = set(unfit)
        self.out: set[str] = set(self.barred)
        self.wary: set[str] = set()
        self.last: AttemptRecord | None = None
        self.again: Candidate | None = None
        self.rested: bool = False
        self.resting_until: float = -math.inf
        self.refusal: Refusal | None = None

    def asked(self, name: str) -> None:
        """Notes that a provider is being asked: it is not asked twice in one round."""
        self._asked[name] = self._asked.get(name, 0) + 1
        self._asked_in_round += 1
        self.barred.add(name)

    def failed(
        self,
        record: AttemptRecord,
        member: Candidate,
        rule: Rule,
        others: Iterable[Candidate],
        retries_per_provider: int,
        *,
        impatient: bool = False,
    ) -> None:
        """Draws the consequences of one failure: who is out, and who is asked next.

        Args:
            record: the attempt.
            member: whom it asked.
            rule: what follows from its kind.
            others: the route's providers.
            retries_per_provider: see `Route`.
            impatient: whether the attempt was cut off before the provider's `attempt_timeout`:
                then it is nobody's fault, and when nobody else is left it may be asked again.
        """
        self.last = record
        if impatient:
            return
        if record.verdict.kind in OF_THE_DOMAIN:
            self.wary.update(member.provider.domains)
        again = rule.retry is not Retry.NEVER and not record.verdict.retried
        tried = self._asked.get(member.name, 0)
        if not again or (rule.retry is Retry.QUICK and tried > 1):
            self._bar(member.name)
        elif tried <= retries_per_provider and not _rests_untold(record):
            self.again, self.rested = member, False
        if rule.failover is Failover.LARGER:
            window = member.provider.context_window or 0
            self._bar_all(o for o in others if (o.provider.context_window or 0) <= window)
        elif rule.failover is Failover.NEVER:
            self._bar_all(o for o in others if o is not member)

    def _bar_all(self, members: Iterable[Candidate]) -> None:
        for member in members:
            self._bar(member.name)

    def _bar(self, name: str) -> None:
        self.out.add(name)
        self.barred.add(name)
        if self.again is not None and self.again.name == name:
            self.again = None

    # -- the price --------------------------------------------------------------------------

    def affordable(self, member: Candidate, role: Role, budget: RetryBudget, now: float) -> bool:
        """Whether the next attempt may go to `member`; notes the refusal when not."""
        return self._is_free(member, role, now) or self.may_go_on(budget, now, role)

    def affords_any(self, members: Iterable[Candidate], budget: RetryBudget, now: float) -> bool:
        """Whether any of the providers may be asked in a later round; notes the refusal if not."""
        left = [member for member in members if member.name not in self.out]
        return any(self.affordable(member, "call", budget, now) for member in left)

    def pay(self, member: Candidate, role: Role, budget: RetryBudget, now: float) -> None:
        """Books the attempt that is about to go to `member`."""
        if not self._is_free(member, role, now):
            self._paid += 1
            budget.pay(now)

    def _is_free(self, member: Candidate, role: Role, now: float) -> bool:
        """The first try of a healthy provider is, unless it is a hedge."""
        return role == "call" and member.name not in self._asked and not member.gate.ill(now)

    # -- the rest ---------------------------------------------------------------------------

    def same_at(self, member: Candidate, now: float, draw: float) -> float | None:
        """Loop time at which the provider that failed may be asked again, or None for never."""
        return self._rested_at([member], now, draw)

    def round_at(self, members: Iterable[Candidate], now: float, draw: float) -> float | None:
        """Loop time of the next round, or None when nobody can be asked in it.

        Args:
            members: the route's providers.
            now: loop time, seconds.
            draw: a number drawn evenly from [0, 1), for the jitter.
        """
        if not self._asked_in_round:
            return None
        return self._rested_at([m for m in members if m.name not in self.out], now, draw)

    def _rested_at(self, members: Iterable[Candidate], now: float, draw: float) -> float | None:
        """Who is tripped is not waited for; who cools down is, when that is short enough."""
        instants = [
            max(now, member.gate.cooldown_until)
            for member in members
            if member.gate.circuit.is_closed and member.gate.hold != "open"
        ]
        earliest = min(instants, default=math.inf)
        floor = earliest - now
        if floor > self._policy.max_retry_after:
            return None
        rest = backoff.rest(self._policy, max(self._asked.values(), default=1), floor, draw)
        return max(earliest, now + rest)  # the sum may round to just before the cooling's end

    def next_round(self) -> None:
        """Begins a round: who is not out for good may be asked again."""
        self._asked_in_round = 0
        self.barred = set(self.out)
        self.again = None
        self.wary.clear()

    def may_go_on(self, budget: RetryBudget, now: float, role: Role = "call") -> bool:
        """Whether one more paid attempt may be made; notes the refusal when not.

        A budget that was used up a while ago may have room again, so it is asked each time.
        """
        share = HEDGES_SHARE if role == "hedge" else 1.0
        if 1 + self._paid >= self._policy.attempts:
            self.refusal = "attempts"
        else:
            self.refusal = None if budget.allows(now, share=share) else "budget"
        return self.refusal is None

    def stop(self, members: Iterable[Candidate]) -> None:
        """Bars everybody for good."""
        for member in members:
            self._bar(member.name)


def _rests_untold(record: AttemptRecord) -> bool:
    """Whether a provider has enough for a time it did not name: that guess is not waited for."""
    return record.verdict.kind is FailureKind.RATE_LIMIT and record.verdict.retry_after is None
