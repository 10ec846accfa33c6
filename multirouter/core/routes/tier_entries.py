"""Tiers of a route: names, tags, patterns and other routes resolved to provider names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any

from multirouter.core import validation as check
from multirouter.core.routes.route import Route
from multirouter.core.selection.weighted import Strategy
from multirouter.core.settings.provider import Provider
from multirouter.errors import ConfigurationError

ROUTE_PREFIX = "route:"
"""Prefix of an entry that stands for the tiers of another route."""

NO_ROUTES: Mapping[str, Route] = MappingProxyType({})


def resolve_tiers(
    route: Route,
    providers: Mapping[str, Provider[Any, Any, Any]],
    routes: Mapping[str, Route] = NO_ROUTES,
) -> tuple[tuple[tuple[str, ...], Strategy | None], ...]:
    """Returns the provider names of each tier, in order, with the tier's strategy.

    A provider that a pattern or another route would add again stays in its first place; one that is
    named twice literally is an error.

    Raises:
        ConfigurationError: a name is unknown or duplicate, an entry matches no provider, or a route
            refers back to itself.
    """
    seen: set[str] = set()
    tiers: list[tuple[tuple[str, ...], Strategy | None]] = []
    for tier, strategy in _expanded(route, routes, (route.name,)):
        names: list[str] = []
        for entry in tier:
            if entry in seen and tier not in route.tiers:
                continue  # from another route, and present already
            found = [n for n in _resolve(route, entry, providers, seen) if n not in seen]
            names += found
            seen.update(found)
        if names:
            tiers.append((tuple(names), strategy))
    for name in route.weights.keys() - seen:
        raise ConfigurationError(
            f"Route({route.name!r}).weights", f"unknown provider {check.suggestion(name, seen)}"
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
        raise ConfigurationError(me, f"duplicate entry {entry!r}")
    elif entry in providers:
        return [entry]
    else:
        raise ConfigurationError(me, f"unknown provider {check.suggestion(entry, providers)}")
    if not found:
        raise ConfigurationError(me, f"{entry!r} matches no provider")
    return found


def _expanded(
    route: Route, routes: Mapping[str, Route], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Strategy | None]]:
    """Yields the tiers of a route, with those of the routes it refers to in their places."""
    me = f"Route({route.name!r}).tiers"
    for tier, strategy in zip(route.tiers, route.strategy, strict=True):
        nested = [entry for entry in tier if entry.startswith(ROUTE_PREFIX)]
        if not nested:
            yield tier, strategy
            continue
        if len(tier) > 1:
            raise ConfigurationError(me, f"must have {nested[0]!r} alone in its tier, got {tier!r}")
        name = nested[0].removeprefix(ROUTE_PREFIX)
        if name not in routes:
            raise ConfigurationError(me, f"unknown route {check.suggestion(name, routes)}")
        if name in path:
            raise ConfigurationError(me, f"refers back to itself: {' > '.join([*path, name])}")
        yield from _expanded(routes[name], routes, (*path, name))
