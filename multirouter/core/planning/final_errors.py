"""How a call ends without an answer: the error that says what was tried and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from multirouter.errors import (
    AllProvidersFailed,
    CallTimeout,
    NoProviderAvailable,
    ProviderError,
)
from multirouter.model import AttemptRecord, FailureKind

if TYPE_CHECKING:
    from multirouter.core.planning.retrying import Refusal
    from multirouter.core.routes.resolved_route import ResolvedRoute
    from multirouter.core.selection.candidate import Candidate

_BECAUSE: dict[Refusal | None, str] = {
    None: "",
    "budget": "; the retry budget is used up",
    "attempts": "; RetryPolicy.attempts is used up",
    "deadline": "; another try would have passed the call's timeout",
    "not_idempotent": "; idempotent=False bars another try, this one may have had an effect",
}

FITTING: Mapping[str, str] = MappingProxyType({})
"""No misfits: the request is one that everybody can serve."""


def nobody_available(
    route: ResolvedRoute,
    blocked: str,
    now: float,
    started: float,
    retry_after: float | None,
    *,
    misfits: Mapping[str, str] = FITTING,
) -> NoProviderAvailable:
    """Nobody could be asked.

    Args:
        route: the call's route.
        blocked: why nobody at all may start now (a limit of the route or router), or "".
        now: loop time, seconds.
        started: loop time at which the call started.
        retry_after: seconds until somebody can be asked by time alone; None when unknown.
        misfits: why those who cannot serve such a request cannot.
    """
    states = {m.name: misfits.get(m.name) or blocked or m.gate.describe(now) for m in route.members}
    listed = ", ".join(f"{name}: {state}" for name, state in states.items())
    return NoProviderAvailable(
        f"no provider of route {route.name!r} can be asked ({listed})",
        states=states,
        elapsed=now - started,
        retry_after=retry_after,
    )


def all_failed(
    route: ResolvedRoute,
    attempts: Iterable[AttemptRecord],
    refusal: Refusal | None,
    now: float,
    started: float,
) -> BaseException:
    """Everybody who could be asked failed; the last error is the cause.

    When the request was simply too long for everybody, the provider's own error says it best.
    """
    trail = tuple(attempts)
    failed = [record for record in trail if record.outcome == "failure"]
    if failed and all(record.verdict.kind is FailureKind.CONTEXT_LENGTH for record in failed):
        return own_fault(failed[-1], len(trail))
    told = "; ".join(f"{r.provider}: {r.verdict.kind} ({_named(r)})" for r in failed)
    error = AllProvidersFailed(
        f"all attempts on route {route.name!r} failed: {told}{_BECAUSE[refusal]}",
        attempts=trail,
        elapsed=now - started,
        retry_after=soonest(route.members, now, 0),
    )
    error.__cause__ = failed[-1].error if failed else None
    return error


def timed_out(
    route: ResolvedRoute,
    attempts: Iterable[AttemptRecord],
    now: float,
    started: float,
    deadline: float,
) -> CallTimeout:
    """The call's deadline passed."""
    trail = tuple(attempts)
    asked = ", ".join(f"{r.provider} {r.verdict.kind} after {r.elapsed:.2f} s" for r in trail)
    error = CallTimeout(
        f"route {route.name!r} gave no answer within timeout={deadline - started:g} s "
        f"({asked or 'nobody could be asked'})",
        attempts=trail,
        elapsed=now - started,
    )
    errors = [record.error for record in trail if record.error is not None]
    error.__cause__ = errors[-1] if errors else None
    return error


def own_fault(record: AttemptRecord, number: int) -> BaseException:
    """The user's own exception for a request that nobody will serve, with a note on it."""
    why = f"{record.verdict.kind} is the request's own fault, no other provider would mend it"
    return _noted(record, number, why)


def not_in_on(record: AttemptRecord, number: int) -> BaseException:
    """The user's own exception for a failure that the route's `on=` does not name."""
    return _noted(record, number, f"the route's on= does not name {record.verdict.kind}")


def _noted(record: AttemptRecord, number: int, why: str) -> BaseException:
    error = record.error
    if error is None:
        kind = record.verdict.kind
        error = ProviderError(f"the answer counts as {kind}", provider=record.provider, kind=kind)
    where = f"attempt {number} at {record.provider!r} on route {record.route!r}"
    error.add_note(f"multirouter: {where}; {why}")
    return error


def soonest(members: Iterable[Candidate], now: float, size: int) -> float | None:
    """Seconds until the first of the providers can be asked by time alone; None when unknown."""
    waits = (member.gate.ready_in(now, size) for member in members)
    return min((wait for wait in waits if wait is not None), default=None)


def _named(record: AttemptRecord) -> str:
    return record.verdict.reason or type(record.error).__name__
