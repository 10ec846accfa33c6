"""The set of providers and routes as one call sees it: made whole, never changed, replaced."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from multirouter.core import validation as check
from multirouter.core.budgets import Budget
from multirouter.core.cost import Billing
from multirouter.core.events import Newswire
from multirouter.core.gate import Gate, Revision
from multirouter.core.ledger import Ledger
from multirouter.core.limits import Bound, Limits
from multirouter.core.model import Kind
from multirouter.core.naming import ADHOC, providers_by_name, routes_by_name
from multirouter.core.pace import Group, Pace
from multirouter.core.policies import (
    ATTEMPT_TIMEOUT,
    CircuitPolicy,
    HedgePolicy,
    LimitPolicy,
    PacePolicy,
    RetryPolicy,
)
from multirouter.core.provider import Provider
from multirouter.core.routes import Route, members_of
from multirouter.core.rules import Rule, rules_with
from multirouter.core.selection import Member, Tier
from multirouter.core.shadow import Shadow, Understudies
from multirouter.core.stream_policy import StreamPolicy
from multirouter.core.usage import ReadUsage
from multirouter.errors import ConfigurationError, UsageError

DEFAULT = "default"
"""The route of a call that names none: all providers in one weighted tier, unless replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What the router says where a route or a provider says nothing."""

    timeout: float
    attempt_timeout: float | None
    retry: RetryPolicy
    circuit: CircuitPolicy
    pace: PacePolicy
    hedge: HedgePolicy | None
    stream: StreamPolicy
    rules: Mapping[Kind, Rule]
    accept: Callable[[Any], object] | None
    fallback: Any
    panic: float | None
    usage: ReadUsage | None = None
    budget: tuple[Budget, ...] = ()
    shadow: Shadow | None = None


class CompiledRoute:
    """A route with every inheritance resolved, ready to be walked.

    Attributes:
        name: its label.
        tiers: its tiers, in order.
        members: all its providers, in order.
        limits: the limits and budgets of the route and of the router, if any.
        billing: the books of its attempts; None when none of its providers has a price.
        shadow: who gets copies of its calls, or None.
        sizes: the hooks that read a request's tokens, if any limit needs them.
    """

    __slots__ = (
        "accept",
        "billing",
        "fallback",
        "hedge",
        "limits",
        "members",
        "name",
        "retries_per_provider",
        "retry",
        "rules",
        "shadow",
        "sizes",
        "stream",
        "tiers",
        "timeout",
    )

    def __init__(
        self,
        label: str,
        route: Route,
        tiers: Iterable[Tier],
        defaults: Defaults,
        limits: tuple[Limits, ...],
    ) -> None:
        self.name = label
        self.tiers = tuple(tiers)
        self.members = tuple(member for tier in self.tiers for member in tier.members)
        self.limits: tuple[Bound, ...] = limits
        self.billing: Billing | None = None
        self.timeout = defaults.timeout if route.timeout is None else route.timeout
        self.retry = route.retry or defaults.retry
        self.hedge = route.hedge or defaults.hedge
        self.stream = route.stream or defaults.stream
        self.rules = defaults.rules
        if route.rules:
            self.rules = {**defaults.rules, **_overridden(route.rules)}
        self.shadow: Understudies | None = None
        self.accept = route.accept or defaults.accept
        self.fallback = defaults.fallback if route.fallback is None else route.fallback
        self.retries_per_provider = route.retries_per_provider
        policies = [shared.policy for shared in limits]
        policies += [m.provider.limits for m in self.members if m.provider.limits is not None]
        self.sizes = tuple({policy.size for policy in policies if policy.size is not None})

    def size_of(self, request: Any) -> int:
        """The request's tokens: the largest of what the limits' hooks say, at least 0."""
        return max(0, *(int(size(request)) for size in self.sizes))


def _overridden(rules: Mapping[Any, Rule]) -> Mapping[Kind, Rule]:
    whole = rules_with(rules)
    return {Kind(kind): whole[Kind(kind)] for kind in rules}


class Memory:
    """What outlives a change of configuration: doors, paces and limits, by name.

    Attributes:
        gates: the doors of the providers that are in the router.
        revision: rises when any door changes; all draw tables watch it.
        ledger: the accounts, or None where nothing has a price.
    """

    def __init__(self, router: str, wire: Newswire, rng: Random) -> None:
        self._router = router
        self._wire = wire
        self._rng = rng
        self._paces: dict[tuple[str, str], Pace] = {}
        self._limits: dict[str, Limits] = {}
        self.gates: dict[str, Gate] = {}
        self.revision = Revision()
        self.ledger: Ledger | None = None

    def gate(self, name: str, policy: CircuitPolicy, limits: LimitPolicy | None) -> Gate:
        """A provider's door; a new one, or the one it had, under the policies of today."""
        gate = self.gates.get(name)
        if gate is None:
            return Gate(
                name,
                policy,
                limits,
                router=self._router,
                wire=self._wire,
                revision=self.revision,
                rng=self._rng,
            )
        gate.adopt(policy, limits)
        return gate

    def pace(self, route: str, provider: str, policy: PacePolicy) -> Pace:
        """A provider's pace on a route, for calls or for streams."""
        pace = self._paces.get((route, provider))
        if pace is None:
            pace = self._paces[route, provider] = Pace(policy)
        return pace

    def limits(self, whose: str, policy: LimitPolicy | None) -> tuple[Limits, ...]:
        """The limits of a route or of the router, as a tuple of one or none."""
        if policy is None:
            return ()
        known = self._limits.get(whose)
        if known is None:
            known = self._limits[whose] = Limits(policy)
        else:
            known.adopt(policy)
        return (known,)

    def forget(self, provider: str) -> None:
        """Forgets a provider that has left; its attempts in flight hold what they need."""
        self.gates.pop(provider).removed = True
        if self.ledger is not None:
            self.ledger.forget(provider)
        for key in [key for key in self._paces if key[1] == provider]:
            del self._paces[key]

    def shift(self, by: float) -> None:
        """Moves every instant by `by` seconds, to the clock of another loop."""
        for gate in self.gates.values():
            gate.shift(by)
        for limits in self._limits.values():
            limits.shift(by)
        for pace in self._paces.values():
            pace.shift(by)


class Roster:
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
        memory: Memory,
        limits: LimitPolicy | None,
    ) -> None:
        self.providers = providers_by_name(providers)
        self.routes = routes_by_name(routes)
        self._defaults = defaults
        self._memory = memory
        for route in self.routes.values():
            members_of(route, self.providers)
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
    ) -> CompiledRoute:
        """The route a call asks for, compiled: with the providers that can call, or stream.

        Raises:
            UsageError: for an unknown route, a router without providers, or a route none of
                whose providers can do what is asked.
        """
        if wanted is not None and not isinstance(wanted, str):
            return self._adhoc(wanted, streaming=streaming)
        compiled = (self._streaming if streaming else self._calling).get(wanted or DEFAULT)
        if compiled is not None:
            return compiled
        if not self.providers:
            raise UsageError("the router has no providers: add one before the first call")
        name = wanted or DEFAULT
        if name in self._named:
            raise UsageError(f"route {name!r}: {_unable(streaming=streaming)}")
        raise UsageError(f"unknown route {check.near(name, self._named)}")

    def all_routes(self) -> Mapping[str, CompiledRoute]:
        """The routes by name, compiled for calls, or else for streams."""
        return {**self._streaming, **self._calling}

    def _adhoc(self, wanted: Route | Iterable[str], *, streaming: bool) -> CompiledRoute:
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

    def _compile_all(self, *, streaming: bool) -> dict[str, CompiledRoute]:
        compiled = {
            name: self._compile(
                route, self._memory.limits(name, route.limits), name, streaming=streaming
            )
            for name, route in self._named.items()
        }
        return {name: route for name, route in compiled.items() if route is not None}

    def _compile(
        self, route: Route, limits: tuple[Limits, ...], label: str, *, streaming: bool
    ) -> CompiledRoute | None:
        defaults = self._defaults
        timeout = defaults.timeout if route.timeout is None else route.timeout
        attempt_timeout = route.attempt_timeout or defaults.attempt_timeout
        if attempt_timeout is None:
            attempt_timeout = min(ATTEMPT_TIMEOUT, timeout / 2)
        tiers = []
        able = "stream" if streaming else "call"
        policy = (route.stream or defaults.stream) if streaming else None
        for names in members_of(route, self.providers):
            members = [
                self._member(name, route, f"{label} {able}", attempt_timeout, policy)
                for name in names
                if getattr(self.providers[name], able) is not None
            ]
            if members:
                tiers.append(Tier(members, self._memory.revision, defaults.panic))
        if not tiers:
            return None
        compiled = CompiledRoute(label, route, tiers, defaults, (*limits, *self._limits))
        if self._memory.ledger is not None:
            self._memory.ledger.charge(compiled, route, known=label != ADHOC)
        Group([member.pace for member in compiled.members])
        shadow = route.shadow or defaults.shadow
        if shadow is not None and not streaming:
            pace = f"{label} {able}"
            compiled.shadow = Understudies(
                shadow,
                [
                    self._member(name, route, pace, attempt_timeout, None)
                    for name in shadow.known(self.providers)
                ],
            )
        return compiled

    def _member(
        self,
        name: str,
        route: Route,
        pace: str,
        attempt_timeout: float,
        stream: StreamPolicy | None,
    ) -> Member:
        provider = self.providers[name]
        limits = [provider.attempt_timeout, attempt_timeout]
        if stream is not None:
            limits = [provider.first_token, provider.attempt_timeout, stream.first_token, *limits]
        idle = provider.idle
        if idle is None:
            idle = math.inf if stream is None else stream.idle
        return Member(
            provider,
            self._gates[name],
            self._memory.pace(pace, name, self._defaults.pace),
            weight=route.weights.get(name, provider.weight),
            timeout=next(limit for limit in limits if limit is not None),
            idle=idle,
        )


def _unable(*, streaming: bool) -> str:
    able = "stream" if streaming else "call"
    return f"none of its providers has {able}="
