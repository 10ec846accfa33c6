"""What a router's owner does with it: change who can be asked, hold circuits, look at it all."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, overload

from typing_extensions import Unpack

from multirouter.core import validation as check
from multirouter.core.events import Configured, HoldName
from multirouter.core.registry.registry import Registry
from multirouter.core.registry.updates import changed
from multirouter.core.routes.resolved_route import Defaults
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import LimitPolicy
from multirouter.core.settings.provider import Provider, ProviderSettings
from multirouter.errors import UsageError
from multirouter.model import ChunkT, RequestT, ResponseT
from multirouter.runtime.engine import Engine

if TYPE_CHECKING:
    from multirouter.core.introspection import Explanation

CallT = TypeVar("CallT", bound=Callable[..., Any])


class Register(Protocol[RequestT, ResponseT, ChunkT]):
    """What `@router.provider(...)` does to a function: it takes it down and hands it back."""

    @overload
    def __call__(
        self, function: Callable[[RequestT], Coroutine[Any, Any, ResponseT]], /
    ) -> Callable[[RequestT], Coroutine[Any, Any, ResponseT]]: ...

    @overload
    def __call__(
        self, function: Callable[[RequestT], Awaitable[ResponseT]], /
    ) -> Callable[[RequestT], Awaitable[ResponseT]]: ...

    @overload
    def __call__(
        self, function: Callable[[RequestT], AsyncIterator[ChunkT]], /
    ) -> Callable[[RequestT], AsyncIterator[ChunkT]]: ...


HOLDS: tuple[HoldName, ...] = ("open", "closed", "disabled", "metrics_only")


class Management(Generic[RequestT, ResponseT, ChunkT]):
    """The part of MultiProviderRouter that is not a call.

    Every change builds a whole new roster and puts it in the place of the old one; a call that
    is in flight goes on with the one it began with, and a change that is refused changes nothing.
    """

    name: str
    _defaults: Defaults
    _limits: LimitPolicy | None
    _engine: Engine

    # -- who can be asked -------------------------------------------------------------------

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
        """Adds a provider; calls in flight go on without it.

        Raises:
            ConfigurationError: for a name that is there already; nothing has changed then.
        """
        self._configure([*self._engine.roster.providers.values(), provider])

    def remove(self, name: str) -> None:
        """Removes a provider; its attempts in flight run to their end.

        Raises:
            UsageError: for an unknown name.
            ConfigurationError: when a route names it; nothing has changed then.
        """
        leaving = self._known(name)
        self._configure([p for p in self._engine.roster.providers.values() if p is not leaving])

    def update(self, name: str, /, **settings: Unpack[ProviderSettings]) -> None:
        """Changes settings of a provider; its circuit keeps its state.

        A call in flight goes on with the settings it began with.

        Raises:
            UsageError: for an unknown name.
            ConfigurationError: for a setting that is refused; nothing has changed then.
        """
        old = self._known(name)
        new = old.replace(**settings)
        roster = self._engine.roster
        changed_ones = [new if p is old else p for p in roster.providers.values()]
        self._rehearse(changed_ones, list(roster.routes.values()), self._defaults, self._limits)
        self._configure(changed_ones)

    def reconfigure(
        self,
        providers: Iterable[Provider[RequestT, ResponseT, ChunkT]],
        routes: Iterable[Route] = (),
        **settings: Any,
    ) -> None:
        """Replaces all providers and routes, and some of the router's settings, at one stroke.

        Calls in flight go on with what they began with. Whoever keeps his name keeps his
        circuit, and what was learned and counted of him.

        Args:
            providers: who can be asked from now on.
            routes: the routes from now on.
            settings: the router's own (`timeout`, `attempt_timeout`, `retry`, `circuit`,
                `limits`, `latency`, `hedge`, `stream`, `rules`, `accept`, `fallback`, `panic`,
                `budget`, `shadow`), as for `MultiProviderRouter`; None resets one, and what is
                left out stays.

        Raises:
            ConfigurationError: for whatever is refused; nothing has changed then.
        """
        limits = check.instance("limits", settings.pop("limits", self._limits), LimitPolicy)
        defaults = changed(self._defaults, settings)
        wanted, ways = list(providers), list(routes)
        self._rehearse(wanted, ways, defaults, limits)
        self._defaults, self._limits = defaults, limits
        self._engine.adopt(defaults)
        self._configure(wanted, ways)

    def hold(self, name: str, how: HoldName) -> None:
        """Takes a provider's circuit into your own hand until `unhold`; resets do not end it.

        Args:
            name: the provider.
            how: `open`: it is not asked. `closed`: it is asked, whatever its failures.
                `disabled`: it is asked, and neither circuit nor window notice. `metrics_only`:
                it is asked, and the circuit shows what it would do.

        Raises:
            UsageError: for an unknown name or hold.
        """
        if how not in HOLDS:
            raise UsageError(f"unknown hold {check.near(str(how), HOLDS)}")
        self._hold(name, how)

    def unhold(self, name: str) -> None:
        """Gives a provider's circuit back; one that was held open is tried before it is trusted.

        Raises:
            UsageError: for an unknown name.
        """
        self._hold(name, None)

    # -- what is going on -------------------------------------------------------------------

    @property
    def providers(self) -> tuple[Provider[RequestT, ResponseT, ChunkT], ...]:
        """The providers, in the order in which they were given."""
        return tuple(self._engine.roster.providers.values())

    def snapshot(self) -> dict[str, Any]:
        """The whole state as plain data; see `core.picture.snapshot` for its shape."""
        from multirouter.core import introspection as picture

        return picture.snapshot(
            self.name, self._engine.roster.all_routes(), self._engine.residence.now()
        )

    def explain(
        self, route: str | Route | Iterable[str] | None = None, *, request: RequestT | None = None
    ) -> Explanation:
        """Where calls on a route go now, who is out, why and until when; `print` it.

        Args:
            route: as for `call`.
            request: what would be asked: then it tells whom it does not fit, too.

        Raises:
            UsageError: for an unknown route.
        """
        roster, dispatch = self._engine.roster, self._engine.dispatch
        if dispatch is None or request is None:
            compiled = roster.route(route)
        else:
            compiled = dispatch.find(roster, request, route)
        from multirouter.core import introspection as picture

        return picture.explain(compiled, self._engine.residence.now(), request)

    def names(self) -> Iterable[str]:
        """The providers' names."""
        return tuple(self._engine.memory.gates)

    def in_flight(self, name: str) -> int:
        """How many attempts at a provider are under way."""
        return self._engine.memory.gates[name].in_flight

    def available(self, name: str) -> bool:
        """Whether a provider could be asked now."""
        return self._engine.memory.gates[name].admits(self._engine.residence.now())

    def degraded(self, name: str) -> bool:
        """Whether a provider is degraded on any route: it is asked after the others."""
        return self._engine.memory.degraded(name, self._engine.residence.now())

    def circuit_state(self, name: str) -> str:
        """`closed`, `open` or `half_open`."""
        return str(self._engine.memory.gates[name].circuit.state(self._engine.residence.now()))

    def __repr__(self) -> str:
        now = self._engine.residence.now()
        doors = ", ".join(f"{n}: {g.describe(now)}" for n, g in self._engine.memory.gates.items())
        return f"<MultiProviderRouter {self.name!r} {doors or 'without providers'}>"

    # -- inside -----------------------------------------------------------------------------

    def _built(self, providers: list[Provider[Any, Any, Any]], routes: list[Route]) -> Registry:
        roster = Registry(providers, routes, self._defaults, self._engine.memory, self._limits)
        dispatch = self._engine.dispatch
        return roster if dispatch is None else dispatch.checked(roster)

    def _rehearse(
        self,
        providers: list[Provider[Any, Any, Any]],
        routes: list[Route],
        defaults: Defaults,
        limits: LimitPolicy | None,
    ) -> None:
        """Refuses what would be refused.

        Doors and accounts adopt new terms while a roster is built; here they are strangers, so
        that a refusal halfway has changed nothing.
        """
        roster = Registry(providers, routes, defaults, self._engine.rehearsal(defaults), limits)
        if self._engine.dispatch is not None:
            self._engine.dispatch.checked(roster)

    def _configure(
        self, providers: list[Provider[Any, Any, Any]], routes: list[Route] | None = None
    ) -> None:
        old = self._engine.roster.providers
        if routes is None:
            routes = list(self._engine.roster.routes.values())
        self._engine.roster = self._built(providers, routes)
        new = self._engine.roster.providers
        removed = tuple(name for name in old if name not in new)
        for name in removed:
            self._engine.memory.forget(name)
        news = Configured(
            self.name,
            added=tuple(name for name in new if name not in old),
            removed=removed,
            updated=tuple(name for name in new if name in old and new[name] is not old[name]),
        )
        self._engine.dispatcher.post("configured", news)
        self._engine.dispatcher.deliver()
        self._engine.served(self._engine.residence.now())

    def _known(self, name: str) -> Provider[Any, Any, Any]:
        provider = self._engine.roster.providers.get(name)
        if provider is None:
            raise UsageError(f"unknown provider {check.near(name, self._engine.roster.providers)}")
        return provider

    def _hold(self, name: str, how: HoldName | None) -> None:
        self._known(name)
        now = self._engine.residence.now()
        self._engine.memory.gates[name].hold_by_hand(how, now)
        self._engine.dispatcher.deliver()
        self._engine.served(now)
