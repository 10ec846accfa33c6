"""MultiProviderRouter: builds the parts and runs the loop that every call goes through."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import anyio

from multirouter.attempt import Asker
from multirouter.background import BackgroundAttempts, probe
from multirouter.core import picture
from multirouter.core import validation as check
from multirouter.core.classify import Classifier, Classify
from multirouter.core.events import Configured, HoldName, Listener, Newswire
from multirouter.core.gate import Gate
from multirouter.core.limits import RetryBudget
from multirouter.core.model import CallOutcome, ChunkT, Kind, RequestT, ResponseT
from multirouter.core.plan import Commons, Plan, Try, Wait
from multirouter.core.policies import (
    CALL_TIMEOUT,
    CircuitPolicy,
    HedgePolicy,
    LimitPolicy,
    PacePolicy,
    RetryPolicy,
)
from multirouter.core.provider import Provider
from multirouter.core.roster import Defaults, Memory, Roster
from multirouter.core.routes import Route
from multirouter.core.rules import Rule, rules_with
from multirouter.errors import CallFailed, ConfigurationError, UsageError
from multirouter.hedging import Race
from multirouter.listeners.logs import make_logs
from multirouter.listeners.metrics import make_metrics
from multirouter.resets import Resets
from multirouter.residence import Residence
from multirouter.waiting import WaitingLine

if TYPE_CHECKING:
    from typing import Self

    from prometheus_client import CollectorRegistry

CallT = TypeVar("CallT", bound=Callable[..., Any])

GRACE = 5.0
"""Seconds that `aclose` gives to calls in flight."""

HOLDS: tuple[HoldName, ...] = ("open", "closed", "disabled", "metrics_only")


class MultiProviderRouter(Generic[RequestT, ResponseT, ChunkT]):
    """Routes each call to one of several providers, and on to the others when it fails.

    Usable at once on asyncio; `async with router:` bounds its background tasks, and is what trio
    needs. It lives in one event loop at a time.

    Args:
        providers: who can be asked; more can be added later.
        name: its label in metrics and logs.
        routes: named policies for kinds of work; a route named `default` replaces the built-in
            one, which is all providers in one weighted tier.
        timeout: the whole call, seconds; `math.inf` for none.
        attempt_timeout: one await, seconds. Left out: 30, or half of `timeout` when that is less.
        retry: when and how often to ask again.
        circuit: the providers' default circuit policy.
        limits: limits of all providers together.
        pace: when an attempt is cut off by the provider's own past, and when slow means ill.
        hedge: when a second attempt starts beside a slow one; None for never.
        rules: what follows from a kind of failure, where it differs from `RULES`.
        classify: asked first what an exception or an answer counts as, as (error, None) or
            (None, value); None means no opinion.
        accept: judges an answer: False, a string saying what is wrong, or an exception refuses it.
        fallback: the substitute answer when nobody could, or a function of (request, error).
        panic: when less than this share of a tier is closed, circuits are ignored; None for never.
        listeners: hear all news, after metrics and logs.
        registry: the Prometheus registry; left out, the default one.
        logger: a structlog or standard logger; left out, structlog as configured.
        rng: the router's chance; left out, seeded by the system.

    Raises:
        ConfigurationError: for a setting that is refused.
    """

    def __init__(
        self,
        providers: Iterable[Provider[RequestT, ResponseT, ChunkT]] = (),
        *,
        name: str = "default",
        routes: Iterable[Route] = (),
        timeout: float = CALL_TIMEOUT,
        attempt_timeout: float | None = None,
        retry: RetryPolicy | None = None,
        circuit: CircuitPolicy | None = None,
        limits: LimitPolicy | None = None,
        pace: PacePolicy | None = None,
        hedge: HedgePolicy | None = None,
        rules: Mapping[Kind | str, Rule] | None = None,
        classify: Classify | None = None,
        accept: Callable[[ResponseT], object] | None = None,
        fallback: Any = None,
        panic: float | None = None,
        listeners: Iterable[Listener] = (),
        registry: CollectorRegistry | None = None,
        logger: Any = None,
        rng: Random | None = None,
    ) -> None:
        self.name: str = check.name("name", name)
        if attempt_timeout is not None:
            check.span("attempt_timeout", attempt_timeout, endless=True)
        self._limits = limits
        self._defaults = Defaults(
            timeout=check.span("timeout", timeout, endless=True),
            attempt_timeout=attempt_timeout,
            retry=retry or RetryPolicy(),
            circuit=circuit or CircuitPolicy(),
            pace=pace or PacePolicy(),
            hedge=hedge,
            rules=rules_with(rules or {}),
            accept=accept,
            fallback=fallback,
            panic=None if panic is None else check.share("panic", panic),
        )
        logs = make_logs(name, logger)
        self._task_broken = logs.task_broken
        self._wire = Newswire((), logs.broken)
        chance = rng or Random()
        self._memory = Memory(name, self._wire, chance)
        self._waiting = WaitingLine()
        self._background = BackgroundAttempts(self._served)
        self._resets = Resets(self._memory.gates.get, self._half_opened)
        self._classifier = Classifier(classify, wall=time.time, broken=logs.classifier_broken)
        budget = RetryBudget(self._defaults.retry)
        self._commons = Commons(name, chance, budget, self._wire)
        self._residence = Residence(
            self._memory,
            budget,
            self._resets,
            self._background,
            self._classifier,
            self._wire,
            logs.task_broken,
        )
        self._roster = self._built(list(providers), list(routes))
        self._metrics = make_metrics(name, self, registry)
        for listener in (self._resets, self._metrics, logs, *listeners):
            self._wire.add(listener)

    # -- calling ----------------------------------------------------------------------------

    async def call(
        self,
        request: RequestT,
        *,
        route: str | Route | Iterable[str] | None = None,
        timeout: float | None = None,
        wait: float = 0.0,
        idempotent: bool = True,
    ) -> ResponseT:
        """Asks the providers of a route until one of them answers.

        Args:
            request: handed to the provider as it is.
            route: a route's name, a `Route`, or a list of provider names for this call alone.
            timeout: the whole call with all its attempts, seconds, more than 0; left out, the
                route's, else the router's.
            wait: seconds the call may stand in line when nobody can be asked now, at least 0.
            idempotent: False when asking twice does harm: then nothing is repeated, hedged or
                copied that may have had an effect.

        Returns:
            What the provider returned, or the `fallback=`.

        Raises:
            CallFailed: when nobody could answer; its subclasses say why.
            UsageError: for a closed router, an unknown route, a second event loop.
            Exception: the provider's own, untouched, when the request itself is at fault.
        """
        outcome = await self.call_outcome(
            request, route=route, timeout=timeout, wait=wait, idempotent=idempotent
        )
        return outcome.value

    async def call_outcome(
        self,
        request: RequestT,
        *,
        route: str | Route | Iterable[str] | None = None,
        timeout: float | None = None,
        wait: float = 0.0,
        idempotent: bool = True,
    ) -> CallOutcome[ResponseT]:
        """As `call`, but an error is a part of the outcome, and so is the trail of attempts.

        Raises:
            UsageError: for a closed router, an unknown route, a second event loop.
        """
        residence = self._residence
        asker = residence.asker
        if asker is None or residence.closed or not asker.loop.current():
            asker = residence.settle_in()
        compiled = self._roster.route(route)
        if timeout is not None or wait:
            _check_call(timeout, wait)
        size = compiled.size_of(request) if compiled.sizes else 0
        now = residence.last_seen = asker.loop.time()
        plan = Plan(
            self._commons,
            compiled,
            now,
            timeout=timeout,
            wait=wait,
            idempotent=idempotent,
            size=size,
        )
        residence.calls += 1
        try:
            outcome = await self._drive(plan, request, asker, now)
            if outcome.error is not None and compiled.fallback is not None:
                outcome = await _fall_back(plan, compiled.fallback, request, outcome, asker)
        except BaseException as error:
            plan.finish(plan.broken_off(error, asker.loop.time()))
            raise
        finally:
            residence.call_ended()
        plan.finish(outcome)
        return outcome

    async def _drive(self, plan: Plan, request: Any, asker: Asker, now: float) -> CallOutcome[Any]:
        """The one loop: ask the plan, do what it says, tell it what came of it."""
        waiting = self._waiting
        if waiting:
            waiting.serve(now)  # who came first goes first
        step = plan.next_step(now)
        while True:
            if isinstance(step, Try):
                for copy in step.copies:
                    self._background.launch(plan, copy, request, asker)
                if plan.route.hedge is None:
                    now = await asker.ask(plan, step, request)
                else:
                    now = await Race(plan, asker, request).run(step)
                if waiting:
                    waiting.serve(now)
                step = plan.next_step(now)
            elif isinstance(step, Wait):
                if step.for_room:
                    step = await waiting.wait(plan, step.until, asker.loop)
                else:
                    await anyio.sleep(step.until - now)
                    now = asker.loop.time()
                    step = plan.next_step(now)
            else:
                return step

    # -- who can be asked -------------------------------------------------------------------

    def provider(
        self, name: str, **settings: Any
    ) -> Callable[
        [Callable[[RequestT], Awaitable[ResponseT]]], Callable[[RequestT], Awaitable[ResponseT]]
    ]:
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
        self._configure([*self._roster.providers.values(), provider])

    def remove(self, name: str) -> None:
        """Removes a provider; its attempts in flight run to their end.

        Raises:
            UsageError: for an unknown name.
            ConfigurationError: when a route names it; nothing has changed then.
        """
        leaving = self._known(name)
        self._configure([p for p in self._roster.providers.values() if p is not leaving])

    def update(self, name: str, **settings: Any) -> None:
        """Changes settings of a provider; its circuit keeps its state.

        A call in flight goes on with the settings it began with.

        Raises:
            UsageError: for an unknown name.
            ConfigurationError: for a setting that is refused; nothing has changed then.
        """
        old = self._known(name)
        new = old.replace(**settings)
        self._configure([new if p is old else p for p in self._roster.providers.values()])

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
        return tuple(self._roster.providers.values())

    def snapshot(self) -> dict[str, Any]:
        """The whole state as plain data; see `core.picture.snapshot` for its shape."""
        return picture.snapshot(self.name, self._roster.all_routes(), self._residence.now())

    def explain(self, route: str | Route | Iterable[str] | None = None) -> picture.Explanation:
        """Where calls on a route go now, who is out, why and until when; `print` it.

        Raises:
            UsageError: for an unknown route.
        """
        return picture.explain(self._roster.route(route), self._residence.now())

    def names(self) -> Iterable[str]:
        """The providers' names."""
        return tuple(self._memory.gates)

    def in_flight(self, name: str) -> int:
        """How many attempts at a provider are under way."""
        return self._memory.gates[name].in_flight

    def available(self, name: str) -> bool:
        """Whether a provider could be asked now."""
        return self._memory.gates[name].admits(self._residence.now())

    def circuit_state(self, name: str) -> str:
        """`closed`, `open` or `half_open`."""
        return str(self._memory.gates[name].circuit.state(self._residence.now()))

    def __repr__(self) -> str:
        now = self._residence.now()
        doors = ", ".join(f"{n}: {g.describe(now)}" for n, g in self._memory.gates.items())
        return f"<MultiProviderRouter {self.name!r} {doors or 'without providers'}>"

    # -- life -------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Enters the running loop for the time of the block; needed on trio."""
        await self._residence.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """As `aclose`."""
        await self.aclose()

    async def aclose(self, *, grace: float = GRACE) -> None:
        """Closes the router: a call after it raises UsageError; closing twice does nothing.

        Calls that wait for room are sent away, calls in flight get `grace` seconds, background
        tasks are cancelled and awaited, and each provider's `aclose` is awaited.
        """
        if self._residence.closed:
            return
        self._waiting.close()
        try:
            await self._residence.close(grace)
        finally:
            self._metrics.close()
            with anyio.CancelScope(shield=True):
                for provider in self.providers:
                    if provider.aclose is not None:
                        await self._close(provider.name, provider.aclose)

    # -- inside -----------------------------------------------------------------------------

    async def _close(self, name: str, aclose: Callable[[], Awaitable[object]]) -> None:
        try:
            await aclose()
        except Exception as error:  # noqa: BLE001 - one that cannot close must not keep the others
            self._task_broken(f"aclose of {name}", error)

    def _built(self, providers: list[Provider[Any, Any, Any]], routes: list[Route]) -> Roster:
        return Roster(providers, routes, self._defaults, self._memory, self._limits)

    def _configure(self, providers: list[Provider[Any, Any, Any]]) -> None:
        old = self._roster.providers
        self._roster = self._built(providers, list(self._roster.routes.values()))
        new = self._roster.providers
        removed = tuple(name for name in old if name not in new)
        for name in removed:
            self._memory.forget(name)
        news = Configured(
            self.name,
            added=tuple(name for name in new if name not in old),
            removed=removed,
            updated=tuple(name for name in new if name in old and new[name] is not old[name]),
        )
        self._wire.post("configured", news)
        self._wire.deliver()
        self._served(self._residence.now())

    def _known(self, name: str) -> Provider[Any, Any, Any]:
        provider = self._roster.providers.get(name)
        if provider is None:
            raise UsageError(f"unknown provider {check.near(name, self._roster.providers)}")
        return provider

    def _hold(self, name: str, how: HoldName | None) -> None:
        self._known(name)
        now = self._residence.now()
        self._memory.gates[name].hold_by_hand(how, now)
        self._wire.deliver()
        self._served(now)

    def _served(self, now: float) -> None:
        """Whatever may have made room is followed by this."""
        if self._waiting:
            self._waiting.serve(now)

    async def _half_opened(self, gate: Gate) -> None:
        """A reset was due: tell it, serve who waits, and run the provider's own probe."""
        self._wire.deliver()
        asker = self._residence.asker
        if asker is None:
            return
        self._served(asker.loop.time())
        route = self._roster.route(None)
        member = next((m for m in route.members if m.gate is gate), None)
        if member is not None and member.provider.probe is not None:
            await probe(member, route, asker.loop, self._classifier, self._wire)
            self._served(asker.loop.time())


def _check_call(timeout: float | None, wait: float) -> None:
    try:
        if timeout is not None:
            check.span("timeout", timeout, endless=True)
        check.number("wait", wait, least=0.0, endless=True)
    except ConfigurationError as error:
        raise UsageError(str(error)) from None


async def _fall_back(
    plan: Plan, fallback: Any, request: Any, outcome: CallOutcome[Any], asker: Asker
) -> CallOutcome[Any]:
    """The substitute answer, for a call that nobody could answer; not for a faulty request."""
    if not isinstance(outcome.error, CallFailed):
        return outcome
    value = fallback(request, outcome.error) if callable(fallback) else fallback
    if inspect.isawaitable(value):
        value = await value
    return plan.fallen_back(value, asker.loop.time())
