"""HTTP status, detail and headers of a failed call, for the web examples.

A call can fail in two ways. With `CallFailed` no provider answered; a later request may succeed, so
the response is a 503 or 504 with Retry-After. Any other exception is a provider's own, raised
unchanged because the request is invalid for every provider: a 4xx, which clients must not retry.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from multirouter import CallFailed, CallOutcome, CallTimeout, FailureKind

REQUEST_ERRORS = {
    FailureKind.CONTEXT_LENGTH: (413, "the prompt is too long for the model"),
    FailureKind.CONTENT_FILTER: (422, "the prompt was blocked by a content filter"),
}
"""Status and detail by kind of failure; any other invalid request is a 400."""


class HttpError(NamedTuple):
    """An error response.

    Attributes:
        status: the HTTP status.
        detail: the message. It never contains the provider's own text, which may have secrets.
        headers: the response's headers.
    """

    status: int
    detail: str
    headers: dict[str, str]


def http_error(outcome: CallOutcome[Any]) -> HttpError:
    """Returns the error response of a call or stream that failed."""
    error = outcome.error
    if isinstance(error, CallFailed):
        status = 504 if isinstance(error, CallTimeout) else 503
        retry_after = math.ceil(error.retry_after or 1.0)
        return HttpError(status, "no provider answered", {"Retry-After": str(retry_after)})
    verdict = next(a.verdict for a in outcome.attempts if a.error is error)
    status, detail = REQUEST_ERRORS.get(verdict.kind, (400, "the request is invalid"))
    return HttpError(status, detail, {})
