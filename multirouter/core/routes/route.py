"""Route: which providers serve a kind of work, in which order, with which settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from multirouter.core import function_checks as hooks
from multirouter.core import validation as check
from multirouter.core.cost.budget import Budget, as_budgets
from multirouter.core.selection.eligibility import Requires, Sizes
from multirouter.core.selection.strategies import resolve_strategy
from multirouter.core.selection.weighted import Strategy
from multirouter.core.settings.failure_rules import Rule, rules_with
from multirouter.core.settings.policies import (
    UNSUPPORTED_POLICIES,
    HedgePolicy,
    LimitPolicy,
    RetryPolicy,
    UnsupportedPolicy,
    shared_limits,
)
from multirouter.core.settings.shadow import Shadow
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.errors import ConfigurationError
from multirouter.model import FailureKind

Tiers = Iterable["str | Sequence[str]"]
"""Tiers in the order of attempts; a name is a tier of one provider, a list a weighted tier."""


class Route:
    """Named policy for one kind of work; settings left out are inherited from the router.

    Attributes:
        name: the route's name and its label in metrics.
        tiers: tuples of provider names, `tag:...` or patterns with `*`, attempted in order;
            `route:...` stands for the tiers of another route.
        strategy: how a tier chooses among its available providers: a name from
            `strategies.STRATEGIES` or a `Strategy`; one for all tiers, or a list with one for each.
            None chooses by weight.
        on: the failure kinds and HTTP statuses that fail over; any other failure ends the call with
            the provider's own exception. None for what the rules say.
        timeout: timeout of the whole call, seconds.
        attempt_timeout: timeout of one await, seconds; a provider's own takes precedence.
        retry: when and how often to retry.
        hedge: when a second attempt starts beside a slow first one.
        limits: limits of this route, in addition to those of providers and router.
        stream: time limits of streams, how they must end, and what happens when they break.
        rules: rules by failure kind that differ from the router's.
        accept: judges an answer, called with (answer) or (answer, request): a string with the
            reason, an exception, or what counts as False, but not None, makes it `invalid`; or a
            JSON Schema that its content must match.
        requires: returns the capabilities that a request needs.
        size: returns a request's tokens, or its tokens and the most output tokens it asks for.
            Left out, they are estimated where a provider has a context window.
        transform: makes the request for the providers from the caller's, before their own
            transforms.
        fallback: the substitute answer when no provider answered, or a function of (request,
            error). An async function has until the call's deadline, and at least one second.
        retries_per_provider: how often a failed provider is retried before the next one, >= 0.
        weights: weights by provider name that differ on this route.
        budget: what may be spent on it; when it is used up, its calls are rejected until the
            period ends.
        shadow: which of its calls are copied to which providers; see `Shadow`.
        unsupported: what happens when a provider cannot express a request. `pass_over`: providers
            that can are attempted. `drop`: the provider gets the request without the fields that
            it lacks, which the attempt's `dropped` names; content is never dropped. `reject`: the
            call ends at once, unless every provider of the route can express the request.

    Raises:
        ConfigurationError: a setting is invalid.
    """

    __slots__ = (
        "accept",
        "attempt_timeout",
        "budget",
        "fallback",
        "hedge",
        "limits",
        "name",
        "on",
        "requires",
        "retries_per_provider",
        "retry",
        "rules",
        "shadow",
        "size",
        "strategy",
        "stream",
        "tiers",
        "timeout",
        "transform",
        "unsupported",
        "weights",
    )

    def __init__(
        self,
        name: str,
        tiers: Tiers,
        *,
        timeout: float | None = None,
        attempt_timeout: float | None = None,
        retry: RetryPolicy | None = None,
        hedge: HedgePolicy | None = None,
        limits: LimitPolicy | None = None,
        stream: StreamPolicy | None = None,
        rules: Mapping[FailureKind | str, Rule] | None = None,
        accept: Callable[[Any], object] | Mapping[str, Any] | None = None,
        fallback: Any = None,
        retries_per_provider: int = 0,
        weights: Mapping[str, float] | None = None,
        budget: Budget | Iterable[Budget] | None = None,
        shadow: Shadow | None = None,
        strategy: str | Strategy | Sequence[str | Strategy] | None = None,
        on: Iterable[FailureKind | str | int] | None = None,
        requires: Requires | None = None,
        size: Sizes | None = None,
        transform: Callable[[Any], Any] | None = None,
        unsupported: UnsupportedPolicy | None = None,
    ) -> None:
        self.name: str = check.name("Route.name", name)
        me = f"Route({name!r})"
        self.tiers: tuple[tuple[str, ...], ...] = _tiers(me, tiers)
        if timeout is not None:
            check.duration(f"{me}.timeout", timeout, allow_inf=True)
        if attempt_timeout is not None:
            check.duration(f"{me}.attempt_timeout", attempt_timeout, allow_inf=True)
        self.timeout: float | None = timeout
        self.attempt_timeout: float | None = attempt_timeout
        self.retry: RetryPolicy | None = check.instance(f"{me}.retry", retry, RetryPolicy)
        self.hedge: HedgePolicy | None = check.instance(f"{me}.hedge", hedge, HedgePolicy)
        self.limits: LimitPolicy | None = shared_limits(f"{me}.limits", limits)
        self.stream: StreamPolicy | None = check.instance(f"{me}.stream", stream, StreamPolicy)
        rules_with(rules or {}, f"{me}.rules")
        self.rules: dict[FailureKind | str, Rule] = dict(rules or {})
        self.accept: Callable[[Any], object] | Mapping[str, Any] | None = hooks.accept_function(
            f"{me}.accept", accept
        )
        self.fallback: Any = hooks.fallback_function(f"{me}.fallback", fallback)
        self.retries_per_provider: int = check.count(
            f"{me}.retries_per_provider", retries_per_provider, minimum=0
        )
        self.weights: dict[str, float] = _weights(f"{me}.weights", weights)
        self.budget: tuple[Budget, ...] = as_budgets(f"{me}.budget", budget)
        self.shadow: Shadow | None = check.instance(f"{me}.shadow", shadow, Shadow)
        self.strategy: tuple[Strategy | None, ...] = _strategies(
            f"{me}.strategy", strategy, len(self.tiers)
        )
        self.on: frozenset[FailureKind | int] | None = (
            None if on is None else _failures(f"{me}.on", on)
        )
        self.requires: Any = hooks.plain_function(
            f"{me}.requires", requires, "request", iterable=True
        )
        self.size: Callable[[Any], int] | None = hooks.plain_function(f"{me}.size", size, "request")
        self.transform: Callable[[Any], Any] | None = hooks.plain_function(
            f"{me}.transform", transform, "request"
        )
        if unsupported is not None:
            check.one_of(f"{me}.unsupported", unsupported, UNSUPPORTED_POLICIES)
        self.unsupported: UnsupportedPolicy | None = unsupported

    def __repr__(self) -> str:
        return f"Route({self.name!r}, {[list(tier) for tier in self.tiers]})"


def _tiers(me: str, tiers: Any) -> tuple[tuple[str, ...], ...]:
    if isinstance(tiers, str) or not isinstance(tiers, Iterable):
        raise ConfigurationError(f"{me}.tiers", f"must be a list of tiers, got {tiers!r}")
    found = tuple(
        tuple(tier) if isinstance(tier, Iterable) and not isinstance(tier, str) else (tier,)
        for tier in tiers
    )
    if not found:
        raise ConfigurationError(f"{me}.tiers", "must not be empty")
    for number, tier in enumerate(found, 1):
        if not tier:
            raise ConfigurationError(f"{me}.tiers", f"tier {number} must not be empty")
        for entry in tier:
            check.name(f"{me}.tiers", entry)
    entries = Counter(entry for tier in found for entry in tier)
    for entry, times in entries.items():
        if times > 1 and "*" not in entry and not entry.startswith("tag:"):
            raise ConfigurationError(f"{me}.tiers", f"duplicate entry {entry!r}")
    return found


def _weights(what: str, weights: Any) -> dict[str, float]:
    if not isinstance(weights or {}, Mapping):
        raise ConfigurationError(
            what, f"must be a mapping of provider names to weights, got {weights!r}"
        )
    return {
        provider: check.weight(f"{what}[{provider!r}]", weight)
        for provider, weight in (weights or {}).items()
    }


def _strategies(what: str, strategy: Any, tiers: int) -> tuple[Strategy | None, ...]:
    """Returns one strategy for each tier; None chooses by weight."""
    if not isinstance(strategy, list | tuple):
        return (resolve_strategy(what, strategy),) * tiers
    if len(strategy) != tiers:
        raise ConfigurationError(
            what, f"must have one strategy for each of {tiers} tiers, got {len(strategy)}"
        )
    return tuple(resolve_strategy(what, one) for one in strategy)


def _failures(what: str, failures: Any) -> frozenset[FailureKind | int]:
    """Returns failure kinds and HTTP statuses as a set."""
    if isinstance(failures, str) or not isinstance(failures, Iterable):
        raise ConfigurationError(
            what, f"must be a list of failure kinds and HTTP statuses, got {failures!r}"
        )
    return frozenset(_failure(what, one) for one in failures)


def _failure(what: str, failure: Any) -> FailureKind | int:
    if isinstance(failure, int) and not isinstance(failure, bool):
        if not 100 <= failure <= 599:
            raise ConfigurationError(what, f"HTTP statuses must be 100 to 599, got {failure}")
        return failure
    try:
        return FailureKind(failure)
    except ValueError:
        kinds = check.suggestion(str(failure), [kind.value for kind in FailureKind])
        raise ConfigurationError(what, f"unknown failure kind {kinds}") from None
