"""Providers and routes by their names, each of which may stand for one thing alone."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from multirouter.core.routes.route import Route
from multirouter.core.settings.provider import Provider
from multirouter.errors import ConfigurationError

ADHOC = "adhoc"
"""What a route that is given with a call is named in metrics and records."""


def providers_by_name(
    providers: Iterable[Provider[Any, Any, Any]],
) -> dict[str, Provider[Any, Any, Any]]:
    """The providers by name.

    Raises:
        ConfigurationError: for what is no provider, a name that is there twice, and weights that
            are all 0.
    """
    found: dict[str, Provider[Any, Any, Any]] = {}
    for provider in providers:
        if not isinstance(provider, Provider):
            raise ConfigurationError("providers", f"must be Provider objects, not {provider!r}")
        if provider.name in found:
            raise ConfigurationError(f"Provider({provider.name!r})", "is there twice")
        found[provider.name] = provider
    if found and not math.fsum(provider.weight for provider in found.values()):
        names = ", ".join(found)
        raise ConfigurationError("providers", f"all weights are 0 ({names}): nobody can be drawn")
    return found


def routes_by_name(routes: Iterable[Route]) -> dict[str, Route]:
    """The routes by name.

    Raises:
        ConfigurationError: for what is no route, and a name that is there twice or taken.
    """
    found: dict[str, Route] = {}
    for route in routes:
        if not isinstance(route, Route):
            raise ConfigurationError("routes", f"must be Route objects, not {route!r}")
        if route.name in found:
            raise ConfigurationError(f"Route({route.name!r})", "is there twice")
        if route.name == ADHOC:
            raise ConfigurationError(f"Route({ADHOC!r})", "is the name of routes given with a call")
        found[route.name] = route
    return found
