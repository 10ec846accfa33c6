"""MultiProviderRouter: builds the parts and runs the loop that every call goes through."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any

from multirouter.core import validation as check
from multirouter.core.cost.budgets import Budget
from multirouter.core.cost.usage import ReadUsage
from multirouter.core.events import Listener
from multirouter.core.failures.classify import Classify
from multirouter.core.registry.route_selection import RouteSelection, Wanted
from multirouter.core.registry.updates import settled
from multirouter.core.routes.resolved_route import Defaults
from multirouter.core.routes.route import Route
from multirouter.core.selection.eligibility import Requires, Sizes
from multirouter.core.settings.failure_rules import Rule
from multirouter.core.settings.policies import (
    CALL_TIMEOUT,
    CircuitPolicy,
    HedgePolicy,
    LatencyPolicy,
    LimitPolicy,
    RetryPolicy,
)
from multirouter.core.settings.provider import Provider
from multirouter.core.settings.shadow import Shadow
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.listeners.logs import make_logs
from multirouter.listeners.metrics.metrics import Exemplar, Metrics, make_metrics
from multirouter.management import Management
from multirouter.model import CallOutcome, ChunkT, FailureKind, RequestT, ResponseT
from multirouter.runtime.engine import Engine
from multirouter.schema_validation import json_schema

if TYPE_CHECKING:
    from typing import Self

    from prometheus_client import CollectorRegistry

    # Loaded when it is first used:
    from multirouter.listeners.alarms.alarms import AlarmRule, Alarms
    from multirouter.listeners.history.history import History
    from multirouter.runtime.streams.stream import Stream

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
        route: reads the request of a call that names no route, and says which it takes: a name,
            a `Route`, a list of provider names, or None for `default`; see `by_length`.
        unknown_route: the route of calls that name one there is not; left out, UsageError.
        requires: reads a request and says which capabilities it needs: who lacks one is not
            asked; see `chat_requires`.
        size: reads a request and says its tokens, or those and the most it wants written: for
            whom they are too many is not asked. Left out, estimated where a window is named.
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
        accept: judges an answer: False, a string saying what is wrong, or an exception refuses
            it; or a JSON Schema that its content must meet.
        fallback: the substitute answer when nobody could, or a function of (request, error). An
            async one has until the call's deadline, and a second in any case.
        panic: when less than this share of a tier is closed, circuits are ignored; None for never.
        usage: reads usage from answers and chunks, for the providers that have a price and no
            reader of their own; left out, the shapes of OpenAI, Anthropic and Gemini.
        budget: what may be spent altogether; used up, calls are refused until the period ends.
        history: a file, or a `History`, that keeps what happens; a restart takes up from it.
        shadow: which calls are copied to whom in the background; None for none.
        alarms: rules to watch by, or `Alarms` that say whom to tell as well.
        listeners: hear all news, after metrics and logs.
        registry: the Prometheus registry; left out, the default one.
        exemplar: asked at each timing for the labels of the trace it belongs to, or None.
        logger: a structlog or standard logger; left out, structlog as configured.
        error_messages: whether log events quote what errors say, which may quote prompts.
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
        route: Callable[[RequestT], Wanted] | None = None,
        unknown_route: str | None = None,
        requires: Requires | None = None,
        size: Sizes | None = None,
        timeout: float = CALL_TIMEOUT,
        attempt_timeout: float | None = None,
        retry: RetryPolicy | None = None,
        circuit: CircuitPolicy | None = None,
        limits: LimitPolicy | None = None,
        latency: LatencyPolicy | None = None,
        hedge: HedgePolicy | None = None,
        stream: StreamPolicy | None = None,
        rules: Mapping[FailureKind | str, Rule] | None = None,
        classify: Classify | None = None,
        accept: Callable[[ResponseT], object] | Mapping[str, Any] | None = None,
        fallback: Any = None,
        panic: float | None = None,
        usage: ReadUsage | None = None,
        budget: Budget | Iterable[Budget] | None = None,
        history: History | str | PathLike[str] | None = None,
        shadow: Shadow | None = None,
        alarms: Alarms | Iterable[AlarmRule] = (),
        listeners: Iterable[Listener] = (),
        registry: CollectorRegistry | None = None,
        exemplar: Exemplar | None = None,
        logger: Any = None,
        error_messages: bool = False,
        rng: Random | None = None,
    ) -> None:
        self.name: str = check.name("name", name)
        self._limits = check.instance("limits", limits, LimitPolicy)
        self._defaults = Defaults(
            **settled(
                timeout=timeout,
                attempt_timeout=attempt_timeout,
                retry=retry,
                circuit=circuit,
                latency=latency,
                hedge=hedge,
                stream=stream,
                rules=rules,
                accept=accept,
                fallback=fallback,
                panic=panic,
                budget=budget,
                shadow=shadow,
            ),
            usage=check.function("usage", usage),
            requires=check.function("requires", requires),
            size=check.function("size", size),
            schema=json_schema,
        )
        self._engine = Engine(
            self.name,
            self._defaults,
            rng=check.instance("rng", rng, Random) or Random(),
            classify=check.function("classify", classify),
            logs=make_logs(name, logger, error_messages=error_messages),
        )
        if route is not None or unknown_route is not None:
            dispatch = RouteSelection(self.name, self._engine.dispatcher, route, unknown_route)
            self._engine.dispatch = dispatch
        self._engine.roster = self._built(list(providers), list(routes))
        exemplar = check.function("exemplar", exemplar)
        metrics = make_metrics(name, self, registry, exemplar=exemplar)
        if history is not None:
            self._remember(history, metrics)
        self._engine.listen(metrics, listeners)
        if alarms != ():
            self._keep_watch(alarms)

    def _remember(self, history: History | str | PathLike[str], metrics: Metrics) -> None:
        from multirouter.listeners.history.history import as_history

        self._engine.remember(as_history(history), metrics)

    def _keep_watch(self, alarms: Alarms | Iterable[AlarmRule]) -> None:
        from multirouter.listeners.alarms.alarms import Alarms

        watched = alarms if isinstance(alarms, Alarms) else Alarms(alarms)
        if watched.rules:
            self._engine.keep_watch(watched, self)

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
        outcome: CallOutcome[ResponseT] = await self._engine.call(
            request, route, timeout, wait, idempotent
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
        return await self._engine.call(request, route, timeout, wait, idempotent)

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
        from multirouter.runtime.streams.stream import Stream

        return Stream(lambda: self._engine.stream(request, route, timeout, wait, idempotent))

    # -- life -------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Enters the running loop for the time of the block; needed on trio."""
        await self._engine.residence.open()
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
            await self._engine.residence.leave()

    async def aclose(self, *, grace: float = GRACE) -> None:
        """Closes the router: a call after it raises UsageError; closing twice does nothing.

        Calls that wait for room are sent away, calls in flight get `grace` seconds, background
        tasks are cancelled and awaited, and each provider's `aclose` is awaited.
        """
        await self._engine.close(grace, self.providers)
