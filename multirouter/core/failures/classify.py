"""Classification of failures: an exception or a returned value becomes a Verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import cast
from weakref import WeakKeyDictionary

from multirouter.core import function_checks as hooks
from multirouter.core.failures import (
    exception_types,
    rate_limit_headers,
    retry_after,
    signatures,
)
from multirouter.core.failures.exception_details import ExceptionDetails, location_of
from multirouter.core.failures.own_process import used_up_resource
from multirouter.core.failures.quotations import may_quote
from multirouter.core.failures.signatures import Own, Signature
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
    "CLASSIFIER_FAILED",
    "RULES",
    "CircuitEffect",
    "Classifier",
    "Failover",
    "Retry",
    "Rule",
    "rules_with",
]


Classification = Verdict | FailureKind | str | None
Classify = Callable[[BaseException | None, object], Classification]
"""A user's classifier, called as (error, None) or (None, value); None leaves it to the package."""

_VERDICT_OF_KIND: Mapping[FailureKind, Verdict] = {
    kind: Verdict(kind, reason="classify") for kind in FailureKind
} | {FailureKind.SUCCESS: SUCCESS}
CLASSIFIER_FAILED = Verdict(FailureKind.UNKNOWN, reason="classify failed")
"""The attempt counts as a failure, because `classify` failed; the caller still gets the value."""

_KINDS_WITH_WAIT_IN_TEXT = frozenset(
    {FailureKind.RATE_LIMIT, FailureKind.OVERLOADED, FailureKind.EXHAUSTED}
)
_ABOUT_THE_REQUEST = frozenset({400, 413, 422})
"""Statuses with which an error that names a field of the request is about the request."""

_MAX_DEPTH = 8
_MAX_LEAVES = 32
_MAYBE_LOCAL = frozenset({FailureKind.TRANSPORT, FailureKind.TIMEOUT, FailureKind.UNKNOWN})
"""Kinds of failure without an answer, for which the own process may be the cause."""

_MAX_REASON = 80
_SEVERITY = (
    CircuitEffect.FAILURE,
    CircuitEffect.TRIP,
    CircuitEffect.COOLDOWN,
    CircuitEffect.NEUTRAL,
    CircuitEffect.SUCCESS,
)


class Classifier:
    """Turns the result of an attempt into a Verdict; never raises an Exception itself.

    Args:
        user: called first, with each exception and each value. A FailureKind or its value keeps
            whatever else is known (status, Retry-After), a Verdict is used as it is. When it
            raises, or returns anything else, the attempt counts as a failure of kind `unknown`.
        wall: returns wall-clock seconds since 1970; called only to convert a date into a span.
        on_error: receives what `user` raised, or what reading the exception raised.
    """

    def __init__(
        self,
        user: Classify | None = None,
        *,
        wall: Callable[[], float],
        on_error: Callable[[Exception], None],
    ) -> None:
        self._user = user
        self._wall = wall
        self._on_error = on_error
        self._types: WeakKeyDictionary[type[BaseException], Signature | None] = WeakKeyDictionary()

    @property
    def accepts_all_values(self) -> bool:
        """Whether every returned value is a success: there is no classifier of the user."""
        return self._user is None

    def classify_value(self, value: object) -> Verdict:
        """The verdict on a returned value: success, unless the user's classifier objects."""
        if self._user is None:
            return SUCCESS
        answer = self._call_user(None, value)
        if answer is None:
            return SUCCESS
        verdict = answer if isinstance(answer, Verdict) else _VERDICT_OF_KIND[answer]
        return SUCCESS if verdict.kind is FailureKind.SUCCESS else verdict

    def classify_error(self, error: BaseException, request: object = None) -> Verdict:
        """The verdict on an exception that a provider raised.

        Args:
            error: the exception.
            request: what the provider was sent. Its text in a message proves nothing about the
                provider.
        """
        if self._user is None or not isinstance(error, Exception):
            return self._own_verdict(error, request)
        answer = self._call_user(error, None)
        if isinstance(answer, Verdict):
            return answer
        own = self._own_verdict(error, request)
        if answer is None:
            return own
        return Verdict(
            answer,
            own.retry_after,
            reason="classify",
            status=own.status,
            unsent=own.unsent,
            retried=own.retried,
        )

    def _call_user(
        self, error: BaseException | None, value: object
    ) -> Verdict | FailureKind | None:
        """What the user's classifier returns; `CLASSIFIER_FAILED` when it fails."""
        try:
            answer = hooks.checked_result("classify=", cast("Classify", self._user)(error, value))
            return answer if answer is None or isinstance(answer, Verdict) else _kind(answer)
        except Exception as failure:  # noqa: BLE001 - a user's hook may fail, a call may not
            self._on_error(failure)
            return CLASSIFIER_FAILED

    def _own_verdict(self, error: BaseException, request: object) -> Verdict:
        """The package's own verdict; `unknown` for an exception that cannot be read."""
        try:
            verdict = self._classify(error, 0, request)
            if verdict.kind in _MAYBE_LOCAL and verdict.status is None:
                resource = used_up_resource(error)
                if resource:
                    verdict.local, verdict.reason = True, f"{resource} in this process"
            return verdict
        except Exception as failure:  # noqa: BLE001 - foreign exceptions may do anything
            self._on_error(failure)
            return Verdict(FailureKind.UNKNOWN, reason=_name(error))

    def _classify(self, error: BaseException, depth: int, request: object) -> Verdict:
        if isinstance(error, BaseExceptionGroup):
            return self._from_group(error, depth, request)
        if not isinstance(error, Exception):
            return CANCELLED
        if isinstance(error, AttemptTimeout):
            return Verdict(FailureKind.TIMEOUT, reason=error.limit)
        if isinstance(error, ProviderError):
            return self._from_adapter(error, depth, request)
        return self._from_details(error, depth, request)

    def _from_adapter(self, error: ProviderError, depth: int, request: object) -> Verdict:
        """The verdict on an adapter's error: it has the kind; `unsent` depends on the cause."""
        cause = self._from_cause(error, depth, request)
        return Verdict(
            FailureKind(error.kind),
            retry_after.span(error.retry_after),
            reason=_reason_of_adapter(error, cause)[:_MAX_REASON],
            status=error.status,
            unsent=error.kind == FailureKind.TRANSPORT and cause is not None and cause.unsent,
            certain=error.status != 403,
            retried=error.retried,
        )

    def _from_details(self, error: Exception, depth: int, request: object) -> Verdict:
        details = ExceptionDetails(error)

        def own(phrase: str) -> bool:
            about_field = details.names_field and details.status in _ABOUT_THE_REQUEST
            return not about_field and not may_quote(request, phrase)

        signature = self._signature(error, details, own)
        if signature is None or signature.wrapper:
            cause = self._from_cause(error, depth, request)
            if cause is not None:
                return _wrapped(cause, details)
        if signature is None:
            signature = _by_text(details.text, own) or Signature(FailureKind.UNKNOWN, _place(error))
        return Verdict(
            signature.kind,
            self._wait(signature.kind, details),
            reason=signature.reason,
            status=details.status,
            unsent=signature.unsent,
            certain=signature.certain,
            retried=details.retried,
        )

    def _signature(self, error: Exception, details: ExceptionDetails, own: Own) -> Signature | None:
        """The first match: codes, then phrases, then status, status words, type and phrases."""
        status, words, text = details.status, details.words, details.text
        return (
            signatures.by_overruling_phrase(status, text, own)
            or signatures.by_code(words)
            or (signatures.by_phrase(status, text, own) if status else None)
            or signatures.by_field(status, words, text)
            or (signatures.by_status(status) if status and details.failing else None)
            or exception_types.by_grpc_code(details.grpc_code, text)
            or signatures.by_status_word(words)
            or self._by_type(error)
            or exception_types.by_encoder(error, text)
            or (signatures.by_status(status) if status else signatures.by_phrase(None, text, own))
        )

    def _by_type(self, error: Exception) -> Signature | None:
        cls = type(error)
        if cls not in self._types:
            self._types[cls] = exception_types.by_type(cls)
        signature = self._types[cls]
        if signature is None and isinstance(error, OSError):
            return exception_types.by_errno(error)
        return signature

    def _from_cause(self, error: Exception, depth: int, request: object) -> Verdict | None:
        """The verdict on the exception's `__cause__`, or None when it tells nothing."""
        if error.__cause__ is None or depth >= _MAX_DEPTH:
            return None
        verdict = self._classify(error.__cause__, depth + 1, request)
        return None if verdict.kind in (FailureKind.UNKNOWN, FailureKind.CANCELLED) else verdict

    def _from_group(
        self, group: BaseExceptionGroup[BaseException], depth: int, request: object
    ) -> Verdict:
        """The verdict on a group: a cancellation first, then the leaf of the strongest effect.

        The group is unsent only when every leaf is, and retried when any leaf is.
        """
        # Half the depth at once: leaves whose causes are groups in turn must not multiply.
        depth += _MAX_DEPTH // 2
        verdicts = [self._classify(leaf, depth, request) for leaf in _leaves(group)]
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

    def _wait(self, kind: FailureKind, details: ExceptionDetails) -> float | None:
        """The requested wait, seconds: of Retry-After, reset headers, the body or the message."""
        wait = None
        if details.headers:
            wait = retry_after.from_headers(details.headers, self._wall)
            if wait is None and kind is FailureKind.RATE_LIMIT:
                wait = rate_limit_headers.until_refilled(details.headers, self._wall)
        if wait is None:
            wait = retry_after.from_body(details.delays)
        if wait is None and kind in _KINDS_WITH_WAIT_IN_TEXT:
            wait = retry_after.from_text(details.text)
        return wait


def _kind(answer: object) -> FailureKind:
    if isinstance(answer, str) and answer in FailureKind.__members__.values():
        return FailureKind(answer)
    raise UsageError(
        f"classify= must return a Verdict, a FailureKind or its value, or None, got {answer!r}"
    )


def _by_text(text: str, own: Own) -> Signature | None:
    """The signature of a text that names a transient status, a limit or a wait, or None."""
    found = signatures.by_plain_text(text, own)
    if found is None and retry_after.from_text(text) is not None:
        return Signature(FailureKind.RATE_LIMIT, "retry after")
    return found


def _name(error: BaseException) -> str:
    return type(error).__name__[:_MAX_REASON]


def _place(error: BaseException) -> str:
    """The class of an exception that tells no more, and where it was raised: mostly a bug there."""
    location = location_of(error)
    return f"{_name(error)} at {location}" if location else _name(error)


def _reason_of_adapter(error: ProviderError, cause: Verdict | None) -> str:
    """The sign that an adapter's error gives: its code, its status, or that of its cause."""
    if error.code or error.status is not None:
        return error.code or f"status {error.status}"
    return str(error.kind) if cause is None else cause.reason


def _wrapped(cause: Verdict, details: ExceptionDetails) -> Verdict:
    """The cause's verdict, with the delay and the retry mark of the exception that wraps it."""
    wait = retry_after.from_body(details.delays)
    return Verdict(
        cause.kind,
        cause.retry_after if wait is None else wait,
        reason=cause.reason,
        status=cause.status,
        unsent=cause.unsent,
        certain=cause.certain,
        retried=cause.retried or details.retried,
    )


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """The exceptions of a group and of its nested groups, at most `_MAX_LEAVES`."""
    pending: list[BaseException] = [group]
    seen = 0
    while pending and seen < _MAX_LEAVES:
        error = pending.pop(0)
        if isinstance(error, BaseExceptionGroup):
            pending[:0] = error.exceptions[:_MAX_LEAVES]
        else:
            seen += 1
            yield error
