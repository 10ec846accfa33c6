"""What the failures of one call prove about its providers.

One call is one piece of evidence. When it fails again and again at the same provider, or alike at
each provider, the request may be the cause: a prompt that crashes the model server fails
everywhere. Three attempts of one call must not do what the failures of three calls do.
"""

from __future__ import annotations

from multirouter.core.planning.steps import AttemptStep
from multirouter.core.settings.failure_rules import CircuitEffect
from multirouter.model import FailureKind, Verdict

MAY_BE_THE_REQUEST: frozenset[FailureKind] = frozenset(
    {
        FailureKind.SERVER,
        FailureKind.TRANSPORT,
        FailureKind.TIMEOUT,
        FailureKind.INTERRUPTED,
        FailureKind.INVALID,
        FailureKind.UNKNOWN,
    }
)
"""Kinds of failure that one request may cause at every provider. An overload is not among them."""


class Evidence:
    """Decides which failures of one call count against their providers.

    - The first failure at each provider counts, later ones at the same provider do not; on a
      chain, at the same provider and model.
    - When a healthy provider has failed, a failure of the same kind at another healthy provider is
      withheld. It counts when a provider answers the request, or fails in another way: the request
      was not the cause. It never counts when the call ends with these failures alike.
    - Failures that the request did not cause always count: the provider is overloaded, sent a
      Retry-After or was already unhealthy, the request was not sent, or the attempt was the trial
      of a half-open circuit.
    """

    __slots__ = ("_kind", "_seen", "_valid", "_withheld")

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._kind: FailureKind | None = None
        self._valid = False
        self._withheld: list[tuple[AttemptStep, Verdict]] = []

    def effect_of(self, step: AttemptStep, verdict: Verdict, now: float) -> CircuitEffect:
        """Effect on its circuit of a failure that the rules count as one.

        Args:
            step: the attempt.
            verdict: the classification of its result.
            now: loop time, seconds.
        """
        if step.permit.trial:
            return CircuitEffect.FAILURE
        member = step.member
        gate = member.gate
        if member.key in self._seen:
            return CircuitEffect.COOLDOWN if verdict.retry_after else CircuitEffect.NEUTRAL
        self._seen.add(member.key)
        by_request = verdict.kind in MAY_BE_THE_REQUEST and not verdict.unsent
        if self._valid or not by_request or verdict.retry_after or gate.unhealthy(now):
            return CircuitEffect.FAILURE
        if self._kind is verdict.kind:
            self._withheld.append((step, verdict))
            return CircuitEffect.NEUTRAL
        if self._kind is not None:
            self.request_is_valid(now)
        self._kind = verdict.kind
        return CircuitEffect.FAILURE

    def request_is_valid(self, now: float) -> None:
        """Counts the withheld failures, and withholds no others: the request was not the cause.

        Args:
            now: loop time, seconds.
        """
        self._valid = True
        for step, verdict in self._withheld:
            if step.member.gate.count_failure(step.permit, step.model, verdict, now):
                step.member.health.record_failure(now)
        self._withheld.clear()
