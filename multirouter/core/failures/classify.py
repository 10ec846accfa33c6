"""What happened: an exception or a returned value becomes a Verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import cast
from weakref import WeakKeyDictionary

from multirouter.core.failures import retry_after, signatures
from multirouter.core.failures.exception_details import ExceptionDetails
from multirouter.core.failures.signatures import Sign
from multirouter.core.settings.failure_rules import (
    RULES,
    CircuitEffect,
    Failover,
    Retry,
    Rule,
    rules_with,
)
from multirouter.errors import AttemptTimeout, ProviderError, UsageError
from multirouter.model import CANCELLED, SUCCESS, FailureKind, Verdict

__all__ = [
    "BROKEN",
    "RULES",
    "CircuitEffect",
    "Classifier",
    "Failover",
    "Retry",
    "Rule",
    "rules_with",
]


Opinion = Verdict | FailureKind | str | None
Classify = Callable[[BaseException | None, object], Opinion]
"""A user's classifier, called as (error, None) or (None, value); None means "no opinion"."""

_SAID: Mapping[FailureKind, Verdict] = {
    kind: Verdict(kind, reason="classify") for kind in FailureKind
} | {FailureKind.SUCCESS: SUCCESS}
BROKEN = Verdict(FailureKind.UNKNOWN, reason="classify raised")
"""A failure of the attempt, because its judge failed; the caller still gets what came back."""

_FULL_WAIT = frozenset({FailureKind.RATE_LIMIT, FailureKind.OVERLOADED, FailureKind.EXHAUSTED})
_DEEPEST = 8
_LEAVES = 32
_LONGEST = 80
_SEVERITY = (
    CircuitEffect.FAILURE,
    CircuitEffect.TRIP,
    CircuitEffect.COOL,
    CircuitEffect.NEUTRAL,
    CircuitEffect.SUCCESS,
)


class Classifier:
    """Turns what a provider came back with into a Verdict; never raises an Exception itself.

    Args:
        user: asked first, about each exception and each value; a Kind or its name keeps whatever
            else is known (status, Retry-After), a Verdict stands as it is. When it raises, or
            answers something else, the attempt counts as a failure of kind `unknown`.
        wall: gives wall-clock seconds since 1970; called only when a date has to become a span.
        broken: told what `user` raised, or what reading the exception raised.
    """

    def __init__(
        self,
        user: Classify | None = None,
        *,
        wall: Callable[[], float],
        broken: Callable[[Exception], None],
    ) -> None:
        self._user = user
        self._wall = wall
        self._broken = broken
        self._types: WeakKeyDictionary[type[BaseException], Sign | None] = WeakKeyDictionary()

    @property
    def trusting(self) -> bool:
        """Whether every returned value is a success: no user's classifier is asked."""
        return self._user is None

    def value(self, value: object) -> Verdict:
        """The verdict on a returned value: success, unless the user's classifier objects."""
        if self._user is None:
            return SUCCESS
        said = self._ask(None, value)
        if said is None:
            return SUCCESS
        verdict = said if isinstance(said, Verdict) else _SAID[said]
        return SUCCESS if verdict.kind is FailureKind.SUCCESS else verdict

    def error(self, error: BaseException) -> Verdict:
        """The verdict on an exception that a provider raised."""
        if self._user is None or not isinstance(error, Exception):
            return self._seen(error)
        said = self._ask(error, None)
        if isinstance(said, Verdict):
            return said
        seen = self._seen(error)
        if said is None:
            return seen
        return Verdict(
            said,
            seen.retry_after,
            reason="classify",
            status=seen.status,
            unsent=seen.unsent,
            retried=seen.retried,
        )

    def _ask(self, error: BaseException | None, value: object) -> Verdict | FailureKind | None:
        """The user's opinion; a broken classifier makes the attempt a failure."""
        try:
            said = cast("Classify", self._user)(error, value)
            return said if said is None or isinstance(said, Verdict) else _said_kind(said)
        except Exception as broken:  # noqa: BLE001 - a user's hook may break, a call may not
            self._broken(broken)
            return BROKEN

    def _seen(self, error: BaseException) -> Verdict:
        """The package's own verdict; an exception that breaks its reader is merely unknown."""
        try:
            return self._judged(error, 0)
        except Exception as broken:  # noqa: BLE001 - foreign exceptions may be anything
            self._broken(broken)
            return Verdict(FailureKind.UNKNOWN, reason=_name(error))

    def _judged(self, error: BaseException, depth: int) -> Verdict:
        if isinstance(error, BaseExceptionGroup):
            return self._by_leaves(error, depth)
        if not isinstance(error, Exception):
            return CANCELLED
        if isinstance(error, AttemptTimeout):
            return Verdict(FailureKind.TIMEOUT, reason=error.limit)
        if isinstance(error, ProviderError):
            return self._by_adapter(error, depth)
        return self._by_shape(error, depth)

    def _by_adapter(self, error: ProviderError, depth: int) -> Verdict:
        """An adapter knows the kind; only whether anything was sent is told by the cause."""
        cause = self._by_cause(error, depth) if error.kind == FailureKind.TRANSPORT else None
        return Verdict(
            FailureKind(error.kind),
            retry_after.span(error.retry_after),
            reason=(error.code or _named_status(error))[:_LONGEST],
            status=error.status,
            unsent=cause is not None and cause.unsent,
            certain=error.status != 403,
            retried=error.retried,
        )

    def _by_shape(self, error: Exception, depth: int) -> Verdict:
        evidence = ExceptionDetails(error)
        sign = self._sign(error, evidence)
        if sign is None or sign.hollow:
            cause = self._by_cause(error, depth)
            if cause is not None:
                return _wrapped(cause, evidence)
        if sign is None:
            sign = Sign(FailureKind.UNKNOWN, _name(error))
        return Verdict(
            sign.kind,
            self._wait(sign.kind, evidence),
            reason=sign.reason,
            status=evidence.status,
            unsent=sign.unsent,
            certain=sign.certain,
            retried=evidence.retried,
        )

    def _sign(self, error: Exception, evidence: ExceptionDetails) -> Sign | None:
        """The first sign that speaks: codes, then status, then words, type and phrases."""
        status, words, text = evidence.status, evidence.words, evidence.text
        return (
            signatures.by_code(words)
            or (signatures.by_phrase(status, text) if status else None)
            or (signatures.by_status(status) if status and evidence.failing else None)
            or signatures.by_word(words)
            or self._by_type(error)
            or (signatures.by_status(status) if status else signatures.by_phrase(None, text))
        )

    def _by_type(self, error: Exception) -> Sign | None:
        cls = type(error)
        if cls not in self._types:
            self._types[cls] = signatures.by_type(cls)
        sign = self._types[cls]
        return signatures.by_errno(error) if sign is None and isinstance(error, OSError) else sign

    def _by_cause(self, error: Exception, depth: int) -> Verdict | None:
        """The verdict on what this exception was raised from, when that says anything."""
        if error.__cause__ is None or depth >= _DEEPEST:
            return None
        verdict = self._judged(error.__cause__, depth + 1)
        return None if verdict.kind in (FailureKind.UNKNOWN, FailureKind.CANCELLED) else verdict

    def _by_leaves(self, group: BaseExceptionGroup[BaseException], depth: int) -> Verdict:
        """Any cancellation wins; else a failure; else what touches the circuit most.

        It counts as unsent only when every leaf does, and as retried when any does.
        """
        # Half the depth at once: leaves whose causes are groups in turn must not multiply.
        depth += _DEEPEST // 2
        verdicts = [self._judged(leaf, depth) for leaf in _leaves(group)]
        if CANCELLED in verdicts:
            return CANCELLED
        worst = min(verdicts, key=lambda verdict: _SEVERITY.index(RULES[verdict.kind].circuit))
        return Verdict(
            worst.kind,
            worst.retry_after,
            reason=worst.reason,
            status=worst.status,
            unsent=all(verdict.unsent for verdict in verdicts),
            certain=worst.certain,
            retried=any(verdict.retried for verdict in verdicts),
        )

    def _wait(self, kind: FailureKind, evidence: ExceptionDetails) -> float | None:
        """Seconds asked for: by header, by reset headers, in the body, last in the message."""
        wait = retry_after.from_headers(evidence.headers, self._wall)
        if wait is None and kind is FailureKind.RATE_LIMIT:
            wait = retry_after.from_resets(evidence.headers, self._wall)
        if wait is None:
            wait = retry_after.from_body(evidence.delays)
        if wait is None and kind in _FULL_WAIT:
            wait = retry_after.from_text(evidence.text)
        return wait


def _said_kind(said: object) -> FailureKind:
    if isinstance(said, str) and said in FailureKind.__members__.values():
        return FailureKind(said)
    raise UsageError(f"classify= must return a Verdict, a Kind or its name, or None, not {said!r}")


def _name(error: BaseException) -> str:
    return type(error).__name__[:_LONGEST]


def _named_status(error: ProviderError) -> str:
    return str(error.kind) if error.status is None else f"status {error.status}"


def _wrapped(cause: Verdict, evidence: ExceptionDetails) -> Verdict:
    """The cause's verdict, as told through the exception that wraps it."""
    wait = retry_after.from_body(evidence.delays)
    return Verdict(
        cause.kind,
        cause.retry_after if wait is None else wait,
        reason=cause.reason,
        status=cause.status,
        unsent=cause.unsent,
        certain=cause.certain,
        retried=cause.retried or evidence.retried,
    )


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """The exceptions of a group and of the groups in it, at most a bounded number."""
    pending: list[BaseException] = [group]
    seen = 0
    while pending and seen < _LEAVES:
        error = pending.pop(0)
        if isinstance(error, BaseExceptionGroup):
            pending[:0] = error.exceptions[:_LEAVES]
        else:
            seen += 1
            yield error
