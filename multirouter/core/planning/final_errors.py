"""Errors of calls without an answer: what was attempted, why it failed, when to call again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from multirouter.core.error_text import listed, message_of
from multirouter.core.failures.own_process import may_be_from_stall
from multirouter.errors import (
    AllProvidersFailed,
    CallTimeout,
    NoProviderAvailable,
    ProviderError,
    RequestUnsupported,
)
from multirouter.model import REQUEST_KINDS, AttemptRecord, FailureKind

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

_MAX_REASON = 80
"""Characters of an exception's message that the error of a call quotes."""


def no_provider_available(
    route: ResolvedRoute,
    rejection: str,
    now: float,
    started: float,
    retry_after: float | None,
    *,
    size: int = 0,
    request: Any = None,
    ineligible: Mapping[str, str] = MappingProxyType({}),
    attempts: Iterable[AttemptRecord] = (),
) -> NoProviderAvailable:
    """Returns the error of a call that no provider could serve, though some may have rejected it.

    Args:
        route: the call's route.
        rejection: why a limit of the route or router rejects every attempt, or "".
        now: loop time, seconds.
        started: loop time at which the call started, seconds.
        retry_after: seconds until a provider becomes available by time alone; None when unknown.
        size: the request's tokens.
        request: the request.
        ineligible: why a provider cannot serve such a request, by key of the candidate.
        attempts: the trail.
    """
    states = {
        m.key: ineligible.get(m.key)
        or rejection
        or m.gate.describe(now, size, m.limit_model(request))
        for m in route.members
    }
    return NoProviderAvailable(
        f"no provider of route {route.name!r} is available ({_listed(states)})",
        states=states,
        attempts=tuple(attempts),
        elapsed=now - started,
        retry_after=retry_after,
        rate_limited=not rejection
        and bool(states)
        and all(m.key not in ineligible and m.gate.is_rate_limited(now) for m in route.members),
    )


def request_unsupported(
    route: ResolvedRoute,
    unfit: Mapping[str, str],
    attempts: Iterable[AttemptRecord],
    now: float,
    started: float,
) -> BaseException:
    """Returns the error of a call that no provider of its route can ever serve.

    Args:
        route: the call's route.
        unfit: why each provider cannot serve such a request, by key of the candidate.
        attempts: the trail; its failures are all about the request.
        now: loop time, seconds.
        started: loop time at which the call started, seconds.
    """
    trail = tuple(attempts)
    failed = [record for record in trail if record.outcome == "failure"]
    kinds = {record.verdict.kind for record in failed}
    if failed and (len(route.members) == 1 or kinds != {FailureKind.UNSUPPORTED}):
        return own_error(failed[-1])
    error = RequestUnsupported(
        f"no provider of route {route.name!r} can serve the request ({_listed(unfit)})",
        states=unfit,
        attempts=trail,
        elapsed=now - started,
    )
    error.__cause__ = failed[-1].error if failed else None
    return error


def all_failed(
    route: ResolvedRoute,
    attempts: Iterable[AttemptRecord],
    denial: DenialReason | None,
    now: float,
    started: float,
    *,
    request: Any = None,
    unfit: Collection[str] = (),
) -> AllProvidersFailed:
    """Returns the error of a call whose attempts all failed; its cause is the last error.

    Args:
        route: the call's route.
        attempts: the trail.
        denial: why no further attempt was made, or None.
        now: loop time, seconds.
        started: loop time at which the call started, seconds.
        request: the request.
        unfit: keys of the candidates that cannot serve such a request.
    """
    trail = tuple(attempts)
    failed = [record for record in trail if record.outcome == "failure"]
    why = listed(f"{r.provider}: {r.verdict.kind} ({_reason(r)})" for r in failed)
    error = AllProvidersFailed(
        f"all attempts on route {route.name!r} failed: {why}{_DENIAL_TEXT[denial]}",
        attempts=trail,
        elapsed=now - started,
        retry_after=earliest_ready_in(
            (m for m in route.members if m.key not in unfit), now, 0, request
        ),
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
    why = listed(f"{r.provider}: {r.verdict.kind} after {r.elapsed:.2f} s" for r in trail)
    error = CallTimeout(
        f"no answer on route {route.name!r} within timeout={deadline - started:g} s "
        f"({why or 'no provider was available'})",
        attempts=trail,
        elapsed=now - started,
    )
    errors = [record.error for record in trail if record.error is not None]
    error.__cause__ = errors[-1] if errors else None
    return error


def own_error(record: AttemptRecord) -> BaseException:
    """The error of a failed attempt that ends the call: the provider's own exception, unchanged.

    It is not the package's object: it may be frozen, or the same one in every call, so nothing is
    added to it. The trail says which attempt raised it, and why there was no failover.
    """
    if record.error is not None:
        return record.error
    kind = record.verdict.kind
    return ProviderError(f"the answer is classified as {kind}", provider=record.provider, kind=kind)


def only_about_the_request(attempts: Iterable[AttemptRecord]) -> bool:
    """Whether there were failures, and each of them was about the request (`REQUEST_KINDS`)."""
    kinds = {record.verdict.kind for record in attempts if record.outcome == "failure"}
    return bool(kinds) and kinds <= REQUEST_KINDS


def rejection_of(record: AttemptRecord) -> str:
    """Why a provider cannot serve a request, from the failure of an attempt at it."""
    said = "" if record.error is None else message_of(record.error)
    return f"{record.verdict.kind}: {said}" if said else record.verdict.kind.value


def earliest_ready_in(
    members: Iterable[Candidate], now: float, size: int, request: Any = None
) -> float | None:
    """Seconds until one of the providers becomes available; None when more than time decides.

    A provider that is held open is left out: only its release would make it available.
    """
    waits = [
        member.gate.ready_in(now, size, member.limit_model(request))
        for member in members
        if member.gate.hold != "open"
    ]
    known = [wait for wait in waits if wait is not None]
    return min(known, default=None) if len(known) == len(waits) or 0.0 in known else None


def _listed(states: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {state}" for name, state in states.items())


def _reason(record: AttemptRecord) -> str:
    verdict, error = record.verdict, record.error
    reason = verdict.reason or type(error).__name__
    if error is not None and reason == verdict.kind.value:  # which says nothing more
        reason = message_of(error)[:_MAX_REASON] or type(error).__name__
    excused = record.stalled and may_be_from_stall(record.verdict)
    return f"{reason}, while the event loop stalled" if excused else reason
