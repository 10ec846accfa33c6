"""The nouns of one call: kinds, verdicts, attempt records and the call's outcome."""

from __future__ import annotations

from enum import StrEnum
from itertools import pairwise
from typing import Any, Generic, Literal, NamedTuple, Never

from typing_extensions import TypeVar

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")
ChunkT = TypeVar("ChunkT", default=Never)
RequestT_contra = TypeVar("RequestT_contra", contravariant=True)
ResponseT_co = TypeVar("ResponseT_co", covariant=True)
ChunkT_co = TypeVar("ChunkT_co", covariant=True, default=Never)


class FailureKind(StrEnum):
    """What an attempt came to. `classify.RULES` says what follows from each."""

    SUCCESS = "success"
    RATE_LIMIT = "rate_limit"
    EXHAUSTED = "exhausted"
    OVERLOADED = "overloaded"
    SERVER = "server"
    TRANSPORT = "transport"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"
    INVALID = "invalid"
    CREDENTIALS = "credentials"
    NOT_FOUND = "not_found"
    CONTEXT_LENGTH = "context_length"
    CONTENT_FILTER = "content_filter"
    REQUEST = "request"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


Role = Literal["call", "hedge", "trial", "shadow"]
"""Why an attempt was made: for the caller, beside the caller's, to test a provider, as a copy."""

CallResult = Literal["success", "failure", "cancelled", "fallback", "refused"]
"""How a call ended; `refused` is a call that reached no provider."""


class Usage(NamedTuple):
    """What one attempt took, in tokens, each at least 0.

    Attributes:
        input: all input, what came from the cache or went into it included.
        output: all output, reasoning included.
        cached: of the input, what was read from the provider's prompt cache.
        written: of the input, what was written into that cache.
        reasoning: of the output, what the model thought and did not say.
        estimated: whether the provider did not tell, and this is a guess from the text.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    written: int = 0
    reasoning: int = 0
    estimated: bool = False

    def joined(self, other: Usage) -> Usage:
        """Both reports of one stream as one: counts in streams are running totals."""
        return Usage._make(map(max, self, other))


class Verdict:
    """What one outcome counts as: made once, read by circuit, metrics and retry alike.

    Attributes:
        kind: see `FailureKind`.
        retry_after: seconds the provider asked to be left alone, or None.
        reason: the sign that decided, for people (`status 429`, `insufficient_quota`).
        status: the HTTP status that was seen, or None.
        unsent: True when the request surely never reached the provider (connection refused),
            so that repeating it is safe even for a call that is not idempotent.
        certain: False when one such answer proves little and only the second in a row
            counts in full (a single 403).
        retried: True when the request was already retried underneath (by an SDK).
    """

    __slots__ = ("certain", "kind", "reason", "retried", "retry_after", "status", "unsent")

    def __init__(
        self,
        kind: FailureKind,
        retry_after: float | None = None,
        *,
        reason: str = "",
        status: int | None = None,
        unsent: bool = False,
        certain: bool = True,
        retried: bool = False,
    ) -> None:
        self.kind: FailureKind = kind
        self.retry_after: float | None = retry_after
        self.reason: str = reason
        self.status: int | None = status
        self.unsent: bool = unsent
        self.certain: bool = certain
        self.retried: bool = retried

    def __repr__(self) -> str:
        asked = "" if self.retry_after is None else f", retry_after={self.retry_after:g}"
        why = f", reason={self.reason!r}" if self.reason else ""
        return f"Verdict({self.kind}{asked}{why})"


SUCCESS = Verdict(FailureKind.SUCCESS)
CANCELLED = Verdict(FailureKind.CANCELLED)


class AttemptRecord:
    """One ended attempt, as it stands in a call's trail; it is itself the news of its end.

    Attributes:
        provider: who was asked.
        route: the route's name (`adhoc` for one given with the call).
        role: see `Role`.
        verdict: what it counts as.
        error: the exception the attempt ended with, or None.
        started: loop time of its start, seconds.
        elapsed: seconds it took.
        why: why this provider was chosen, in words.
        first_content: seconds to a stream's first content, None for a call or when none came.
        late: True when its circuit had changed state meanwhile: it is counted and timed, but
            moved no circuit.
        usage: tokens it took; None when nobody asks (a provider without `price=` and `usage=`),
            or when it was not billed.
        cost: what it cost, USD; 0 when it was not billed.
    """

    __slots__ = (
        "cost",
        "elapsed",
        "error",
        "first_content",
        "late",
        "provider",
        "role",
        "route",
        "started",
        "usage",
        "verdict",
        "why",
    )

    def __init__(
        self,
        provider: str,
        route: str,
        role: Role,
        verdict: Verdict,
        error: BaseException | None,
        started: float,
        elapsed: float,
        why: str,
        late: bool = False,  # noqa: FBT001, FBT002 - made once an attempt, where keywords cost
    ) -> None:
        self.provider: str = provider
        self.route: str = route
        self.role: Role = role
        self.verdict: Verdict = verdict
        self.error: BaseException | None = error
        self.started: float = started
        self.elapsed: float = elapsed
        self.why: str = why
        self.late: bool = late
        self.first_content: float | None = None
        self.usage: Usage | None = None
        self.cost: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the attempt brought an answer."""
        return self.verdict.kind is FailureKind.SUCCESS

    @property
    def outcome(self) -> Literal["success", "failure", "cancelled"]:
        """The attempt's label in the metrics."""
        kind = self.verdict.kind
        if kind is FailureKind.SUCCESS:
            return "success"
        return "cancelled" if kind is FailureKind.CANCELLED else "failure"

    def __repr__(self) -> str:
        late = " late" if self.late else ""
        return (
            f"<{self.role} {self.provider}: {self.verdict.kind}{late} "
            f"in {self.elapsed:.3f} s, {self.why}>"
        )


class CallOutcome(Generic[ResponseT_co]):
    """How a whole call ended; it is itself the news of its end.

    Attributes:
        result: see `CallResult`.
        error: what `call` raises, or None when there is an answer.
        provider: who gave the answer, or None.
        route: the route's name.
        attempts: the trail, in the order in which the attempts ended.
        started: loop time of the call's start, seconds.
        elapsed: seconds it took.
        failover_cost: what it cost above (below 0: saved against) the price of its answer at its
            first choice, USD. The first choice is the first provider asked, or, when nobody of
            the first tier could be, that tier by its weights. None when that is unknown: without
            an answer, without prices, or after a stream that was spliced.
    """

    __slots__ = (
        "_value",
        "attempts",
        "elapsed",
        "error",
        "failover_cost",
        "provider",
        "result",
        "route",
        "started",
    )

    def __init__(
        self,
        result: CallResult,
        value: Any,
        error: BaseException | None,
        provider: str | None,
        route: str,
        attempts: tuple[AttemptRecord, ...],
        started: float,
        elapsed: float,
    ) -> None:
        self.result: CallResult = result
        self._value = value
        self.error: BaseException | None = error
        self.provider: str | None = provider
        self.route: str = route
        self.attempts: tuple[AttemptRecord, ...] = attempts
        self.started: float = started
        self.elapsed: float = elapsed
        self.failover_cost: float | None = None

    @property
    def cost(self) -> float:
        """What all its attempts cost, USD; copies in the background are not its own."""
        return sum(record.cost for record in self.attempts)

    @property
    def ok(self) -> bool:
        """Whether a provider answered; a `fallback=` answer is not ok, though it has a value."""
        return self.result == "success"

    @property
    def value(self) -> ResponseT_co:
        """The answer (or the fallback's); raises `error` when there is none."""
        if self.error is not None:
            raise self.error
        value: ResponseT_co = self._value
        return value

    @property
    def failovers(self) -> int:
        """How many times the call moved on from one provider to another."""
        asked = [a.provider for a in self.attempts if a.role == "call"]
        return sum(a != b for a, b in pairwise(asked))

    def __repr__(self) -> str:
        who = f" by {self.provider}" if self.provider else ""
        return (
            f"<CallOutcome {self.result}{who} route={self.route} "
            f"attempts={len(self.attempts)} in {self.elapsed:.3f} s>"
        )
