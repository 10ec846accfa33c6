"""MultiProviderRouter: builds the parts and runs the loop that every call goes through."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any

import anyio

from multirouter.background import BackgroundAttempts, probe
from multirouter.core import validation as check
from multirouter.core.classify import Classifier, Classify
from multirouter.core.events import Listener, Newswire
from multirouter.core.gate import Gate
from multirouter.core.limits import RetryBudget
from multirouter.core.model import CallOutcome, ChunkT, Kind, RequestT, ResponseT
from multirouter.core.plan import Plan
from multirouter.core.policies import (
    CALL_TIMEOUT,
    CircuitPolicy,
    HedgePolicy,
    LimitPolicy,
    PacePolicy,
    RetryPolicy,
)
from multirouter.core.provider import Provider
from multirouter.core.roster import Defaults, Memory
from multirouter.core.routes import Route
from multirouter.core.rules import Rule, rules_with
from multirouter.core.steps import Commons
from multirouter.core.stream_policy import StreamPolicy
from multirouter.driving import Driver, check_call, fall_back
from multirouter.eventloop import EventLoop
from multirouter.listeners.logs import make_logs
from multirouter.listeners.metrics import make_metrics
from multirouter.management import Management
from multirouter.opening import Opener
from multirouter.resets import Resets
from multirouter.residence import Residence
from multirouter.splicing import Delivered
from multirouter.streaming import Opened, Stream
from multirouter.waiting import WaitingLine

if TYPE_CHECKING:
    from typing import Self

    from prometheus_client import CollectorRegistry

GRACE = 5.0
"""Seconds that `aclose` gives to calls in flight."""


class MultiProviderRouter(Management[RequestT, ResponseT, ChunkT]):
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
        stream: how long streams may take, how they must end, what happens when they break.
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
        stream: StreamPolicy | None = None,
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
        self.name = check.name("name", name)
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
            stream=stream or StreamPolicy(),
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
        self._driver = Driver(self._waiting, self._background)
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
        outcome = await self._outcome(request, route, timeout, wait, idempotent)
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
        return await self._outcome(request, route, timeout, wait, idempotent)

    async def _outcome(
        self,
        request: RequestT,
        route: str | Route | Iterable[str] | None,
        timeout: float | None,
        wait: float,
        idempotent: bool,  # noqa: FBT001 - handed on once a call, where keywords would cost
    ) -> CallOutcome[ResponseT]:
        residence = self._residence
        asker = residence.asker
        if asker is None or residence.closed or not asker.loop.current():
            asker = residence.settle_in()
        compiled = self._roster.route(route)
        if timeout is not None or wait:
            check_call(timeout, wait)
        size = compiled.size_of(request) if compiled.sizes else 0
        now = residence.last_seen = asker.loop.time()
        plan = Plan(self._commons, compiled, now, timeout, wait, idempotent, size)
        residence.calls += 1
        try:
            outcome: CallOutcome[Any] = await self._driver.drive(  # type: ignore[assignment] # only
                plan,
                request,
                asker,
                now,  # an Opener makes a plan serve, and this is an Asker
            )
            if outcome.error is not None and compiled.fallback is not None:
                outcome = await fall_back(plan, compiled.fallback, request, outcome, asker)
        except BaseException as error:
            plan.finish(plan.broken_off(error, asker.loop.time()))
            raise
        finally:
            residence.call_ended()
        plan.finish(outcome)
        return outcome

    def stream(
        self,
        request: RequestT,
        *,
        route: str | Route | Iterable[str] | None = None,
        timeout: float | None = None,
        wait: float = 0.0,
        idempotent: bool = True,
    ) -> Stream[ChunkT]:
        """A streamed answer: `async with router.stream(q) as s: async for chunk in s`.

        Nothing is asked before it is awaited or entered. Up to the first content it fails over
        as a call does, and `timeout` bounds that; what happens later is `StreamPolicy`'s.

        Args:
            request: as for `call`.
            route: as for `call`.
            timeout: seconds to the first content, all attempts included; more than 0.
            wait: as for `call`.
            idempotent: as for `call`; False also keeps a broken stream from going on elsewhere.
        """
        return Stream(lambda: self._open(request, route, timeout, wait, idempotent))

    async def _open(
        self,
        request: RequestT,
        route: str | Route | Iterable[str] | None,
        timeout: float | None,
        wait: float,
        idempotent: bool,  # noqa: FBT001 - as in _outcome
    ) -> Opened:
        residence = self._residence
        asker = residence.settle_in()
        compiled = self._roster.route(route, streaming=True)
        check_call(timeout, wait)
        size = compiled.size_of(request) if compiled.sizes else 0
        now = residence.last_seen = asker.loop.time()
        plan = Plan(self._commons, compiled, now, timeout, wait, idempotent, size)
        opener = Opener(asker, compiled.stream, Delivered(compiled.stream, request))
        residence.calls += 1
        try:
            outcome = await self._driver.drive(plan, request, opener, now)
        except BaseException as error:
            plan.finish(plan.broken_off(error, asker.loop.time()))
            residence.call_ended()
            raise
        if isinstance(outcome, CallOutcome):
            plan.finish(outcome)
            residence.call_ended()
            assert outcome.error is not None, "only a failure ends a stream that nobody serves"
            raise outcome.error
        return Opened(
            plan=plan,
            opener=opener,
            policy=compiled.stream,
            drive=lambda: self._driver.drive(plan, request, opener, asker.loop.time()),
            ended=self._stream_ended,
            judge=self._classifier.error,
        )

    def _stream_ended(self) -> None:
        self._residence.call_ended()
        self._served(self._residence.now())

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
        try:
            await self.aclose()
        finally:
            await self._residence.leave()

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
        except Exception as error:
            self._task_broken(f"aclose of {name}", error)

    async def _half_opened(self, gate: Gate, loop: EventLoop) -> None:
        """A reset was due: tell it, serve who waits, and run the provider's own probe."""
        self._wire.deliver()
        self._served(loop.time())
        for route in self._roster.all_routes().values():
            for member in route.members:
                if member.gate is gate and member.provider.probe is not None:
                    await probe(member, route, loop, self._classifier, self._wire)
                    self._served(loop.time())
                    return
