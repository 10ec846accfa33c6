"""Prometheus metric families: names, labels and help texts, created once per registry."""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import Lock
from types import ModuleType
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry

from multirouter.errors import ConfigurationError
from multirouter.listeners.metrics.family_makers import (
    TOKEN_RATES,
    CounterFamily,
    HistogramFamily,
    counter,
    gauge,
    histogram,
)
from multirouter.listeners.metrics.gauges import GaugeFamily, Gauges, StateGauges, make_gauges
from multirouter.listeners.metrics.plain_families import PlainCounter, PlainHistogram

ROUTER = ("router",)
CALL = ("router", "route", "outcome", "operation")
ATTEMPT = ("router", "provider", "outcome", "operation")
SHADOW_ATTEMPT = ("router", "provider", "outcome")
PROVIDER = ("router", "provider")
KEY = ("router", "key")
MODEL = ("router", "provider", "model")
MODEL_ATTEMPT = ("router", "provider", "model", "outcome")

TRIP_REASONS = ("failures", "failure_rate", "slow", "exhausted", "credentials")
"""Reasons for which a closed circuit opens; their series start at 0."""


class Families:
    """All metric families of one registry, listed in `docs/reference/metrics.md` with queries.

    Label values are closed sets: configured names, outcomes, kinds and reasons, never a message.
    """

    def __init__(self) -> None:
        self.calls: CounterFamily = counter("calls", "Calls that ended, by outcome", CALL)
        self.call_seconds: HistogramFamily = histogram(
            "call_duration_seconds", "Seconds from the start of a call to its end", CALL
        )
        self.attempts: CounterFamily = counter(
            "attempts", "Attempts that ended, by outcome", ATTEMPT
        )
        self.attempt_seconds: HistogramFamily = histogram(
            "attempt_duration_seconds", "Seconds from the start of an attempt to its end", ATTEMPT
        )
        self.late_attempts: CounterFamily = counter(
            "late_attempts",
            "Attempts that ended after their circuit had changed state, and did not affect it",
            PROVIDER,
        )
        self.transitions: CounterFamily = counter(
            "circuit_transitions",
            "Circuit state changes, by new state and reason",
            ("router", "provider", "to", "reason"),
        )
        self.failovers: CounterFamily = counter(
            "failovers",
            "Failovers from this provider to another, by kind of failure",
            ("router", "provider", "reason"),
        )
        self.stream_continuations: CounterFamily = counter(
            "stream_continuations",
            "Interrupted streams that were continued, by continuation mode",
            ("router", "route", "mode"),
        )
        self.retries_denied: CounterFamily = counter(
            "retries_denied",
            "Retries and failovers that were denied, by reason",
            ("router", "reason"),
        )
        self.cooldowns: CounterFamily = counter(
            "cooldowns", "Cooldowns started after a 429, or after another Retry-After", PROVIDER
        )
        self.panics: CounterFamily = counter(
            "panics",
            "Provider choices made in panic mode, which ignores circuits",
            ("router", "route"),
        )
        self.loop_stalls: HistogramFamily = histogram(
            "loop_stall_seconds",
            "Seconds that the event loop was late after a stall while attempts were in flight",
            ("router",),
        )
        self.shadow_attempts: CounterFamily = counter(
            "shadow_attempts", "Shadow copies that ended, by outcome", SHADOW_ATTEMPT
        )
        self.shadow_seconds: HistogramFamily = histogram(
            "shadow_attempt_duration_seconds",
            "Seconds from the start of a shadow copy to its end",
            SHADOW_ATTEMPT,
        )
        self.history_dropped: CounterFamily = counter(
            "history_dropped",
            "History rows dropped because the disk was slow, full or unavailable",
            ("router",),
        )
        self.first_content: HistogramFamily = histogram(
            "first_content_seconds",
            "Seconds from the start of a streamed attempt to its first content",
            PROVIDER,
        )
        self.stream_seconds: HistogramFamily = histogram(
            "stream_duration_seconds",
            "Seconds from the start of a streamed attempt to the end of its complete stream",
            PROVIDER,
        )
        self.token_rate: HistogramFamily = histogram(
            "stream_tokens_per_second",
            "Output tokens per second between first content and end of a complete stream",
            PROVIDER,
            TOKEN_RATES,
        )
        self.cost: CounterFamily = counter(
            "cost_usd", "Cost of attempts in US dollars", ("router", "route", "provider", "model")
        )
        self.estimated_cost: CounterFamily = counter(
            "estimated_cost_usd",
            "Part of the cost that is based on estimated token counts",
            PROVIDER,
        )
        self.tokens: CounterFamily = counter(
            "tokens",
            "Tokens of attempts, by model and kind; kinds do not overlap",
            (*MODEL, "kind"),
        )
        self.failover_extra: CounterFamily = counter(
            "failover_extra_cost_usd",
            "US dollars that calls cost more than at their first choice",
            ("router", "route"),
        )
        self.failover_saved: CounterFamily = counter(
            "failover_saved_cost_usd",
            "US dollars that calls cost less than at their first choice",
            ("router", "route"),
        )
        self.budgets_reached: CounterFamily = counter(
            "budgets_reached",
            "Budgets that reached their warning threshold or their limit",
            ("router", "owner", "threshold"),
        )
        self.unknown_routes: CounterFamily = counter(
            "unknown_routes",
            "Calls with an unknown route name that used this route instead",
            ("router", "route"),
        )
        self.diverted_calls: CounterFamily = counter(
            "diverted_calls",
            "Answered calls that the route's first choice did not answer, by the one that did",
            ("router", "route", "provider"),
        )
        self.model_attempts: CounterFamily = counter(
            "model_attempts", "Attempts whose model is known, by model and outcome", MODEL_ATTEMPT
        )
        self.model_seconds: HistogramFamily = histogram(
            "model_attempt_duration_seconds",
            "Seconds from the start of an answered attempt to its end, by model",
            MODEL,
        )
        self.model_transitions: CounterFamily = counter(
            "model_circuit_transitions",
            "State changes of the circuits of single models, by new state and reason",
            (*MODEL, "to", "reason"),
        )
        self.key_calls: CounterFamily = counter(
            "key_calls", "Calls made for a client key, by outcome", (*KEY, "outcome")
        )
        self.key_tokens: CounterFamily = counter(
            "key_tokens", "Tokens of all attempts of a key's calls", (*KEY, "kind")
        )
        self.key_cost: CounterFamily = counter(
            "key_cost_usd", "Cost of all attempts of a key's calls in US dollars", KEY
        )
        # Several processes count as one router: attempts in flight are summed, states show the
        # worst value. Only live processes count; a dead one would keep an alarm firing.
        self.in_flight: GaugeFamily = gauge(
            "attempts_in_flight",
            "Attempts in flight",
            PROVIDER,
            "livesum",
        )
        self.available: GaugeFamily = gauge(
            "available",
            "1 if available, 0 if open, in cooldown, at its limit, held or removed",
            PROVIDER,
            "livemin",
        )
        self.degraded: GaugeFamily = gauge(
            "degraded",
            "1 if used only after healthy providers, because too few attempts succeeded",
            PROVIDER,
            "livemax",
        )
        self.circuit_state: GaugeFamily = gauge(
            "circuit_state",
            "Circuit state: 0 closed, 1 half_open, 2 open",
            PROVIDER,
            "livemax",
        )
        self.model_circuit_state: GaugeFamily = gauge(
            "model_circuit_state",
            "State of the circuit of a single model: 0 closed, 1 half_open, 2 open",
            MODEL,
            "livemax",
        )
        self.diverted: GaugeFamily = gauge(
            "diverted",
            "1 while a route's calls are answered by other providers than its first choice",
            ("router", "route"),
            "livemax",
        )
        self.alarms_firing: GaugeFamily = gauge(
            "alarms_firing",
            "Subjects (providers, routes or the router) for which the alarm is firing",
            ("router", "alarm"),
            "livemax",
        )
        self.sharing_connected: GaugeFamily = gauge(
            "sharing_connected", "1 while the shared state is connected", ROUTER, "livemin"
        )
        self.sharing_processes: GaugeFamily = gauge(
            "sharing_processes", "Connected processes, this one included", ROUTER, "livemax"
        )
        self.sharing_lag: HistogramFamily = histogram(
            "sharing_lag_seconds", "Seconds that a message was under way", ROUTER
        )
        self.sharing_messages: CounterFamily = counter(
            "sharing_messages", "Messages sent and received", (*ROUTER, "direction")
        )
        self.sharing_dropped: CounterFamily = counter(
            "sharing_dropped", "Messages lost, or dropped because unreadable", ROUTER
        )

    def all(self) -> tuple[CounterFamily | GaugeFamily | HistogramFamily, ...]:
        """All families, in the order of `docs/reference/metrics.md`."""
        return tuple(vars(self).values())

    def timed(
        self, counts: CounterFamily, seconds: HistogramFamily, *labels: str
    ) -> Callable[..., None]:
        """Binds a series of a counter and one of a histogram, which count the same events.

        Returns:
            A function that counts and times one event: `(seconds, exemplar=None)`.
        """
        count, histogram = counts.labels(*labels), seconds.labels(*labels)
        if isinstance(counts, PlainCounter) and isinstance(seconds, PlainHistogram):
            counts.labels(*labels).count_observations(seconds.labels(*labels))
            return histogram.observe

        def observe(elapsed: float, exemplar: dict[str, str] | None = None) -> None:
            count.inc()
            histogram.observe(elapsed, exemplar)

        return observe


class RegisteredFamilies:
    """The families of one registry, and the gauges that all its routers share."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.families: Families = Families()
        of_state = (getattr(self.families, name) for name in StateGauges._fields)
        self.gauges: Gauges = make_gauges(StateGauges(*of_state))
        registered: list[CounterFamily | GaugeFamily | HistogramFamily] = []
        try:
            for family in self.families.all():
                registry.register(family)
                registered.append(family)
        except ValueError as error:
            for family in registered:
                registry.unregister(family)
            raise ConfigurationError(
                "registry", f"must not have other metrics with the same names: {error}"
            ) from error

    def restore(self, registry: CollectorRegistry) -> None:
        """Registers the families again when the program has unregistered all of them meanwhile.

        It may unregister single ones, which it does not want.
        """
        for family in self.families.all():
            try:
                registry.register(family)
            except ValueError:  # it is registered
                return


_HOLDER = "_multirouter_metrics"
"""Name of a module that holds the registered families. It is outside of the package: a program that
imports the package again (a reloader, a purge between tests) finds them there, still registered."""

_REGISTERING = Lock()


def _registered() -> WeakKeyDictionary[CollectorRegistry, RegisteredFamilies]:
    holder = vars(sys.modules.setdefault(_HOLDER, ModuleType(_HOLDER)))
    found: WeakKeyDictionary[CollectorRegistry, RegisteredFamilies] = holder.setdefault(
        "registered", WeakKeyDictionary()
    )
    return found


def _of_this_version(found: RegisteredFamilies) -> bool:
    """Whether the families were made by the same code, in this or in an earlier import."""
    same_import = type(found) is RegisteredFamilies
    return same_import or _classes(found.families) == _classes(Families())


def _classes(families: Families) -> dict[str, str]:
    return {name: type(family).__name__ for name, family in vars(families).items()}


def families_in(registry: CollectorRegistry) -> RegisteredFamilies:
    """Returns the families of `registry`, registering them for its first router.

    Raises:
        ConfigurationError: `registry` is not a CollectorRegistry, or contains other metrics with
            the same names.
    """
    if not isinstance(registry, CollectorRegistry):
        raise ConfigurationError("registry", f"must be a CollectorRegistry, got {registry!r}")
    with _REGISTERING:
        registry_families = _registered()
        registered = registry_families.get(registry)
        if registered is None or not _of_this_version(registered):
            registered = registry_families[registry] = RegisteredFamilies(registry)
        else:
            registered.restore(registry)
        return registered
