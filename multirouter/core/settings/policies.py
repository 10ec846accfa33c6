"""Policies for retries, circuits, latency, health, limits and hedging, validated once.

A policy that is left out is inherited (call, else route, else router; see each). `math.inf` means
no limit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from multirouter.core import function_checks as hooks
from multirouter.core import validation as check
from multirouter.errors import ConfigurationError

ATTEMPT_TIMEOUT = 30.0
"""Default timeout of one attempt, seconds; provider, route or router may set another."""

CALL_TIMEOUT = 120.0
"""Default timeout of a whole call, seconds; call, route or router may set another."""

UnsupportedPolicy = Literal["pass_over", "drop", "reject"]
"""What happens to a request that a provider of its route cannot express; see `Route`."""

UNSUPPORTED_POLICIES: tuple[UnsupportedPolicy, ...] = ("pass_over", "drop", "reject")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a call makes another attempt, and how long it waits before.

    Attributes:
        attempts: maximum number of attempts of one call, at least 1: the first one and all that
            are charged to the retry budget, without those of `Provider.retries`. The first attempt
            at another provider is free and not counted when most of that provider's recent
            attempts succeeded, so no call fails while a healthy provider is left.
        base: upper limit of the first backoff, seconds, 0 to 1e9. Backoff k is uniformly random
            in [0, min(cap, base * factor**k)].
            Source: "full jitter", AWS Architecture Blog, Exponential Backoff And Jitter, 2015.
        factor: growth of that limit from round to round, 1 to 1e6.
        cap: maximum of that limit, seconds, 0 to 1e9.
        max_retry_after: longest Retry-After that a call waits for, seconds, 0 to 1e9; with a
            longer one the call fails over at once.
        budget: charged attempts within `budget_window`, as a share of the calls in it, 0 to 1.
        budget_floor: charged attempts that `budget_window` always allows, at least 0.
        budget_window: length of the budget's window, seconds.
            Source: 20 % over 10 s as in Finagle's RetryBudget.

    Raises:
        ConfigurationError: a setting is out of range.
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
        check.seconds("RetryPolicy.base", self.base)
        check.number("RetryPolicy.factor", self.factor, minimum=1.0, maximum=1e6)
        check.seconds("RetryPolicy.cap", self.cap)
        check.seconds("RetryPolicy.max_retry_after", self.max_retry_after)
        check.share("RetryPolicy.budget", self.budget)
        check.count("RetryPolicy.budget_floor", self.budget_floor, minimum=0)
        check.duration("RetryPolicy.budget_window", self.budget_window)


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitPolicy:
    """When a provider's circuit opens, for how long, and what closes it again.

    Two rules can open it: consecutive failures (`failures`) and the failure rate
    (`failure_rate`). Setting neither enables both with the defaults below, setting one enables
    only that one, setting both enables both.

    Attributes:
        failures: opens after this many consecutive failures, at least 1. Default (without
            `failure_rate`): 3; under heavy traffic one more for each doubling of the calls in the
            window beyond 8, because at 100 calls per second and 1 % errors a healthy provider has
            three failures in a row eight times a day (evidence: docs/explanation/circuits.md).
        failure_rate: opens when at least this share of the calls in the window failed, above 0
            to 1. Default (without `failures`): 0.5.
        slow_after: an answer that took longer than this counts as slow, seconds. Default: no
            fixed limit (`LatencyPolicy` compares with the provider's own history).
        slow_rate: opens when at least this share of the answers in the window was slow, above 0
            to 1.
        minimum_calls: calls that the window must hold before a rate is evaluated, at least 1.
        window: length of the window, seconds, in ten slices. A failure counts for at least nine
            tenths of it and never longer than the whole.
        open_duration: how long the circuit stays open the first time, seconds.
        growth: factor on the open duration each time the circuit opens again without having
            recovered, 1 to 1e6.
        max_open_duration: longest open duration before jitter, seconds; a value below
            `open_duration` counts as `open_duration`.
        jitter: the open duration is uniformly random between its value and (1 + jitter) times its
            value, 0 to 10, so that many processes do not send their trials at the same moment.
            Default: 0.1, or 0 with `growth=1`, which asks for a fixed duration. It applies to
            `cooldown` too, there with a default of 0.5.
        half_open_max_calls: number of trials that a half-open circuit allows at one time, and the
            number of successful trials that closes it, at least 1.
        half_open_wait: how long a call that no other provider can serve waits for the trials of a
            half-open circuit, counted from the call's start, seconds, 0 to 1e9. Such calls also
            join the trials in growing number. 0: they are rejected at once, and none joins.
        exhausted_duration: how long the circuit stays open after an exhausted quota or bad
            credentials, seconds (or Retry-After, when that is longer); time alone seldom cures
            these.
        cooldown: length of a provider's cooldown after a 429 that names no time, before jitter,
            seconds; doubles with each consecutive 429, up to `max_open_duration`. A time that the
            provider names has no jitter.
        max_cooldown: longest cooldown, whatever Retry-After a provider sends, seconds. A failure
            with a Retry-After (a 503) starts a cooldown too; it counts as a failure as well.
        ramp: time over which the weight grows from a tenth to its full value after the circuit
            closes, seconds; 0 gives the full weight at once.
            Source: Envoy's slow start, with its minimum weight of 10 %.

    Raises:
        ConfigurationError: a setting is out of range.
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
    half_open_wait: float = 5.0
    exhausted_duration: float = 300.0
    cooldown: float = 5.0
    max_cooldown: float = 600.0
    ramp: float = 0.0

    def __post_init__(self) -> None:
        if self.failures is not None:
            check.count("CircuitPolicy.failures", self.failures)
        if self.failure_rate is not None:
            check.number("CircuitPolicy.failure_rate", self.failure_rate, above=0.0, maximum=1.0)
        if self.slow_after is not None:
            check.duration("CircuitPolicy.slow_after", self.slow_after)
        check.number("CircuitPolicy.slow_rate", self.slow_rate, above=0.0, maximum=1.0)
        check.count("CircuitPolicy.minimum_calls", self.minimum_calls)
        check.duration("CircuitPolicy.window", self.window)
        check.duration("CircuitPolicy.open_duration", self.open_duration)
        check.number("CircuitPolicy.growth", self.growth, minimum=1.0, maximum=1e6)
        check.duration("CircuitPolicy.max_open_duration", self.max_open_duration)
        if self.jitter is not None:
            check.number("CircuitPolicy.jitter", self.jitter, minimum=0.0, maximum=10.0)
        check.count("CircuitPolicy.half_open_max_calls", self.half_open_max_calls)
        check.seconds("CircuitPolicy.half_open_wait", self.half_open_wait)
        check.duration("CircuitPolicy.exhausted_duration", self.exhausted_duration)
        check.duration("CircuitPolicy.cooldown", self.cooldown)
        check.duration("CircuitPolicy.max_cooldown", self.max_cooldown)
        check.seconds("CircuitPolicy.ramp", self.ramp)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyPolicy:
    """Adaptive attempt timeout and latency outlier detection, from a provider's own history.

    Attributes:
        adaptive: whether attempts are cut off by the adaptive timeout. `attempt_timeout` remains
            the upper limit, and is the only limit until `minimum_samples` answers are known.
        floor: shortest adaptive timeout, seconds, 0 to 1e9.
        percentile: the percentile of recent latencies that the timeout is based on, above 0 to
            0.9999.
        factor: the timeout is this many times that percentile, 1 to 1e6.
        minimum_samples: answers that must be known before the history is used, at least 1.
        slow_factor: a provider is unhealthy when its recent latency is this many times its usual
            one, and this many times above what the other providers of the route show; greater
            than 1, `math.inf` disables the check.
        slow_floor: recent latencies below this are never slow, seconds, 0 to 1e9.
        slow_deviations: the recent mean must also exceed the usual one by this many standard
            deviations of the recent mean, at least 0, so that a provider with widely varying
            latencies is not taken for unhealthy.

    Raises:
        ConfigurationError: a setting is out of range.
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
        check.flag("LatencyPolicy.adaptive", self.adaptive)
        check.seconds("LatencyPolicy.floor", self.floor)
        check.number("LatencyPolicy.percentile", self.percentile, above=0.0, maximum=0.9999)
        check.number("LatencyPolicy.factor", self.factor, minimum=1.0, maximum=1e6)
        check.count("LatencyPolicy.minimum_samples", self.minimum_samples)
        check.number("LatencyPolicy.slow_factor", self.slow_factor, above=1.0, allow_inf=True)
        check.seconds("LatencyPolicy.slow_floor", self.slow_floor)
        check.number("LatencyPolicy.slow_deviations", self.slow_deviations, minimum=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthPolicy:
    """When a provider counts as degraded on a route, and is attempted after the others.

    Attributes:
        window: length of the window of attempts, seconds. The default is long enough that one call
            in fifteen seconds fills `minimum_calls`, and short enough that a degraded provider,
            which gets few attempts, is soon attempted normally again.
        minimum_calls: attempts from which the success rate is computed at least, at least 1. Of
            fewer, the missing ones count as successes: five failures are enough with the defaults,
            however few calls there are.
        min_success_rate: lowest share of successes of a provider that is not degraded, 0 to 1; at
            0 no provider is ever degraded. With the default, twenty attempts take five failures. A
            provider that fails in one of a hundred reaches that in one of some sixty thousand such
            windows.

    Raises:
        ConfigurationError: a setting is out of range.
    """

    window: float = 300.0
    minimum_calls: int = 20
    min_success_rate: float = 0.8

    def __post_init__(self) -> None:
        check.duration("HealthPolicy.window", self.window)
        check.count("HealthPolicy.minimum_calls", self.minimum_calls)
        check.share("HealthPolicy.min_success_rate", self.min_success_rate)


Size = Callable[[Any], int]
"""Returns the number of tokens of a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitPolicy:
    """Concurrency and rate limits; None means no such limit.

    Attributes:
        in_flight: maximum number of attempts at one time (a bulkhead), at least 1.
        requests_per_minute: rate of a token bucket of requests, 1e-6 to 1e12; it starts full.
        tokens_per_minute: rate of a token bucket of tokens, 1e-6 to 1e12; it starts full. A
            request larger than the whole bucket is admitted when the bucket is full.
        burst: the share of a minute's allowance that may be used at once, above 0 to 1.
        size: returns the number of tokens of a request, at least 0; required by
            `tokens_per_minute`.
        learn: whether limits are learned from the provider's rate-limit headers and 429s, and
            kept before they are hit; only in `Provider(limits=)`.

    Raises:
        ConfigurationError: a setting is out of range, or `size` is missing.
    """

    in_flight: int | None = None
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    burst: float = 1.0
    size: Size | None = None
    learn: bool = False

    def __post_init__(self) -> None:
        check.flag("LimitPolicy.learn", self.learn)
        if self.in_flight is not None:
            check.count("LimitPolicy.in_flight", self.in_flight)
        if self.requests_per_minute is not None:
            check.rate("LimitPolicy.requests_per_minute", self.requests_per_minute)
        if self.tokens_per_minute is not None:
            check.rate("LimitPolicy.tokens_per_minute", self.tokens_per_minute)
            if self.size is None:
                raise ConfigurationError(
                    "LimitPolicy.size",
                    "must be a function that returns a request's tokens, since "
                    "tokens_per_minute is set, got None",
                )
        hooks.plain_function("LimitPolicy.size", self.size, "request")
        check.number("LimitPolicy.burst", self.burst, above=0.0, maximum=1.0)


def shared_limits(what: str, value: Any) -> LimitPolicy | None:
    """The limits of a route or a router, which are learned from no provider.

    Raises:
        ConfigurationError: the value is no LimitPolicy, or one with `learn`.
    """
    policy = check.instance(what, value, LimitPolicy)
    if policy is not None and policy.learn:
        raise ConfigurationError(
            f"{what}.learn", "must be False except in Provider(limits=), got True"
        )
    return policy


DEFAULT_HEDGE_PERCENTILE = 0.99
"""Default `percentile` of a HedgePolicy without `after`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HedgePolicy:
    """When a call starts a second attempt beside a slow first one.

    Either `after` or `percentile` says when, not both. A hedge is charged like a retry and
    counted in `RetryPolicy.attempts`, so `attempts=1` disables hedging.

    Attributes:
        after: delay before the second attempt starts, seconds, 0 to 1e9.
        percentile: the second attempt starts when the first has taken longer than this percentile
            of its provider's recent answers, above 0 to 0.9999 (0.95: one call in twenty is
            hedged); no hedge until `minimum_samples` answers are known. Default (without
            `after`): 0.99 (evidence: docs/explanation/outages.md).
        minimum_samples: answers that `percentile` needs, at least 1.
        max_in_flight: maximum number of attempts of one call at one time, including the first,
            at least 2.

    Raises:
        ConfigurationError: a setting is out of range, or both `after` and `percentile` are set.
    """

    after: float | None = None
    percentile: float | None = None
    minimum_samples: int = 20
    max_in_flight: int = 2

    def __post_init__(self) -> None:
        if self.after is None and self.percentile is None:
            object.__setattr__(self, "percentile", DEFAULT_HEDGE_PERCENTILE)
        elif self.after is not None and self.percentile is not None:
            raise ConfigurationError("HedgePolicy", "must set only one of `after` and `percentile`")
        if self.after is not None:
            check.seconds("HedgePolicy.after", self.after)
        if self.percentile is not None:
            check.number("HedgePolicy.percentile", self.percentile, above=0.0, maximum=0.9999)
        check.count("HedgePolicy.minimum_samples", self.minimum_samples)
        check.count("HedgePolicy.max_in_flight", self.max_in_flight, minimum=2)
