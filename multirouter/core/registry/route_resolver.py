"""Resolves routes: which providers serve them, as candidates with all inherited settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from multirouter.core.circuit.gate import Gate
from multirouter.core.cost.metering import ProviderPricing
from multirouter.core.health.latency_tracker import LatencyGroup
from multirouter.core.limits.rate_limits import Limits
from multirouter.core.registry.provider_state import ProviderStates
from multirouter.core.routes.configuration_use import ConfigurationUse
from multirouter.core.routes.resolved_route import Defaults, ResolvedRoute
from multirouter.core.routes.route import Route
from multirouter.core.routes.tier_entries import resolve_tiers
from multirouter.core.routes.unique_names import ADHOC
from multirouter.core.selection.candidate import Candidate
from multirouter.core.selection.shadow_targets import ShadowTargets
from multirouter.core.selection.tier_tables import ChoicePolicy, Tier
from multirouter.core.selection.weighted import Strategy
from multirouter.core.settings.policies import ATTEMPT_TIMEOUT
from multirouter.core.settings.provider import Provider
from multirouter.core.settings.stream_policy import StreamPolicy

TierNames = tuple[tuple[tuple[str, ...], Strategy | None], ...]
"""The provider names of each tier of a route, in order, with the tier's strategy."""


class RouteResolver:
    """Resolves the routes of one configuration.

    Args:
        providers: its providers by name.
        routes: its routes by name.
        defaults: the router's settings.
        states: the state that outlives the configuration.
        limits: the limits of the router, if any.
        use: counts the calls that use the configuration.

    Attributes:
        gates: the gates of the providers by name.
        use: counts the calls that use the configuration.

    Raises:
        ConfigurationError: a route names an unknown provider or route.
    """

    __slots__ = (
        "_defaults",
        "_limits",
        "_pricings",
        "_providers",
        "_routes",
        "_states",
        "_tiers",
        "gates",
        "use",
    )

    def __init__(
        self,
        providers: Mapping[str, Provider[Any, Any, Any]],
        routes: Mapping[str, Route],
        defaults: Defaults,
        states: ProviderStates,
        limits: tuple[Limits, ...],
        use: ConfigurationUse,
    ) -> None:
        self._providers = providers
        self._routes = routes
        self._defaults = defaults
        self._states = states
        self._limits = limits
        self.use: ConfigurationUse = use
        self._tiers: dict[str, TierNames] = {
            name: resolve_tiers(route, providers, routes) for name, route in routes.items()
        }
        self.gates: dict[str, Gate] = {
            name: states.gate(name, provider.circuit or defaults.circuit, provider.limits)
            for name, provider in providers.items()
        }
        self._pricings: dict[str, ProviderPricing] = {
            name: states.accounts.pricing(provider, self.gates[name])
            for name, provider in providers.items()
        }

    def resolve(
        self,
        route: Route,
        limits: tuple[Limits, ...],
        label: str,
        operation: str = "",
        *,
        streaming: bool,
    ) -> ResolvedRoute | None:
        """Resolves a route; None when none of its providers can call (or stream).

        Args:
            route: the route.
            limits: the route's own limits, if any.
            label: the route's name in metrics.
            operation: the operation, or "".
            streaming: whether it is for streams.

        Raises:
            ConfigurationError: the route is invalid with these providers.
        """
        defaults, states = self._defaults, self._states
        ability = "stream" if streaming else "call"
        named = self._tiers.get(label)
        if named is None:
            named = resolve_tiers(route, self._providers, self._routes)
        able = [(self._able(names, operation, ability), strategy) for names, strategy in named]
        if not any(names for names, _ in able):
            return None
        stream = (route.stream or defaults.stream) if streaming else None
        candidate = self._candidates(route, label, ability, stream, operation)
        tiers = []
        for names, strategy in able:
            members = list(map(candidate, names))
            if members:
                policy = ChoicePolicy(members, strategy, states.on_hook_error, defaults.panic)
                tiers.append(Tier(members, states.revision, policy))
        resolved = ResolvedRoute(label, route, tiers, defaults, (*limits, *self._limits), self.use)
        states.accounts.attach_billing(
            resolved, route, defaults.budget, known=label != ADHOC, operation=bool(operation)
        )
        if label != ADHOC:
            resolved.diversion = states.diversion(label)
        group = LatencyGroup([member.latency for member in resolved.members])
        states.changes.make(group.join)
        if operation:
            return resolved.for_operation()
        shadow = route.shadow or defaults.shadow
        if shadow is not None and not streaming:
            own = {member.name: member for member in resolved.members}
            targets = shadow.callable_providers(self._providers)
            resolved.shadow = ShadowTargets(
                shadow, [own.get(name) or candidate(name) for name in targets]
            )
        return resolved

    def _able(self, names: tuple[str, ...], operation: str, ability: str) -> list[str]:
        """Those of the providers that can call, or stream."""
        return [
            name
            for name in names
            if getattr(self._providers[name].functions(operation), ability, None) is not None
        ]

    def _attempt_timeout(self, route: Route) -> float:
        """Default timeout of one await on a route, seconds."""
        timeout = route.attempt_timeout or self._defaults.attempt_timeout
        if timeout is not None:
            return timeout
        whole = self._defaults.timeout if route.timeout is None else route.timeout
        return min(ATTEMPT_TIMEOUT, whole / 2)

    def _candidates(
        self,
        route: Route,
        label: str,
        ability: str,
        stream: StreamPolicy | None,
        operation: str,
    ) -> Callable[[str], Candidate]:
        """Returns the function that makes providers candidates of a route, by their names.

        Args:
            route: the route's settings.
            label: the route's name in metrics.
            ability: `call` or `stream`.
            stream: the stream policy; None for calls.
            operation: the operation, or "". Its latency and health are its own, as an embedding
                takes another time than a chat; circuit and limits are the provider's.
        """
        states, defaults, providers = self._states, self._defaults, self._providers
        gates, pricings = self.gates, self._pricings
        place = (label, operation)
        latency_place = (*place, ability)
        route_timeout = self._attempt_timeout(route)
        weights, drops = route.weights, (route.unsupported or defaults.unsupported) == "drop"
        latency_policy, health_policy = defaults.latency, defaults.health
        latency_average = partial(states.latency_average, latency_place)

        def candidate(name: str) -> Candidate:
            provider = providers[name]
            timeout, idle = provider.attempt_timeout, provider.idle
            if stream is not None:
                timeout = provider.first_token or timeout or stream.first_token
                idle = stream.idle if idle is None else idle
            transforms: tuple[Callable[[Any], Any], ...] = ()
            if not operation and (route.transform or provider.transform):
                transforms = tuple(filter(None, (route.transform, provider.transform)))
            limits = provider.limits
            learns = limits is not None and limits.learn
            return Candidate(
                provider,
                gates[name],
                states.latency(latency_place, name, latency_policy),
                states.health(place, name, health_policy),
                weight=weights.get(name, provider.weight) if weights else provider.weight,
                timeout=timeout or route_timeout,
                idle=math.inf if idle is None else idle,
                latency_average=latency_average,
                transforms=transforms,
                operation=provider.operations.get(operation) if operation else None,
                drops=drops,
                pricing=pricings[name],
                on_headers=partial(states.observe_headers, name) if learns else None,
            )

        return candidate
