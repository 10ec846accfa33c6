"""Errors of calls without an answer: what was attempted, why it failed, when to call again."""

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
    from multirouter.core.planning.retrying import DenialReason
    from multirouter.core.routes.resolved_route import ResolvedRoute
    from multirouter.core.selection.candidate import Candidate

_DENIAL_TEXT: dict[DenialReason | None, str] = {
    None: "",
    "budget": "; no retry: the retry budget is used up",
    "attempts": "; no retry: RetryPolicy.attempts is reached",
    "deadline": "; no retry: it would exceed the call's timeout",
    "not_idempotent": "; no retry: idempotent=False, and the attempt may have had side effects",
}

ALL_ELIGIBLE: Mapping[str, str] = MappingProxyType({})
"""No ineligible providers: every provider can serve the request."""


def no_provider_available(
    route: ResolvedRoute,
    rejection: str,
    now: float,
    started: float,
    retry_after: float | None,
    *,
    ineligible: Mapping[str, str] = ALL_ELIGIBLE,
) -> NoProviderAvailable:
    """Returns the error of a call for which no provider could be attempted.

    Args:
        route: the call's route.
        rejection: why a limit of the route or router rejects every attempt, or "".
        now: loop time, seconds.
        started: loop time at which the call started, seconds.
        retry_after: seconds until a provider becomes available by time alone; None when unknown.
        ineligible: why a provider cannot serve such a request, by provider name.
    """
    states = {
        m.name: ineligible.get(m.name) or rejection or m.gate.describe(now) for m in route.members
    }
    listed = ", ".join(f"{name}: {state}" for name, state in states.items())
    return NoProviderAvailable(
        f"no provider of route {route.name!r} is available ({listed})",
        states=states,
        elapsed=now - started,
        retry_after=retry_after,
    )


def all_failed(
    route: ResolvedRoute,
    attempts: Iterable[AttemptRecord],
    denial: DenialReason | None,
    now: float,
    started: float,
) -> BaseException:
    """Returns the error of a call whose attempts all failed; its cause is the last error.

    When every failure was `context_length`, the provider's own exception is returned: the request
    was too long for all of them.
    """
    trail = tuple(attempts)
    failed = [record for record in trail if record.outcome == "failure"]
    if failed and all(record.verdict.kind is FailureKind.CONTEXT_LENGTH for record in failed):
        return request_at_fault(failed[-1], len(trail))
    listed = "; ".join(f"{r.provider}: {r.verdict.kind} ({_reason(r)})" for r in failed)
    error = AllProvidersFailed(
        f"all attempts on route {route.name!r} failed: {listed}{_DENIAL_TEXT[denial]}",
        attempts=trail,
        elapsed=now - started,
        retry_after=earliest_ready_in(route.members, now, 0),
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
    """Returns the error of a call whose deadline has passed."""
    trail = tuple(attempts)
    listed = ", ".join(f"{r.provider} {r.verdict.kind} after {r.elapsed:.2f} s" for r in trail)
    error = CallTimeout(
        f"no answer on route {route.name!r} within timeout={deadline - started:g} s "
        f"({listed or 'no provider was available'})",
        attempts=trail,
        elapsed=now - started,
    )
    errors = [record.error for record in trail if record.error is not None]
    error.__cause__ = errors[-1] if errors else None
    return error


def request_at_fault(record: AttemptRecord, number: int) -> BaseException:
    """Returns the provider's own exception for a request that every provider would reject.

    Args:
        record: the failed attempt.
        number: its number in the call, from 1.
    """
    kind = record.verdict.kind
    return _with_note(record, number, f"no failover: the request itself is at fault ({kind})")


def not_in_on(record: AttemptRecord, number: int) -> BaseException:
    """Returns the provider's own exception for a failure that the route's `on=` does not include.

    Args:
        record: the failed attempt.
        number: its number in the call, from 1.
    """
    return _with_note(
        record, number, f"no failover: the route's on= does not include {record.verdict.kind}"
    )


def _with_note(record: AttemptRecord, number: int, why: str) -> BaseException:
    error = record.error
    if error is None:
        kind = record.verdict.kind
        error = ProviderError(
            f"the answer is classified as {kind}", provider=record.provider, kind=kind
        )
    where = f"attempt {number} at {record.provider!r} on route {record.route!r}"
    error.add_note(f"multirouter: {where}; {why}")
    return error


def earliest_ready_in(members: Iterable[Candidate], now: float, size: int) -> float | None:
    """Seconds until one of the providers becomes available by time alone; None when unknown."""
    waits = (member.gate.ready_in(now, size) for member in members)
    return min((wait for wait in waits if wait is not None), default=None)


def _reason(record: AttemptRecord) -> str:
    return record.verdict.reason or type(record.error).__name__
