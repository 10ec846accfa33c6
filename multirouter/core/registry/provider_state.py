"""What a router remembers of its providers across changes of its configuration."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from multirouter.core.change_counter import ChangeCounter
from multirouter.core.circuit.gate import Gate
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.health.adaptive_timeout import LatencyTracker
from multirouter.core.health.degraded import HealthWindow
from multirouter.core.health.latency_average import LatencyAverage
from multirouter.core.limits.rate_limits import Limits
from multirouter.core.registry.accounts import Accounts
from multirouter.core.settings.policies import CircuitPolicy, LatencyPolicy, LimitPolicy


class ProviderStates:
    """What outlives a change of configuration: doors, paces and limits, by name.

    Attributes:
        gates: the doors of the providers that are in the router.
        revision: rises when any door changes; all draw tables watch it.
        ledger: the accounts.
        hook_broken: told of a hook of the user's that raised, and of what it raised.
    """

    def __init__(
        self, router: str, dispatcher: EventDispatcher, rng: Random, ledger: Accounts
    ) -> None:
        self._router = router
        self._dispatcher = dispatcher
        self._rng = rng
        self._latencies: dict[tuple[str, str], LatencyTracker] = {}
        self._healths: dict[tuple[str, str], HealthWindow] = {}
        self._speeds: dict[tuple[str, str], LatencyAverage] = {}
        self._limits: dict[str, Limits] = {}
        self.gates: dict[str, Gate] = {}
        self.revision: ChangeCounter = ChangeCounter()
        self.ledger: Accounts = ledger
        self.hook_broken: Callable[[Callable[..., Any], Exception], None] = dispatcher.report

    def gate(self, name: str, policy: CircuitPolicy, limits: LimitPolicy | None) -> Gate:
        """A provider's door; a new one, or the one it had, under the policies of today."""
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
            )
        gate.adopt(policy, limits)
        return gate

    def latency(self, route: str, provider: str, policy: LatencyPolicy) -> LatencyTracker:
        """A provider's pace on a route, for calls or for streams."""
        latency = self._latencies.get((route, provider))
        if latency is None:
            latency = self._latencies[route, provider] = LatencyTracker(policy)
        else:
            latency.adopt(policy)
        return latency

    def health(self, route: str, provider: str) -> HealthWindow:
        """A provider's health on a route, the same for calls and for streams."""
        health = self._healths.get((route, provider))
        if health is None:
            health = self._healths[route, provider] = HealthWindow(self.revision)
        return health

    def speed(self, route: str, provider: str) -> LatencyAverage:
        """A provider's speed on a route, for calls or for streams."""
        speed = self._speeds.get((route, provider))
        if speed is None:
            speed = self._speeds[route, provider] = LatencyAverage()
        return speed

    def degraded(self, provider: str, now: float) -> bool:
        """Whether a provider is degraded on any route at `now` (loop time, seconds)."""
        # Of a copy: metrics are read in other threads, while routes come and go.
        healths = tuple(self._healths.items())
        return any(health.degraded_at(now) for (_, name), health in healths if name == provider)

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
        self.ledger.forget(provider)
        for known in (self._latencies, self._healths, self._speeds):
            for key in [key for key in known if key[1] == provider]:
                del known[key]

    def shift(self, by: float) -> None:
        """Moves every instant by `by` seconds, to the clock of another loop."""
        for gate in self.gates.values():
            gate.shift(by)
        for limits in self._limits.values():
            limits.shift(by)
        for kept in (self._latencies, self._healths, self._speeds):
            for past in kept.values():
                past.shift(by)
