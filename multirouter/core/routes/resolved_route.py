"""A route with every inheritance resolved: call or provider first, then route, then router."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from multirouter.core.cost.billing import Billing
from multirouter.core.cost.budgets import Budget
from multirouter.core.cost.usage import ReadUsage
from multirouter.core.limits.rate_limits import Bound, Limits
from multirouter.core.routes.route import Route
from multirouter.core.selection.candidate import Candidate
from multirouter.core.selection.eligibility import Eligibility, Requires, Sizes, told_by
from multirouter.core.selection.shadow_targets import ShadowTargets
from multirouter.core.selection.tier_tables import Tier
from multirouter.core.settings.failure_rules import Rule, rules_with
from multirouter.core.settings.policies import (
    CircuitPolicy,
    HedgePolicy,
    LatencyPolicy,
    RetryPolicy,
)
from multirouter.core.settings.shadow import Shadow
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.errors import ConfigurationError, UsageError
from multirouter.model import FailureKind, Verdict

SchemaJudge = Callable[[Mapping[str, Any]], Callable[[Any], object]]
"""Makes a judge of answers out of a JSON Schema."""


class Defaults(NamedTuple):
    """What the router says where a route or a provider says nothing."""

    timeout: float
    attempt_timeout: float | None
    retry: RetryPolicy
    circuit: CircuitPolicy
    latency: LatencyPolicy
    hedge: HedgePolicy | None
    stream: StreamPolicy
    rules: Mapping[FailureKind, Rule]
    accept: Callable[[Any], object] | Mapping[str, Any] | None
    fallback: Any
    panic: float | None
    usage: ReadUsage | None = None
    budget: tuple[Budget, ...] = ()
    shadow: Shadow | None = None
    requires: Requires | None = None
    size: Sizes | None = None
    schema: SchemaJudge | None = None


class ResolvedRoute:
    """A route with every inheritance resolved, ready to be walked.

    Attributes:
        name: its label.
        tiers: its tiers, in order.
        members: all its providers, in order.
        limits: the limits and budgets of the route and of the router, if any.
        billing: the books of its attempts; None when none of its providers has a price.
        shadow: who gets copies of its calls, or None.
        sizes: the hooks that read a request's tokens, if any limit needs them.
        fit: knows who cannot serve a request; None when nobody says what he can.
    """

    __slots__ = (
        "accept",
        "billing",
        "fallback",
        "fit",
        "hedge",
        "limits",
        "members",
        "name",
        "on",
        "retries_per_provider",
        "retry",
        "rules",
        "shadow",
        "sizes",
        "stream",
        "tiers",
        "timeout",
    )

    def __init__(
        self,
        label: str,
        route: Route,
        tiers: Iterable[Tier],
        defaults: Defaults,
        limits: tuple[Limits, ...],
    ) -> None:
        self.name: str = label
        self.tiers: tuple[Tier, ...] = tuple(tiers)
        self.members: tuple[Candidate, ...] = tuple(
            member for tier in self.tiers for member in tier.members
        )
        self.limits: tuple[Bound, ...] = limits
        self.billing: Billing | None = None
        self.timeout: float = defaults.timeout if route.timeout is None else route.timeout
        self.retry: RetryPolicy = route.retry or defaults.retry
        self.hedge: HedgePolicy | None = route.hedge or defaults.hedge
        self.stream: StreamPolicy = route.stream or defaults.stream
        self.rules: Mapping[FailureKind, Rule] = defaults.rules
        if route.rules:
            self.rules = {**defaults.rules, **_overridden(route.rules)}
        self.shadow: ShadowTargets | None = None
        accept = defaults.accept if route.accept is None else route.accept
        self.on: frozenset[FailureKind | int] | None = route.on
        self.fit: Eligibility | None = _fit(route, defaults, self.members)
        self.accept: Callable[[Any], object] | None = _judge(accept, defaults.schema)
        self.fallback: Any = defaults.fallback if route.fallback is None else route.fallback
        self.retries_per_provider: int = route.retries_per_provider
        policies = [shared.policy for shared in limits]
        policies += [m.provider.limits for m in self.members if m.provider.limits is not None]
        self.sizes: tuple[Callable[[Any], int], ...] = tuple(
            {policy.size for policy in policies if policy.size is not None}
        )

    def size_of(self, request: Any) -> int:
        """The request's tokens: the largest of what the limits' hooks say, at least 0.

        Raises:
            UsageError: when one raises, or says what is no number.
        """
        told = [told_by("size", size, request) for size in self.sizes]
        try:
            return max(0, *map(int, told))
        except (TypeError, ValueError, OverflowError) as error:
            raise UsageError(f"size= must return tokens as an int, not {told!r}") from error

    def is_final(self, verdict: Verdict) -> bool:
        """Whether the route's `on=` lets such a failure end the call."""
        on = self.on
        return on is not None and verdict.kind not in on and verdict.status not in on


def _fit(route: Route, defaults: Defaults, members: Sequence[Candidate]) -> Eligibility | None:
    requires, size = route.requires or defaults.requires, route.size or defaults.size
    sized = any(m.provider.context_window or m.provider.max_output for m in members)
    return Eligibility(members, requires, size) if sized or requires is not None else None


def _judge(accept: Any, schema: SchemaJudge | None) -> Callable[[Any], object] | None:
    """The function that judges answers; a JSON Schema becomes one."""
    if not isinstance(accept, Mapping):
        judge: Callable[[Any], object] | None = accept
        return judge
    if schema is None:
        raise ConfigurationError("accept", "is a JSON Schema, which nobody here can apply")
    return schema(accept)


def _overridden(rules: Mapping[Any, Rule]) -> Mapping[FailureKind, Rule]:
    whole = rules_with(rules)
    return {FailureKind(kind): whole[FailureKind(kind)] for kind in rules}
