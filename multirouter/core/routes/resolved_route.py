"""Resolved route: settings inherited from the provider or call, then the route, then the router."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

from multirouter.core.chat.refusals import refusal_of
from multirouter.core.cost.billing import Billing
from multirouter.core.cost.budget import Budget
from multirouter.core.cost.usage import ReadUsage
from multirouter.core.function_checks import takes_request
from multirouter.core.limits.rate_limits import AdmissionLimit, Limits
from multirouter.core.routes.configuration_use import ConfigurationUse
from multirouter.core.routes.diversion import Diversion
from multirouter.core.routes.model_watch import ModelWatch, watch_of
from multirouter.core.routes.route import Route
from multirouter.core.selection.attempt_rules import Accept, AttemptRules
from multirouter.core.selection.candidate import Candidate
from multirouter.core.selection.eligibility import Eligibility, Requires, Sizes, call_hook
from multirouter.core.selection.lacks import lack_check_of
from multirouter.core.selection.shadow_targets import ShadowTargets
from multirouter.core.selection.sticky import Sticky
from multirouter.core.selection.tier_tables import Tier
from multirouter.core.settings.failure_rules import RULES, Failover, Rule, rules_with
from multirouter.core.settings.policies import (
    CircuitPolicy,
    HealthPolicy,
    HedgePolicy,
    LatencyPolicy,
    RetryPolicy,
    UnsupportedPolicy,
)
from multirouter.core.settings.shadow import Shadow
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.errors import ConfigurationError, UsageError
from multirouter.model import FailureKind, Verdict

_UNSUPPORTED = FailureKind.UNSUPPORTED

SchemaValidator = Callable[[Mapping[str, Any]], Callable[[Any], object]]
"""Makes a function that judges answers from a JSON Schema."""


class Defaults(NamedTuple):
    """Settings of the router, used where a route or provider leaves them out."""

    timeout: float
    attempt_timeout: float | None
    retry: RetryPolicy
    circuit: CircuitPolicy
    latency: LatencyPolicy
    health: HealthPolicy
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
    schema: SchemaValidator | None = None
    unsupported: UnsupportedPolicy = "pass_over"


class ResolvedRoute:
    """Route with all inherited settings filled in.

    Args:
        label: the route's name in metrics.
        route: the route's own settings.
        tiers: its tiers, in order.
        defaults: the router's settings.
        limits: the limits of the route and of the router.
        use: counts the calls that use the route's configuration.

    Attributes:
        name: the route's name in metrics.
        tiers: its tiers, in order.
        members: all its providers, in order.
        models: watches which models its calls name; None when each provider serves one model.
        limits: the limits and accounts of the route and of the router, if any.
        attempt_rules: what applies to its attempts; its members share it.
        diversion: whether its calls are diverted; None for a route passed with a call.
        first_choice: names of the providers of the first tier that are chosen when all are
            available.
        billing: finds model, usage and cost of its attempts, and charges its accounts.
        shadow: the providers that get copies of its calls, or None.
        sizes: the functions that count a request's tokens, if a limit needs them.
        eligibility: knows which providers cannot serve a request; None when none has such limits.
        use: counts the calls that use the route's configuration.
        sticky: the strategy that keeps conversations at a provider; None without one.
        is_chain: whether it is a `ChainRoute`.
    """

    is_chain: ClassVar[bool] = False

    __slots__ = (
        "accept",
        "attempt_rules",
        "billing",
        "diversion",
        "eligibility",
        "fallback",
        "first_choice",
        "hedge",
        "limits",
        "members",
        "models",
        "name",
        "retry",
        "rules",
        "shadow",
        "sizes",
        "sticky",
        "stream",
        "tiers",
        "timeout",
        "use",
    )

    def __init__(
        self,
        label: str,
        route: Route,
        tiers: Iterable[Tier],
        defaults: Defaults,
        limits: tuple[Limits, ...],
        use: ConfigurationUse,
    ) -> None:
        self.name: str = label
        self.use: ConfigurationUse = use
        self.tiers: tuple[Tier, ...] = tuple(tiers)
        self.members: tuple[Candidate, ...] = tuple(
            member for tier in self.tiers for member in tier.members
        )
        self.models: ModelWatch | None = watch_of(self.members)
        self.limits: tuple[AdmissionLimit, ...] = ()
        self.diversion: Diversion | None = None
        self.first_choice: frozenset[str] = self.tiers[0].policy.first_choice
        self.sticky: Sticky | None = sticky_of(self.tiers)
        self.billing: Billing = Billing({}, (), {})
        self.timeout: float = defaults.timeout if route.timeout is None else route.timeout
        self.retry: RetryPolicy = route.retry or defaults.retry
        self.hedge: HedgePolicy | None = route.hedge or defaults.hedge
        self.stream: StreamPolicy = route.stream or defaults.stream
        self.rules: Mapping[FailureKind, Rule] = defaults.rules
        if route.rules:
            self.rules = {**defaults.rules, **_own_rules(route.rules)}
        self.shadow: ShadowTargets | None = None
        accept = defaults.accept if route.accept is None else route.accept
        self.accept: Accept | None = _judge_of(accept, defaults.schema)
        if self.rules[FailureKind.REFUSAL] != RULES[FailureKind.REFUSAL]:
            self.accept = _refusal_check(self.accept, self.rules[FailureKind.REFUSAL].signs)
        unsupported = route.unsupported or defaults.unsupported
        if unsupported == "reject" and self.rules[_UNSUPPORTED] == RULES[_UNSUPPORTED]:
            final = replace(RULES[_UNSUPPORTED], failover=Failover.NEVER)
            self.rules = {**self.rules, _UNSUPPORTED: final}
        self.attempt_rules: AttemptRules = AttemptRules(
            self.rules,
            accept=self.accept,
            on=route.on,
            retries_per_provider=route.retries_per_provider,
            unsupported=unsupported,
        )
        for member in self.members:
            member.rules = self.attempt_rules
        self.eligibility: Eligibility | None = _eligibility(route, defaults, self.members)
        self.add_limits(limits)
        self.fallback: Any = defaults.fallback if route.fallback is None else route.fallback
        policies = [shared.policy for shared in limits]
        policies += [m.provider.limits for m in self.members if m.provider.limits is not None]
        self.sizes: tuple[Callable[[Any], int], ...] = tuple(
            {policy.size for policy in policies if policy.size is not None}
        )

    def size_of(self, request: Any) -> int:
        """Returns the request's tokens: the largest count of the limits' `size=`, at least 0.

        Raises:
            UsageError: a `size=` raised, or returned no number.
        """
        counts = [call_hook("size", size, request) for size in self.sizes]
        try:
            return max(0, *map(int, counts))
        except (TypeError, ValueError, OverflowError) as error:
            raise UsageError(f"size= must return tokens as an int, got {counts!r}") from error

    def why_diverted(self, now: float) -> str:
        """Why the first choice does not answer at `now` (loop time, seconds), as text."""
        return ", ".join(
            f"{member.name} {_state(member, now)}"
            for member in self.tiers[0].members
            if member.name in self.first_choice
        )

    def for_operation(self) -> ResolvedRoute:
        """Itself, for an operation: without what reads or makes the answers of other calls."""
        self.accept = self.attempt_rules.accept = None
        self.fallback = self.shadow = self.sticky = None
        self.stream = replace(
            self.stream, content=None, text=None, complete=None, resume=None, on_interrupt="raise"
        )
        return self

    def add_limits(self, limits: Iterable[AdmissionLimit]) -> None:
        """Adds limits or accounts of the route or the router: they apply to every attempt."""
        self.limits = self.attempt_rules.limits = (*self.limits, *limits)


def sticky_of(tiers: Iterable[Tier]) -> Sticky | None:
    """The `Sticky` strategy of the first tier that has one; it applies to all tiers."""
    return next((tier.policy.sticky for tier in tiers if tier.policy.sticky is not None), None)


def _state(member: Candidate, now: float) -> str:
    return member.gate.rejection(now) or ("degraded" if member.degraded else "available")


def _eligibility(
    route: Route, defaults: Defaults, members: Sequence[Candidate]
) -> Eligibility | None:
    requires, size = route.requires or defaults.requires, route.size or defaults.size
    sized = any(m.provider.context_window or m.provider.max_output for m in members)
    lacks = lack_check_of(members)
    if not sized and requires is None and lacks is None:
        return None
    return Eligibility(members, requires, size, lacks)


def _judge_of(accept: Any, schema: SchemaValidator | None) -> Accept | None:
    """Returns the function that judges answers, made from a JSON Schema where one is given."""
    if accept is None:
        return None
    if isinstance(accept, Mapping):
        if schema is None:
            why = "a JSON Schema is not supported here, use a function"
            raise ConfigurationError("accept", why)
        accept = schema(accept)
    if takes_request(accept):
        with_request: Accept = accept
        return with_request
    return lambda answer, _: accept(answer)


def _refusal_check(accept: Accept | None, signs: Collection[str] | None) -> Accept:
    """Returns a function that finds refusals first, then asks the route's own check.

    Args:
        accept: the route's own check.
        signs: the signs of refusals that fail; None for all.
    """

    def judge(answer: Any, request: Any) -> object:
        sign = refusal_of(answer)
        if sign and (signs is None or sign in signs):
            return Verdict(FailureKind.REFUSAL, reason=sign)
        return True if accept is None else accept(answer, request)

    return judge


def _own_rules(rules: Mapping[Any, Rule]) -> Mapping[FailureKind, Rule]:
    complete = rules_with(rules)
    return {FailureKind(kind): complete[FailureKind(kind)] for kind in rules}
