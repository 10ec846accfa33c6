"""The knobs: one small frozen class a topic, validated once, at birth.

A setting that is left out is inherited (call, else route, else router, see each); `math.inf`
means none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from multirouter.core import validation as check
from multirouter.errors import ConfigurationError

ATTEMPT_TIMEOUT = 30.0
"""Seconds one await may take unless provider, route or router say otherwise."""

CALL_TIMEOUT = 120.0
"""Seconds a whole call may take unless call, route or router say otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When the same call may ask again, and how long it rests before.

    Attributes:
        attempts: the first attempt and every paid one together, at least 1. The first try of
            another provider whose recent attempts were mostly successes is free and not counted,
            so no call fails while a healthy provider is left.
        base: the ceiling of the first rest, seconds. Rest k is drawn evenly from
            [0, min(cap, base * factor**k)].
            Source: "full jitter", AWS Architecture Blog, Exponential Backoff And Jitter, 2015.
        factor: growth of the ceiling from round to round, at least 1.
        cap: the ceiling's own ceiling, seconds.
        max_retry_after: the longest Retry-After a call waits for, seconds; a longer one sends
            the call elsewhere at once.
        budget: paid attempts over `budget_window`, as a share of the calls in it, 0 to 1.
        budget_floor: paid attempts that `budget_window` always allows.
        budget_window: seconds the budget looks back.
            Source: 20 % over 10 s as in Finagle's RetryBudget.
    """

    attempts: int = 4
    base: float = 0.5
    factor: float = 2.0
    cap: float = 8.0
    max_retry_after: float = 30.0
    budget: float = 0.2
    budget_floor: int = 10
    budget_window: float = 10.0

    def __post_init__(self) -> None:
        check.count("RetryPolicy.attempts", self.attempts)
        check.number("RetryPolicy.base", self.base, least=0.0, most=1e9)
        check.number("RetryPolicy.factor", self.factor, least=1.0, most=1e6)
        check.number("RetryPolicy.cap", self.cap, least=0.0, most=1e9)
        check.number("RetryPolicy.max_retry_after", self.max_retry_after, least=0.0, most=1e9)
        check.share("RetryPolicy.budget", self.budget)
        check.count("RetryPolicy.budget_floor", self.budget_floor, least=0)
        check.span("RetryPolicy.budget_window", self.budget_window)


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitPolicy:
    """When a provider's circuit trips, for how long, and how it is tested before it resets.

    Two rules can trip it. Naming neither gives both, with the defaults below; naming one gives
    that one alone; naming both gives both.

    Attributes:
        failures: trips on this many failures in a row, at least 1. Left out (and no
            `failure_rate` either): 3, and under heavy traffic one more for each doubling of the
            calls in the window beyond 8, because at 100 calls a second and 1 % errors three in a
            row befall a healthy provider eight times a day (docs/circuits.md has the evidence).
        failure_rate: trips when at least this share of the calls in the window failed, above 0
            to 1; the bound is inclusive. Left out (and no `failures` either): 0.5.
        slow_after: an answer that took longer than this many seconds counts as slow; left out,
            no fixed mark (`LatencyPolicy` judges by the provider's own past).
        slow_rate: trips when at least this share of the answers in the window were slow.
        minimum_calls: calls the window must hold before a rate is looked at.
        window: seconds the window looks back, in ten slices. A failure counts for at least nine
            tenths of it and never longer than the whole.
        open_duration: seconds a circuit stays open the first time.
        growth: factor on the open time each time it opens again without a recovery between,
            at least 1.
        max_open_duration: the longest open time before jitter, seconds; never under `open_duration`.
        jitter: the open time is drawn evenly between its value and (1 + jitter) times it, so
            that a fleet does not probe in one tick. Left out: 0.1, or 0 with `growth=1` (who
            asks for a fixed time gets it).
        half_open_max_calls: how many trials HALF_OPEN lets out at once, and how many successes close it.
        exhausted_duration: seconds the circuit stays open after an exhausted quota or bad
            credentials, which time alone seldom cures.
        cooling: seconds a provider rests after a 429 that names no time; doubles with each 429
            in a row.
        max_cooldown: the longest rest after a 429, whatever the provider asks, seconds.
        ramp: seconds over which the weight grows from a tenth to its full value after the
            circuit closes; 0 gives the full weight at once.
            Source: Envoy's slow start, with its minimum weight of 10 %.
    """

    failures: int | None = None
    failure_rate: float | None = None
    slow_after: float | None = None
    slow_rate: float = 0.5
    minimum_calls: int = 20
    window: float = 10.0
    open_duration: float = 5.0
    growth: float = 2.0
    max_open_duration: float = 25.0
    jitter: float | None = None
    half_open_max_calls: int = 1
    exhausted_duration: float = 300.0
    cooldown: float = 5.0
    max_cooldown: float = 600.0
    ramp: float = 0.0

    def __post_init__(self) -> None:
        if self.failures is not None:
            check.count("CircuitPolicy.failures", self.failures)
        if self.failure_rate is not None:
            check.number("CircuitPolicy.failure_rate", self.failure_rate, above=0.0, most=1.0)
        if self.slow_after is not None:
            check.span("CircuitPolicy.slow_after", self.slow_after)
        check.number("CircuitPolicy.slow_rate", self.slow_rate, above=0.0, most=1.0)
        check.count("CircuitPolicy.minimum_calls", self.minimum_calls)
        check.span("CircuitPolicy.window", self.window)
        check.span("CircuitPolicy.open_duration", self.open_duration)
        check.number("CircuitPolicy.growth", self.growth, least=1.0, most=1e6)
        check.span("CircuitPolicy.max_open_duration", self.max_open_duration)
        if self.jitter is not None:
            check.number("CircuitPolicy.jitter", self.jitter, least=0.0, most=10.0)
        check.count("CircuitPolicy.half_open_max_calls", self.half_open_max_calls)
        check.span("CircuitPolicy.exhausted_duration", self.exhausted_duration)
        check.span("CircuitPolicy.cooling", self.cooldown)
        check.span("CircuitPolicy.max_cooldown", self.max_cooldown)
        check.number("CircuitPolicy.ramp", self.ramp, least=0.0, most=1e9)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyPolicy:
    """What a provider's own past says about how long an attempt may take, and when slow is ill.

    Attributes:
        adaptive: whether attempts are cut off by the provider's own past; `attempt_timeout`
            stays the ceiling, and holds alone until `minimum_samples` answers are known.
        floor: no attempt is cut off before this many seconds.
        percentile: the share of recent answers that sets the mark, above 0 and below 1.
        factor: an attempt may take this many times the mark, at least 1.
        minimum_samples: answers that must be known before the past is trusted.
        slow_factor: a provider is ill when its recent latency is this many times its usual one,
            and that much above what its peers on the route show too; greater than 1,
            `math.inf` switches it off.
        slow_floor: recent latencies under this many seconds are never slow.
        slow_deviations: how many standard deviations of its own recent mean that must be as
            well, so that a provider whose answers vary much is not taken for ill.
    """

    adaptive: bool = True
    floor: float = 2.0
    percentile: float = 0.99
    factor: float = 1.5
    minimum_samples: int = 20
    slow_factor: float = 3.0
    slow_floor: float = 1.0
    slow_deviations: float = 5.0

    def __post_init__(self) -> None:
        check.number("LatencyPolicy.floor", self.floor, least=0.0, most=1e9)
        check.number("LatencyPolicy.percentile", self.percentile, above=0.0, most=0.9999)
        check.number("LatencyPolicy.factor", self.factor, least=1.0, most=1e6)
        check.count("LatencyPolicy.minimum_samples", self.minimum_samples)
        check.number("LatencyPolicy.slow_factor", self.slow_factor, above=1.0, endless=True)
        check.number("LatencyPolicy.slow_floor", self.slow_floor, least=0.0, most=1e9)
        check.number("LatencyPolicy.slow_deviations", self.slow_deviations, least=0.0)


Size = Callable[[Any], int]
"""Reads a request and says how many tokens it will take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitPolicy:
    """How much load is let through; None means no such limit.

    Attributes:
        in_flight: attempts at one time (a bulkhead), at least 1.
        requests_per_minute: a token bucket of requests, above 0; it starts full.
        tokens_per_minute: a token bucket of tokens, above 0; it starts full. A request larger
            than the whole bucket is let through when the bucket is full.
        burst: the share of a minute's allowance that may come at once, above 0 to 1.
        size: reads a request and returns its tokens, at least 0; needed by `tokens_per_minute`.
    """

    in_flight: int | None = None
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    burst: float = 1.0
    size: Size | None = None

    def __post_init__(self) -> None:
        if self.in_flight is not None:
            check.count("LimitPolicy.in_flight", self.in_flight)
        if self.requests_per_minute is not None:
            check.rate("LimitPolicy.requests_per_minute", self.requests_per_minute)
        if self.tokens_per_minute is not None:
            check.rate("LimitPolicy.tokens_per_minute", self.tokens_per_minute)
            if not callable(self.size):
                raise ConfigurationError(
                    "LimitPolicy.size", "is needed by tokens_per_minute: a function of the request"
                )
        check.number("LimitPolicy.burst", self.burst, above=0.0, most=1.0)


DEFAULT_HEDGE_PERCENTILE = 0.99
"""Share of a provider's recent answers that came sooner than a hedge, when no policy says when."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HedgePolicy:
    """When a second attempt starts beside a slow first one.

    One of `after` and `percentile` says when, and not both. A hedge is paid for as a retry is:
    `RetryPolicy.attempts` counts it, so 1 means that nothing is hedged.

    Attributes:
        after: seconds the first attempt gets alone.
        percentile: the first attempt gets as long as this share of its provider's recent
            answers took, above 0 and below 1 (0.95: one call in twenty is hedged); until
            `minimum_samples` are known, nothing is hedged. Left out, and no `after` either:
            0.99, which docs/outages.md has the evidence for.
        minimum_samples: how many answers `percentile` needs.
        at_most: attempts in flight for one call, the first included, at least 2.
    """

    after: float | None = None
    percentile: float | None = None
    minimum_samples: int = 20
    at_most: int = 2

    def __post_init__(self) -> None:
        if self.after is None and self.percentile is None:
            object.__setattr__(self, "percentile", DEFAULT_HEDGE_PERCENTILE)
        elif self.after is not None and self.percentile is not None:
            raise ConfigurationError("HedgePolicy", "takes only one of after and percentile")
        if self.after is not None:
            check.number("HedgePolicy.after", self.after, least=0.0, most=1e9)
        if self.percentile is not None:
            check.number("HedgePolicy.percentile", self.percentile, above=0.0, most=0.9999)
        check.count("HedgePolicy.minimum_samples", self.minimum_samples)
        check.count("HedgePolicy.at_most", self.at_most, least=2)
