"""A route: which providers serve a kind of work, in which order, under which rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from multirouter.core import validation as check
from multirouter.core.budgets import Budget, budgets
from multirouter.core.model import Kind
from multirouter.core.policies import HedgePolicy, LimitPolicy, RetryPolicy
from multirouter.core.provider import Provider
from multirouter.core.rules import Rule, rules_with
from multirouter.core.shadow import Shadow
from multirouter.core.stream_policy import StreamPolicy
from multirouter.errors import ConfigurationError

Tiers = Iterable["str | Sequence[str]"]
"""Tiers in the order they are tried; a name is a tier of one, a list a weighted tier."""


class Route:
    """A named policy for one kind of work; what is left out is inherited from the router.

    Attributes:
        name: the route's name and its label in metrics.
        tiers: tuples of provider names, `tag:...` or patterns with `*`, tried in order.
        timeout: the whole call, seconds.
        attempt_timeout: one await, seconds; a provider's own comes first.
        retry: when and how often to ask again.
        hedge: when a second attempt starts beside a slow first one.
        limits: limits of this route, on top of those of providers and router.
        stream: how long streams may take, how they must end, and what happens when they break.
        rules: what follows from a kind of failure, where it differs from the router's table.
        accept: judges a response: False, or a string that says what is wrong, refuses it.
        fallback: the substitute answer when nobody could, or a function of (request, error).
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
        "retries_per_provider",
        "retry",
        "rules",
        "shadow",
        "stream",
        "tiers",
        "timeout",
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
        rules: Mapping[Kind | str, Rule] | None = None,
        accept: Callable[[Any], object] | None = None,
        fallback: Any = None,
        retries_per_provider: int = 0,
        weights: Mapping[str, float] | None = None,
        budget: Budget | Iterable[Budget] | None = None,
        shadow: Shadow | None = None,
    ) -> None:
        self.name = check.name("Route.name", name)
        me = f"Route({name!r})"
        self.tiers = _tiers(me, tiers)
        if timeout is not None:
            check.span(f"{me}.timeout", timeout, endless=True)
        if attempt_timeout is not None:
            check.span(f"{me}.attempt_timeout", attempt_timeout, endless=True)
        self.timeout = timeout
        self.attempt_timeout = attempt_timeout
        self.retry = retry
        self.hedge = hedge
        self.limits = limits
        self.stream = stream
        rules_with(rules or {})
        self.rules = dict(rules or {})
        self.accept = accept
        self.fallback = fallback
        self.retries_per_provider = check.count(
            f"{me}.retries_per_provider", retries_per_provider, least=0
        )
        self.weights = {
            who: check.weight(f"{me}.weights[{who!r}]", weight)
            for who, weight in (weights or {}).items()
        }
        self.budget = budgets(f"{me}.budget", budget)
        self.shadow = shadow

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
    return found


def members_of(
    route: Route, providers: Mapping[str, Provider[Any, Any, Any]]
) -> tuple[tuple[str, ...], ...]:
    """The provider names of each tier, in order, tags and patterns resolved.

    A provider that a pattern would bring in twice stays where it comes first; one that is named
    twice in so many words is an error.

    Raises:
        ConfigurationError: for an unknown or repeated name, or a tier that matches nobody.
    """
    seen: set[str] = set()
    tiers: list[tuple[str, ...]] = []
    for tier in route.tiers:
        names: list[str] = []
        for entry in tier:
            names += [n for n in _resolve(route, entry, providers, seen) if n not in seen]
            seen.update(names)
        if names:
            tiers.append(tuple(names))
    for name in route.weights.keys() - seen:
        raise ConfigurationError(
            f"Route({route.name!r}).weights", f"unknown provider {check.near(name, seen)}"
        )
    return tuple(tiers)


def _resolve(
    route: Route, entry: str, providers: Mapping[str, Provider[Any, Any, Any]], seen: set[str]
) -> list[str]:
    me = f"Route({route.name!r}).tiers"
    if entry.startswith("tag:"):
        tag = entry.removeprefix("tag:")
        found = [name for name, provider in providers.items() if tag in provider.tags]
    elif "*" in entry:
        found = [name for name in providers if fnmatchcase(name, entry)]
    elif entry in seen:
        raise ConfigurationError(me, f"names {entry!r} twice")
    elif entry in providers:
        return [entry]
    else:
        raise ConfigurationError(me, f"unknown provider {check.near(entry, providers)}")
    if not found:
        raise ConfigurationError(me, f"{entry!r} matches no provider")
    return found
