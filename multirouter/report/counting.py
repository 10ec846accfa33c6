"""Counts calls and attempts, row by row, into figures."""

from __future__ import annotations

import math
from collections import Counter
from typing import NamedTuple

from multirouter.model import FailureKind
from multirouter.report.latency_counts import Spread
from multirouter.report.model import Head, Latency, ProviderFigures, Slot

OWN_FAULTS = frozenset(
    {FailureKind.REQUEST, FailureKind.CONTENT_FILTER, FailureKind.CONTEXT_LENGTH}
)
"""Kinds of failure that are the request's own: no other provider would have mended them."""


class Call(NamedTuple):
    """What is read of a call; see `history_schema.CALLS`."""

    at: float
    router: str
    route: str
    result: str
    elapsed: float
    first_content: float | None
    failures: int
    first_kind: str | None
    first_elapsed: float | None
    diverted: int
    cost: float | None
    first_cost: float | None

    @property
    def waited(self) -> float:
        """Seconds to the answer, or to its first content; for ever when none came."""
        if self.result != "success":
            return math.inf
        return self.elapsed if self.first_content is None else self.first_content

    @property
    def waited_first(self) -> float:
        """The same, had the first choice been all there is; who was out would not have answered."""
        if self.diverted or self.first_kind != FailureKind.SUCCESS or self.first_elapsed is None:
            return math.inf
        return self.first_elapsed


class CallCount:
    """Sums up calls, of a route or of all."""

    def __init__(self) -> None:
        self._results: Counter[str] = Counter()
        self._own_fault = self._caught = self._rescued = self._failed_first = 0
        self._diverted = 0
        self._spread, self._spread_first = Spread(), Spread()
        self._cost = self._cost_first = self._above = 0.0
        self._priced = self._compared = False
        self.trips = 0

    def add(self, call: Call) -> None:
        """Counts one call."""
        self._results[call.result] += 1
        self._add_cost(call)
        if call.result == "cancelled":
            return
        if call.result == "failure" and call.first_kind in OWN_FAULTS:
            self._own_fault += 1
            return
        self._spread.add(call.waited)
        waited_first = call.waited_first
        self._spread_first.add(waited_first)
        failed_first = waited_first == math.inf
        self._failed_first += failed_first
        if call.result == "success":
            self._caught += call.failures
            self._diverted += call.diverted
            self._rescued += failed_first

    def _add_cost(self, call: Call) -> None:
        if call.cost is None:
            return
        self._priced = True
        self._cost += call.cost
        if call.first_cost is not None:
            self._compared = True
            self._cost_first += call.first_cost
            self._above += call.cost - call.first_cost

    def head(self) -> Head:
        """The sums."""
        results = self._results
        return Head(
            calls=results.total(),
            answered=results["success"],
            substituted=results["fallback"],
            errors_seen=results["failure"] + results["refused"],
            own_fault=self._own_fault,
            refused=results["refused"],
            cancelled=results["cancelled"],
            failures_caught=self._caught,
            rescued=self._rescued,
            diverted=self._diverted,
            failed_first=self._failed_first,
            latency=latency_of(self._spread),
            latency_first=latency_of(self._spread_first),
            trips=self.trips,
            cost=self._cost if self._priced else None,
            cost_first=self._cost_first if self._compared else None,
            failover_cost=self._above if self._compared else None,
        )

    def slot(self, at: float) -> Slot:
        """The sums as a piece of the time line."""
        results = self._results
        return Slot(
            at=at,
            at_once=results["success"] - self._rescued,
            rescued=self._rescued,
            failed=results["failure"] + results["refused"] + results["fallback"],
            latency=latency_of(self._spread),
            cost=self._cost if self._priced else None,
        )


class Attempt(NamedTuple):
    """What is read of an attempt; see `history_schema.ATTEMPTS`."""

    router: str
    provider: str
    kind: str
    elapsed: float
    first_content: float | None
    input_tokens: int | None
    output_tokens: int | None
    cost: float | None


class AttemptCount:
    """Sums up one provider's attempts."""

    def __init__(self) -> None:
        self._kinds: Counter[str] = Counter()
        self._spread = Spread()
        self._cost: float | None = None
        self._input = self._output = 0

    def add(self, attempt: Attempt) -> None:
        """Counts one attempt."""
        self._kinds[attempt.kind] += 1
        self._input += attempt.input_tokens or 0
        self._output += attempt.output_tokens or 0
        if attempt.cost is not None:
            self._cost = (self._cost or 0.0) + attempt.cost
        if attempt.kind == FailureKind.SUCCESS:
            first = attempt.first_content
            self._spread.add(attempt.elapsed if first is None else first)

    @property
    def answers(self) -> int:
        """How many brought an answer."""
        return self._kinds[FailureKind.SUCCESS]

    def figures(self, provider: str, all_answers: int) -> ProviderFigures:
        """The sums, beside the answers of all providers."""
        attempts, cancelled = self._kinds.total(), self._kinds[FailureKind.CANCELLED]
        ended = attempts - cancelled
        neither = (FailureKind.SUCCESS, FailureKind.CANCELLED)
        return ProviderFigures(
            provider=provider,
            attempts=attempts,
            answers=self.answers,
            cancelled=cancelled,
            share=self.answers / all_answers if all_answers else 0.0,
            success=self.answers / ended if ended else None,
            latency=latency_of(self._spread),
            failures={k: n for k, n in self._kinds.most_common() if k not in neither},
            cost=self._cost,
            tokens=(self._input, self._output),
        )


def latency_of(spread: Spread) -> Latency:
    """The percentiles that a report tells."""
    return Latency(*(spread.percentile(share) for share in (0.5, 0.95, 0.99)))
