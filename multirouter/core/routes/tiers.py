"""Who is on a route: names, tags, patterns and other routes resolved to providers, tier by tier."""

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

OTHER = "route:"
"""What begins an entry that stands for the tiers of another route."""

NO_ROUTES: Mapping[str, Route] = MappingProxyType({})


def members_of(
    route: Route,
    providers: Mapping[str, Provider[Any, Any, Any]],
    routes: Mapping[str, Route] = NO_ROUTES,
) -> tuple[tuple[tuple[str, ...], Strategy | None], ...]:
    """The provider names of each tier, in order, and how it chooses; all entries resolved.

    A provider that a pattern or another route would bring in twice stays where it comes first;
    one that is named twice in so many words is an error.

    Raises:
        ConfigurationError: for an unknown or repeated name, a tier that matches nobody, or a
            route that leads back to itself.
    """
    seen: set[str] = set()
    tiers: list[tuple[tuple[str, ...], Strategy | None]] = []
    for tier, strategy in _unfolded(route, routes, (route.name,)):
        names: list[str] = []
        for entry in tier:
            if entry in seen and tier not in route.tiers:
                continue  # another route's, and there already
            names += [n for n in _resolve(route, entry, providers, seen) if n not in seen]
            seen.update(names)
        if names:
            tiers.append((tuple(names), strategy))
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


def _unfolded(
    route: Route, routes: Mapping[str, Route], way: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Strategy | None]]:
    """The tiers of a route, those of the routes it names in their places."""
    me = f"Route({route.name!r}).tiers"
    for tier, strategy in zip(route.tiers, route.strategy, strict=True):
        named = [entry for entry in tier if entry.startswith(OTHER)]
        if not named:
            yield tier, strategy
            continue
        if len(tier) > 1:
            raise ConfigurationError(me, f"{named[0]!r} must be a tier of its own")
        name = named[0].removeprefix(OTHER)
        if name not in routes:
            raise ConfigurationError(me, f"unknown route {check.near(name, routes)}")
        if name in way:
            raise ConfigurationError(me, f"leads back to itself: {' > '.join([*way, name])}")
        yield from _unfolded(routes[name], routes, (*way, name))
