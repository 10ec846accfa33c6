"""Counts and times calls and attempts for Prometheus, at the cost of the counting itself."""

from __future__ import annotations

from collections import Counter as Counted
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar, get_args
from weakref import ref

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
from typing_extensions import override

from multirouter.core.events import (
    AlarmChanged,
    BudgetReached,
    CircuitChanged,
    Configured,
    CooldownStarted,
    FailedOver,
    HoldChanged,
    Listener,
    PanicStarted,
    RetryDenied,
    RouteUnknown,
    StreamContinued,
)
from multirouter.listeners.metrics.families import exposed_in
from multirouter.listeners.metrics.gauges import View, several_processes
from multirouter.listeners.metrics.usage_metrics import Spending
from multirouter.model import AttemptRecord, CallOutcome, CallResult, FailureKind, Role

__all__ = ["Exemplar", "Metrics", "MultiprocessMetrics", "View", "make_metrics"]

Exemplar = Callable[[], dict[str, str] | None]
"""Gives the labels that tie an observation to a trace (`{"trace_id": ...}`), or None."""

KeyT = TypeVar("KeyT")
Told = tuple[Callable[[], None], Callable[[float], None]]
"""A counter's `inc` and a histogram's `observe`, their labels bound."""

TRIPS = ("failures", "failure_rate", "slow", "exhausted", "credentials")
"""The reasons a closed circuit opens for: their series exist before the first time."""

_SUCCESS = FailureKind.SUCCESS


class _Bound(dict[KeyT, Told], Generic[KeyT]):
    """Bound children, made when first asked for; from then on one dictionary look-up."""

    def __init__(self, bind: Callable[[KeyT], Told]) -> None:
        self._bind = bind

    def __missing__(self, key: KeyT) -> Told:
        told = self[key] = self._bind(key)
        return told


class Metrics(Listener):
    """Tells one router's calls, attempts, circuits and refusals to a Prometheus registry.

    Copies of live traffic (role `shadow`) are nobody's answer and are counted apart.
    Give routers of one process different names: series of the same name add up.

    Args:
        router_name: the `router` label.
        view: the router as the gauges read it; held weakly.
        registry: where the families are; None is prometheus-client's default registry.
        exemplar: asked at each observation of a duration, for the trace it belongs to. Shown in
            the OpenMetrics format; prometheus-client keeps none when several processes share.
            What it raises is reported, and the observation is made without it.

    Raises:
        ConfigurationError: `registry` is none, or holds somebody else's metrics of these names.
    """

    def __init__(
        self,
        router_name: str,
        view: View,
        registry: CollectorRegistry | None = None,
        *,
        exemplar: Exemplar | None = None,
    ) -> None:
        exposed = exposed_in(REGISTRY if registry is None else registry)
        self._router = router_name
        self._families = exposed.families
        self._spending = Spending(router_name, exposed.families)
        self._gauges = exposed.gauges
        self._exemplar = exemplar
        self._view = ref(view)
        self._shown: dict[str, None] = {}
        self._answered = _Bound[str](lambda route: self._bind_call((route, "success")))
        self._unanswered = _Bound[tuple[str, CallResult]](self._bind_call)
        self._succeeded = _Bound[str](lambda provider: self._bind_attempt((provider, "success")))
        self._failed = _Bound[tuple[str, str]](self._bind_attempt)
        self._shadowed = _Bound[tuple[str, str]](self._bind_shadow)
        self._firing: Counted[str] = Counted()
        for reason in ("budget", "attempts", "deadline", "not_idempotent"):
            self._families.retries_denied.labels(router_name, reason)
        for provider in view.names():
            self._show(provider, view)

    @override
    def attempt_ended(self, record: AttemptRecord) -> None:
        if record.role == "shadow":
            count, observe = self._shadowed[record.provider, record.outcome]
            count()
            observe(record.elapsed)
            return
        if record.verdict.kind is _SUCCESS:
            count, observe = self._succeeded[record.provider]
        else:
            count, observe = self._failed[record.provider, record.outcome]
        count()
        observe(record.elapsed)
        usage, first_content = record.usage, record.first_content
        if usage is not None:
            self._spending.paid(record, usage)
        if first_content is not None:
            self._spending.streamed(record, first_content)
        if record.late:
            self._families.late_attempts.labels(self._router, record.provider).inc()

    @override
    def call_ended(self, outcome: CallOutcome[Any]) -> None:
        if outcome.result == "success":
            count, observe = self._answered[outcome.route]
        else:
            count, observe = self._unanswered[outcome.route, outcome.result]
        count()
        observe(outcome.elapsed)
        if outcome.failover_cost:
            self._spending.failed_over(outcome, outcome.failover_cost)

    @override
    def budget_reached(self, news: BudgetReached) -> None:
        self._spending.reached(news)

    @override
    def circuit_changed(self, news: CircuitChanged) -> None:
        labels = (self._router, news.provider, news.new, news.reason)
        self._families.transitions.labels(*labels).inc()

    @override
    def cooldown_started(self, news: CooldownStarted) -> None:
        self._families.cooldowns.labels(self._router, news.provider).inc()

    @override
    def failed_over(self, news: FailedOver) -> None:
        self._families.failovers.labels(self._router, news.provider, news.reason).inc()

    @override
    def stream_continued(self, news: StreamContinued) -> None:
        self._families.stream_continuations.labels(self._router, news.route, news.how).inc()

    @override
    def retry_denied(self, news: RetryDenied) -> None:
        self._families.retries_denied.labels(self._router, news.reason).inc()

    @override
    def panic_started(self, news: PanicStarted) -> None:
        self._families.panics.labels(self._router, news.route).inc()

    @override
    def route_unknown(self, news: RouteUnknown) -> None:
        self._families.unknown_routes.labels(self._router, news.route).inc()

    @override
    def configured(self, news: Configured) -> None:
        view = self._view()
        if view is None:
            return
        for provider in news.removed:
            self._hide(provider, view)
        for provider in news.added:
            self._show(provider, view)

    @override
    def alarm_changed(self, news: AlarmChanged) -> None:
        by = 1 if news.firing else -1
        self._firing[news.alarm] += by
        self._families.alarms_firing.labels(self._router, news.alarm).inc(by)

    def show_alarms(self, alarms: Iterable[str]) -> None:
        """Lets the series of these alarms begin at 0."""
        for alarm in alarms:
            self._families.alarms_firing.labels(self._router, alarm)

    def history_dropped(self, rows: int) -> None:
        """Counts rows that the history lost; 0 lets the series begin. Any thread may tell it."""
        self._families.history_dropped.labels(self._router).inc(rows)

    def close(self) -> None:
        """Takes this router's gauges away; what it counted stays, as counters must."""
        view = self._view()
        if view is not None:
            for provider in tuple(self._shown):
                self._hide(provider, view)
        for alarm, firing in self._firing.items():
            self._families.alarms_firing.labels(self._router, alarm).dec(firing)
        self._firing.clear()

    def _show(self, provider: str, view: View) -> None:
        """Lets a provider's series begin at 0, so that `rate` sees the first failure too."""
        self._shown[provider] = None
        self._gauges.show(self._router, provider, view)
        for outcome in ("success", "failure", "cancelled"):
            self._families.attempts.labels(self._router, provider, outcome)
        for reason in TRIPS:
            self._families.transitions.labels(self._router, provider, "open", reason)
        self._families.late_attempts.labels(self._router, provider)
        self._families.cooldowns.labels(self._router, provider)

    def _hide(self, provider: str, view: View) -> None:
        self._shown.pop(provider, None)
        self._gauges.hide(self._router, provider, view)

    def _bind_call(self, key: tuple[str, CallResult]) -> Told:
        route, result = key
        calls = self._families.calls
        for other in get_args(CallResult):
            calls.labels(self._router, route, other)
        return self._bind(calls, self._families.call_seconds, route, result)

    def _bind_attempt(self, key: tuple[str, str]) -> Told:
        return self._bind(self._families.attempts, self._families.attempt_seconds, *key)

    def _bind_shadow(self, key: tuple[str, str]) -> Told:
        return self._bind(self._families.shadow_attempts, self._families.shadow_seconds, *key)

    def _bind(self, counts: Counter, seconds: Histogram, name: str, outcome: str) -> Told:
        labels = (self._router, name, outcome)
        histogram = seconds.labels(*labels)
        hook = self._exemplar
        observe = histogram.observe if hook is None else _with_exemplar(histogram, hook)
        return counts.labels(*labels).inc, observe


class MultiprocessMetrics(Metrics):
    """The same where several processes share files and gauges are written, not read.

    A provider's gauges are written at each of its attempts and at news of it, and those of all
    at most once a second while there are attempts: the end of a rest, say, is no news.
    """

    _LOOK_AGAIN = 1.0  # seconds; far below any scrape interval

    def __init__(
        self,
        router_name: str,
        view: View,
        registry: CollectorRegistry | None = None,
        *,
        exemplar: Exemplar | None = None,
    ) -> None:
        super().__init__(router_name, view, registry, exemplar=exemplar)
        self._looked = float("-inf")

    @override
    def attempt_started(self, provider: str, role: Role) -> None:
        self._gauges.refresh(self._router, provider)

    @override
    def attempt_ended(self, record: AttemptRecord) -> None:
        super().attempt_ended(record)
        now = record.started + record.elapsed
        # On a new event loop time may begin anew, so "long ago" and "not yet" both look again.
        if 0.0 <= now - self._looked < self._LOOK_AGAIN:
            self._gauges.refresh(self._router, record.provider)
        else:
            self._looked = now
            for provider in tuple(self._shown):
                self._gauges.refresh(self._router, provider)

    @override
    def circuit_changed(self, news: CircuitChanged) -> None:
        super().circuit_changed(news)
        self._gauges.refresh(self._router, news.provider)

    @override
    def cooldown_started(self, news: CooldownStarted) -> None:
        super().cooldown_started(news)
        self._gauges.refresh(self._router, news.provider)

    @override
    def hold_changed(self, news: HoldChanged) -> None:
        self._gauges.refresh(self._router, news.provider)


def make_metrics(
    router_name: str,
    view: View,
    registry: CollectorRegistry | None = None,
    *,
    exemplar: Exemplar | None = None,
) -> Metrics:
    """The Metrics that work here; see `Metrics` for the arguments."""
    kind = MultiprocessMetrics if several_processes() else Metrics
    return kind(router_name, view, registry, exemplar=exemplar)


def _with_exemplar(histogram: Histogram, exemplar: Exemplar) -> Callable[[float], None]:
    def observe(seconds: float) -> None:
        labels: dict[str, str] | None = None
        try:
            labels = exemplar()
        finally:  # a broken hook costs the exemplar, never the observation
            histogram.observe(seconds, labels)

    return observe
