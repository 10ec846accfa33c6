"""The engine of a router: builds its parts and runs calls and streams through them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from random import Random
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

import anyio
from anyio import to_thread

from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import AlarmChanged, LoopStalled
from multirouter.core.failures.classify import Classifier, Classify
from multirouter.core.limits.retry_budget import RetryBudget
from multirouter.core.listener import Listener
from multirouter.core.planning.chain_plan import ChainPlan
from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import CallTracer, PlanContext
from multirouter.core.registry.accounts import Accounts
from multirouter.core.registry.provider_state import ProviderStates
from multirouter.core.registry.registry import Registry
from multirouter.core.registry.route_selection import RouteSelection
from multirouter.core.routes.chain import Chain
from multirouter.core.routes.resolved_route import Defaults
from multirouter.core.routes.route import Route
from multirouter.core.selection.eligibility import NONE_EXCLUDED
from multirouter.core.settings.wait_policy import WaitPolicy
from multirouter.listeners.logs import Logs
from multirouter.listeners.metrics.gauges import RouterView
from multirouter.listeners.metrics.metrics import Metrics
from multirouter.model import CallOutcome
from multirouter.runtime.call_loop import CallLoop, apply_fallback, check_call_options
from multirouter.runtime.event_loops.stalls import Stall
from multirouter.runtime.loop_binding import LoopBinding
from multirouter.runtime.provider_closing import ProviderClosing
from multirouter.runtime.recovery.half_open_timers import HalfOpenTimers
from multirouter.runtime.recovery.health_checks import HealthChecks
from multirouter.runtime.recovery.trials import BackgroundAttempts
from multirouter.runtime.shadow_traffic import ShadowTraffic
from multirouter.runtime.wait_queue import WaitQueue

if TYPE_CHECKING:  # What a router may do without is loaded when it is first used.
    from multirouter.listeners.alarms.alarms import Alarms
    from multirouter.listeners.history.history import History
    from multirouter.runtime.fleet.membership import Membership
    from multirouter.runtime.streams.session import StreamSession


class Engine:
    """The parts of a router.

    Args:
        name: the router's name.
        defaults: its settings.
        rng: its random numbers; None makes a generator that the system seeds.
        classify: the user's classifier, or None.
        logs: its logs.

    Attributes:
        dispatcher: delivers events to the listeners.
        states: gates, latencies, health and limits, which outlive a change of configuration.
        wait_queue: the calls that wait for a provider with free capacity.
        background: the attempts that run in the background.
        half_open_timers: the timers of open circuits.
        binding: the event loop of the router.
        firing_alarms: returns the alarms that are firing.
        registry: the current providers and routes; replaced as a whole.
        route_selection: chooses the route of a call that names none; None without selection.
        context: what the plans of calls share.
        membership: the router's part in its fleet; None without sharing.
    """

    registry: Registry
    membership: Membership | None = None

    def __init__(
        self,
        name: str,
        defaults: Defaults,
        *,
        rng: Random | None,
        classify: Classify | None,
        logs: Logs,
    ) -> None:
        self._reseeds = rng is None
        rng = rng or Random()
        self._logs = logs
        self._metrics: Metrics | None = None
        self._history: History | None = None
        self.route_selection: RouteSelection | None = None
        self.firing_alarms: Callable[[], tuple[AlarmChanged, ...]] = tuple
        self.dispatcher: EventDispatcher = EventDispatcher((), logs.on_listener_error)
        logs.add_listener = WeakMethod(self._add_listener)
        accounts = Accounts(
            name,
            self.dispatcher,
            wall=time.time,
            on_hook_error=logs.on_hook_error,
            usage=defaults.usage,
        )
        self.states: ProviderStates = ProviderStates(name, self.dispatcher, rng, accounts)
        self.states.on_hook_error = logs.on_hook_error
        self.wait_queue: WaitQueue = WaitQueue()
        self.background: BackgroundAttempts = BackgroundAttempts(self.serve_waiting)
        self._call_loop = CallLoop(self.wait_queue, self.background)
        self._classifier = Classifier(classify, wall=time.time, on_error=logs.on_classifier_error)
        budget = RetryBudget(defaults.retry)
        self.context: PlanContext = PlanContext(name, rng, budget, self.dispatcher)
        health_checks = HealthChecks(
            lambda name: self.registry.candidate(name),  # noqa: PLW0108 - the registry changes
            self._classifier,
            self.dispatcher,
            self.serve_waiting,
            self.context,
        )
        self.half_open_timers: HalfOpenTimers = HalfOpenTimers(
            self.states.gates.get, health_checks, self._on_half_open
        )
        self._shadow_traffic = ShadowTraffic(
            rng, self.dispatcher, self._classifier, self.serve_waiting, logs.on_hook_error
        )
        self._provider_closing = ProviderClosing(logs.on_task_error)
        self.binding: LoopBinding = LoopBinding(
            self.states,
            budget,
            self.half_open_timers,
            self.background,
            self._provider_closing,
            self._classifier,
            self.dispatcher,
            logs.on_task_error,
            self._on_stall,
            self._on_lost,
        )
        self.binding.services.append(self._shadow_traffic)
        self.states.now, self.states.wall = self.binding.now, time.time
        self.states.in_loop = self.binding.run

    def use_registry(self, registry: Registry) -> None:
        """Uses these providers and routes from here on; closes providers that left, when unused."""
        self.registry = registry
        self._provider_closing.configured(registry.providers.values(), registry.use)

    def add_listeners(self, metrics: Metrics, listeners: Iterable[Listener]) -> None:
        """Adds listeners, in this order: half-open timers, metrics, logs, those of the user."""
        self._metrics = metrics
        for listener in (self.half_open_timers, metrics, self._logs, *listeners):
            self.dispatcher.add(listener)

    def _add_listener(self, listener: Listener) -> None:
        """Adds a listener. The dispatcher's own method, when compiled, has no weak reference."""
        self.dispatcher.add(listener)

    def attach_history(self, history: History, metrics: Metrics) -> None:
        """Restores the state of earlier runs without emitting events, then records the history.

        Raises:
            ConfigurationError: when the file is not a history, or another router uses it.
        """
        history.attach(
            self.context.router,
            metrics.count_history_dropped,
            self._logs.on_task_error,
        )
        accounts = self.states.accounts.by_owner
        history.restore(self.registry, accounts, self.binding.now(), self._logs.on_task_error)
        metrics.count_history_dropped(0)
        self._history = history
        self.dispatcher.add(history)

    def attach_alarms(self, alarms: Alarms, view: RouterView) -> None:
        """Evaluates alarm rules from here on."""
        from multirouter.listeners.alarms.alarms import AlarmEvaluator
        from multirouter.runtime.alarm_task import AlarmTask

        evaluator = AlarmEvaluator(
            alarms, self.context.router, view, self.dispatcher, self._logs.on_hook_error
        )
        self.firing_alarms = evaluator.firing
        alarm_task = AlarmTask(
            alarms, evaluator, self.dispatcher, self.context.rng, self._logs.on_task_error
        )
        self.binding.services.append(alarm_task)
        if self._metrics is not None:
            self._metrics.register_alarms(rule.name for rule in alarms.rules)

    def attach_tracer(self, tracer: CallTracer) -> None:
        """Follows calls and their attempts from here on."""
        self.context.tracer = tracer
        self.dispatcher.follow_attempts()

    def serve_waiting(self, now: float) -> None:
        """Serves waiting calls; to be called after every event that may free capacity."""
        if self.wait_queue.waiters:
            self.wait_queue.serve(now)

    async def call(
        self,
        request: Any,
        route: str | Route | Chain | Iterable[str] | None,
        timeout: float | None,
        wait: float | WaitPolicy,
        idempotent: bool,  # noqa: FBT001 - passed on once per call, where keywords would cost time
    ) -> CallOutcome[Any]:
        """Runs one call and returns its outcome; see `MultiProviderRouter.call`."""
        binding = self.binding
        attempter = binding.attempter
        if attempter is None or binding.closed or not attempter.loop.is_current():
            attempter = binding.bind()
        if self.route_selection is None:
            resolved = self.registry.route(route)
        else:
            resolved = self.route_selection.find(self.registry, request, route)
        if timeout is not None or wait:
            check_call_options(timeout, wait)
        size = resolved.size_of(request) if resolved.sizes else 0
        ineligible = (
            NONE_EXCLUDED
            if resolved.eligibility is None
            else resolved.eligibility.ineligible(request)
        )
        now = binding.last_seen = attempter.loop.time()
        if now > attempter.loop.stalls.overdue_at:
            attempter.loop.stalls.notice(now)
        plan = (ChainPlan if resolved.is_chain else Plan)(
            self.context, resolved, now, timeout, wait, idempotent, size, request, ineligible
        )
        use = resolved.use
        use.count += 1
        try:
            # A ServeStep needs a StreamOpener; with a CallAttempter the result is an outcome.
            outcome: CallOutcome[Any] = await self._call_loop.drive(plan, request, attempter, now)  # type: ignore[assignment]
            if outcome.error is not None and resolved.fallback is not None:
                outcome = await apply_fallback(
                    plan, resolved.fallback, request, outcome, attempter.loop
                )
        except BaseException as error:
            plan.finish(plan.abort(error, attempter.loop.time()))
            del plan  # as below
            raise
        finally:
            use.end()
        try:
            plan.finish(outcome)
            if resolved.shadow is not None:
                self._shadow_traffic.maybe_copy(plan, outcome, request, attempter)
            return outcome
        finally:
            del plan, outcome  # as in `CallLoop.drive`: tracebacks of errors hold this frame

    def stream(
        self,
        request: Any,
        route: str | Route | Chain | Iterable[str] | None,
        timeout: float | None,
        wait: float | WaitPolicy,
        idempotent: bool,  # noqa: FBT001 - as in call
    ) -> StreamSession:
        """Begins one streamed call; see `MultiProviderRouter.stream`."""
        from multirouter.runtime.streams.continuation import Delivered
        from multirouter.runtime.streams.opening import StreamOpener
        from multirouter.runtime.streams.session import StreamSession

        binding = self.binding
        attempter = binding.bind()
        if self.route_selection is None:
            resolved = self.registry.route(route, streaming=True)
        else:
            resolved = self.route_selection.find(self.registry, request, route, streaming=True)
        check_call_options(timeout, wait)
        size = resolved.size_of(request) if resolved.sizes else 0
        ineligible = (
            NONE_EXCLUDED
            if resolved.eligibility is None
            else resolved.eligibility.ineligible(request)
        )
        now = binding.last_seen = attempter.loop.time()
        if now > attempter.loop.stalls.overdue_at:
            attempter.loop.stalls.notice(now)
        plan = (ChainPlan if resolved.is_chain else Plan)(
            self.context, resolved, now, timeout, wait, idempotent, size, request, ineligible
        )
        opener = StreamOpener(attempter, resolved.stream, Delivered(resolved.stream, request))
        use = resolved.use
        use.count += 1

        def on_end() -> None:
            use.end()
            self.serve_waiting(self.binding.now())

        return StreamSession(plan, request, opener, resolved.stream, self._call_loop, on_end)

    async def close(self, grace: float) -> None:
        """Rejects waiting calls, waits `grace` seconds for calls in flight, closes everything."""
        if self.binding.closed:
            return
        self.wait_queue.close()
        try:
            await self.binding.close(grace)
        finally:
            if self._metrics is not None:
                self._metrics.close()
            try:
                await self._provider_closing.close_all()
            finally:
                if self._history is not None:
                    with anyio.CancelScope(shield=True):
                        await to_thread.run_sync(self._history.close)

    def _on_stall(self, stall: Stall) -> None:
        """The event loop stalled: gives the time back to trials and waiting calls; reports it."""
        for gate in self.states.gates.values():
            gate.circuit.trials.shift(stall.lost)
        self.wait_queue.give_back(stall.lost)
        event = LoopStalled(self.context.router, stall.seconds, stall.ended)
        self.dispatcher.post("loop_stalled", event)
        self.dispatcher.deliver()

    def _on_lost(self, *, forked: bool) -> None:
        """Forgets the calls of a parent process, or of a loop that was closed: they never end."""
        context, self.context.lost = self.context, True
        self.context = PlanContext(context.router, context.rng, context.budget, context.dispatcher)
        self.states.forget_attempts()
        self.wait_queue.rebind()
        self._shadow_traffic.forget_attempts()
        self.background.forget()
        self._provider_closing.forget_calls(self.registry.forget_calls())
        if forked and self._reseeds:
            self.context.rng.seed()  # equal numbers would send the trials of all workers together

    def _on_half_open(self, now: float) -> None:
        """A circuit half-opened: delivers the event, and serves waiting calls."""
        self.dispatcher.deliver()
        self.serve_waiting(now)
