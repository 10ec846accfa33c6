"""Types that describe a call: failure kinds, verdicts, attempt records, usage and the outcome."""

from __future__ import annotations

from enum import StrEnum
from itertools import pairwise
from typing import Any, Generic, Literal, NamedTuple, Never

from typing_extensions import TypeVar

from multirouter.pickling import Copyable

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")
ChunkT = TypeVar("ChunkT", default=Never)
RequestT_contra = TypeVar("RequestT_contra", contravariant=True)
ResponseT_co = TypeVar("ResponseT_co", covariant=True)
ChunkT_co = TypeVar("ChunkT_co", covariant=True, default=Never)


class FailureKind(StrEnum):
    """Kind of an attempt's result. `failure_rules.RULES` says what follows from each kind."""

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
    REFUSAL = "refusal"
    UNSUPPORTED = "unsupported"
    CONTENT_FILTER = "content_filter"
    REQUEST = "request"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    __hash__ = str.__hash__  # that of an Enum is slow, and kinds are keys of dicts


REQUEST_KINDS: frozenset[FailureKind] = frozenset(
    map(FailureKind, ("context_length", "refusal", "unsupported", "content_filter", "request"))
)
"""Kinds that are about the request: they say nothing about the health of the provider."""

Role = Literal["call", "hedge", "trial", "shadow"]
"""Purpose of an attempt.

`call` serves the caller, `hedge` runs beside a slow attempt of the same call, `trial` decides a
half-open circuit, `shadow` is a copy of an answered call.
"""

CallResult = Literal["success", "failure", "cancelled", "fallback", "rejected"]
"""How a call ended.

`success`: a provider answered. `failure`: the call ended with an error. `cancelled`: the caller
left. `fallback`: `fallback=` supplied the answer. `rejected`: no provider was attempted.
"""


class Usage(NamedTuple):
    """Tokens used by one attempt; every count is at least 0.

    Attributes:
        input: all input tokens, including those read from or written into the prompt cache.
        output: all output tokens, including reasoning.
        cached: input tokens that were read from the provider's prompt cache.
        written: input tokens that were written into that cache.
        reasoning: output tokens spent on reasoning.
        estimated: True when the provider reported no usage: the counts are estimated from text.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    written: int = 0
    reasoning: int = 0
    estimated: bool = False

    def merged(self, other: Usage) -> Usage:
        """The larger value of each field: counts within one stream are running totals."""
        return Usage._make(map(max, self, other))


class Verdict:
    """Classification of one attempt's result, shared by circuit, metrics and retry.

    Attributes:
        kind: see `FailureKind`.
        retry_after: seconds the provider asked the client to wait, or None.
        reason: the sign that decided the kind, for people (`status 429`, `insufficient_quota`).
        status: the HTTP status, or None when there was none.
        unsent: True when the request certainly never reached the provider (connection refused).
            Repeating it is then safe even for a call that is not idempotent.
        certain: False for weak evidence (a single 403): only the second in a row counts in full.
        retried: True when the client library already retried the request.
        local: True when this process or its host had no descriptors, memory or threads left.
    """

    __slots__ = ("certain", "kind", "local", "reason", "retried", "retry_after", "status", "unsent")

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
        self.local: bool = False

    def __repr__(self) -> str:
        retry_after = "" if self.retry_after is None else f", retry_after={self.retry_after:g}"
        reason = f", reason={self.reason!r}" if self.reason else ""
        return f"Verdict({self.kind}{retry_after}{reason})"


SUCCESS = Verdict(FailureKind.SUCCESS)
CANCELLED = Verdict(FailureKind.CANCELLED)


class AttemptRecord(Copyable):
    """One ended attempt of a call; also the event passed to `Listener.attempt_ended`.

    Attributes:
        provider: the provider's name.
        route: the route's name (`adhoc` for a route passed with the call).
        role: see `Role`.
        verdict: the classification of the result.
        error: the exception that ended the attempt, or None.
        started: loop time of the start, seconds.
        elapsed: duration, seconds.
        why: why this provider was chosen, as text.
        first_content: seconds from the start to the first content of a stream; None without one.
        late: True when the circuit changed state during the attempt. The attempt is counted and
            timed, but changes no circuit.
        stalled: True when the event loop stalled during the attempt, in a stream before its first
            content or since its newest chunk. Its duration is then not the provider's, and a
            timeout or a lost connection has no effect on the circuit.
        model: the model that answered, under the requested name where only the version differs
            (`gpt-5` for `gpt-5-2025-08-07`); without an answer the requested one; None if unknown.
        usage: tokens used; None when the attempt was not billed. When the provider has neither
            `price=` nor `usage=`, only what it reported.
        priced: whether a price is known for the usage.
        cost: cost in USD; 0 when the attempt was not billed, or without a price.
        dropped: fields of the request that it left out (`Route(unsupported="drop")`).
        operation: `Chain.operation` of the call; "" for the providers' own functions.
    """

    __slots__ = (
        "_target",
        "cost",
        "dropped",
        "elapsed",
        "error",
        "first_content",
        "late",
        "model",
        "operation",
        "priced",
        "provider",
        "role",
        "route",
        "stalled",
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
        self.stalled: bool = False
        self.dropped: tuple[str, ...] = ()
        self.first_content: float | None = None
        self.model: str | None = None
        self.usage: Usage | None = None
        self.priced: bool = False
        self.cost: float = 0.0
        self.operation: str = ""

    @property
    def target(self) -> int:
        """Position of its target in the call's `Chain`, from 0; 0 for any other route."""
        position: int = getattr(self, "_target", 0)
        return position

    def set_target(self, position: int) -> None:
        """Sets `target`, which only attempts of a chain have."""
        self._target: int = position

    @property
    def ok(self) -> bool:
        """Whether the attempt succeeded."""
        return self.verdict.kind is FailureKind.SUCCESS

    @property
    def outcome(self) -> Literal["success", "failure", "cancelled"]:
        """Result of the attempt, as the metrics label `outcome`."""
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


class CallOutcome(Copyable, Generic[ResponseT_co]):
    """Outcome of a whole call; also the event passed to `Listener.call_ended`.

    Attributes:
        result: see `CallResult`.
        error: the exception that `call` raises, or None when there is an answer.
        provider: the provider that answered, or None.
        route: the route's name.
        attempts: all attempts, in the order in which they ended.
        started: loop time of the start, seconds.
        elapsed: duration, seconds.
        first_choice: names of the providers that the route prefers when all are available: those
            of its first tier, without reserves; under a strategy with a fixed order only the best.
        client_key: the name that `client_key()` had set when the call started; "" for none.
        served_by_first_choice: whether the first choice answered, without a failover before.
        failover_cost: cost of the call minus the price of its answer at the first choice, USD;
            below 0 when it saved money. It is compared with the provider of the first attempt; when
            that is not of `first_choice`, with those by weight. None when it is unknown: without an
            answer or prices, or for a stream that another attempt continued.
        operation: `Chain.operation` of the call; "" for the providers' own functions.
    """

    __slots__ = (
        "_value",
        "attempts",
        "client_key",
        "elapsed",
        "error",
        "failover_cost",
        "first_choice",
        "operation",
        "provider",
        "result",
        "route",
        "served_by_first_choice",
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
        first_choice: frozenset[str] = frozenset(),
        client_key: str = "",
    ) -> None:
        self.result: CallResult = result
        self._value = value
        self.error: BaseException | None = error
        self.provider: str | None = provider
        self.route: str = route
        self.attempts: tuple[AttemptRecord, ...] = attempts
        self.started: float = started
        self.elapsed: float = elapsed
        self.first_choice: frozenset[str] = first_choice
        self.client_key: str = client_key
        self.served_by_first_choice: bool = False
        self.failover_cost: float | None = None
        self.operation: str = ""

    @property
    def cost(self) -> float:
        """Cost of all attempts with a price, USD; background copies are not included."""
        return sum(record.cost for record in self.attempts)

    @property
    def ok(self) -> bool:
        """Whether a provider answered; False for the answer of a `fallback=`, which has a value."""
        return self.result == "success"

    @property
    def value(self) -> ResponseT_co:
        """The answer of the provider or of the fallback; raises `error` when there is none."""
        error = self.error
        if error is not None:
            try:
                raise error
            finally:
                del self, error  # the traceback holds this frame
        value: ResponseT_co = self._value
        return value

    @property
    def dropped(self) -> tuple[str, ...]:
        """Fields that the answering provider was not sent; see `AttemptRecord.dropped`."""
        answered = [a.dropped for a in self.attempts if a.ok and a.role != "trial"]
        return answered[-1] if answered else ()

    @property
    def failovers(self) -> int:
        """How many times the call moved to another provider, or to another target of its chain."""
        places = [(a.provider, a.target) for a in self.attempts if a.role == "call"]
        return sum(a != b for a, b in pairwise(places))

    def __repr__(self) -> str:
        provider = f" by {self.provider}" if self.provider else ""
        return (
            f"<CallOutcome {self.result}{provider} route={self.route} "
            f"attempts={len(self.attempts)} in {self.elapsed:.3f} s>"
        )
