"""Registry of one router: providers and resolved routes, immutable, replaced as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from multirouter.core import validation as check
from multirouter.core.registry.provider_state import ProviderStates
from multirouter.core.registry.route_resolver import RouteResolver
from multirouter.core.routes.chain import Chain
from multirouter.core.routes.chain_route import ChainRoute
from multirouter.core.routes.configuration_use import ConfigurationUse
from multirouter.core.routes.resolved_route import Defaults, ResolvedRoute
from multirouter.core.routes.route import Route
from multirouter.core.routes.unique_names import ADHOC, providers_by_name, routes_by_name
from multirouter.core.selection.candidate import Candidate
from multirouter.core.settings.policies import LimitPolicy
from multirouter.core.settings.provider import Provider
from multirouter.errors import ConfigurationError, OperationMissing, UsageError

MAX_CHAINS = 256
"""Resolved chains that are kept: a client repeats the few chains that it uses."""

MAX_MODEL_NAMES = 4096
"""Characters of a chain's model names up to which it is kept: a client may send names of any
length, which must not outlive their call."""

DEFAULT = "default"
"""Route of calls that name none: all providers in one weighted tier, unless the user defines it."""


class Registry:
    """One complete configuration: providers, their gates, and the resolved routes.

    Args:
        providers: the providers.
        routes: the routes.
        defaults: the router's settings, which routes and providers inherit.
        states: the state that outlives this registry.
        limits: limits of all providers together, or None.

    Attributes:
        providers: the providers by name.
        routes: the user's routes by name.
        use: counts the calls that use this configuration.

    Raises:
        ConfigurationError: a name occurs twice, all weights are 0, or a route names an unknown
            provider. `states` is unchanged then, if this is within `states.changes.together`.
    """

    def __init__(
        self,
        providers: Iterable[Provider[Any, Any, Any]],
        routes: Iterable[Route],
        defaults: Defaults,
        states: ProviderStates,
        limits: LimitPolicy | None,
    ) -> None:
        self.use: ConfigurationUse = ConfigurationUse()
        self.providers: dict[str, Provider[Any, Any, Any]] = providers_by_name(providers)
        self.routes: dict[str, Route] = routes_by_name(routes)
        self._states = states
        self._resolver = RouteResolver(
            self.providers, self.routes, defaults, states, states.limits("", limits), self.use
        )
        states.changes.make(states.gates.update, self._resolver.gates)
        self._all_routes = self.routes
        if self.providers and DEFAULT not in self.routes:
            self._all_routes = {DEFAULT: Route(DEFAULT, [list(self.providers)]), **self.routes}
        self._chains: dict[tuple[Chain, bool], ChainRoute] = {}
        self._operations: dict[tuple[str, bool], dict[str, ResolvedRoute]] = {}
        self._calling = self._resolve_all(streaming=False)
        self._streaming = self._resolve_all(streaming=True)

    def route(
        self, route: str | Route | Chain | Iterable[str] | None, *, streaming: bool = False
    ) -> ResolvedRoute:
        """Returns the resolved route of a call, with the providers that can call, or stream.

        Raises:
            UsageError: the route is unknown, the router has no providers, or none of the route's
                providers can call (or stream).
        """
        if route is not None and not isinstance(route, str):
            if isinstance(route, Chain):
                return self._chain(route, streaming=streaming)
            adhoc = self._resolve_adhoc(route, streaming=streaming)
            if adhoc is None:
                raise UsageError(f"the call's route: {_incapable(streaming=streaming)}")
            return adhoc
        name = DEFAULT if route is None else route
        resolved = (self._streaming if streaming else self._calling).get(name)
        if resolved is not None:
            return resolved
        if not self.providers:
            raise UsageError("the router has no providers; add one before the first call")
        if name in self._all_routes:
            raise UsageError(f"route {name!r}: {_incapable(streaming=streaming)}")
        raise UsageError(f"unknown route {check.suggestion(name, self._all_routes)}")

    def names(self) -> Iterable[str]:
        """Names of the routes, including the built-in `default`."""
        return self._all_routes.keys()

    def has_route(self, name: str) -> bool:
        """Whether the registry has a route of this name."""
        return name in self._all_routes

    def candidate(self, name: str) -> tuple[Candidate, ResolvedRoute]:
        """Returns a provider as a candidate of the first route that has it, and that route.

        A provider that no route has is a candidate of a route of its own.
        """
        for route in (*self._calling.values(), *self._streaming.values()):
            for member in route.members:
                if member.name == name:
                    return member, route
        own = self.route([name], streaming=self.providers[name].call is None)
        return own.members[0], own

    def forget_calls(self) -> ConfigurationUse:
        """Counts calls anew, because those so far never end."""
        self.use = self._resolver.use = ConfigurationUse()
        for route in (*self._calling.values(), *self._streaming.values()):
            route.use = self.use
        self._chains.clear()
        self._operations.clear()
        return self.use

    def all_routes(self) -> Mapping[str, ResolvedRoute]:
        """Resolved routes by name: for calls, or for streams where a route cannot call."""
        return {**self._streaming, **self._calling}

    def _chain(self, chain: Chain, *, streaming: bool) -> ChainRoute:
        """Resolves a chain, or returns it as it was resolved before."""
        found = self._chains.get((chain, streaming))
        if found is None:
            if len(self._chains) >= MAX_CHAINS:
                self._chains.clear()
            found = self._resolve_chain(chain, streaming=streaming)
            if sum(len(target.model) for target in chain.targets) <= MAX_MODEL_NAMES:
                self._chains[chain, streaming] = found
        return found

    def _resolve_chain(self, chain: Chain, *, streaming: bool) -> ChainRoute:
        """Resolves a chain to those of its targets that can call (or stream)."""
        operation = chain.operation
        named = self._named(operation, streaming=streaming)
        routes = []
        for target in chain.targets:
            if not isinstance(target.route, str):
                route = self._resolve_adhoc(target.route, operation, streaming=streaming)
            elif self.has_route(target.route):
                route = named.get(target.route)
            else:
                route = self.route(target.route)  # raises
            if route is not None:
                routes.append((target, route))
        names = ", ".join(map(str, chain.targets))
        if not routes:
            incapable = _incapable(operation, streaming=streaming)
            error = OperationMissing if operation else UsageError
            raise error(f"route {names!r}: {incapable}")
        if chain.only is not None:
            routes = [(t, r) for t, r in routes if any(m.name in chain.only for m in r.members)]
            if not routes:
                only = ", ".join(sorted(chain.only)) or "no provider"
                raise UsageError(f"route {names!r}: must have a provider of only=: {only}")
        return ChainRoute(chain, routes)

    def _named(self, operation: str, *, streaming: bool) -> Mapping[str, ResolvedRoute]:
        """The resolved routes of an operation by name, resolved when they are first needed."""
        if not operation:
            return self._streaming if streaming else self._calling
        found = self._operations.get((operation, streaming))
        if found is None:
            found = self._resolve_all(operation, streaming=streaming)
            self._operations[operation, streaming] = found
        return found

    def _resolve_adhoc(
        self, given: Route | Iterable[str], operation: str = "", *, streaming: bool
    ) -> ResolvedRoute | None:
        """Resolves a route that was passed with a call; None when it cannot call (or stream)."""
        if isinstance(given, Route) and given.limits is not None:
            setting = f"Route({given.name!r}).limits"
            raise UsageError(f"the call's route: {setting} is allowed only on the router's routes")
        if not isinstance(given, Route | Iterable):
            raise UsageError(
                "the call's route: must be the name of a route, a Route or a list of provider "
                f"names, got {given!r}"
            )
        try:
            route = given if isinstance(given, Route) else Route(ADHOC, given)
            resolved = self._resolver.resolve(route, (), ADHOC, operation, streaming=streaming)
        except ConfigurationError as error:
            raise UsageError(f"the call's route: {error}") from error
        return resolved

    def _resolve_all(self, operation: str = "", *, streaming: bool) -> dict[str, ResolvedRoute]:
        resolved = {
            name: self._resolver.resolve(
                route,
                self._states.limits(name, route.limits),
                name,
                operation,
                streaming=streaming,
            )
            for name, route in self._all_routes.items()
        }
        return {name: route for name, route in resolved.items() if route is not None}


def _incapable(operation: str = "", *, streaming: bool) -> str:
    if operation:
        streams = " with stream=" if streaming else ""
        return f"none of its providers has the operation {operation!r}{streams}"
    return f"none of its providers has {'stream' if streaming else 'call'}="
