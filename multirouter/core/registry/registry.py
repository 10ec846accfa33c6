"""Registry of one router: providers and resolved routes, immutable, replaced as a whole."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from multirouter.core import validation as check
from multirouter.core.health.adaptive_timeout import LatencyGroup
from multirouter.core.limits.rate_limits import Limits
from multirouter.core.registry.provider_state import ProviderStates
from multirouter.core.routes.chain import Chain
from multirouter.core.routes.chain_route import ChainRoute
from multirouter.core.routes.configuration_use import ConfigurationUse
from multirouter.core.routes.resolved_route import Defaults, ResolvedRoute
from multirouter.core.routes.route import Route
from multirouter.core.routes.tier_entries import resolve_tiers
from multirouter.core.routes.unique_names import ADHOC, providers_by_name, routes_by_name
from multirouter.core.selection.candidate import Candidate
from multirouter.core.selection.shadow_targets import ShadowTargets
from multirouter.core.selection.tier_tables import ChoicePolicy, Tier
from multirouter.core.settings.policies import ATTEMPT_TIMEOUT, LimitPolicy
from multirouter.core.settings.provider import Provider
from multirouter.core.settings.stream_policy import StreamPolicy
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
            provider. `states` is unchanged then.
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
        self._defaults = defaults
        self._states = states
        for route in self.routes.values():
            resolve_tiers(route, self.providers, self.routes)
        self._limits = states.limits("", limits)
        self._gates = {
            name: states.gate(name, provider.circuit or defaults.circuit, provider.limits)
            for name, provider in self.providers.items()
        }
        states.gates.update(self._gates)
        self._pricings = {
            name: states.accounts.pricing(provider, self._gates[name])
            for name, provider in self.providers.items()
        }
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
        self.use = ConfigurationUse()
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
        if not routes:
            names = ", ".join(map(str, chain.targets))
            incapable = _incapable(operation, streaming=streaming)
            error = OperationMissing if operation else UsageError
            raise error(f"route {names!r}: {incapable}")
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
            resolved = self._resolve(route, (), ADHOC, operation, streaming=streaming)
        except ConfigurationError as error:
            raise UsageError(f"the call's route: {error}") from error
        return resolved

    def _resolve_all(self, operation: str = "", *, streaming: bool) -> dict[str, ResolvedRoute]:
        resolved = {
            name: self._resolve(
                route,
                self._states.limits(name, route.limits),
                name,
                operation,
                streaming=streaming,
            )
            for name, route in self._all_routes.items()
        }
        return {name: route for name, route in resolved.items() if route is not None}

    def _resolve(
        self,
        route: Route,
        limits: tuple[Limits, ...],
        label: str,
        operation: str = "",
        *,
        streaming: bool,
    ) -> ResolvedRoute | None:
        """Resolves a route; None when none of its providers can call (or stream)."""
        defaults = self._defaults
        ability = "stream" if streaming else "call"
        stream = (route.stream or defaults.stream) if streaming else None

        def candidate(name: str, stream: StreamPolicy | None) -> Candidate:
            return self._candidate(name, route, label, ability, stream, operation)

        tiers = []
        for names, strategy in resolve_tiers(route, self.providers, self.routes):
            members = [
                candidate(name, stream)
                for name in names
                if getattr(self.providers[name].functions(operation), ability, None) is not None
            ]
            if members:
                policy = ChoicePolicy(members, strategy, self._states.on_hook_error, defaults.panic)
                tiers.append(Tier(members, self._states.revision, policy))
        if not tiers:
            return None
        resolved = ResolvedRoute(label, route, tiers, defaults, (*limits, *self._limits), self.use)
        self._states.accounts.attach_billing(
            resolved, route, known=label != ADHOC, operation=bool(operation)
        )
        if label != ADHOC:
            resolved.diversion = self._states.diversion(label)
        LatencyGroup([member.latency for member in resolved.members])
        if operation:
            return resolved.for_operation()
        shadow = route.shadow or defaults.shadow
        if shadow is not None and not streaming:
            own = {member.name: member for member in resolved.members}
            targets = shadow.callable_providers(self.providers)
            resolved.shadow = ShadowTargets(
                shadow, [own.get(name) or candidate(name, None) for name in targets]
            )
        return resolved

    def _attempt_timeout(self, route: Route) -> float:
        """Default timeout of one await on a route, seconds."""
        timeout = route.attempt_timeout or self._defaults.attempt_timeout
        if timeout is not None:
            return timeout
        whole = self._defaults.timeout if route.timeout is None else route.timeout
        return min(ATTEMPT_TIMEOUT, whole / 2)

    def _candidate(
        self,
        name: str,
        route: Route,
        label: str,
        ability: str,
        stream: StreamPolicy | None,
        operation: str,
    ) -> Candidate:
        """Returns a provider as a candidate of a route.

        Args:
            name: the provider's name.
            route: the route's settings.
            label: the route's name in metrics.
            ability: `call` or `stream`.
            stream: the stream policy; None for calls.
            operation: the operation, or "". Its latency and health are its own, as an embedding
                takes another time than a chat; circuit and limits are the provider's.
        """
        place = f"{label} {operation}" if operation else label
        provider = self.providers[name]
        timeouts = [provider.attempt_timeout, self._attempt_timeout(route)]
        if stream is not None:
            timeouts[:1] = [provider.first_token, provider.attempt_timeout, stream.first_token]
        idle = provider.idle
        if idle is None:
            idle = math.inf if stream is None else stream.idle
        return Candidate(
            provider,
            self._gates[name],
            self._states.latency(f"{place} {ability}", name, self._defaults.latency),
            self._states.health(place, name, self._defaults.health),
            weight=route.weights.get(name, provider.weight),
            timeout=next(timeout for timeout in timeouts if timeout is not None),
            idle=idle,
            latency_average=partial(self._states.latency_average, f"{place} {ability}", name),
            transforms=(
                () if operation else tuple(filter(None, (route.transform, provider.transform)))
            ),
            operation=provider.operations.get(operation),
            pricing=self._pricings[name],
        )


def _incapable(operation: str = "", *, streaming: bool) -> str:
    if operation:
        streams = " with stream=" if streaming else ""
        return f"none of its providers has the operation {operation!r}{streams}"
    return f"none of its providers has {'stream' if streaming else 'call'}="
