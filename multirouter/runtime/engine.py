"""The parts of a router put together, and how they work on one call."""

from __future__ import annotations

import time
from collections.abc import Iterable
from random import Random
from typing import TYPE_CHECKING, Any

import anyio
from anyio import to_thread

from multirouter.core.circuit.gate import Gate
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import Listener
from multirouter.core.failures.classify import Classifier, Classify
from multirouter.core.limits.rate_limits import RetryBudget
from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import PlanContext, ServeStep
from multirouter.core.registry.accounts import Accounts
from multirouter.core.registry.provider_state import ProviderStates
from multirouter.core.registry.registry import Registry
from multirouter.core.registry.route_selection import RouteSelection
from multirouter.core.routes.resolved_route import Defaults
from multirouter.core.routes.route import Route
from multirouter.core.selection.tier_tables import NOBODY
from multirouter.core.settings.provider import Provider
from multirouter.listeners.logs import Logs
from multirouter.listeners.metrics.gauges import View
from multirouter.listeners.metrics.metrics import Metrics
from multirouter.model import CallOutcome
from multirouter.runtime.call_loop import CallLoop, check_call, fall_back
from multirouter.runtime.event_loops.base import EventLoop
from multirouter.runtime.half_open_timers import HalfOpenTimers
from multirouter.runtime.loop_binding import LoopBinding
from multirouter.runtime.shadow_traffic import ShadowTraffic
from multirouter.runtime.trials import BackgroundAttempts, health_check
from multirouter.runtime.wait_queue import WaitQueue

if TYPE_CHECKING:  # What a router may do without is loaded when it is first used.
    from multirouter.listeners.alarms.alarms import Alarms
    from multirouter.listeners.history.history import History
    from multirouter.runtime.streams.session import StreamSession


class Engine:
    """What a router is made of.

    Args:
        name: the router's name.
        defaults: its settings.
        rng: its chance.
        classify: the user's classifier, or None.
        logs: its logs.

    Attributes:
        wire: carries the news.
        memory: doors, paces and limits, which outlive a change of configuration.
        waiting: the calls that wait for room.
        background: the attempts that nobody awaits.
        resets: the pending resets.
        residence: the loop it lives in.
        roster: who can be asked, as of now; replaced whole.
        dispatch: chooses the route where a call's own word does not; None where it does.
    """

    roster: Registry
    dispatch: RouteSelection | None = None

    def __init__(
        self,
        name: str,
        defaults: Defaults,
        *,
        rng: Random,
        classify: Classify | None,
        logs: Logs,
    ) -> None:
        self._logs = logs
        self._metrics: Metrics | None = None
        self._history: History | None = None
        self.dispatcher: EventDispatcher = EventDispatcher((), logs.broken)
        self.memory: ProviderStates = self._blank_memory(name, self.dispatcher, rng, defaults)
        self.waiting: WaitQueue = WaitQueue()
        self.background: BackgroundAttempts = BackgroundAttempts(self.served)
        self.resets: HalfOpenTimers = HalfOpenTimers(self.memory.gates.get, self._half_opened)
        self._driver = CallLoop(self.waiting, self.background)
        self._classifier = Classifier(classify, wall=time.time, broken=logs.classifier_broken)
        self._shadowing = ShadowTraffic(
            rng, self.dispatcher, self._classifier, self.served, logs.hook_broken
        )
        budget = RetryBudget(defaults.retry)
        self._commons = PlanContext(name, rng, budget, self.dispatcher)
        self.residence: LoopBinding = LoopBinding(
            self.memory,
            budget,
            self.resets,
            self.background,
            self._classifier,
            self.dispatcher,
            logs.task_broken,
        )

    def rehearsal(self, defaults: Defaults) -> ProviderStates:
        """A memory of nobody, to build a roster in that may turn out to be refused."""
        dispatcher = EventDispatcher((), self._logs.broken)
        return self._blank_memory(self._commons.router, dispatcher, self._commons.rng, defaults)

    def adopt(self, defaults: Defaults) -> None:
        """Goes on under other settings; the next roster is built by them."""
        self._commons.budget.adopt(defaults.retry)
        self.memory.ledger.adopt(defaults.budget)

    def _blank_memory(
        self, name: str, dispatcher: EventDispatcher, rng: Random, defaults: Defaults
    ) -> ProviderStates:
        ledger = Accounts(
            name,
            dispatcher,
            wall=time.time,
            broken=self._logs.hook_broken,
            budget=defaults.budget,
            usage=defaults.usage,
        )
        memory = ProviderStates(name, dispatcher, rng, ledger)
        memory.hook_broken = self._logs.hook_broken
        return memory

    def listen(self, metrics: Metrics, listeners: Iterable[Listener]) -> None:
        """Lets everybody hear the news from here on: resets, metrics, logs, then the user's."""
        self._metrics = metrics
        for listener in (self.resets, metrics, self._logs, *listeners):
            self.dispatcher.add(listener)

    def remember(self, history: History, metrics: Metrics) -> None:
        """Takes up where earlier runs ended, in silence, and keeps the history from here on.

        Raises:
            ConfigurationError: the file is no history, or another router has this one.
        """
        history.serve(
            self._commons.router,
            self._first_tier,
            metrics.history_dropped,
            self._logs.task_broken,
        )
        accounts = self.memory.ledger.accounts
        history.recall(self.roster, accounts, self.residence.now(), self._logs.task_broken)
        metrics.history_dropped(0)
        self._history = history
        self.dispatcher.add(history)

    def keep_watch(self, alarms: Alarms, view: View) -> None:
        """Looks at the router by its rules from here on, in a task of its own."""
        from multirouter.listeners.alarms.alarms import Watch
        from multirouter.runtime.alarm_task import AlarmTask

        watch = Watch(alarms, self._commons.router, view, self.dispatcher, self._logs.hook_broken)
        vigil = AlarmTask(alarms, watch, self.dispatcher, self._commons.rng, self._logs.task_broken)
        self.residence.attendants.append(vigil)
        if self._metrics is not None:
            self._metrics.show_alarms(rule.name for rule in alarms.rules)

    def _first_tier(self, route: str) -> frozenset[str]:
        """Whom a route asks when all is well."""
        compiled = self.roster.all_routes().get(route)
        members = compiled.tiers[0].members if compiled is not None else ()
        return frozenset(member.name for member in members)

    def served(self, now: float) -> None:
        """Whatever may have made room is followed by this."""
        if self.waiting.line:
            self.waiting.serve(now)

    async def call(
        self,
        request: Any,
        route: str | Route | Iterable[str] | None,
        timeout: float | None,
        wait: float,
        idempotent: bool,  # noqa: FBT001 - handed on once a call, where keywords would cost
    ) -> CallOutcome[Any]:
        """Walks one call from its plan to its outcome; see `MultiProviderRouter.call`."""
        residence = self.residence
        asker = residence.asker
        if asker is None or residence.closed or not asker.loop.current():
            asker = residence.settle_in()
        if self.dispatch is None:
            compiled = self.roster.route(route)
        else:
            compiled = self.dispatch.find(self.roster, request, route)
        if timeout is not None or wait:
            check_call(timeout, wait)
        size = compiled.size_of(request) if compiled.sizes else 0
        unfit = NOBODY if compiled.fit is None else compiled.fit.unfit(request)
        now = residence.last_seen = asker.loop.time()
        plan = Plan(self._commons, compiled, now, timeout, wait, idempotent, size, request, unfit)
        residence.calls += 1
        try:
            # Only an Opener makes a plan serve, and this is an Asker.
            outcome: CallOutcome[Any] = await self._driver.drive(plan, request, asker, now)  # type: ignore[assignment]
            if outcome.error is not None and compiled.fallback is not None:
                outcome = await fall_back(plan, compiled.fallback, request, outcome, asker)
        except BaseException as error:
            plan.finish(plan.broken_off(error, asker.loop.time()))
            raise
        finally:
            residence.call_ended()
        plan.finish(outcome)
        if compiled.shadow is not None:
            self._shadowing.follow(plan, outcome, request, asker)
        return outcome

    def stream(
        self,
        request: Any,
        route: str | Route | Iterable[str] | None,
        timeout: float | None,
        wait: float,
        idempotent: bool,  # noqa: FBT001 - as in call
    ) -> StreamSession:
        """Begins one call whose answer comes in pieces; see `MultiProviderRouter.stream`."""
        from multirouter.runtime.streams.continuation import Delivered
        from multirouter.runtime.streams.opening import StreamOpener
        from multirouter.runtime.streams.session import StreamSession

        residence = self.residence
        asker = residence.settle_in()
        if self.dispatch is None:
            compiled = self.roster.route(route, streaming=True)
        else:
            compiled = self.dispatch.find(self.roster, request, route, streaming=True)
        check_call(timeout, wait)
        size = compiled.size_of(request) if compiled.sizes else 0
        unfit = NOBODY if compiled.fit is None else compiled.fit.unfit(request)
        now = residence.last_seen = asker.loop.time()
        plan = Plan(self._commons, compiled, now, timeout, wait, idempotent, size, request, unfit)
        opener = StreamOpener(asker, compiled.stream, Delivered(compiled.stream, request))

        async def drive() -> CallOutcome[Any] | ServeStep:
            return await self._driver.drive(plan, request, opener, asker.loop.time())

        residence.calls += 1
        return StreamSession(plan, opener, compiled.stream, drive, self._stream_ended)

    def _stream_ended(self) -> None:
        self.residence.call_ended()
        self.served(self.residence.now())

    async def close(self, grace: float, providers: Iterable[Provider[Any, Any, Any]]) -> None:
        """Sends away who waits, gives calls in flight `grace` seconds, and closes everything."""
        if self.residence.closed:
            return
        self.waiting.close()
        try:
            await self.residence.close(grace)
        finally:
            if self._metrics is not None:
                self._metrics.close()
            with anyio.CancelScope(shield=True):
                for provider in providers:
                    await self._close(provider)
                if self._history is not None:
                    await to_thread.run_sync(self._history.close)

    async def _close(self, provider: Provider[Any, Any, Any]) -> None:
        try:
            if provider.aclose is not None:
                await provider.aclose()
        except Exception as error:  # noqa: BLE001 - who cannot close must not keep the others open
            self._logs.task_broken(f"aclose of {provider.name}", error)

    async def _half_opened(self, gate: Gate, loop: EventLoop) -> None:
        """A reset was due: tell it, serve who waits, and run the provider's own probe."""
        self.dispatcher.deliver()
        self.served(loop.time())
        for route in self.roster.all_routes().values():
            for member in route.members:
                if member.gate is gate and member.provider.health_check is not None:
                    await health_check(member, route, loop, self._classifier, self.dispatcher)
                    self.served(loop.time())
                    return
