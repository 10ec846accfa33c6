"""The figures of a report, as plain data: what they are called, and what they mean."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles of the time to an answer, or to the first content of a stream, seconds.

    A call without an answer counts as slower than any, so `math.inf` says that more than the rest
    never got one; None says that there was no call.
    """

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """What a span came to, in a handful of figures.

    Calls whose caller left count only in `cancelled`.

    Attributes:
        calls: how many calls ended.
        answered: by a provider.
        substituted: by a `fallback=`.
        errors_seen: calls whose caller got an error.
        own_fault: how many of those failed by the request's own fault, which nobody can mend.
        refused: how many of those reached no provider.
        cancelled: calls whose caller left.
        failures_caught: failed attempts of calls that were answered all the same.
        rescued: answered calls that the first choice would not have answered: its attempt failed,
            or nobody of the route's first tier could be asked.
        diverted: how many of those were led past a first tier that was out.
        failed_first: calls that the first choice did not answer, or would not have, own faults
            aside.
        latency: of all calls but own faults.
        latency_first: of the same calls, had the first choice been all there is.
        trips: how many times a closed circuit opened.
        cost: USD, all attempts; None when no provider has a price.
        cost_first: what the same calls would have cost at their first choice alone, where known.
        failover_cost: what those calls cost above that; below 0, what they saved.
    """

    calls: int = 0
    answered: int = 0
    substituted: int = 0
    errors_seen: int = 0
    own_fault: int = 0
    refused: int = 0
    cancelled: int = 0
    failures_caught: int = 0
    rescued: int = 0
    diverted: int = 0
    failed_first: int = 0
    latency: Latency = Latency()
    latency_first: Latency = Latency()
    trips: int = 0
    cost: float | None = None
    cost_first: float | None = None
    failover_cost: float | None = None

    @property
    def success(self) -> float | None:
        """The share of calls that were answered, own faults aside; None without calls."""
        fair = self.calls - self.cancelled - self.own_fault
        return self.answered / fair if fair else None


@dataclass(frozen=True, slots=True)
class RouteFigures:
    """One route: its name (with the router's before it when there are several) and its head."""

    route: str
    head: Head


@dataclass(frozen=True, slots=True)
class ProviderFigures:
    """One provider; copies for comparison are left out.

    Attributes:
        provider: its name, with the router's before it when there are several.
        attempts: how often it was asked.
        answers: how often it answered.
        cancelled: attempts that were cut off because nobody needed them any more.
        share: of all providers' answers, 0 to 1.
        success: answers among the attempts that were not cut off; None without any.
        latency: of its answers.
        failures: failed attempts by kind, the most frequent first.
        cost: USD; None when it has no price.
        tokens: input and output, of the attempts that told or were estimated.
    """

    provider: str
    attempts: int
    answers: int
    cancelled: int
    share: float
    success: float | None
    latency: Latency
    failures: dict[str, int]
    cost: float | None
    tokens: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Moves:
    """Failovers of one cause: from whom, to whom, why, how often."""

    provider: str
    moved_to: str
    kind: str
    count: int


@dataclass(frozen=True, slots=True)
class Opening:
    """One time that a circuit was not closed.

    Attributes:
        provider: whose.
        reason: why it opened.
        began: wall clock, seconds since 1970.
        ended: the same; None while it is open still.
        reopened: how many trials failed meanwhile.
    """

    provider: str
    reason: str
    began: float
    ended: float | None
    reopened: int


@dataclass(frozen=True, slots=True)
class Slot:
    """One piece of the time line.

    Attributes:
        at: its begin, seconds since 1970.
        at_once: calls answered by their first choice.
        rescued: calls answered by another.
        failed: calls that were not answered.
        latency: of its calls.
        cost: USD, or None.
    """

    at: float
    at_once: int
    rescued: int
    failed: int
    latency: Latency
    cost: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """What a history says of one span, and of the one before it.

    Attributes:
        since: begin, seconds since 1970.
        until: end.
        head: the span.
        before: the span of the same length before it; None when nothing is known of it.
        routes: by calls, the most first.
        providers: by answers, the most first.
        moves: failovers by cause, the most frequent first.
        openings: in the order in which they began.
        slot_seconds: the length of a slot.
        slots: the time line, from the first call on.
    """

    since: float
    until: float
    head: Head
    before: Head | None
    routes: list[RouteFigures] = field(default_factory=list[RouteFigures])
    providers: list[ProviderFigures] = field(default_factory=list[ProviderFigures])
    moves: list[Moves] = field(default_factory=list[Moves])
    openings: list[Opening] = field(default_factory=list[Opening])
    slot_seconds: float = 0.0
    slots: list[Slot] = field(default_factory=list[Slot])
