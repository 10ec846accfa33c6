"""Aggregates rows of calls and attempts into the figures of a report."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

from multirouter.model import REQUEST_KINDS, FailureKind
from multirouter.report.latency_histogram import LatencyHistogram
from multirouter.report.model import (
    Interval,
    KeyStats,
    Latency,
    ModelStats,
    OperationStats,
    ProviderStats,
    Summary,
)


class Call(NamedTuple):
    """The columns read of a call; see `listeners.history.schema.CALLS`."""

    at: float
    router: str
    route: str
    result: str
    provider: str | None
    elapsed: float
    first_content: float | None
    failures: int
    first_provider: str | None
    first_kind: str | None
    first_elapsed: float | None
    first_choice_unavailable: int
    cost: float | None
    first_cost: float | None
    client_key: str | None
    operation: str | None
    input_tokens: int | None
    output_tokens: int | None

    @property
    def latency(self) -> float:
        """Seconds to the answer, or to the first content; `math.inf` without an answer."""
        if self.result != "success":
            return math.inf
        return self.elapsed if self.first_content is None else self.first_content

    @property
    def diverted(self) -> bool:
        """Whether it was answered, and not by the first choice."""
        if self.result != "success":
            return False
        return bool(self.first_choice_unavailable) or self.provider != self.first_provider

    @property
    def first_choice_latency(self) -> float:
        """The same with the first choice alone; an unavailable provider gives no answer."""
        if (
            self.first_choice_unavailable
            or self.first_kind != FailureKind.SUCCESS
            or self.first_elapsed is None
        ):
            return math.inf
        return self.first_elapsed


class CallAggregate:
    """Aggregates calls: of one route, of one interval, or all.

    Attributes:
        trips: how many times a closed circuit opened; set by the caller.
    """

    def __init__(self) -> None:
        self._results: Counter[str] = Counter()
        self._request_errors = self._masked_failures = self._recovered = 0
        self._first_choice_failed = self._first_choice_unavailable = self._diverted = 0
        self._latency, self._first_choice_latency = LatencyHistogram(), LatencyHistogram()
        self._cost = self._first_choice_cost = self._failover_cost = 0.0
        self._has_cost = self._has_first_choice_cost = False
        self._input_tokens = self._output_tokens = 0
        self._answers: Counter[tuple[str, str | None]] = Counter()
        self.trips: int = 0

    def add(self, call: Call) -> None:
        """Adds one call."""
        self._results[call.result] += 1
        self._input_tokens += call.input_tokens or 0
        self._output_tokens += call.output_tokens or 0
        self._add_cost(call)
        if call.result == "cancelled":
            return
        if call.result == "failure" and call.first_kind in REQUEST_KINDS:
            self._request_errors += 1
            return
        self._latency.add(call.latency)
        first_choice_latency = call.first_choice_latency
        self._first_choice_latency.add(first_choice_latency)
        first_choice_failed = first_choice_latency == math.inf
        self._first_choice_failed += first_choice_failed
        if call.result == "success":
            self._answers[call.router, call.provider] += 1
            self._masked_failures += call.failures
            self._first_choice_unavailable += call.first_choice_unavailable
            self._recovered += first_choice_failed
            self._diverted += call.diverted

    def _add_cost(self, call: Call) -> None:
        if call.cost is None:
            return
        self._has_cost = True
        self._cost += call.cost
        if call.first_cost is not None:
            self._has_first_choice_cost = True
            self._first_choice_cost += call.first_cost
            self._failover_cost += call.cost - call.first_cost

    def summary(self) -> Summary:
        """The figures of the calls added."""
        results = self._results
        return Summary(
            calls=results.total(),
            answered=results["success"],
            fallbacks=results["fallback"],
            errors=results["failure"] + results["rejected"],
            request_errors=self._request_errors,
            rejected=results["rejected"],
            cancelled=results["cancelled"],
            masked_failures=self._masked_failures,
            recovered=self._recovered,
            first_choice_unavailable=self._first_choice_unavailable,
            diverted=self._diverted,
            first_choice_failed=self._first_choice_failed,
            latency=latency_of(self._latency),
            first_choice_latency=latency_of(self._first_choice_latency),
            trips=self.trips,
            cost=self._cost if self._has_cost else None,
            first_choice_cost=self._first_choice_cost if self._has_first_choice_cost else None,
            failover_cost=self._failover_cost if self._has_first_choice_cost else None,
            effective_providers=effective_number(self._answers.values()),
        )

    def key_stats(self, key: str | None) -> KeyStats:
        """The calls added, as those of one client key."""
        return KeyStats(key, self.summary(), self._input_tokens, self._output_tokens)

    def operation_stats(self, operation: str) -> OperationStats:
        """The calls added, as those of one operation."""
        return OperationStats(operation, self.summary(), self._input_tokens, self._output_tokens)

    def interval(self, start: float) -> Interval:
        """The calls added, as an interval of the timeline."""
        results = self._results
        return Interval(
            start=start,
            first_choice=results["success"] - self._recovered,
            recovered=self._recovered,
            failed=results["failure"] + results["rejected"] + results["fallback"],
            latency=latency_of(self._latency),
            cost=self._cost if self._has_cost else None,
        )


class Attempt(NamedTuple):
    """The columns read of an attempt; see `listeners.history.schema.ATTEMPTS`."""

    router: str
    provider: str
    kind: str
    elapsed: float
    first_content: float | None
    input_tokens: int | None
    output_tokens: int | None
    cost: float | None
    model: str | None


class AttemptAggregate:
    """Aggregates the attempts of one provider, or of one model at one provider."""

    def __init__(self) -> None:
        self._kinds: Counter[str] = Counter()
        self._latency = LatencyHistogram()
        self._cost: float | None = None
        self._input_tokens = self._output_tokens = 0

    def add(self, attempt: Attempt) -> None:
        """Adds one attempt."""
        self._kinds[attempt.kind] += 1
        self._input_tokens += attempt.input_tokens or 0
        self._output_tokens += attempt.output_tokens or 0
        if attempt.cost is not None:
            self._cost = (self._cost or 0.0) + attempt.cost
        if attempt.kind == FailureKind.SUCCESS:
            first = attempt.first_content
            self._latency.add(attempt.elapsed if first is None else first)

    @property
    def answers(self) -> int:
        """Number of successful attempts."""
        return self._kinds[FailureKind.SUCCESS]

    def model_stats(self, provider: str, model: str) -> ModelStats:
        """The figures of the attempts added, as those of one model."""
        stats = self.stats(provider, 0)
        return ModelStats(
            provider=provider,
            model=model,
            attempts=stats.attempts,
            answers=stats.answers,
            success_rate=stats.success_rate,
            latency=stats.latency,
            cost=stats.cost,
            input_tokens=stats.input_tokens,
            output_tokens=stats.output_tokens,
        )

    def stats(self, provider: str, all_answers: int) -> ProviderStats:
        """The figures of the attempts added.

        Args:
            provider: the provider's name in the report.
            all_answers: answers of all providers, for this one's share.
        """
        attempts, cancelled = self._kinds.total(), self._kinds[FailureKind.CANCELLED]
        ended = attempts - cancelled
        not_failed = (FailureKind.SUCCESS, FailureKind.CANCELLED)
        return ProviderStats(
            provider=provider,
            attempts=attempts,
            answers=self.answers,
            cancelled=cancelled,
            share=self.answers / all_answers if all_answers else 0.0,
            success_rate=self.answers / ended if ended else None,
            latency=latency_of(self._latency),
            failures={k: n for k, n in self._kinds.most_common() if k not in not_failed},
            cost=self._cost,
            input_tokens=self._input_tokens,
            output_tokens=self._output_tokens,
        )


def effective_number(counts: Collection[int]) -> float | None:
    """The number of equal shares that are as diverse as these counts; None without counts.

    Source: https://en.wikipedia.org/wiki/Diversity_index#Inverse_Simpson_index
    """
    squares = sum(count * count for count in counts)
    return sum(counts) ** 2 / squares if squares else None


def latency_of(histogram: LatencyHistogram) -> Latency:
    """The percentiles of a histogram that a report shows."""
    return Latency(*(histogram.percentile(share) for share in (0.5, 0.95, 0.99)))
