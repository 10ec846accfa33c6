"""Prometheus metric families: names, labels and help texts, created once per registry."""

from __future__ import annotations

import sys
from threading import Lock
from types import ModuleType
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from multirouter.errors import ConfigurationError
from multirouter.listeners.metrics.gauges import Gauges, make_gauges

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 12, 20, 30, 60, 120)
"""Upper bounds in seconds: cached and rejected calls are below 0.1, short answers at 0.25 to 3,
long answers up to the default timeouts of an attempt (30) and a call (120). Both timeouts are
bounds, so the share of attempts and calls that reached them can be queried."""

TOKEN_RATES = (1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1000, 2000)
"""Upper bounds in tokens per second: people read 5 to 10, hosted models generate 30 to 300."""

CALL = ("router", "route", "outcome")
ATTEMPT = ("router", "provider", "outcome")
PROVIDER = ("router", "provider")
MODEL = ("router", "provider", "model")
MODEL_ATTEMPT = ("router", "provider", "model", "outcome")


class Families:
    """All metric families of one registry, listed in `docs/reference/metrics.md` with queries.

    Label values are closed sets: configured names, outcomes, kinds and reasons, never a message.
    """

    def __init__(self) -> None:
        self.calls: Counter = _counter("calls", "Calls that ended, by outcome", CALL)
        self.call_seconds: Histogram = _histogram(
            "call_duration_seconds", "Seconds from the start of a call to its end", CALL
        )
        self.attempts: Counter = _counter("attempts", "Attempts that ended, by outcome", ATTEMPT)
        self.attempt_seconds: Histogram = _histogram(
            "attempt_duration_seconds", "Seconds from the start of an attempt to its end", ATTEMPT
        )
        self.late_attempts: Counter = _counter(
            "late_attempts",
            "Attempts that ended after their circuit had changed state, and did not affect it",
            PROVIDER,
        )
        self.transitions: Counter = _counter(
            "circuit_transitions",
            "Circuit state changes, by new state and reason",
            ("router", "provider", "to", "reason"),
        )
        self.failovers: Counter = _counter(
            "failovers",
            "Failovers from this provider to another, by kind of failure",
            ("router", "provider", "reason"),
        )
        self.stream_continuations: Counter = _counter(
            "stream_continuations",
            "Interrupted streams that were continued, by continuation mode",
            ("router", "route", "mode"),
        )
        self.retries_denied: Counter = _counter(
            "retries_denied",
            "Retries and failovers that were denied, by reason",
            ("router", "reason"),
        )
        self.cooldowns: Counter = _counter(
            "cooldowns", "Cooldowns started after a 429, or after another Retry-After", PROVIDER
        )
        self.panics: Counter = _counter(
            "panics",
            "Provider choices made in panic mode, which ignores circuits",
            ("router", "route"),
        )
        self.loop_stalls: Histogram = _histogram(
            "loop_stall_seconds",
            "Seconds that the event loop was late after a stall while attempts were in flight",
            ("router",),
        )
        self.shadow_attempts: Counter = _counter(
            "shadow_attempts", "Shadow copies that ended, by outcome", ATTEMPT
        )
        self.shadow_seconds: Histogram = _histogram(
            "shadow_attempt_duration_seconds",
            "Seconds from the start of a shadow copy to its end",
            ATTEMPT,
        )
        self.history_dropped: Counter = _counter(
            "history_dropped",
            "History rows dropped because the disk was slow, full or unavailable",
            ("router",),
        )
        self.first_content: Histogram = _histogram(
            "first_content_seconds",
            "Seconds from the start of a streamed attempt to its first content",
            PROVIDER,
        )
        self.stream_seconds: Histogram = _histogram(
            "stream_duration_seconds",
            "Seconds from the start of a streamed attempt to the end of its complete stream",
            PROVIDER,
        )
        self.token_rate: Histogram = Histogram(
            "multirouter_stream_tokens_per_second",
            "Output tokens per second between first content and end of a complete stream",
            PROVIDER,
            registry=None,
            buckets=TOKEN_RATES,
        )
        self.cost: Counter = _counter(
            "cost_usd", "Cost of attempts in US dollars", ("router", "route", "provider", "model")
        )
        self.estimated_cost: Counter = _counter(
            "estimated_cost_usd",
            "Part of the cost that is based on estimated token counts",
            PROVIDER,
        )
        self.tokens: Counter = _counter(
            "tokens",
            "Tokens of attempts, by model and kind; kinds do not overlap",
            (*MODEL, "kind"),
        )
        self.failover_extra: Counter = _counter(
            "failover_extra_cost_usd",
            "US dollars that calls cost more than at their first choice",
            ("router", "route"),
        )
        self.failover_saved: Counter = _counter(
            "failover_saved_cost_usd",
            "US dollars that calls cost less than at their first choice",
            ("router", "route"),
        )
        self.budgets_reached: Counter = _counter(
            "budgets_reached",
            "Budgets that reached their warning threshold or their limit",
            ("router", "owner", "threshold"),
        )
        self.unknown_routes: Counter = _counter(
            "unknown_routes",
            "Calls with an unknown route name that used this route instead",
            ("router", "route"),
        )
        self.diverted_calls: Counter = _counter(
            "diverted_calls",
            "Answered calls that the route's first choice did not answer, by the one that did",
            ("router", "route", "provider"),
        )
        self.model_attempts: Counter = _counter(
            "model_attempts", "Attempts whose model is known, by model and outcome", MODEL_ATTEMPT
        )
        self.model_seconds: Histogram = _histogram(
            "model_attempt_duration_seconds",
            "Seconds from the start of an answered attempt to its end, by model",
            MODEL,
        )
        # Several processes count as one router: attempts in flight are summed, states show the
        # worst value. Only live processes count; a dead one would keep an alarm firing.
        self.in_flight: Gauge = Gauge(
            "multirouter_attempts_in_flight",
            "Attempts in flight",
            PROVIDER,
            registry=None,
            multiprocess_mode="livesum",
        )
        self.available: Gauge = Gauge(
            "multirouter_available",
            "1 if available, 0 if open, in cooldown, at its limit, held or removed",
            PROVIDER,
            registry=None,
            multiprocess_mode="livemin",
        )
        self.degraded: Gauge = Gauge(
            "multirouter_degraded",
            "1 if used only after healthy providers, because too few attempts succeeded",
            PROVIDER,
            registry=None,
            multiprocess_mode="livemax",
        )
        self.circuit_state: Gauge = Gauge(
            "multirouter_circuit_state",
            "Circuit state: 0 closed, 1 half_open, 2 open",
            PROVIDER,
            registry=None,
            multiprocess_mode="livemax",
        )
        self.diverted: Gauge = Gauge(
            "multirouter_diverted",
            "1 while a route's calls are answered by other providers than its first choice",
            ("router", "route"),
            registry=None,
            multiprocess_mode="livemax",
        )
        self.alarms_firing: Gauge = Gauge(
            "multirouter_alarms_firing",
            "Subjects (providers, routes or the router) for which the alarm is firing",
            ("router", "alarm"),
            registry=None,
            multiprocess_mode="livemax",
        )

    def all(self) -> tuple[Counter | Gauge | Histogram, ...]:
        """All families, in the order of `docs/reference/metrics.md`."""
        return tuple(vars(self).values())


class RegisteredFamilies:
    """The families of one registry, and the gauges that all its routers share."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.families: Families = Families()
        self.gauges: Gauges = make_gauges(
            self.families.in_flight,
            self.families.available,
            self.families.degraded,
            self.families.circuit_state,
        )
        registered: list[Counter | Gauge | Histogram] = []
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
    return same_import or vars(found.families).keys() == vars(Families()).keys()


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


def _counter(name: str, help_text: str, labels: tuple[str, ...]) -> Counter:
    return Counter(f"multirouter_{name}_total", help_text, labels, registry=None)


def _histogram(name: str, help_text: str, labels: tuple[str, ...]) -> Histogram:
    return Histogram(f"multirouter_{name}", help_text, labels, registry=None, buckets=BUCKETS)
