"""Management of a router: change providers and routes, hold circuits, inspect its state."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from typing_extensions import Unpack

from multirouter.attachment import Attachment
from multirouter.core import validation as check
from multirouter.core.circuit.gate import Gate
from multirouter.core.events import Configured, HoldName
from multirouter.core.registry.registration import Register
from multirouter.core.registry.registry import Registry
from multirouter.core.registry.updates import with_changes
from multirouter.core.routes.chain import Chain
from multirouter.core.routes.resolved_route import Defaults
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import LimitPolicy, shared_limits
from multirouter.core.settings.provider import Provider, ProviderSettings
from multirouter.errors import UsageError
from multirouter.model import ChunkT, RequestT, ResponseT
from multirouter.runtime.preload import preload

if TYPE_CHECKING:
    from multirouter.core.introspection import Explanation
    from multirouter.runtime.fleet.membership import Membership

CallT = TypeVar("CallT", bound=Callable[..., Any])


HOLDS: tuple[HoldName, ...] = ("open", "closed", "disabled", "metrics_only")


class Management(Attachment, Generic[RequestT, ResponseT, ChunkT]):
    """The methods of MultiProviderRouter that are not calls.

    Every change builds a complete new registry, which replaces the old one. A call in flight
    continues with the registry it started with, and a change that raises changes nothing.

    The methods that read may be called from any thread. Those that change the router must be called
    in the thread of its event loop while that is running; elsewhere they raise UsageError.
    """

    name: str
    _defaults: Defaults
    _limits: LimitPolicy | None

    # -- providers -------------------------------------------------------------------------------

    def provider(
        self, name: str, **settings: Unpack[ProviderSettings]
    ) -> Register[RequestT, ResponseT, ChunkT]:
        """Registers the decorated coroutine function, or async generator function, as a provider.

        Args:
            name: the provider's name.
            settings: as for `Provider`.
        """

        def register(function: CallT) -> CallT:
            if inspect.isasyncgenfunction(function):
                self.add(Provider(name, stream=function, **settings))
            else:
                self.add(Provider(name, function, **settings))
            return function

        return register

    def add(self, provider: Provider[RequestT, ResponseT, ChunkT]) -> None:
        """Adds a provider; calls in flight continue without it.

        Raises:
            UsageError: the router is closed.
            ConfigurationError: the name is already in use; nothing has changed then.
        """
        self._engine.binding.check_change("add")
        self._configure([*self._engine.registry.providers.values(), provider])

    def remove(self, name: str) -> None:
        """Removes a provider; its attempts in flight are completed, then it is closed.

        Raises:
            UsageError: the name is unknown, or the router is closed.
            ConfigurationError: a route names it; nothing has changed then.
        """
        self._engine.binding.check_change("remove")
        removed = self._provider_named(name)
        self._configure([p for p in self._engine.registry.providers.values() if p is not removed])

    def update(self, name: str, /, **settings: Unpack[ProviderSettings]) -> None:
        """Changes settings of a provider; its circuit keeps its state.

        A call in flight continues with the settings it started with.

        Raises:
            UsageError: the name is unknown, or the router is closed.
            ConfigurationError: a setting is invalid; nothing has changed then.
        """
        self._engine.binding.check_change("update")
        before, after = self._update(name, settings)
        if "weight" in settings and self.membership is not None:
            self.membership.operators.weight_changed(name, before, after)

    def _update(self, name: str, settings: ProviderSettings) -> tuple[float, float]:
        """Changes settings of a provider; returns its weight before and after."""
        old = self._provider_named(name)
        new = old.replace(**settings)
        providers = self._engine.registry.providers.values()
        self._configure([new if p is old else p for p in providers])
        return old.weight, new.weight

    def _set_shared_weight(self, name: str, weight: float) -> float:
        """Sets a weight that another process of the fleet has set; returns the one before."""
        return self._update(name, {"weight": weight})[0]

    def reconfigure(
        self,
        providers: Iterable[Provider[RequestT, ResponseT, ChunkT]],
        routes: Iterable[Route] = (),
        **settings: Any,
    ) -> None:
        """Replaces all providers and routes, and some of the router's settings, in one step.

        Calls in flight continue with what they started with. A provider that keeps its name keeps
        its circuit, its statistics and its accounts.

        Args:
            providers: the providers from now on.
            routes: the routes from now on.
            settings: the router's own (`timeout`, `attempt_timeout`, `retry`, `circuit`,
                `limits`, `latency`, `health`, `hedge`, `stream`, `rules`, `accept`, `fallback`,
                `panic`, `budget`, `shadow`), as for `MultiProviderRouter`; None resets one, and a
                setting left out keeps its value.

        Raises:
            UsageError: the router is closed.
            ConfigurationError: a provider, route or setting is invalid; nothing has changed then.
        """
        self._engine.binding.check_change("reconfigure")
        limits = shared_limits("limits", settings.pop("limits", self._limits))
        defaults = with_changes(self._defaults, settings)
        new_providers = check.objects("providers", providers, "Provider objects")
        new_routes = check.objects("routes", routes, "Route objects")
        self._configure(list(new_providers), list(new_routes), defaults, limits)
        if self.membership is not None:
            self.membership.operators.weights_reset()

    def hold(self, name: str, how: HoldName) -> None:
        """Overrides a provider's circuit by hand until `unhold`; timers do not end the hold.

        Args:
            name: the provider.
            how: `open`: never attempted. `closed`: attempted whatever its failures. `disabled`:
                attempted, and neither the circuit nor its window counts the results.
                `metrics_only`: attempted, and the circuit shows what it would do.

        Raises:
            UsageError: the name or the hold is unknown, or the router is closed.
        """
        self._engine.binding.check_change("hold")
        if how not in HOLDS:
            raise UsageError(f"unknown hold {check.suggestion(str(how), HOLDS)}")
        self._set_hold(name, how)

    def unhold(self, name: str) -> None:
        """Ends the hold of a provider's circuit; one held open becomes half-open.

        Raises:
            UsageError: the name is unknown.
        """
        self._engine.binding.check_change("unhold")
        self._set_hold(name, None)

    # -- inspection ------------------------------------------------------------------------------

    @property
    def membership(self) -> Membership | None:
        """The router's part in its fleet; None without `sharing=`."""
        return self._engine.membership

    @property
    def providers(self) -> tuple[Provider[RequestT, ResponseT, ChunkT], ...]:
        """The providers, in the order in which they were passed."""
        return tuple(self._engine.registry.providers.values())

    def snapshot(self) -> dict[str, Any]:
        """Returns the state as plain data; see `core.introspection.snapshot` for its shape."""
        from multirouter.core import introspection

        engine = self._engine
        routes, alarms = engine.registry.all_routes(), engine.firing_alarms()
        return introspection.snapshot(self.name, routes, engine.binding.now(), alarms)

    def explain(
        self,
        route: str | Route | Chain | Iterable[str] | None = None,
        *,
        request: RequestT | None = None,
    ) -> Explanation:
        """Returns which providers of a route are candidates now, and why the others are not.

        Args:
            route: as for `call`.
            request: the request of a call; also shows which providers cannot serve it.

        Returns:
            An `Explanation`; `print` shows it as a table.

        Raises:
            UsageError: the route is unknown.
        """
        registry, route_selection = self._engine.registry, self._engine.route_selection
        if route_selection is None or request is None:
            resolved = registry.route(route)
        else:
            resolved = route_selection.find(registry, request, route)
        from multirouter.core import introspection

        return introspection.explain(resolved, self._engine.binding.now(), request)

    def warnings(self) -> tuple[str, ...]:
        """Returns what is set up so that it cannot work as meant, as text; empty when nothing is.

        A strategy that lacks the settings which it compares (`cheapest` without prices), and routes
        whose providers all share a failure domain, such as one vendor.
        """
        from multirouter.core.routes.remarks import warnings_of

        return warnings_of(self._engine.registry.all_routes())

    def names(self) -> Iterable[str]:
        """Returns the providers' names."""
        return tuple(self._engine.states.gates)

    @property
    def waiting(self) -> int:
        """Number of calls that wait until a provider is available."""
        return len(self._engine.wait_queue)

    def in_flight(self, name: str) -> int:
        """Number of attempts at a provider that are in flight."""
        return self._gate(name).in_flight

    def available(self, name: str) -> bool:
        """Whether an attempt at a provider could start now."""
        return self._gate(name).admits(self._engine.binding.now())

    def degraded(self, name: str) -> bool:
        """Whether a provider is degraded on any route; it is attempted after healthy ones."""
        self._gate(name)
        return self._engine.states.degraded(name, self._engine.binding.now())

    def circuit_state(self, name: str) -> str:
        """State of a provider's circuit: `closed`, `open` or `half_open`."""
        return str(self._gate(name).circuit.state(self._engine.binding.now()))

    def model_circuits(self, name: str) -> dict[str, str]:
        """States of the circuits of a provider's models that are not closed, by model."""
        models = self._gate(name).models
        return {} if models is None else models.states(self._engine.binding.now())

    def __repr__(self) -> str:
        now = self._engine.binding.now()
        gates = "; ".join(
            f"{n}: {g.describe(now)}" for n, g in tuple(self._engine.states.gates.items())
        )
        return f"<MultiProviderRouter {self.name!r} {gates or 'without providers'}>"

    # -- internals -------------------------------------------------------------------------------

    def _build_registry(
        self,
        providers: list[Provider[Any, Any, Any]],
        routes: list[Route],
        defaults: Defaults,
        limits: LimitPolicy | None,
    ) -> Registry:
        """Builds a registry, and changes the state that outlives it; no error changes anything."""
        preload()
        states, route_selection = self._engine.states, self._engine.route_selection
        with states.changes.together():
            registry = Registry(providers, routes, defaults, states, limits)
            return registry if route_selection is None else route_selection.validate(registry)

    def _configure(
        self,
        providers: list[Provider[Any, Any, Any]],
        routes: list[Route] | None = None,
        defaults: Defaults | None = None,
        limits: LimitPolicy | None = None,
    ) -> None:
        """Replaces the registry; without `routes` and `defaults`, with those in force."""
        old = self._engine.registry.providers
        if routes is None:
            routes = list(self._engine.registry.routes.values())
        if defaults is None:
            defaults, limits = self._defaults, self._limits
        registry = self._build_registry(providers, routes, defaults, limits)
        self._defaults, self._limits = defaults, limits
        self._engine.context.budget.apply(defaults.retry)
        self._engine.use_registry(registry)
        new = self._engine.registry.providers
        removed = tuple(name for name in old if name not in new)
        for name in removed:
            self._engine.states.remove_provider(name)
        event = Configured(
            self.name,
            added=tuple(name for name in new if name not in old),
            removed=removed,
            updated=tuple(name for name in new if name in old and new[name] is not old[name]),
        )
        now = self._engine.binding.now()
        self._engine.states.keep_routes(tuple(self._engine.registry.names()), now)
        self._engine.dispatcher.post("configured", event)
        self._engine.dispatcher.deliver()
        self._engine.serve_waiting(now)

    def _provider_named(self, name: object) -> Provider[Any, Any, Any]:
        # Not every other object can be looked up: a list has no hash.
        known = self._engine.registry.providers
        provider = known.get(name) if isinstance(name, str) else None
        if provider is None:
            raise UsageError(f"unknown provider {check.suggestion(name, known)}")
        return provider

    def _gate(self, name: object) -> Gate:
        """Returns the gate of a provider, also of one that was removed."""
        gates = self._engine.states.gates
        if not isinstance(name, str) or name not in gates:
            raise UsageError(f"unknown provider {check.suggestion(name, gates)}")
        return gates[name]

    def _set_hold(self, name: str, how: HoldName | None) -> None:
        self._provider_named(name)
        now = self._engine.binding.now()
        self._engine.states.gates[name].set_hold(how, now)
        self._engine.dispatcher.deliver()
        self._engine.serve_waiting(now)
