"""State of providers and routes that outlives changes of the configuration."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from random import Random

from multirouter.core.change_counter import ChangeCounter
from multirouter.core.circuit.gate import Gate
from multirouter.core.cost.account import Account
from multirouter.core.event_dispatcher import EventDispatcher, OnHookError
from multirouter.core.events import RouteDiverted
from multirouter.core.failures import rate_limit_headers
from multirouter.core.failures.headers import plain_headers
from multirouter.core.health.degraded import HealthWindow
from multirouter.core.health.latency_average import LatencyAverage
from multirouter.core.health.latency_tracker import LatencyTracker
from multirouter.core.limits.rate_limits import Limits
from multirouter.core.registry.accounts import Accounts
from multirouter.core.registry.state_changes import StateChanges
from multirouter.core.routes.diversion import Diversion
from multirouter.core.routes.unique_names import ADHOC
from multirouter.core.settings.policies import (
    CircuitPolicy,
    HealthPolicy,
    LatencyPolicy,
    LimitPolicy,
)

Place = tuple[str, ...]
"""A route, and an operation or ""; for latencies also `call` or `stream`."""


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
        changes: makes the changes of a new configuration.
        on_hook_error: called with a user's hook that raised, and its exception.
        now: loop time, seconds, for headers that arrive between the steps of a call.
        wall: wall-clock time, seconds since 1970, for headers with a point in time.
        in_loop: runs a function soon in the thread of the router's event loop.
        on_low_limit: called with a provider, a model and the loop time when headers report that
            little is left; None in a process that shares nothing.
    """

    def __init__(
        self, router: str, dispatcher: EventDispatcher, rng: Random, accounts: Accounts
    ) -> None:
        self._router = router
        self._dispatcher = dispatcher
        self._rng = rng
        self._latencies: dict[tuple[Place, str], LatencyTracker] = {}
        self._healths: dict[tuple[Place, str], HealthWindow] = {}
        self._latency_averages: dict[tuple[Place, str], LatencyAverage] = {}
        self._limits: dict[str, Limits] = {}
        self._diversions: dict[str, Diversion] = {}
        self.gates: dict[str, Gate] = {}
        self.revision: ChangeCounter = ChangeCounter()
        self._tripped_models = ChangeCounter()
        self.accounts: Accounts = accounts
        self.changes: StateChanges = accounts.changes
        self.on_hook_error: OnHookError = dispatcher.report_hook_error
        self.now: Callable[[], float] = lambda: 0.0
        self.wall: Callable[[], float] = lambda: 0.0
        self.in_loop: Callable[[Callable[[], object]], object] = _at_once
        self.on_low_limit: Callable[[str, str, float], None] | None = None

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
        applied = None if gate.limits is None else gate.limits.policy
        if gate.circuit.policy is not policy or applied is not limits:
            self.changes.make(gate.apply, policy, limits)
        return gate

    def latency(self, place: Place, provider: str, policy: LatencyPolicy) -> LatencyTracker:
        """Returns a provider's latency tracker on a route, for calls or for streams."""
        latency = self._latencies.get((place, provider))
        if latency is None:
            latency = LatencyTracker(policy)
            self.changes.add(self._latencies, (place, provider), latency)
        elif latency.policy is not policy:
            self.changes.make(latency.apply, policy)
        return latency

    def health(self, place: Place, provider: str, policy: HealthPolicy) -> HealthWindow:
        """Returns a provider's health on a route, the same for calls and streams."""
        health = self._healths.get((place, provider))
        if health is None:
            health = HealthWindow(policy, self.revision)
            self.changes.add(self._healths, (place, provider), health)
        elif health.policy is not policy:
            self.changes.make(health.apply, policy)
        return health

    def latency_average(self, place: Place, provider: str) -> LatencyAverage:
        """Returns a provider's latency average on a route, for calls or for streams."""
        average = self._latency_averages.get((place, provider))
        if average is None:
            average = LatencyAverage()
            self.changes.add(self._latency_averages, (place, provider), average)
        return average

    def diversion(self, route: str) -> Diversion:
        """Returns a route's diversion, the same for calls and streams."""
        diversion = self._diversions.get(route)
        if diversion is None:
            diversion = Diversion()
            self.changes.add(self._diversions, route, diversion)
        return diversion

    def keep_routes(self, routes: Collection[str], now: float) -> None:
        """Removes the state of all routes but these, which left; ends their diversions at `now`.

        Attempts in flight keep their references.
        """
        kept = {*routes, ADHOC}
        for by_place in (self._latencies, self._healths, self._latency_averages):
            for key in [key for key in by_place if key[0][0] not in kept]:
                del by_place[key]
        for owner in [owner for owner in self._limits if owner and owner not in kept]:
            del self._limits[owner]
        self.accounts.keep_routes(routes)
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
            limits = Limits(policy)
            self.changes.add(self._limits, owner, limits)
        else:
            self.changes.make(limits.apply, policy)
        return (limits,)

    def observe_headers(self, provider: str, model: str, headers: object) -> None:
        """Learns the limits of a provider from the headers of an answer, soon, from any thread.

        Args:
            provider: its name.
            model: the model that answered; "" when it is not known.
            headers: see `plain_headers`; they never fail the attempt that has the answer.
        """
        self.in_loop(partial(self._learn, provider, model, plain_headers(headers)))

    def _learn(self, provider: str, model: str, headers: Mapping[str, str]) -> None:
        gate = self.gates.get(provider)
        reports = list(rate_limit_headers.reports(headers, self.wall))
        if gate is None or gate.learned is None or not reports:
            return
        now, learned = self.now(), gate.learned.of(model)
        for report in reports:
            learned.observe(report, now)
        if self.on_low_limit is not None and learned.is_low:
            self.on_low_limit(provider, model, now)

    def shared_limits(self) -> Iterator[tuple[str, Limits]]:
        """The limits that a fleet shares, of providers, routes and the router, by name."""
        for name, gate in self.gates.items():
            if gate.limits is not None and gate.limits.is_shared:
                yield f"provider {name}", gate.limits
        for owner, limits in self._limits.items():
            if limits.is_shared:
                yield f"route {owner}" if owner else "router", limits

    def budget_accounts(self) -> Iterable[Account]:
        """The accounts whose budgets a fleet shares."""
        return self.accounts.by_owner.values()

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
            limits.forget_attempts()

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


def _at_once(function: Callable[[], object]) -> object:
    return function()
