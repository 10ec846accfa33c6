"""The figures of a report as plain data; the field names are the keys of the JSON form."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles of the time to an answer, or to the first content of a stream, seconds.

    A call without an answer counts as slower than any other: `math.inf` means that the percentile
    falls on such a call. None means that there were no calls.
    """

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of one period.

    Calls cancelled by their caller count only in `calls` and `cancelled`.

    Attributes:
        calls: calls that ended.
        answered: calls answered by a provider.
        fallbacks: calls answered by `fallback=`.
        errors: calls whose caller got an error.
        request_errors: of those, calls that failed because of the request itself, which no other
            provider would have answered.
        rejected: of the errors, calls without any attempt.
        cancelled: calls cancelled by their caller.
        masked_failures: failed attempts of calls that were answered.
        recovered: answered calls that the first choice alone would not have answered: its attempt
            failed, or the route's first choice was not available.
        first_choice_unavailable: of those, calls whose first choice was unavailable, so that they
            began at another provider.
        diverted: answered calls that the first choice did not answer.
        first_choice_failed: calls that the first choice did not answer or would not have answered,
            without request errors.
        latency: of all calls but request errors.
        first_choice_latency: of the same calls, with the first choice alone.
        trips: how many times a closed circuit opened.
        cost: of all attempts, USD; None if no provider has a price.
        first_choice_cost: what the calls would have cost at their first choice alone, USD, for the
            calls where that is known; None if it is known for none.
        effective_providers: how diverse the answers are: as many providers with equal shares would
            be as diverse (1 / the sum of the squared shares); 1 when one provider gave all
            answers, None without answers.
        failover_cost: what those calls cost above `first_choice_cost`, USD; < 0: what they saved.
    """

    calls: int = 0
    answered: int = 0
    fallbacks: int = 0
    errors: int = 0
    request_errors: int = 0
    rejected: int = 0
    cancelled: int = 0
    masked_failures: int = 0
    recovered: int = 0
    first_choice_unavailable: int = 0
    diverted: int = 0
    first_choice_failed: int = 0
    latency: Latency = Latency()
    first_choice_latency: Latency = Latency()
    trips: int = 0
    cost: float | None = None
    first_choice_cost: float | None = None
    failover_cost: float | None = None
    effective_providers: float | None = None

    @property
    def counted(self) -> int:
        """Calls that count in shares: without cancelled calls and request errors."""
        return self.calls - self.cancelled - self.request_errors

    @property
    def success_rate(self) -> float | None:
        """Share of the counted calls that were answered, 0 to 1; None without calls."""
        return self.answered / self.counted if self.counted else None


@dataclass(frozen=True, slots=True)
class RouteStats:
    """One route: its name (`router/route` if there are several routers) and its summary."""

    route: str
    summary: Summary


@dataclass(frozen=True, slots=True)
class KeyStats:
    """The calls of one client key.

    Attributes:
        key: its name; None for the calls without one.
        summary: the figures of its calls.
        input_tokens: reported or estimated input tokens of all their attempts.
        output_tokens: reported or estimated output tokens of all their attempts.
    """

    key: str | None
    summary: Summary
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class OperationStats:
    """The calls of one operation.

    Attributes:
        operation: its name, such as `embeddings`; `chat` for the providers' own functions.
        summary: the figures of its calls.
        input_tokens: as of `KeyStats`.
        output_tokens: as of `KeyStats`.
    """

    operation: str
    summary: Summary
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class ProviderStats:
    """The attempts of one provider, without shadow copies.

    Attributes:
        provider: its name (`router/provider` if there are several routers).
        attempts: attempts that ended.
        answers: successful attempts.
        cancelled: attempts that were cancelled because their result was no longer needed.
        share: its share of the answers of all providers, 0 to 1.
        success_rate: share of the attempts that succeeded, without cancelled ones; None without
            attempts.
        latency: of its answers.
        failures: failed attempts by kind, the most frequent first.
        cost: USD; None if it has no price.
        input_tokens: reported or estimated input tokens.
        output_tokens: reported or estimated output tokens.
    """

    provider: str
    attempts: int
    answers: int
    cancelled: int
    share: float
    success_rate: float | None
    latency: Latency
    failures: dict[str, int]
    cost: float | None
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class RouteAnswers:
    """The answers of one provider on one route.

    Attributes:
        route: the route's name.
        provider: the provider's name.
        answers: calls that it answered.
        share: its share of the route's answers, 0 to 1.
        diverted: of its answers, those that the route's first choice should have given.
    """

    route: str
    provider: str
    answers: int
    share: float
    diverted: int


@dataclass(frozen=True, slots=True)
class ModelStats:
    """The attempts of one model at one provider; attempts without a known model are missing.

    Attributes:
        provider: the provider's name.
        model: the model's name.
        attempts: attempts that ended.
        answers: successful attempts.
        success_rate: share of the attempts that succeeded, without cancelled ones; None without
            attempts.
        latency: of its answers.
        cost: USD; None if it has no price.
        input_tokens: reported or estimated input tokens.
        output_tokens: reported or estimated output tokens.
    """

    provider: str
    model: str
    attempts: int
    answers: int
    success_rate: float | None
    latency: Latency
    cost: float | None
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the calls would have been with one model alone, as its own attempts show it.

    Attributes:
        model: the model's name.
        attempts: its attempts in the period; 0 if it was not used.
        success_rate: share of its attempts that succeeded, 0 to 1; None without attempts.
        latency: of its answers.
        cost: of all tokens of the period at its price, USD; None if its price is not known.
    """

    model: str
    attempts: int
    success_rate: float | None
    latency: Latency
    cost: float | None


@dataclass(frozen=True, slots=True)
class FailoverCount:
    """How many failovers went from one provider to another for one kind of failure."""

    provider: str
    to_provider: str
    kind: str
    count: int


@dataclass(frozen=True, slots=True)
class OpenPeriod:
    """A time in which a circuit was not closed.

    Attributes:
        provider: the provider's name.
        reason: why the circuit opened.
        started: wall clock, seconds since 1970.
        ended: wall clock, seconds since 1970; None if the circuit is still not closed.
        failed_trials: how many trials failed in this time.
    """

    provider: str
    reason: str
    started: float
    ended: float | None
    failed_trials: int


@dataclass(frozen=True, slots=True)
class Interval:
    """One interval of the timeline.

    Attributes:
        start: wall clock, seconds since 1970.
        first_choice: calls answered by their first choice.
        recovered: calls answered by another provider.
        failed: calls that no provider answered.
        latency: of its calls.
        cost: USD; None if no provider has a price.
    """

    start: float
    first_choice: int
    recovered: int
    failed: int
    latency: Latency
    cost: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """The report of one period, with the previous period for comparison.

    Attributes:
        since: start of the period, seconds since 1970.
        until: end of the period, seconds since 1970.
        summary: the figures of the period.
        previous: the figures of the period of the same length before it; None without calls.
        routes: by number of calls, the most first.
        providers: by number of answers, the most first.
        answers: by route as in `routes`, and by number of answers.
        models: by number of answers, the most first.
        keys: by number of calls, the most first; empty when no call had a key.
        operations: by number of calls, the most first; empty when all calls are chats.
        failovers: the most frequent first.
        open_periods: by start.
        interval_seconds: length of one interval of the timeline.
        timeline: intervals from the first call to the end of the period.
        baseline: the model that the reader compares with, or None.
    """

    since: float
    until: float
    summary: Summary
    previous: Summary | None
    routes: list[RouteStats] = field(default_factory=list[RouteStats])
    providers: list[ProviderStats] = field(default_factory=list[ProviderStats])
    answers: list[RouteAnswers] = field(default_factory=list[RouteAnswers])
    models: list[ModelStats] = field(default_factory=list[ModelStats])
    keys: list[KeyStats] = field(default_factory=list[KeyStats])
    operations: list[OperationStats] = field(default_factory=list[OperationStats])
    failovers: list[FailoverCount] = field(default_factory=list[FailoverCount])
    open_periods: list[OpenPeriod] = field(default_factory=list[OpenPeriod])
    interval_seconds: float = 0.0
    timeline: list[Interval] = field(default_factory=list[Interval])
    baseline: Baseline | None = None
