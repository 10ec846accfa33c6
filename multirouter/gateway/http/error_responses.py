"""What a failed call becomes on the wire: status, code, message, and when to try again."""

from __future__ import annotations

from collections.abc import Iterable

from multirouter.errors import (
    AllProvidersFailed,
    CallFailed,
    CallTimeout,
    NoProviderAvailable,
    ProviderError,
    StreamInterrupted,
)
from multirouter.model import FailureKind

LONGEST = 1000
"""Characters of a message that reach a client."""

_OWN_STATUSES = frozenset({400, 404, 405, 409, 413, 415, 422})
_RESTS = frozenset({FailureKind.RATE_LIMIT, FailureKind.OVERLOADED})
_USED_UP = frozenset({FailureKind.EXHAUSTED, FailureKind.CREDENTIALS})


class Refusal(Exception):
    """An answer that is none: the same for every door, told in each door's own format.

    Attributes:
        status: the HTTP status, 400 to 599.
        message: for people; bounded, and without secrets.
        code: for programs (`model_not_found`), or None.
        param: the field of the request that is at fault, or None.
        retry_after: seconds after which another try may succeed, or None when unknown.
        retry: False when trying again cannot help, so that SDKs leave it; None says nothing.
        allow: the methods that the path takes, where the request's own is not among them.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
        retry: bool | None = None,
        allow: Iterable[str] = (),
    ) -> None:
        text = " ".join(message.split())
        self.message: str = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
        super().__init__(self.message)
        self.status = status
        self.code = code
        self.param = param
        self.retry_after = retry_after
        self.retry = retry
        self.allow: tuple[str, ...] = tuple(allow)


def refusal_of(error: BaseException) -> Refusal:
    """What a client is told of an error; of one nobody foresaw, only that it happened."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, ProviderError):
        return _own_fault(error)
    if isinstance(error, CallFailed):
        return _failed(error)
    return Refusal(500, "the gateway failed; its log says why", code="internal_error")


def _failed(error: CallFailed) -> Refusal:
    if isinstance(error, NoProviderAvailable):
        if error.states and all(
            state.startswith("cooling down") for state in error.states.values()
        ):
            rest = error.retry_after
            return Refusal(429, str(error), code="rate_limit_exceeded", retry_after=rest)
        return Refusal(503, str(error), code="no_provider_available", retry_after=error.retry_after)
    if isinstance(error, CallTimeout):
        return Refusal(504, _with_cause(error), code="timeout")
    if isinstance(error, StreamInterrupted):
        return Refusal(502, str(error), code="stream_interrupted")
    if isinstance(error, AllProvidersFailed):
        return _all_failed(error)
    return Refusal(502, str(error), code="upstream_error", retry_after=error.retry_after)


def _own_fault(error: ProviderError) -> Refusal:
    """The request's own fault keeps the status its provider gave it; a provider's is a 502."""
    status = error.status if error.status in _OWN_STATUSES else 400
    if error.kind is FailureKind.CONTEXT_LENGTH:
        return Refusal(status, str(error), code="context_length_exceeded", param="messages")
    if error.kind is FailureKind.CONTENT_FILTER:
        return Refusal(status, str(error), code=error.code or "content_filter")
    if error.kind is FailureKind.NOT_FOUND:
        return Refusal(404, str(error), code="model_not_found", param="model")
    if error.kind is FailureKind.REQUEST:
        return Refusal(status, str(error), code=error.code)
    return Refusal(502, str(error), code="upstream_error", retry_after=error.retry_after)


def _all_failed(error: AllProvidersFailed) -> Refusal:
    kinds = {a.verdict.kind for a in error.attempts if a.outcome == "failure"}
    told, rest = _with_cause(error), error.retry_after
    if kinds == {FailureKind.RATE_LIMIT}:
        return Refusal(429, told, code="rate_limit_exceeded", retry_after=rest)
    if kinds == {FailureKind.NOT_FOUND}:
        return Refusal(404, told, code="model_not_found", param="model")
    if kinds == {FailureKind.TIMEOUT}:
        return Refusal(504, told, code="timeout")
    if kinds <= _USED_UP:
        return Refusal(503, told, code="providers_unavailable", retry=False)
    if kinds <= _RESTS:
        return Refusal(503, told, code="overloaded", retry_after=rest)
    return Refusal(502, told, code="upstream_error", retry_after=rest)


def _with_cause(error: CallFailed) -> str:
    """The router's account, and what the last provider said, which is bounded and keyless."""
    cause = error.__cause__
    return f"{error} ({cause})" if isinstance(cause, ProviderError) else str(error)
