"""Providers and routes by name; names must be unique."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from multirouter.core.routes.route import Route
from multirouter.core.settings.provider import Provider
from multirouter.errors import ConfigurationError

ADHOC = "adhoc"
"""Name in metrics and records of a route that is passed with a call."""


def providers_by_name(
    providers: Iterable[Provider[Any, Any, Any]],
) -> dict[str, Provider[Any, Any, Any]]:
    """Returns the providers by name.

    Raises:
        ConfigurationError: an object is no `Provider`, a name is duplicate, or all weights are 0.
    """
    found: dict[str, Provider[Any, Any, Any]] = {}
    for provider in providers:
        if not isinstance(provider, Provider):
            raise ConfigurationError("providers", f"must be Provider objects, got {provider!r}")
        if provider.name in found:
            raise ConfigurationError(f"Provider({provider.name!r})", "duplicate name")
        found[provider.name] = provider
    if found and not math.fsum(provider.weight for provider in found.values()):
        names = ", ".join(found)
        raise ConfigurationError(
            "providers", f"at least one weight must be > 0, got 0 for all ({names})"
        )
    return found


def routes_by_name(routes: Iterable[Route]) -> dict[str, Route]:
    """Returns the routes by name.

    Raises:
        ConfigurationError: an object is no `Route`, or a name is duplicate or reserved.
    """
    found: dict[str, Route] = {}
    for route in routes:
        if not isinstance(route, Route):
            raise ConfigurationError("routes", f"must be Route objects, got {route!r}")
        if route.name in found:
            raise ConfigurationError(f"Route({route.name!r})", "duplicate name")
        if route.name == ADHOC:
            raise ConfigurationError(
                f"Route({ADHOC!r})", "this name is reserved for routes passed with a call"
            )
        found[route.name] = route
    return found
