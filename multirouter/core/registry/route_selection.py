"""Which route a call takes: the one it names, else the one that its request calls for."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from multirouter.core import validation as check
from multirouter.core.cost.usage import estimated_tokens
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import RouteUnknown
from multirouter.core.registry.registry import Registry
from multirouter.core.routes.resolved_route import ResolvedRoute
from multirouter.core.routes.route import Route
from multirouter.errors import ConfigurationError, UsageError

Wanted = str | Route | Iterable[str] | None
"""A route as a call may name it; None is the default route."""


class RouteSelection:
    """Chooses the route of the calls that name none, or one that is unknown.

    Args:
        router: the router's name.
        wire: where the news of unknown routes goes.
        choose: the user's choice by the request; None for the default route.
        unknown: the route of calls that name an unknown one; None refuses them.
    """

    def __init__(
        self,
        router: str,
        dispatcher: EventDispatcher,
        choose: Callable[[Any], Wanted] | None = None,
        unknown: str | None = None,
    ) -> None:
        check.function("route", choose)
        if unknown is not None:
            check.name("unknown_route", unknown)
        self._router = router
        self._dispatcher = dispatcher
        self._choose = choose
        self._unknown = unknown

    def checked(self, roster: Registry) -> Registry:
        """The roster, when it has the routes that `by_length` and `unknown_route=` name.

        Raises:
            ConfigurationError: when it has not.
        """
        chosen = self._choose.names if isinstance(self._choose, ByLength) else ()
        for name in chosen if roster.providers else ():
            if self._unknown is None and not roster.knows(name):
                known = check.near(name, roster.names())
                raise ConfigurationError("by_length", f"unknown route {known}")
        if self._unknown is not None and roster.providers and not roster.knows(self._unknown):
            known = check.near(self._unknown, roster.names())
            raise ConfigurationError("unknown_route", f"unknown route {known}")
        return roster

    def find(
        self, roster: Registry, request: Any, wanted: Wanted, *, streaming: bool = False
    ) -> ResolvedRoute:
        """The compiled route of a call.

        Raises:
            UsageError: for an unknown route where none is named for these, and for a `route=`
                that raises.
        """
        if wanted is None and self._choose is not None:
            try:
                wanted = self._choose(request)
            except Exception as error:
                raise UsageError(f"route= raised {type(error).__name__}: {error}") from error
        if isinstance(wanted, str) and self._unknown is not None and not roster.knows(wanted):
            news = RouteUnknown(self._router, wanted, self._unknown)
            self._dispatcher.post("route_unknown", news)
            self._dispatcher.deliver()
            wanted = self._unknown
        return roster.route(wanted, streaming=streaming)


def by_length(
    routes: Mapping[float, Wanted], size: Callable[[Any], float] = estimated_tokens
) -> Callable[[Any], Wanted]:
    """Routes by the length of the request: `route=by_length({1000: "simple", inf: "long"})`.

    Args:
        routes: the longest request of each route, more than 0, and the route. What is longer
            than all of them takes the longest's.
        size: a request's length; left out, its estimated tokens (four letters each).

    Returns:
        A function for `MultiProviderRouter(route=)`.

    Raises:
        ConfigurationError: for no route at all, or a length that is no number above 0; from the
            router, for a name that none of its routes has.
    """
    if not routes:
        raise ConfigurationError("by_length", "needs at least one route")
    for longest in routes:
        check.number("by_length", longest, above=0.0, most=math.inf, endless=True)
    return ByLength(routes, size)


class ByLength:
    """The choice that `by_length` makes.

    Attributes:
        names: the routes that it may choose by name: a router that has not all of them is refused.
    """

    def __init__(self, routes: Mapping[float, Wanted], size: Callable[[Any], float]) -> None:
        self._bounds = sorted(routes)
        self._routes = [routes[longest] for longest in self._bounds]
        self._size = size
        self.names: tuple[str, ...] = tuple(name for name in self._routes if isinstance(name, str))

    def __call__(self, request: Any) -> Wanted:
        """The route of a request."""
        at = bisect_left(self._bounds, self._size(request))
        return self._routes[min(at, len(self._bounds) - 1)]


PRIORITIES: Mapping[str, str] = MappingProxyType(
    {
        "speed": "fastest",
        "quality": "highest_quality",
        "balanced": "balanced",
        "cheapest": "cheapest",
    }
)
"""What a caller may care for most, and the strategy that does."""


def priorities(tiers: Iterable[str | Sequence[str]] = (("*",),), **settings: Any) -> list[Route]:
    """A route for each of `PRIORITIES`, so that a call can name what it cares for most.

    Args:
        tiers: as for `Route`; left out, all providers in one tier.
        settings: as for `Route`, the same for all.
    """
    tiers = list(tiers)
    return [Route(name, tiers, strategy=how, **settings) for name, how in PRIORITIES.items()]
