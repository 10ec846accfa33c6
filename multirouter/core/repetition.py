"""What a call may still do after one of its attempts failed: whom to ask, at what price, when."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from multirouter.core import backoff
from multirouter.core.limits import RetryBudget
from multirouter.core.model import AttemptRecord
from multirouter.core.policies import RetryPolicy
from multirouter.core.rules import Other, Rule, Same
from multirouter.core.selection import Member

Refusal = Literal["budget", "attempts", "deadline", "not_idempotent"]


class Repetition:
    """The state that a call has only once something went wrong.

    Attributes:
        round: 1 while no provider was asked twice, then one more after each rest.
        barred: names that are not asked in this round: asked already, or out for good.
        last: the record of the newest failure, or None.
        again: the provider that is asked again before another one is tried, or None.
        again_at: loop time at which it is asked again, or None while that is not settled.
        refusal: why another attempt that was possible was not made, or None.
    """

    __slots__ = (
        "_asked",
        "_asked_in_round",
        "_out",
        "_paid",
        "_policy",
        "again",
        "again_at",
        "barred",
        "last",
        "refusal",
        "round",
    )

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._asked: dict[str, int] = {}
        self._asked_in_round = 0
        self._out: set[str] = set()
        self._paid = 0
        self.round = 1
        self.barred: set[str] = set()
        self.last: AttemptRecord | None = None
        self.again: Member | None = None
        self.again_at: float | None = None
        self.refusal: Refusal | None = None

    def asked(self, name: str) -> None:
        """Notes that a provider is being asked: it is not asked twice in one round."""
        self._asked[name] = self._asked.get(name, 0) + 1
        self._asked_in_round += 1
        self.barred.add(name)

    def failed(
        self,
        record: AttemptRecord,
        member: Member,
        rule: Rule,
        others: Iterable[Member],
        retries_per_provider: int,
    ) -> None:
        """Draws the consequences of one failure: who is out, and who is asked next."""
        self.last = record
        again = rule.same is not Same.NEVER and not record.verdict.retried
        tried = self._asked.get(member.name, 0)
        if not again or (rule.same is Same.QUICK and tried > 1):
            self._bar(member.name)
        elif tried <= retries_per_provider:
            self.again = member
        if rule.other is Other.LARGER:
            window = member.provider.context_window or 0
            for other in others:
                if (other.provider.context_window or 0) <= window:
                    self._bar(other.name)
        elif rule.other is Other.NEVER:
            for other in others:
                if other is not member:
                    self._bar(other.name)

    def _bar(self, name: str) -> None:
        self._out.add(name)
        self.barred.add(name)

    # -- the price --------------------------------------------------------------------------

    def affordable(self, member: Member, budget: RetryBudget, now: float) -> bool:
        """Whether the next attempt may go to `member`; notes the refusal when not."""
        return self._is_free(member, now) or self.may_go_on(budget, now)

    def pay(self, member: Member, budget: RetryBudget, now: float) -> None:
        """Books the attempt that is about to go to `member`."""
        if not self._is_free(member, now):
            self._paid += 1
            budget.pay(now)

    def _is_free(self, member: Member, now: float) -> bool:
        return self.round == 1 and member.name not in self._asked and not member.gate.ill(now)

    # -- the rest ---------------------------------------------------------------------------

    def rest_before_same(self, member: Member, now: float, draw: float) -> float | None:
        """Seconds to rest before the provider that failed is asked again, or None for never."""
        return self._rest([member], now, draw)

    def rest_before_round(self, members: Iterable[Member], now: float, draw: float) -> float | None:
        """Seconds to rest before the next round, or None when nobody can be asked in it.

        Args:
            members: the route's providers.
            now: loop time, seconds.
            draw: a number drawn evenly from [0, 1), for the jitter.
        """
        if not self._asked_in_round:
            return None
        return self._rest([m for m in members if m.name not in self._out], now, draw)

    def _rest(self, members: Iterable[Member], now: float, draw: float) -> float | None:
        """Who is tripped is not waited for; who cools down is, when that is short enough."""
        floors = [
            max(0.0, member.gate.cooling_until - now)
            for member in members
            if member.gate.circuit.is_closed and member.gate.hold != "open"
        ]
        floor = min(floors, default=None)
        if floor is None or floor > self._policy.max_retry_after:
            return None
        return backoff.rest(self._policy, max(self._asked.values(), default=1), floor, draw)

    def next_round(self) -> None:
        """Begins a round: who is not out for good may be asked again."""
        self.round += 1
        self._asked_in_round = 0
        self.barred = set(self._out)
        self.again = None

    def may_go_on(self, budget: RetryBudget, now: float) -> bool:
        """Whether a round of paid attempts can begin; notes the refusal when not."""
        if self.refusal is None:
            if 1 + self._paid >= self._policy.attempts:
                self.refusal = "attempts"
            elif not budget.allows(now):
                self.refusal = "budget"
        return self.refusal is None

    def stop(self, members: Iterable[Member]) -> None:
        """Bars everybody for good."""
        for member in members:
            self._bar(member.name)

    def over(self, members: Iterable[Member]) -> bool:
        """Whether everybody is out for good."""
        return all(member.name in self._out for member in members)
