"""MultiProviderRouter: its settings, calls, streams and lifetime."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any, Never

from multirouter.core import function_checks as hooks
from multirouter.core import validation as check
from multirouter.core.cost.budget import Budget
from multirouter.core.cost.usage import ReadUsage
from multirouter.core.failures.classify import Classify
from multirouter.core.listener import Listener
from multirouter.core.registry.route_selection import RouteLike, RouteSelection
from multirouter.core.registry.updates import checked_settings
from multirouter.core.routes.chain import Chain
from multirouter.core.routes.resolved_route import Defaults
from multirouter.core.routes.route import Route
from multirouter.core.selection.eligibility import Requires, Sizes
from multirouter.core.settings.article_names import refuse_unknown
from multirouter.core.settings.failure_rules import Rule
from multirouter.core.settings.policies import (
    CALL_TIMEOUT,
    CircuitPolicy,
    HealthPolicy,
    HedgePolicy,
    LatencyPolicy,
    LimitPolicy,
    RetryPolicy,
    UnsupportedPolicy,
    shared_limits,
)
from multirouter.core.settings.provider import Provider
from multirouter.core.settings.shadow import Shadow
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.core.settings.wait_policy import WaitPolicy
from multirouter.listeners.logs import make_logs
from multirouter.listeners.metrics.metrics import Exemplar, make_metrics
from multirouter.management import Management
from multirouter.model import CallOutcome, ChunkT, FailureKind, RequestT, ResponseT
from multirouter.runtime.engine import Engine
from multirouter.runtime.optional.attach import (
    attach_alarms,
    attach_history,
    attach_telemetry,
    join_fleet,
)
from multirouter.schema_validation import json_schema

if TYPE_CHECKING:
    from typing import Self

    from prometheus_client import CollectorRegistry

    # Imported when first used:
    from multirouter.listeners.alarms.alarms import AlarmRule, Alarms
    from multirouter.listeners.history.history import History
    from multirouter.runtime.streams.stream import Stream
    from multirouter.sharing.settings import Sharing
    from multirouter.telemetry.opentelemetry import OpenTelemetry

GRACE = 5.0
"""Seconds that `aclose` waits for calls in flight."""

ON_CREATED: list[Callable[[Any], None]] = []
"""Called with each router that is created in this process."""


class MultiProviderRouter(Management[RequestT, ResponseT, ChunkT]):
    """Routes each call to one of several providers, and fails over to the others.

    Ready for use on asyncio as it is; `async with router:` bounds its background tasks and is
    required on trio. A router belongs to one event loop at a time.

    Args:
        providers: the providers; more can be added later.
        name: the router's label in metrics and logs.
        routes: named policies for kinds of work; a route named `default` replaces the built-in
            one, which is all providers in one weighted tier.
        route: chooses the route of a call that names none: a function of the request that returns
            a name, a `Route`, a list of provider names, or None for `default`; see `by_length`.
        unknown_route: the route of calls that name an unknown one; left out, UsageError.
        requires: returns the capabilities that a request needs; providers that lack one are not
            attempted. See `chat_requires`.
        size: returns a request's tokens, or its tokens and the most output tokens it asks for;
            providers whose limits are lower are not attempted. Left out, both are estimated where a
            provider has a context window.
        timeout: timeout of the whole call, seconds, > 0; `math.inf` for none.
        attempt_timeout: timeout of one await, seconds, > 0. Left out: 30, or half of `timeout` when
            that is less.
        retry: when and how often to retry.
        circuit: the providers' default circuit policy.
        limits: limits of all providers together.
        latency: adaptive timeouts, and from when on a slow provider counts as unhealthy.
        health: when a provider counts as degraded, and is attempted after the others.
        hedge: when a second attempt starts beside a slow one; None for never.
        stream: time limits of streams, how they must end, what happens when they break.
        rules: rules by failure kind that differ from `RULES`.
        classify: the user's classification of an exception or answer, called first with
            (error, None) or (None, value); it returns None to leave it to the default.
        accept: judges an answer, called with (answer) or (answer, request): a string with the
            reason, an exception, or what counts as False, but not None, makes it `invalid`; or a
            JSON Schema that its content must match.
        fallback: the substitute answer when no provider answered, or a function of (request,
            error). An async function has until the call's deadline, and at least one second.
        panic: ignore circuits when less than this share of a tier is closed, 0 to 1; None for
            never.
        usage: reads usage from answers and chunks of providers that have a price and no reader of
            their own; left out, the formats of OpenAI, Anthropic and Gemini are read.
        budget: what may be spent altogether; when it is used up, calls are rejected until the
            period ends.
        history: a file, or a `History`, that records events; a restart restores state from it.
        shadow: which calls are copied to which providers in the background; None for none.
        unsupported: what happens when a provider cannot express a request: `pass_over`, `drop` or
            `reject`; see `Route`.
        sharing: shares circuits, cooldowns, holds and limits with the routers of this name in other
            processes; see `RedisSharing`. Requires asyncio.
        alarms: alarm rules, or `Alarms` with receivers of notifications.
        listeners: receive all events, after metrics and logs.
        registry: the Prometheus registry; left out, the default one.
        exemplar: called at each timing; returns the labels of the current trace, or None.
        telemetry: traces calls and attempts; without an `exemplar=` it also links timings to them.
        logger: a structlog or standard logger; left out, structlog as configured.
        error_messages: whether log events include error messages, which may quote prompts.
        rng: the random number generator of choices and jitter; left out, seeded by the system.

    Raises:
        ConfigurationError: a setting is invalid.
    """

    def __init__(
        self,
        providers: Iterable[Provider[RequestT, ResponseT, ChunkT]] = (),
        *,
        name: str = "default",
        routes: Iterable[Route] = (),
        route: Callable[[RequestT], RouteLike] | None = None,
        unknown_route: str | None = None,
        requires: Requires | None = None,
        size: Sizes | None = None,
        timeout: float = CALL_TIMEOUT,
        attempt_timeout: float | None = None,
        retry: RetryPolicy | None = None,
        circuit: CircuitPolicy | None = None,
        limits: LimitPolicy | None = None,
        latency: LatencyPolicy | None = None,
        health: HealthPolicy | None = None,
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
        unsupported: UnsupportedPolicy = "pass_over",
        sharing: Sharing | None = None,
        alarms: Alarms | Iterable[AlarmRule] = (),
        listeners: Iterable[Listener] = (),
        registry: CollectorRegistry | None = None,
        exemplar: Exemplar | None = None,
        telemetry: OpenTelemetry | None = None,
        logger: Any = None,
        error_messages: bool = False,
        rng: Random | None = None,
        **unknown: Never,
    ) -> None:
        refuse_unknown("MultiProviderRouter", unknown, _SETTINGS)
        self.name: str = check.name("name", name)
        self._limits = shared_limits("limits", limits)
        check.flag("error_messages", error_messages)
        self._defaults = Defaults(
            **checked_settings(
                timeout=timeout,
                attempt_timeout=attempt_timeout,
                retry=retry,
                circuit=circuit,
                latency=latency,
                health=health,
                hedge=hedge,
                stream=stream,
                rules=rules,
                accept=accept,
                fallback=fallback,
                panic=panic,
                budget=budget,
                shadow=shadow,
                unsupported=unsupported,
                requires=requires,
                size=size,
            ),
            usage=hooks.plain_function("usage", usage, "answer"),
            schema=json_schema,
        )
        self._engine = Engine(
            self.name,
            self._defaults,
            rng=check.instance("rng", rng, Random),
            classify=hooks.plain_function("classify", classify, "error", "value"),
            logs=make_logs(name, logger, error_messages=error_messages),
        )
        if route is not None or unknown_route is not None:
            route_selection = RouteSelection(
                self.name, self._engine.dispatcher, route, unknown_route
            )
            self._engine.route_selection = route_selection
        given = list(check.objects("providers", providers, "Provider objects"))
        named = list(check.objects("routes", routes, "Route objects"))
        self._engine.use_registry(self._build_registry(given, named, self._defaults, self._limits))
        exemplar = hooks.plain_function("exemplar", exemplar)
        if telemetry is not None:
            attach_telemetry(self._engine, telemetry)
            exemplar = exemplar or telemetry.exemplar
        metrics = make_metrics(name, self, registry, exemplar=exemplar)
        if history is not None:
            attach_history(self._engine, history, metrics)
        self._engine.add_listeners(
            metrics, check.objects("listeners", listeners, "Listener objects")
        )
        if alarms != ():
            attach_alarms(self._engine, alarms, self)
        if sharing is not None:
            join_fleet(self._engine, sharing, self._set_shared_weight, metrics)
        for created in ON_CREATED:
            created(self)

    # -- calls -----------------------------------------------------------------------------------

    async def call(
        self,
        request: RequestT,
        *,
        route: str | Route | Chain | Iterable[str] | None = None,
        timeout: float | None = None,
        wait: float | WaitPolicy = 0.0,
        idempotent: bool = True,
    ) -> ResponseT:
        """Attempts the providers of a route until one of them answers.

        Args:
            request: passed to the provider unchanged.
            route: a route's name, or for this call alone a `Route`, a `Chain` of several routes and
                models, or a list of provider names.
            timeout: timeout of the whole call with all its attempts, seconds, > 0; left out, the
                route's, else the router's.
            wait: seconds the call may queue when no provider is available, >= 0; or a `WaitPolicy`.
            idempotent: False when the request must not be sent twice: an attempt that may have had
                side effects is not retried, and none is hedged or copied.

        Returns:
            The provider's return value, or the `fallback=`.

        Raises:
            CallFailed: no provider answered; its subclasses say why.
            UsageError: the router is closed, the route is unknown, or the router is in use in
                another event loop.
            Exception: the provider's own exception, unchanged, when the request is at fault.
        """
        outcome: CallOutcome[ResponseT] = await self._engine.call(
            request, route, timeout, wait, idempotent
        )
        try:
            return outcome.value
        finally:
            del outcome  # the traceback of its error holds this frame: a cycle that keeps requests

    async def call_outcome(
        self,
        request: RequestT,
        *,
        route: str | Route | Chain | Iterable[str] | None = None,
        timeout: float | None = None,
        wait: float | WaitPolicy = 0.0,
        idempotent: bool = True,
    ) -> CallOutcome[ResponseT]:
        """As `call`, but returns the outcome with the error and the trail of attempts.

        Raises:
            UsageError: as for `call`.
        """
        return await self._engine.call(request, route, timeout, wait, idempotent)

    def stream(
        self,
        request: RequestT,
        *,
        route: str | Route | Chain | Iterable[str] | None = None,
        timeout: float | None = None,
        wait: float | WaitPolicy = 0.0,
        idempotent: bool = True,
    ) -> Stream[ChunkT]:
        """Returns a streamed answer: `async with router.stream(q) as s: async for chunk in s`.

        No provider is attempted before the stream is awaited or entered. Up to the first content it
        fails over as a call does, within `timeout`; after that, `StreamPolicy` applies.

        Args:
            request: as for `call`.
            route: as for `call`.
            timeout: seconds to the first content, all attempts included; > 0.
            wait: as for `call`.
            idempotent: as for `call`; False also keeps a broken stream from continuing elsewhere.
        """
        from multirouter.runtime.streams.stream import Stream

        return Stream(lambda: self._engine.stream(request, route, timeout, wait, idempotent))

    # -- lifetime --------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Binds the router to the running event loop for the block; required on trio."""
        await self._engine.binding.open()
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
            await self._engine.binding.exit()

    async def aclose(self, *, grace: float = GRACE) -> None:
        """Closes the router: later calls raise UsageError; closing twice does nothing.

        Queued calls end, calls in flight get `grace` seconds, background tasks are cancelled and
        awaited, and each provider's `aclose` is awaited: all at once, each for three seconds at
        most. What fails or does not end in time is logged.

        Args:
            grace: seconds to wait for calls in flight, >= 0; may be `math.inf`.

        Raises:
            ConfigurationError: `grace` is invalid; nothing is closed.
        """
        await self._engine.close(check.number("grace", grace, minimum=0.0, allow_inf=True))


_SETTINGS = tuple(MultiProviderRouter.__init__.__annotations__.keys() - {"unknown", "return"})
"""Names of the settings, for the error of an unknown one."""
