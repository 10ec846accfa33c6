"""A route: which providers serve a kind of work, in which order, under which rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from multirouter.core import validation as check
from multirouter.core.cost.budgets import Budget, budgets
from multirouter.core.selection.eligibility import Requires, Sizes
from multirouter.core.selection.strategies import strategy_named
from multirouter.core.selection.weighted import Strategy
from multirouter.core.settings.failure_rules import Rule, rules_with
from multirouter.core.settings.policies import HedgePolicy, LimitPolicy, RetryPolicy
from multirouter.core.settings.shadow import Shadow
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.errors import ConfigurationError
from multirouter.model import FailureKind

Tiers = Iterable["str | Sequence[str]"]
"""Tiers in the order they are tried; a name is a tier of one, a list a weighted tier."""


class Route:
    """A named policy for one kind of work; what is left out is inherited from the router.

    Attributes:
        name: the route's name and its label in metrics.
        tiers: tuples of provider names, `tag:...` or patterns with `*`, tried in order;
            `route:...` stands for the tiers of another route.
        strategy: how a tier chooses among those who can be asked: a name out of
            `strategies.NAMES` or a `Strategy`; one for all tiers, or a list with one for each.
        on: the kinds and HTTP statuses that fail over; any other failure ends the call with the
            provider's own exception. None for what the rules say.
        timeout: the whole call, seconds.
        attempt_timeout: one await, seconds; a provider's own comes first.
        retry: when and how often to ask again.
        hedge: when a second attempt starts beside a slow first one.
        limits: limits of this route, on top of those of providers and router.
        stream: how long streams may take, how they must end, and what happens when they break.
        rules: what follows from a kind of failure, where it differs from the router's table.
        accept: judges a response: False, or a string that says what is wrong, refuses it; or a
            JSON Schema that its content must meet.
        requires: reads a request and says which capabilities it needs.
        size: reads a request and says its tokens, or those and the most it wants written. Left
            out, they are estimated where a provider names its window.
        transform: makes the request for the providers out of the caller's, before theirs.
        fallback: the substitute answer when nobody could, or a function of (request, error). An
            async one has until the call's deadline, and a second in any case.
        retries_per_provider: how often a failed provider is asked again before the next one.
        weights: weights by provider name that differ on this route.
        budget: what may be spent on it; used up, its calls are refused until the period ends.
        shadow: which of its calls are copied to whom; see `Shadow`.
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
    ) -> None:
        self.name: str = check.name("Route.name", name)
        me = f"Route({name!r})"
        self.tiers: tuple[tuple[str, ...], ...] = _tiers(me, tiers)
        if timeout is not None:
            check.span(f"{me}.timeout", timeout, endless=True)
        if attempt_timeout is not None:
            check.span(f"{me}.attempt_timeout", attempt_timeout, endless=True)
        self.timeout: float | None = timeout
        self.attempt_timeout: float | None = attempt_timeout
        self.retry: RetryPolicy | None = check.instance(f"{me}.retry", retry, RetryPolicy)
        self.hedge: HedgePolicy | None = check.instance(f"{me}.hedge", hedge, HedgePolicy)
        self.limits: LimitPolicy | None = check.instance(f"{me}.limits", limits, LimitPolicy)
        self.stream: StreamPolicy | None = check.instance(f"{me}.stream", stream, StreamPolicy)
        rules_with(rules or {})
        self.rules: dict[FailureKind | str, Rule] = dict(rules or {})
        self.accept: Callable[[Any], object] | Mapping[str, Any] | None = check.judge(
            f"{me}.accept", accept
        )
        self.fallback: Any = fallback
        self.retries_per_provider: int = check.count(
            f"{me}.retries_per_provider", retries_per_provider, least=0
        )
        self.weights: dict[str, float] = _weights(f"{me}.weights", weights)
        self.budget: tuple[Budget, ...] = budgets(f"{me}.budget", budget)
        self.shadow: Shadow | None = check.instance(f"{me}.shadow", shadow, Shadow)
        self.strategy: tuple[Strategy | None, ...] = _strategies(
            f"{me}.strategy", strategy, len(self.tiers)
        )
        self.on: frozenset[FailureKind | int] | None = (
            None if on is None else _reasons(f"{me}.on", on)
        )
        self.requires: Any = check.function(f"{me}.requires", requires)
        self.size: Callable[[Any], int] | None = check.function(f"{me}.size", size)
        self.transform: Callable[[Any], Any] | None = check.function(f"{me}.transform", transform)

    def __repr__(self) -> str:
        return f"Route({self.name!r}, {[list(tier) for tier in self.tiers]})"


def _tiers(me: str, tiers: Any) -> tuple[tuple[str, ...], ...]:
    if isinstance(tiers, str) or not isinstance(tiers, Iterable):
        raise ConfigurationError(f"{me}.tiers", f"must be a list, not {tiers!r}")
    found = tuple(
        tuple(tier) if isinstance(tier, Iterable) and not isinstance(tier, str) else (tier,)
        for tier in tiers
    )
    if not found:
        raise ConfigurationError(f"{me}.tiers", "is empty")
    for number, tier in enumerate(found, 1):
        if not tier:
            raise ConfigurationError(f"{me}.tiers", f"tier {number} is empty")
        for entry in tier:
            check.name(f"{me}.tiers", entry)
    names = [entry for tier in found for entry in tier]
    for entry in names:
        if names.count(entry) > 1 and "*" not in entry and not entry.startswith("tag:"):
            raise ConfigurationError(f"{me}.tiers", f"names {entry!r} twice")
    return found


def _weights(what: str, given: Any) -> dict[str, float]:
    if not isinstance(given or {}, Mapping):
        raise ConfigurationError(what, f"must be weights by provider, not {given!r}")
    return {who: check.weight(f"{what}[{who!r}]", weight) for who, weight in (given or {}).items()}


def _strategies(what: str, given: Any, tiers: int) -> tuple[Strategy | None, ...]:
    """One strategy for each tier; None is the draw by weight."""
    if not isinstance(given, list | tuple):
        return (strategy_named(what, given),) * tiers
    if len(given) != tiers:
        raise ConfigurationError(what, f"names {len(given)} strategies for {tiers} tiers")
    return tuple(strategy_named(what, one) for one in given)


def _reasons(what: str, given: Any) -> frozenset[FailureKind | int]:
    """Kinds and HTTP statuses."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ConfigurationError(what, f"must be a list of kinds and statuses, not {given!r}")
    return frozenset(_reason(what, one) for one in given)


def _reason(what: str, one: Any) -> FailureKind | int:
    if isinstance(one, int) and not isinstance(one, bool):
        if not 100 <= one <= 599:
            raise ConfigurationError(what, f"{one} is no HTTP status")
        return one
    try:
        return FailureKind(one)
    except ValueError:
        kinds = check.near(str(one), [kind.value for kind in FailureKind])
        raise ConfigurationError(what, f"no such kind of failure: {kinds}") from None
