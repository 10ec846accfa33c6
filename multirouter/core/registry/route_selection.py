"""Route selection: the route a call names, else the one the user's function chooses by request."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from multirouter.core import function_checks as hooks
from multirouter.core import validation as check
from multirouter.core.cost.usage import estimated_tokens
from multirouter.core.error_text import class_and_message
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import RouteUnknown
from multirouter.core.registry.registry import Registry
from multirouter.core.routes.chain import Chain
from multirouter.core.routes.resolved_route import ResolvedRoute
from multirouter.core.routes.route import Route
from multirouter.errors import ConfigurationError, UsageError

RouteLike = str | Route | Chain | Iterable[str] | None
"""A route as a call may give it: a name, a `Route`, a `Chain`, provider names, or None for the
default."""


class RouteSelection:
    """Selects the route of calls that name none, or that name an unknown one.

    Args:
        router: the router's name.
        dispatcher: receives the event of an unknown route.
        choose: the user's `route=`: returns the route of a request; None for the default route.
        unknown: the route of calls that name an unknown one; None raises UsageError for them.

    Raises:
        ConfigurationError: `route=` is no plain function, or `unknown_route=` is no valid name.
    """

    def __init__(
        self,
        router: str,
        dispatcher: EventDispatcher,
        choose: Callable[[Any], RouteLike] | None = None,
        unknown: str | None = None,
    ) -> None:
        hooks.plain_function("route", choose, "request")
        if unknown is not None:
            check.name("unknown_route", unknown)
        self._router = router
        self._dispatcher = dispatcher
        self._choose = choose
        self._unknown = unknown

    def validate(self, registry: Registry) -> Registry:
        """Returns the registry when it has the routes that `by_length` and `unknown_route=` name.

        Raises:
            ConfigurationError: it lacks one of them. A registry without providers is not checked.
        """
        names = self._choose.names if isinstance(self._choose, ByLength) else ()
        for name in names if registry.providers else ():
            if self._unknown is None and not registry.has_route(name):
                known = check.suggestion(name, registry.names())
                raise ConfigurationError("by_length", f"unknown route {known}")
        unknown = self._unknown
        if unknown is not None and registry.providers and not registry.has_route(unknown):
            known = check.suggestion(unknown, registry.names())
            raise ConfigurationError("unknown_route", f"unknown route {known}")
        return registry

    def find(
        self, registry: Registry, request: Any, route: RouteLike, *, streaming: bool = False
    ) -> ResolvedRoute:
        """Returns the resolved route of a call.

        Raises:
            UsageError: the route is unknown and there is no `unknown_route=`, or the user's
                `route=` raised.
        """
        if route is None and self._choose is not None:
            try:
                route = self._choose(request)
            except Exception as error:
                raise UsageError(f"route= raised {class_and_message(error)}") from error
        if isinstance(route, str) and self._unknown is not None and not registry.has_route(route):
            event = RouteUnknown(self._router, route, self._unknown)
            self._dispatcher.post("route_unknown", event)
            self._dispatcher.deliver()
            route = self._unknown
        return registry.route(route, streaming=streaming)


def by_length(
    routes: Mapping[float, RouteLike], size: Callable[[Any], float] = estimated_tokens
) -> Callable[[Any], RouteLike]:
    """Routes by the length of the request: `route=by_length({1000: "simple", inf: "long"})`.

    Args:
        routes: the route by its maximum request length, a number > 0 (`math.inf` allowed). A
            request longer than all of them takes the route with the largest.
        size: returns a request's length; left out, its estimated tokens (four characters each).

    Returns:
        A function for `MultiProviderRouter(route=)`.

    Raises:
        ConfigurationError: no routes, or a length that is no number > 0; from the router, a name
            that is none of its routes.
    """
    for length in _lengths(routes):
        check.number("by_length", length, above=0.0, maximum=math.inf, allow_inf=True)
    return ByLength(routes, hooks.plain_function("by_length.size", size, "request"))


def _lengths(routes: Any) -> Iterable[Any]:
    """The lengths of a mapping of lengths to routes."""
    if not isinstance(routes, Mapping):
        raise ConfigurationError("by_length", f"must be a mapping of lengths, got {routes!r}")
    if not routes:
        raise ConfigurationError("by_length", "must have at least one route")
    return routes


class ByLength:
    """Function returned by `by_length`: chooses a route by the request's length.

    Attributes:
        names: the routes it may choose by name; the router must have all of them.
    """

    def __init__(self, routes: Mapping[float, RouteLike], size: Callable[[Any], float]) -> None:
        self._lengths = sorted(routes)
        self._routes = [routes[length] for length in self._lengths]
        self._size = size
        self.names: tuple[str, ...] = tuple(name for name in self._routes if isinstance(name, str))

    def __call__(self, request: Any) -> RouteLike:
        """Returns the route of a request."""
        at = bisect_left(self._lengths, self._size(request))
        return self._routes[min(at, len(self._lengths) - 1)]


PRIORITIES: Mapping[str, str] = MappingProxyType(
    {
        "speed": "fastest",
        "quality": "highest_quality",
        "balanced": "balanced",
        "cheapest": "cheapest",
    }
)
"""Strategies by the priority that a caller may name as its route."""


def priorities(tiers: Iterable[str | Sequence[str]] = (("*",),), **settings: Any) -> list[Route]:
    """Returns a route for each of `PRIORITIES`, so that a call can name its priority.

    Args:
        tiers: as for `Route`; left out, all providers in one tier.
        settings: as for `Route`, the same for all of them.
    """
    tiers = list(tiers)
    return [Route(name, tiers, strategy=how, **settings) for name, how in PRIORITIES.items()]
