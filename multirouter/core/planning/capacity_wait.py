"""Part of a call's plan that queues: until when it waits for a provider, and with which others."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from multirouter.core.limits.rate_limits import AdmissionLimit
from multirouter.core.planning import final_errors
from multirouter.core.planning.failover_choice import FailoverChoice
from multirouter.core.planning.retrying import RetryState
from multirouter.core.planning.steps import WaitStep
from multirouter.core.selection.candidate import Candidate
from multirouter.core.settings.wait_policy import WaitPolicy


class CapacityWait(FailoverChoice):
    """Plan of a call that may wait until a provider is available.

    It waits as long as its caller allows (`wait=`), and for the trial of a half-open provider as
    long as the provider's `CircuitPolicy.half_open_wait` allows, both counted from its start. It
    does not wait where it is known that no provider becomes available in that time.

    Attributes:
        size: the request's tokens, for the limits.
    """

    __slots__ = ("_given_back", "_started", "_wait")

    _given_back: float
    _started: float
    _wait: float | WaitPolicy

    def ready_in(self, now: float) -> float | None:
        """Seconds until a provider becomes available by time alone; None when it will not."""
        models = self.route.models
        half_open_in = None if models is None else models.ready_in(self._request, now)
        found: list[float | None] = []
        for limits, left in self._groups(self._left()):
            waits = [shared.ready_in(self._size, now) for shared in limits]
            earliest = final_errors.earliest_ready_in(left, now, self._size, self._request)
            if half_open_in is not None:
                earliest = half_open_in if earliest is None else min(half_open_in, earliest)
            found.append(_longest([*waits, earliest]))
        known = [wait for wait in found if wait is not None]
        return min(known) if len(known) == len(found) or 0.0 in known else None

    def retry_after(self, now: float) -> float | None:
        """Seconds until a provider becomes available, or the least wait; None if unknown."""
        left = self._left()
        seconds = self.ready_in(now)
        return seconds if seconds is not None or not left else self._earliest_in(left, now) or None

    def recheck_in(self, now: float) -> float | None:
        """Seconds until time alone may let this waiting call start; None when it will not."""
        found = []
        for limits, left in self._groups(self._left()):
            waits = [shared.ready_in(self._size, now) for shared in limits]
            rechecks = [
                member.gate.recheck_in(now, self._size, member.limit_model(self._request))
                for member in left
            ]
            waits.append(min((wait for wait in rechecks if wait is not None), default=None))
            found.append(_longest(waits))
        return min((wait for wait in found if wait is not None), default=None)

    def wait_class(self) -> Hashable:
        """Waiting calls of one class can start under the same conditions, but for their size.

        When one of them cannot start, none of the others of at least its size can.
        """
        route, state = self.route, self._retry_state
        return (
            tuple(tuple(member.gate for member in tier.members) for tier in route.tiers),
            route.limits,
            route.retry,
            self._ineligible,
            tuple(member.limit_model(self._request) for member in route.members),
            self.idempotent,
            self._wait,
            None if state is None else state.wait_class(),
        )

    def give_back(self, seconds: float) -> None:
        """Lets a waiting call wait longer, by the time that a stall of the event loop took."""
        self._given_back = getattr(self, "_given_back", 0.0) + seconds

    @property
    def size(self) -> int:
        """The request's tokens, for the limits."""
        return self._size

    def stop_waiting(self) -> None:
        """Ends the wait that the caller allows."""
        self._wait = 0.0

    def _wait_for_capacity(self, retry_state: RetryState | None, now: float) -> WaitStep | None:
        left, wait, most = self._left(), self._wait, None
        if isinstance(wait, WaitPolicy):  # decided once, when the call would begin to wait
            most = wait.max_waiting
            wait = self._wait = self._seconds_of(wait, now)
        until = min(self._waits_until(left, wait, now), self.deadline)
        if not left or now >= until or self._earliest_in(left, now) > until - now:
            return None
        if retry_state is not None:
            if not retry_state.can_afford_any(self.route.members, self._context.budget, now):
                return None
            retry_state.next_round()
        return WaitStep(until, for_capacity=True, max_waiting=most)

    def _seconds_of(self, policy: WaitPolicy, now: float) -> float:
        """Seconds that the call may wait, from its start; 0 when it may not begin to."""
        if policy.only_if_known:
            ready_in = self.retry_after(now)
            if ready_in is None or now + ready_in > self._started + policy.seconds:
                return 0.0
        return policy.seconds

    def _waits_until(self, left: list[Candidate], allowed: float, now: float) -> float:
        """Loop time until which the call waits, seconds."""
        recovering = [m.gate.circuit.policy for m in left if m.gate.trial_in_flight(now)]
        seconds = max(allowed, *(policy.half_open_wait for policy in recovering), 0.0)
        given_back = getattr(self, "_given_back", 0.0) if seconds else 0.0
        return self._started + seconds + given_back

    def _earliest_in(self, left: list[Candidate], now: float) -> float:
        """Seconds before which none of these providers can serve the call; 0 when unknown."""
        size, found = self._size, []
        for limits, members in self._groups(left):
            waits = [shared.ready_in(size, now) or 0.0 for shared in limits]
            earliest = min(
                member.gate.earliest_in(now, size, member.limit_model(self._request))
                for member in members
            )
            found.append(max(earliest, *waits, 0.0))
        return min(found)

    def _groups(
        self, left: Sequence[Candidate]
    ) -> list[tuple[tuple[AdmissionLimit, ...], Sequence[Candidate]]]:
        """The candidates that are left, with the limits that they share beside their gates'."""
        return [(self.route.limits, left)]

    def _left(self) -> list[Candidate]:
        """The providers that may still serve the call."""
        state = self._retry_state
        excluded = self._ineligible if state is None else state.excluded_for_call
        return [member for member in self.route.members if member.key not in excluded]


def _longest(waits: list[float | None]) -> float | None:
    known = [wait for wait in waits if wait is not None]
    return max(known) if len(known) == len(waits) else None
