"""The metric families: their names, labels and meaning, made once per Prometheus registry."""

from __future__ import annotations

from threading import Lock
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from multirouter.errors import ConfigurationError
from multirouter.listeners.metrics.gauges import Gauges, gauges_of_this_process

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 12, 20, 30, 60, 120)
"""Upper bounds in seconds: caches and refusals below 0.1, first answers at 0.25 to 3, long ones up
to the default limits of an attempt (30) and of a call (120), which are bounds so that the share
that ran into them can be read off."""

TOKEN_RATES = (1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1000, 2000)
"""Upper bounds in tokens a second: a reader follows 5 to 10, hosted models give 30 to 300."""

CALL = ("router", "route", "outcome")
ATTEMPT = ("router", "provider", "outcome")
PROVIDER = ("router", "provider")


class Families:
    """Every family of one registry; `docs/metrics.md` lists them with the questions they answer.

    Labels are closed sets: configured names, outcomes, kinds and reasons; never a message.
    """

    def __init__(self) -> None:
        self.calls: Counter = _counter("calls", "Calls ended, by outcome", CALL)
        self.call_seconds: Histogram = _histogram(
            "call_duration_seconds", "From a call to its end", CALL
        )
        self.attempts: Counter = _counter("attempts", "Attempts ended, by outcome", ATTEMPT)
        self.attempt_seconds: Histogram = _histogram(
            "attempt_duration_seconds", "From the asking of a provider to its outcome", ATTEMPT
        )
        self.late_attempts: Counter = _counter(
            "late_attempts",
            "Attempts that ended when their circuit had changed: counted, but moved no circuit",
            PROVIDER,
        )
        self.transitions: Counter = _counter(
            "circuit_transitions",
            "Changes of a circuit's state, by the new state and the reason",
            ("router", "provider", "to", "reason"),
        )
        self.failovers: Counter = _counter(
            "failovers",
            "Calls that moved on from this provider to another, by the kind of its failure",
            ("router", "provider", "reason"),
        )
        self.stream_continuations: Counter = _counter(
            "stream_continuations",
            "Broken streams that went on elsewhere, by the way in which they did",
            ("router", "route", "how"),
        )
        self.retries_denied: Counter = _counter(
            "retries_denied",
            "Further attempts that were possible and not made, by reason",
            ("router", "reason"),
        )
        self.cooldowns: Counter = _counter(
            "cooldowns", "Rests a provider was given after a 429", PROVIDER
        )
        self.panics: Counter = _counter(
            "panics",
            "Choices made without regard to circuits, because too few were closed",
            ("router", "route"),
        )
        self.shadow_attempts: Counter = _counter(
            "shadow_attempts", "Copies of answered calls that ended, by outcome", ATTEMPT
        )
        self.shadow_seconds: Histogram = _histogram(
            "shadow_attempt_duration_seconds", "From the asking of a copy to its outcome", ATTEMPT
        )
        self.history_dropped: Counter = _counter(
            "history_dropped",
            "Rows that the history lost, because the disk was slow, full or not there",
            ("router",),
        )
        self.first_content: Histogram = _histogram(
            "first_content_seconds", "From the asking of a provider to its first content", PROVIDER
        )
        self.stream_seconds: Histogram = _histogram(
            "stream_duration_seconds", "From the asking of a provider to its stream's end", PROVIDER
        )
        self.token_rate: Histogram = Histogram(
            "multirouter_stream_tokens_per_second",
            "Tokens of output by the seconds from first content to end",
            PROVIDER,
            registry=None,
            buckets=TOKEN_RATES,
        )
        self.cost: Counter = _counter(
            "cost_usd", "US dollars that attempts cost", ("router", "route", "provider")
        )
        self.estimated_cost: Counter = _counter(
            "estimated_cost_usd", "The part of the cost that is estimated", PROVIDER
        )
        self.tokens: Counter = _counter(
            "tokens", "Tokens of priced attempts, each counted once", (*PROVIDER, "kind")
        )
        self.failover_extra: Counter = _counter(
            "failover_extra_cost_usd",
            "US dollars that answers cost above the price of their call's first choice",
            ("router", "route"),
        )
        self.failover_saved: Counter = _counter(
            "failover_saved_cost_usd",
            "US dollars that answers cost below the price of their call's first choice",
            ("router", "route"),
        )
        self.budgets_reached: Counter = _counter(
            "budgets_reached",
            "Budgets that came to their warning mark, or to their end",
            ("router", "owner", "mark"),
        )
        self.unknown_routes: Counter = _counter(
            "unknown_routes",
            "Calls that named a route there is not, and took this one",
            ("router", "route"),
        )
        # Several processes count as one router: calls in flight add up, and of opinions the
        # worst is shown. Only live processes have a say, or a dead one would keep an alarm up.
        self.in_flight: Gauge = Gauge(
            "multirouter_attempts_in_flight",
            "Attempts that are being awaited now",
            PROVIDER,
            registry=None,
            multiprocess_mode="livesum",
        )
        self.available: Gauge = Gauge(
            "multirouter_available",
            "1 when the provider may be asked, 0 when open, cooling, full, held or removed",
            PROVIDER,
            registry=None,
            multiprocess_mode="livemin",
        )
        self.degraded: Gauge = Gauge(
            "multirouter_degraded",
            "1 when the provider is asked after the others, as too few of its attempts succeeded",
            PROVIDER,
            registry=None,
            multiprocess_mode="livemax",
        )
        self.circuit_state: Gauge = Gauge(
            "multirouter_circuit_state",
            "0 closed, 1 half_open, 2 open",
            PROVIDER,
            registry=None,
            multiprocess_mode="livemax",
        )
        self.alarms_firing: Gauge = Gauge(
            "multirouter_alarms_firing",
            "Providers, routes or routers that an alarm fires for now",
            ("router", "alarm"),
            registry=None,
            multiprocess_mode="livemax",
        )

    def all(self) -> tuple[Counter | Gauge | Histogram, ...]:
        """Every family, in the order of the docs."""
        return tuple(vars(self).values())


class Exposed:
    """The families as they stand in one registry, and the gauges that all its routers share."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.families: Families = Families()
        self.gauges: Gauges = gauges_of_this_process(
            self.families.in_flight,
            self.families.available,
            self.families.degraded,
            self.families.circuit_state,
        )
        self._register(registry)

    def _register(self, registry: CollectorRegistry) -> None:
        done: list[Counter | Gauge | Histogram] = []
        try:
            for family in self.families.all():
                registry.register(family)
                done.append(family)
        except ValueError as error:
            for family in done:
                registry.unregister(family)
            raise ConfigurationError("registry", f"holds others of these names: {error}") from error


_EXPOSED: WeakKeyDictionary[CollectorRegistry, Exposed] = WeakKeyDictionary()
_MAKING = Lock()


def exposed_in(registry: CollectorRegistry) -> Exposed:
    """The families of `registry`, made when the first router asks for them.

    Raises:
        ConfigurationError: `registry` is none, or holds somebody else's metrics of these names.
    """
    if not isinstance(registry, CollectorRegistry):
        raise ConfigurationError("registry", f"must be a CollectorRegistry, not {registry!r}")
    with _MAKING:
        exposed = _EXPOSED.get(registry)
        if exposed is None:
            exposed = _EXPOSED[registry] = Exposed(registry)
        return exposed


def _counter(name: str, meaning: str, labels: tuple[str, ...]) -> Counter:
    return Counter(f"multirouter_{name}_total", meaning, labels, registry=None)


def _histogram(name: str, meaning: str, labels: tuple[str, ...]) -> Histogram:
    return Histogram(f"multirouter_{name}", meaning, labels, registry=None, buckets=BUCKETS)
