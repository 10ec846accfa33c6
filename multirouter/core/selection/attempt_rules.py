"""Rules of attempts: what applies to each attempt of a route, whichever call makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from multirouter.core.limits.rate_limits import AdmissionLimit
from multirouter.core.settings.failure_rules import RULES, Rule
from multirouter.core.settings.policies import UnsupportedPolicy
from multirouter.model import FailureKind, Verdict

Accept = Callable[[Any, Any], object]
"""Judges an answer, called as (answer, request)."""


class AttemptRules:
    """What applies to the attempts of one route; its candidates share one object.

    Attributes:
        accept: judges an answer; None accepts all.
        by_kind: the rule of each failure kind.
        on: the failure kinds and HTTP statuses that fail over; None for what the rules say.
        retries_per_provider: how often a failed provider is retried before the next one.
        limits: the limits and accounts of the route and of the router, if any.
        unsupported: what happens to a request that a candidate cannot express.
    """

    __slots__ = ("accept", "by_kind", "limits", "on", "retries_per_provider", "unsupported")

    def __init__(
        self,
        by_kind: Mapping[FailureKind, Rule] = RULES,
        *,
        accept: Accept | None = None,
        on: frozenset[FailureKind | int] | None = None,
        retries_per_provider: int = 0,
        limits: tuple[AdmissionLimit, ...] = (),
        unsupported: UnsupportedPolicy = "pass_over",
    ) -> None:
        self.by_kind: Mapping[FailureKind, Rule] = by_kind
        self.accept: Accept | None = accept
        self.on: frozenset[FailureKind | int] | None = on
        self.retries_per_provider: int = retries_per_provider
        self.limits: tuple[AdmissionLimit, ...] = limits
        self.unsupported: UnsupportedPolicy = unsupported

    @property
    def refusals_fail(self) -> bool:
        """Whether a refusal is a failure: the route has replaced its rule."""
        return self.by_kind[FailureKind.REFUSAL] != RULES[FailureKind.REFUSAL]

    def fails(self, sign: str) -> bool:
        """Whether an answer with this sign of a refusal fails; "" is no refusal.

        Args:
            sign: as `refusals.refusal_of` returns it.
        """
        signs = self.by_kind[FailureKind.REFUSAL].signs
        return sign != "" and (signs is None or sign in signs)

    def is_final(self, verdict: Verdict) -> bool:
        """Whether such a failure ends the call because the route's `on=` does not include it."""
        on = self.on
        return on is not None and verdict.kind not in on and verdict.status not in on
