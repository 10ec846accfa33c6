"""The set of providers and routes as one call sees it: made whole, never changed, replaced."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from multirouter.core import validation as check
from multirouter.core.health.adaptive_timeout import Group
from multirouter.core.limits.rate_limits import Limits
from multirouter.core.registry.provider_state import ProviderStates
from multirouter.core.routes.name_lookup import ADHOC, providers_by_name, routes_by_name
from multirouter.core.routes.resolved_route import Defaults, ResolvedRoute
from multirouter.core.routes.route import Route
from multirouter.core.routes.tiers import members_of
from multirouter.core.selection.candidate import Candidate
from multirouter.core.selection.shadow_targets import ShadowTargets
from multirouter.core.selection.tier_tables import ChoicePolicy, Tier
from multirouter.core.settings.policies import ATTEMPT_TIMEOUT, LimitPolicy
from multirouter.core.settings.provider import Provider
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.errors import ConfigurationError, UsageError

DEFAULT = "default"
"""The route of a call that names none: all providers in one weighted tier, unless replaced."""


class Registry:
    """One whole configuration: providers, their doors, and the compiled routes.

    Raises:
        ConfigurationError: for duplicate names, weights that are all 0, and routes that name
            unknown providers; then nothing has changed.
    """

    def __init__(
        self,
        providers: Iterable[Provider[Any, Any, Any]],
        routes: Iterable[Route],
        defaults: Defaults,
        memory: ProviderStates,
        limits: LimitPolicy | None,
    ) -> None:
        self.providers: dict[str, Provider[Any, Any, Any]] = providers_by_name(providers)
        self.routes: dict[str, Route] = routes_by_name(routes)
        self._defaults = defaults
        self._memory = memory
        for route in self.routes.values():
            members_of(route, self.providers, self.routes)
        self._limits = memory.limits("", limits)
        self._gates = {
            name: memory.gate(name, provider.circuit or defaults.circuit, provider.limits)
            for name, provider in self.providers.items()
        }
        memory.gates.update(self._gates)
        self._named = self.routes
        if self.providers and DEFAULT not in self.routes:
            self._named = {DEFAULT: Route(DEFAULT, [list(self.providers)]), **self.routes}
        self._calling = self._compile_all(streaming=False)
        self._streaming = self._compile_all(streaming=True)

    def route(
        self, wanted: str | Route | Iterable[str] | None, *, streaming: bool = False
    ) -> ResolvedRoute:
        """The route a call asks for, compiled: with the providers that can call, or stream.

        Raises:
            UsageError: for an unknown route, a router without providers, or a route none of
                whose providers can do what is asked.
        """
        if wanted is not None and not isinstance(wanted, str):
            return self._adhoc(wanted, streaming=streaming)
        name = DEFAULT if wanted is None else wanted
        compiled = (self._streaming if streaming else self._calling).get(name)
        if compiled is not None:
            return compiled
        if not self.providers:
            raise UsageError("the router has no providers: add one before the first call")
        if name in self._named:
            raise UsageError(f"route {name!r}: {_unable(streaming=streaming)}")
        raise UsageError(f"unknown route {check.near(name, self._named)}")

    def names(self) -> Iterable[str]:
        """The names of the routes, the built-in one included."""
        return self._named.keys()

    def knows(self, name: str) -> bool:
        """Whether there is a route of this name."""
        return name in self._named

    def all_routes(self) -> Mapping[str, ResolvedRoute]:
        """The routes by name, compiled for calls, or else for streams."""
        return {**self._streaming, **self._calling}

    def _adhoc(self, wanted: Route | Iterable[str], *, streaming: bool) -> ResolvedRoute:
        if isinstance(wanted, Route) and wanted.limits is not None:
            me = f"Route({wanted.name!r}).limits"
            raise UsageError(f"the call's route: {me} need a router that knows the route")
        try:
            route = wanted if isinstance(wanted, Route) else Route(ADHOC, wanted)
            compiled = self._compile(route, (), ADHOC, streaming=streaming)
        except ConfigurationError as error:
            raise UsageError(f"the call's route: {error}") from error
        if compiled is None:
            raise UsageError(f"the call's route: {_unable(streaming=streaming)}")
        return compiled

    def _compile_all(self, *, streaming: bool) -> dict[str, ResolvedRoute]:
        compiled = {
            name: self._compile(
                route, self._memory.limits(name, route.limits), name, streaming=streaming
            )
            for name, route in self._named.items()
        }
        return {name: route for name, route in compiled.items() if route is not None}

    def _compile(
        self, route: Route, limits: tuple[Limits, ...], label: str, *, streaming: bool
    ) -> ResolvedRoute | None:
        defaults = self._defaults
        timeout = defaults.timeout if route.timeout is None else route.timeout
        attempt_timeout = route.attempt_timeout or defaults.attempt_timeout
        if attempt_timeout is None:
            attempt_timeout = min(ATTEMPT_TIMEOUT, timeout / 2)
        tiers = []
        able = "stream" if streaming else "call"
        policy = (route.stream or defaults.stream) if streaming else None
        for names, strategy in members_of(route, self.providers, self.routes):
            members = [
                self._member(name, route, label, able, attempt_timeout, policy)
                for name in names
                if getattr(self.providers[name], able) is not None
            ]
            if members:
                broken = self._memory.hook_broken
                terms = ChoicePolicy(members, strategy, broken, defaults.panic)
                tiers.append(Tier(members, self._memory.revision, terms))
        if not tiers:
            return None
        compiled = ResolvedRoute(label, route, tiers, defaults, (*limits, *self._limits))
        self._memory.ledger.charge(compiled, route, known=label != ADHOC)
        Group([member.latency for member in compiled.members])
        shadow = route.shadow or defaults.shadow
        if shadow is not None and not streaming:
            own = {member.name: member for member in compiled.members}
            compiled.shadow = ShadowTargets(
                shadow,
                [
                    own.get(name) or self._member(name, route, label, able, attempt_timeout, None)
                    for name in shadow.known(self.providers)
                ],
            )
        return compiled

    def _member(
        self,
        name: str,
        route: Route,
        label: str,
        able: str,
        attempt_timeout: float,
        stream: StreamPolicy | None,
    ) -> Candidate:
        provider = self.providers[name]
        limits = [provider.attempt_timeout, attempt_timeout]
        if stream is not None:
            limits = [provider.first_token, provider.attempt_timeout, stream.first_token, *limits]
        idle = provider.idle
        if idle is None:
            idle = math.inf if stream is None else stream.idle
        return Candidate(
            provider,
            self._gates[name],
            self._memory.latency(f"{label} {able}", name, self._defaults.latency),
            self._memory.health(label, name),
            weight=route.weights.get(name, provider.weight),
            timeout=next(limit for limit in limits if limit is not None),
            idle=idle,
            speed=partial(self._memory.speed, f"{label} {able}", name),
            transforms=tuple(filter(None, (route.transform, provider.transform))),
        )


def _unable(*, streaming: bool) -> str:
    able = "stream" if streaming else "call"
    return f"none of its providers has {able}="
