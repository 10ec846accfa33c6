"""State of providers and routes that outlives changes of the configuration."""

from __future__ import annotations

from collections.abc import Collection
from random import Random

from multirouter.core.change_counter import ChangeCounter
from multirouter.core.circuit.gate import Gate
from multirouter.core.event_dispatcher import EventDispatcher, OnHookError
from multirouter.core.events import RouteDiverted
from multirouter.core.health.adaptive_timeout import LatencyTracker
from multirouter.core.health.degraded import HealthWindow
from multirouter.core.health.latency_average import LatencyAverage
from multirouter.core.limits.rate_limits import Limits
from multirouter.core.registry.accounts import Accounts
from multirouter.core.routes.diversion import Diversion
from multirouter.core.settings.policies import (
    CircuitPolicy,
    HealthPolicy,
    LatencyPolicy,
    LimitPolicy,
)


class ProviderStates:
    """Gates, latencies, health and limits by name; kept when the configuration is replaced.

    Args:
        router: the router's name.
        dispatcher: receives the gates' events.
        rng: the router's random number generator, for the jitter of open durations.
        accounts: the router's accounts.

    Attributes:
        gates: the gates of the router's providers, by name.
        revision: rises when any gate changes; tier tables made at an older revision are stale.
        accounts: the router's accounts.
        on_hook_error: called with a user's hook that raised, and its exception.
    """

    def __init__(
        self, router: str, dispatcher: EventDispatcher, rng: Random, accounts: Accounts
    ) -> None:
        self._router = router
        self._dispatcher = dispatcher
        self._rng = rng
        self._latencies: dict[tuple[str, str], LatencyTracker] = {}
        self._healths: dict[tuple[str, str], HealthWindow] = {}
        self._latency_averages: dict[tuple[str, str], LatencyAverage] = {}
        self._limits: dict[str, Limits] = {}
        self._diversions: dict[str, Diversion] = {}
        self.gates: dict[str, Gate] = {}
        self.revision: ChangeCounter = ChangeCounter()
        self._tripped_models = ChangeCounter()
        self.accounts: Accounts = accounts
        self.on_hook_error: OnHookError = dispatcher.report_hook_error

    def gate(self, name: str, policy: CircuitPolicy, limits: LimitPolicy | None) -> Gate:
        """Returns a provider's gate, new or existing, with these policies applied."""
        gate = self.gates.get(name)
        if gate is None:
            return Gate(
                name,
                policy,
                limits,
                router=self._router,
                dispatcher=self._dispatcher,
                revision=self.revision,
                rng=self._rng,
                tripped_models=self._tripped_models,
            )
        gate.apply(policy, limits)
        return gate

    def latency(self, route: str, provider: str, policy: LatencyPolicy) -> LatencyTracker:
        """Returns a provider's latency tracker on a route, for calls or for streams."""
        latency = self._latencies.get((route, provider))
        if latency is None:
            latency = self._latencies[route, provider] = LatencyTracker(policy)
        else:
            latency.apply(policy)
        return latency

    def health(self, route: str, provider: str, policy: HealthPolicy) -> HealthWindow:
        """Returns a provider's health on a route, the same for calls and streams."""
        health = self._healths.get((route, provider))
        if health is None:
            health = self._healths[route, provider] = HealthWindow(policy, self.revision)
        else:
            health.apply(policy)
        return health

    def latency_average(self, route: str, provider: str) -> LatencyAverage:
        """Returns a provider's latency average on a route, for calls or for streams."""
        average = self._latency_averages.get((route, provider))
        if average is None:
            average = self._latency_averages[route, provider] = LatencyAverage()
        return average

    def diversion(self, route: str) -> Diversion:
        """Returns a route's diversion, the same for calls and streams."""
        diversion = self._diversions.get(route)
        if diversion is None:
            diversion = self._diversions[route] = Diversion()
        return diversion

    def keep_diversions(self, routes: Collection[str], now: float) -> None:
        """Ends the diversions of all routes but these, which were removed, at `now`."""
        for name in [name for name in self._diversions if name not in routes]:
            diversion = self._diversions.pop(name)
            if diversion.active:
                event = RouteDiverted(self._router, name, False, "", (), "", diversion.since, now)
                self._dispatcher.post("route_diverted", event)

    def degraded(self, provider: str, now: float) -> bool:
        """Whether a provider is degraded on any route at `now` (loop time, seconds)."""
        # A copy, since metrics are read in other threads while routes are added and removed.
        healths = tuple(self._healths.items())
        return any(health.degraded_at(now) for (_, name), health in healths if name == provider)

    def limits(self, owner: str, policy: LimitPolicy | None) -> tuple[Limits, ...]:
        """Returns the limits of a route, or of the router (owner ""), as a tuple of one or none."""
        if policy is None:
            return ()
        limits = self._limits.get(owner)
        if limits is None:
            limits = self._limits[owner] = Limits(policy)
        else:
            limits.apply(policy)
        return (limits,)

    def remove_provider(self, provider: str) -> None:
        """Removes the state of a provider that left; attempts in flight keep their references."""
        gate = self.gates.pop(provider)
        gate.removed = True
        if gate.models is not None:
            gate.models.clear()
            gate.models = None
        self.accounts.remove_provider(provider)
        for by_place in (self._latencies, self._healths, self._latency_averages):
            for key in [key for key in by_place if key[1] == provider]:
                del by_place[key]

    def forget_attempts(self) -> None:
        """Counts no attempt as in flight: all were those of a closed loop, or a parent process."""
        for gate in self.gates.values():
            gate.forget_attempts()
        for limits in self._limits.values():
            limits.in_flight = 0

    def shift(self, by: float) -> None:
        """Moves every stored time by `by` seconds, to the clock of another event loop."""
        for gate in self.gates.values():
            gate.shift(by)
        for limits in self._limits.values():
            limits.shift(by)
        for diversion in self._diversions.values():
            diversion.shift(by)
        for by_place in (self._latencies, self._healths, self._latency_averages):
            for state in by_place.values():
                state.shift(by)
