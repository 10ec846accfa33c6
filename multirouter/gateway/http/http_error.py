"""HTTP error of a failed request: status, code, message and retry advice for each exception."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable

from multirouter.core.error_text import listed
from multirouter.errors import (
    AllProvidersFailed,
    CallFailed,
    CallTimeout,
    NoProviderAvailable,
    ProviderError,
    RequestUnsupported,
    StreamInterrupted,
)
from multirouter.model import REQUEST_KINDS, FailureKind

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
    return json.dumps(_cut(value), ensure_ascii=False, default=repr)[:_MAX_SHOWN]


_MAX_SHOWN = 200
_MAX_DEPTH = 8


def _cut(value: object, depth: int = 0) -> object:
    """As much of a value as is shown: encoding millions of characters takes long."""
    if isinstance(value, str):
        return value[:_MAX_SHOWN]
    if depth >= _MAX_DEPTH:
        return "…"
    if isinstance(value, dict):
        some = itertools.islice(value.items(), _MAX_SHOWN)
        return {str(key)[:_MAX_SHOWN]: _cut(inner, depth + 1) for key, inner in some}
    if isinstance(value, list | tuple):
        return [_cut(inner, depth + 1) for inner in value[: _MAX_SHOWN // 2]]
    return value


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
        return _no_provider(error)
    if isinstance(error, CallTimeout):
        return HTTPError(504, str(error), code="timeout")
    if isinstance(error, StreamInterrupted):
        message = f"the stream of {error.provider!r} was interrupted"
        return HTTPError(502, message, code="stream_interrupted")
    if isinstance(error, AllProvidersFailed):
        return _all_failed(error)
    message = f"the call failed: {type(error).__name__}"
    return HTTPError(502, message, code="upstream_error", retry_after=error.retry_after)


def _no_provider(error: NoProviderAvailable) -> HTTPError:
    if isinstance(error, RequestUnsupported):
        return HTTPError(400, str(error), code="unsupported", retry=False)
    # What stands behind the bracket is the last failure, which another request has had.
    states = (f"{name}: {state.partition(' (')[0]}" for name, state in error.states.items())
    message, retry_after = f"no provider is available ({'; '.join(states)})", error.retry_after
    if error.rate_limited:
        return HTTPError(429, message, code="rate_limit_exceeded", retry_after=retry_after)
    return HTTPError(503, message, code="no_provider_available", retry_after=retry_after)


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
    message = f"{error.provider}: {error.kind}"
    return HTTPError(502, message, code="upstream_error", retry_after=error.retry_after)


def _all_failed(error: AllProvidersFailed) -> HTTPError:
    kinds = {a.verdict.kind for a in error.attempts if a.outcome == "failure"} - REQUEST_KINDS
    message, retry_after = _failures(error), error.retry_after
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


def _failures(error: CallFailed) -> str:
    """The failures of a call: what failed and why, without the words of a provider.

    Those may hold addresses, names of accounts, or a part of an answer to another client. About the
    request itself they are passed on.
    """
    parts = []
    for record in error.attempts:
        verdict = record.verdict
        if record.outcome != "failure":
            continue
        about_request = verdict.kind in REQUEST_KINDS
        reason = verdict.reason if about_request else plain_reason(verdict.reason)
        if reason == verdict.kind:  # which says nothing more
            reason = ""
        parts.append(f"{record.provider}: {verdict.kind}{f' ({reason})' if reason else ''}")
    return f"all attempts failed: {listed(parts)}"


def plain_reason(reason: str) -> str:
    """A reason if it is a code or the name of a limit or an exception, else ""."""
    return reason if _PLAIN_REASON.fullmatch(reason) else ""


_PLAIN_REASON = re.compile(r"[A-Za-z0-9_ .-]{1,64}")
