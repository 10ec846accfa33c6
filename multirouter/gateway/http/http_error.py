"""HTTP error of a failed request: status, code, message and retry advice for each exception."""

from __future__ import annotations

import json
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

MAX_MESSAGE = 1000
"""Characters of a message that reach a client."""

_PASSED_ON = frozenset({400, 404, 405, 409, 413, 415, 422})
"""Statuses of a provider that say that the request itself is wrong."""

_OVERLOAD = frozenset({FailureKind.RATE_LIMIT, FailureKind.OVERLOADED})
_ACCOUNT = frozenset({FailureKind.EXHAUSTED, FailureKind.CREDENTIALS})


class HTTPError(Exception):
    """An error response, independent of the format in which an endpoint sends it.

    Attributes:
        status: the HTTP status, 400 to 599.
        message: for people; one line of at most `MAX_MESSAGE` characters, without secrets.
        code: for programs (`model_not_found`), or None.
        param: the invalid field of the request, or None.
        retry_after: seconds after which a retry may succeed, or None when unknown.
        retry: False when a retry cannot succeed, so that SDKs do not try; None says nothing.
        allow: the methods of the path, for a 405.
        accept_encoding: the content encodings of requests, for a 415.
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
        accept_encoding: Iterable[str] = (),
    ) -> None:
        text = " ".join(message.split())
        self.message: str = text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"
        super().__init__(self.message)
        self.status = status
        self.code = code
        self.param = param
        self.retry_after = retry_after
        self.retry = retry
        self.allow: tuple[str, ...] = tuple(allow)
        self.accept_encoding: tuple[str, ...] = tuple(accept_encoding)


def invalid_field(param: str, problem: str) -> HTTPError:
    """The 400 for an invalid field of a request.

    Args:
        param: the field's name or path.
        problem: what is wrong with it and what is allowed, as a predicate ("must be ...").
    """
    return HTTPError(400, f"`{param}` {problem}", code="invalid_value", param=param)


def shown(value: object) -> str:
    """A value of a request as JSON, as the client wrote it, cut to 200 characters."""
    return json.dumps(value, ensure_ascii=False, default=repr)[:200]


def http_error_from(error: BaseException) -> HTTPError:
    """The HTTP error for an exception; an unexpected one is a 500 without details."""
    if isinstance(error, HTTPError):
        return error
    if isinstance(error, ProviderError):
        return _provider_error(error)
    if isinstance(error, CallFailed):
        return _call_failed(error)
    return HTTPError(500, "internal error of the gateway; see its log", code="internal_error")


def _call_failed(error: CallFailed) -> HTTPError:
    if isinstance(error, NoProviderAvailable):
        retry_after = error.retry_after
        if error.rate_limited:
            return HTTPError(429, str(error), code="rate_limit_exceeded", retry_after=retry_after)
        return HTTPError(503, str(error), code="no_provider_available", retry_after=retry_after)
    if isinstance(error, CallTimeout):
        return HTTPError(504, _with_cause(error), code="timeout")
    if isinstance(error, StreamInterrupted):
        return HTTPError(502, str(error), code="stream_interrupted")
    if isinstance(error, AllProvidersFailed):
        return _all_failed(error)
    return HTTPError(502, str(error), code="upstream_error", retry_after=error.retry_after)


_DEFAULT_CODES: dict[FailureKind, str | None] = {
    FailureKind.CONTENT_FILTER: "content_filter",
    FailureKind.REQUEST: None,
    FailureKind.UNSUPPORTED: "unsupported",
}
"""The error code of a faulty request when the provider gave none."""


def _provider_error(error: ProviderError) -> HTTPError:
    """An invalid request keeps the status of the provider; a fault of the provider is a 502."""
    status = error.status if error.status in _PASSED_ON else 400
    if error.kind is FailureKind.CONTEXT_LENGTH:
        return HTTPError(status, str(error), code="context_length_exceeded", param="messages")
    if error.kind is FailureKind.REFUSAL:
        return HTTPError(status, str(error), code="refusal")
    if error.kind in _DEFAULT_CODES:
        return HTTPError(status, str(error), code=error.code or _DEFAULT_CODES[error.kind])
    if error.kind is FailureKind.NOT_FOUND:
        return HTTPError(404, str(error), code="model_not_found", param="model")
    return HTTPError(502, str(error), code="upstream_error", retry_after=error.retry_after)


def _all_failed(error: AllProvidersFailed) -> HTTPError:
    kinds = {a.verdict.kind for a in error.attempts if a.outcome == "failure"}
    message, retry_after = _with_cause(error), error.retry_after
    if kinds == {FailureKind.RATE_LIMIT}:
        return HTTPError(429, message, code="rate_limit_exceeded", retry_after=retry_after)
    if kinds == {FailureKind.NOT_FOUND}:
        return HTTPError(404, message, code="model_not_found", param="model")
    if kinds == {FailureKind.TIMEOUT}:
        return HTTPError(504, message, code="timeout")
    if kinds <= _ACCOUNT:
        return HTTPError(503, message, code="providers_unavailable", retry=False)
    if kinds <= _OVERLOAD:
        return HTTPError(503, message, code="overloaded", retry_after=retry_after)
    return HTTPError(502, message, code="upstream_error", retry_after=retry_after)


def _with_cause(error: CallFailed) -> str:
    """The router's message and the last provider's, which is bounded and holds no key."""
    cause = error.__cause__
    return f"{error}; last error: {cause}" if isinstance(cause, ProviderError) else str(error)
