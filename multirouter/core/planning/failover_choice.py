"""Choice after a failure: another failure domain, a healthy provider again, or a half-open one."""

from __future__ import annotations

from multirouter.core.planning.admission import Admission
from multirouter.core.planning.retrying import RetryState
from multirouter.core.planning.steps import AttemptStep


class FailoverChoice(Admission):
    """Chooses the provider of a call's next attempt after a failure."""

    __slots__ = ()

    def _choose_failover(self, retry_state: RetryState, now: float) -> AttemptStep | None:
        """Returns an attempt after a failure, outside the failed domain when possible."""
        if retry_state.suspect_domains:
            members = self.route.members
            suspects = retry_state.suspect_domains
            same_domain = {m.key for m in members if suspects.intersection(m.provider.domains)}
            outside = same_domain | retry_state.excluded
            # No trials here: a half-open provider is used when no other provider is left at all.
            step = None
            if len(outside) < len(members):
                step = self._choose_attempt(now, outside | self._half_open_keys(now))
            if step is not None:
                return step
        excluded = retry_state.excluded
        if self._can_retry_healthy(retry_state, now):
            excluded = excluded | self._half_open_keys(now)
        return self._choose_attempt(now, excluded)

    def _can_retry_healthy(self, retry_state: RetryState, now: float) -> bool:
        """Whether a healthy provider can be retried in the next round.

        It comes before half-open ones: what failed once there may be one error among a hundred
        answers, while a provider that still hangs would cost the caller its whole timeout.
        """
        if now + self.route.retry.cap >= self.deadline:
            return False
        members = [m for m in self.route.members if retry_state.attempted_once(m, now)]
        return bool(members) and retry_state.may_retry(self._context.budget, now)

    def _half_open_keys(self, now: float) -> set[str]:
        return {m.key for t in self.route.tiers for m in t.table(now, self._ineligible).half_open}
