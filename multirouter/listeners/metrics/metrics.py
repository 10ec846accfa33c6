"""Prometheus metrics of one router: a listener that counts and times calls and attempts."""

from __future__ import annotations

from collections import Counter as Counted
from collections.abc import Iterable
from typing import Any, get_args
from weakref import ref

from prometheus_client import REGISTRY, CollectorRegistry
from typing_extensions import override

from multirouter.core.events import (
    AlarmChanged,
    BudgetReached,
    CircuitChanged,
    Configured,
    CooldownStarted,
    FailedOver,
    HoldChanged,
    LoopStalled,
    ModelCircuitChanged,
    PanicStarted,
    RetryDenied,
    RouteDiverted,
    RouteUnknown,
    StreamContinued,
)
from multirouter.core.listener import Listener
from multirouter.core.settings.operation import OWN_FUNCTIONS
from multirouter.listeners.metrics.families import TRIP_REASONS, families_in
from multirouter.listeners.metrics.family_makers import CounterFamily, HistogramFamily
from multirouter.listeners.metrics.gauges import RouterView, is_multiprocess
from multirouter.listeners.metrics.key_metrics import KeyMetrics
from multirouter.listeners.metrics.series import Exemplar, Observe, SeriesCache, with_exemplar
from multirouter.listeners.metrics.sharing_metrics import SharingMetrics
from multirouter.listeners.metrics.usage_metrics import UsageMetrics
from multirouter.model import (
    AttemptRecord,
    CallOutcome,
    CallResult,
    FailureKind,
    Role,
)

__all__ = ["Exemplar", "Metrics", "MultiprocessMetrics", "RouterView", "make_metrics"]

_SUCCESS = FailureKind.SUCCESS


class Metrics(Listener):
    """Counts and times one router's calls, attempts, circuit changes and other events.

    Shadow copies (role `shadow`) are counted in series of their own. Give the routers of one
    process different names: series of the same router name add up.

    Args:
        router_name: value of the `router` label.
        view: the router's state as the gauges read it; held weakly.
        registry: where the families are registered; None uses prometheus-client's default registry.
        exemplar: called at each observation of a duration. Its labels appear in the OpenMetrics
            format; prometheus-client keeps none when several processes share files. If it raises,
            the exception is logged and the observation is made without an exemplar.

    Raises:
        ConfigurationError: `registry` is not a CollectorRegistry, or contains other metrics with
            the same names.
    """

    def __init__(
        self,
        router_name: str,
        view: RouterView,
        registry: CollectorRegistry | None = None,
        *,
        exemplar: Exemplar | None = None,
    ) -> None:
        registered = families_in(REGISTRY if registry is None else registry)
        self._router = router_name
        self._families = registered.families
        self._usage = UsageMetrics(router_name, registered)
        self._keys = KeyMetrics(router_name, registered.families)
        self._gauges = registered.gauges
        self._exemplar = exemplar
        self._view = ref(view)
        self._providers: dict[str, None] = {}
        self._successful_calls = SeriesCache[str](
            lambda route: self._bind_call((route, "success", ""))
        )
        self._other_calls = SeriesCache[tuple[str, CallResult, str]](self._bind_call)
        self._successful_attempts = SeriesCache[str](
            lambda provider: self._bind_attempt((provider, "success", ""))
        )
        self._other_attempts = SeriesCache[tuple[str, str, str]](self._bind_attempt)
        self._shadow_attempts = SeriesCache[tuple[str, str]](self._bind_shadow)
        self._firing: Counted[str] = Counted()
        self._diverted: Counted[str] = Counted()
        for reason in ("budget", "attempts", "deadline", "not_idempotent"):
            self._families.retries_denied.labels(router_name, reason)
        self._families.loop_stalls.labels(router_name)
        for provider in view.names():
            self._add_provider(provider, view)

    @override
    def attempt_ended(self, record: AttemptRecord) -> None:
        if record.role == "shadow":
            self._shadow_attempts[record.provider, record.outcome](record.elapsed)
            return
        if record.verdict.kind is _SUCCESS and not record.operation:
            self._successful_attempts[record.provider](record.elapsed)
        else:
            labels = (record.provider, record.outcome, record.operation)
            self._other_attempts[labels](record.elapsed)
        usage, first_content = record.usage, record.first_content
        if usage is not None:
            self._usage.count_usage(record, usage)
        if record.model is not None:
            self._usage.count_model(record)
        if first_content is not None:
            self._usage.observe_stream(record, first_content)
        if record.late:
            self._families.late_attempts.labels(self._router, record.provider).inc()

    @override
    def call_ended(self, outcome: CallOutcome[Any]) -> None:
        if outcome.result == "success":
            if outcome.operation:
                self._other_calls[outcome.route, "success", outcome.operation](outcome.elapsed)
            else:
                self._successful_calls[outcome.route](outcome.elapsed)
            if not outcome.served_by_first_choice:
                labels = (self._router, outcome.route, outcome.provider)
                self._families.diverted_calls.labels(*labels).inc()
        else:
            series = (outcome.route, outcome.result, outcome.operation)
            self._other_calls[series](outcome.elapsed)
        if outcome.client_key:
            self._keys.count_call(outcome)
        if outcome.failover_cost:
            self._usage.count_failover_cost(outcome, outcome.failover_cost)

    @override
    def route_diverted(self, event: RouteDiverted) -> None:
        change = 1 if event.diverted else -1
        self._diverted[event.route] += change
        self._families.diverted.labels(self._router, event.route).inc(change)

    @override
    def budget_reached(self, event: BudgetReached) -> None:
        self._usage.count_budget(event)

    @override
    def circuit_changed(self, event: CircuitChanged) -> None:
        labels = (self._router, event.provider, event.new, event.reason)
        self._families.transitions.labels(*labels).inc()

    @override
    def model_circuit_changed(self, event: ModelCircuitChanged) -> None:
        self._usage.count_model_circuit(event)
        self._gauges.refresh(self._router, event.provider)

    @override
    def cooldown_started(self, event: CooldownStarted) -> None:
        self._families.cooldowns.labels(self._router, event.provider).inc()

    @override
    def failed_over(self, event: FailedOver) -> None:
        self._families.failovers.labels(self._router, event.provider, event.reason).inc()

    @override
    def stream_continued(self, event: StreamContinued) -> None:
        self._families.stream_continuations.labels(self._router, event.route, event.mode).inc()

    @override
    def retry_denied(self, event: RetryDenied) -> None:
        self._families.retries_denied.labels(self._router, event.reason).inc()

    @override
    def panic_started(self, event: PanicStarted) -> None:
        self._families.panics.labels(self._router, event.route).inc()

    @override
    def route_unknown(self, event: RouteUnknown) -> None:
        self._families.unknown_routes.labels(self._router, event.route).inc()

    @override
    def loop_stalled(self, event: LoopStalled) -> None:
        self._families.loop_stalls.labels(self._router).observe(event.seconds)

    @override
    def configured(self, event: Configured) -> None:
        view = self._view()
        if view is None:
            return
        for provider in event.removed:
            self._remove_provider(provider, view)
        for provider in event.added:
            self._add_provider(provider, view)

    @override
    def alarm_changed(self, event: AlarmChanged) -> None:
        change = 1 if event.firing else -1
        self._firing[event.alarm] += change
        self._families.alarms_firing.labels(self._router, event.alarm).inc(change)

    def register_alarms(self, alarms: Iterable[str]) -> None:
        """Creates the series of these alarms, at 0."""
        for alarm in alarms:
            self._families.alarms_firing.labels(self._router, alarm)

    def count_history_dropped(self, rows: int) -> None:
        """Counts rows that the history dropped; 0 creates the series. Any thread may call it."""
        self._families.history_dropped.labels(self._router).inc(rows)

    def of_sharing(self) -> SharingMetrics:
        """The metrics of the shared state."""
        return SharingMetrics(self._router, self._families)

    def close(self) -> None:
        """Removes this router's gauges; its counters stay."""
        view = self._view()
        if view is not None:
            for provider in tuple(self._providers):
                self._remove_provider(provider, view)
        for alarm, firing in self._firing.items():
            self._families.alarms_firing.labels(self._router, alarm).dec(firing)
        for route, diverted in self._diverted.items():
            self._families.diverted.labels(self._router, route).dec(diverted)
        self._firing.clear()
        self._diverted.clear()

    def _add_provider(self, provider: str, view: RouterView) -> None:
        """Creates a provider's series at 0, so that `rate` includes the first failure."""
        self._providers[provider] = None
        self._gauges.add(self._router, provider, view)
        for outcome in ("success", "failure", "cancelled"):
            self._families.attempts.labels(self._router, provider, outcome, OWN_FUNCTIONS)
        for reason in TRIP_REASONS:
            self._families.transitions.labels(self._router, provider, "open", reason)
        self._families.late_attempts.labels(self._router, provider)
        self._families.cooldowns.labels(self._router, provider)

    def _remove_provider(self, provider: str, view: RouterView) -> None:
        self._providers.pop(provider, None)
        self._gauges.remove(self._router, provider, view)

    def _bind_call(self, key: tuple[str, CallResult, str]) -> Observe:
        route, result, operation = key[0], key[1], key[2] or OWN_FUNCTIONS
        calls = self._families.calls
        for other in get_args(CallResult):
            calls.labels(self._router, route, other, operation)
        self._families.diverted.labels(self._router, route)
        return self._bind(calls, self._families.call_seconds, route, result, operation)

    def _bind_attempt(self, key: tuple[str, str, str]) -> Observe:
        provider, outcome, operation = key[0], key[1], key[2] or OWN_FUNCTIONS
        attempts = self._families.attempts
        for other in ("success", "failure", "cancelled"):
            attempts.labels(self._router, provider, other, operation)
        seconds = self._families.attempt_seconds
        return self._bind(attempts, seconds, provider, outcome, operation)

    def _bind_shadow(self, key: tuple[str, str]) -> Observe:
        return self._bind(self._families.shadow_attempts, self._families.shadow_seconds, *key)

    def _bind(self, counts: CounterFamily, seconds: HistogramFamily, *labels: str) -> Observe:
        observe = self._families.timed(counts, seconds, self._router, *labels)
        hook = self._exemplar
        return observe if hook is None else with_exemplar(observe, hook)


class MultiprocessMetrics(Metrics):
    """`Metrics` for several processes that share files, where gauges are written, not read.

    A provider's gauges are written at each of its attempts and events. Those of all providers are
    written at most once a second while there are attempts, because some changes cause no event: the
    end of a cooldown, for example.
    """

    _REFRESH_INTERVAL = 1.0  # seconds; far below any scrape interval

    def __init__(
        self,
        router_name: str,
        view: RouterView,
        registry: CollectorRegistry | None = None,
        *,
        exemplar: Exemplar | None = None,
    ) -> None:
        super().__init__(router_name, view, registry, exemplar=exemplar)
        self._refreshed = float("-inf")

    @override
    def attempt_started(self, provider: str, role: Role) -> None:
        self._gauges.refresh(self._router, provider)

    @override
    def attempt_ended(self, record: AttemptRecord) -> None:
        super().attempt_ended(record)
        now = record.started + record.elapsed
        # Loop time may restart on a new event loop, so a time in the future refreshes all, too.
        if 0.0 <= now - self._refreshed < self._REFRESH_INTERVAL:
            self._gauges.refresh(self._router, record.provider)
        else:
            self._refreshed = now
            for provider in tuple(self._providers):
                self._gauges.refresh(self._router, provider)

    @override
    def circuit_changed(self, event: CircuitChanged) -> None:
        super().circuit_changed(event)
        self._gauges.refresh(self._router, event.provider)

    @override
    def cooldown_started(self, event: CooldownStarted) -> None:
        super().cooldown_started(event)
        self._gauges.refresh(self._router, event.provider)

    @override
    def hold_changed(self, event: HoldChanged) -> None:
        self._gauges.refresh(self._router, event.provider)


def make_metrics(
    router_name: str,
    view: RouterView,
    registry: CollectorRegistry | None = None,
    *,
    exemplar: Exemplar | None = None,
) -> Metrics:
    """Creates `MultiprocessMetrics` if several processes share files, else `Metrics`.

    See `Metrics` for the arguments.
    """
    metrics_class = MultiprocessMetrics if is_multiprocess() else Metrics
    return metrics_class(router_name, view, registry, exemplar=exemplar)
