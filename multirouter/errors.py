"""Every exception that the package raises.

MultirouterError
├── CallFailed               attempts, elapsed, retry_after: one `except` for a web handler
│   ├── NoProviderAvailable      no provider could be attempted; states by provider
│   │   └── RequestUnsupported       no provider of the route can express the request
│   ├── AllProvidersFailed       every attempted provider failed; __cause__ is the last error
│   ├── CallTimeout              the call's deadline passed (a TimeoutError too)
│   └── StreamInterrupted        a stream ended early; provider, chunks delivered
├── AttemptTimeout           a limit of one attempt; names the setting (a TimeoutError too)
├── ProviderError            a provider's failure: provider, kind, status, code, retry_after
├── UsageError               closed router, wrong loop, unknown route, result not awaitable
│   └── OperationMissing         no provider of the route has the operation that the call names
└── ConfigurationError       an invalid setting: what, why (a ValueError too)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from multirouter.pickling import Copyable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multirouter.model import AttemptRecord, FailureKind


class MultirouterError(Copyable, Exception):
    """Base class of every exception of this package.

    All of them can be pickled and copied, also between processes. An exception of another library
    that they hold, and that cannot be pickled, is replaced by an `UnpicklableError`.
    """


class CallFailed(MultirouterError):
    """A call ended without an answer.

    Attributes:
        attempts: the attempts that were made, in order; empty when no provider was attempted.
        elapsed: seconds from the call's start to its end.
        retry_after: seconds until another call may succeed, or None when unknown.
        fallback_error: what `fallback=` raised, also in `__context__`; a TimeoutError when it took
            too long; None when it was not called.
    """

    def __init__(
        self,
        message: str,
        *,
        attempts: tuple[AttemptRecord, ...] = (),
        elapsed: float = 0.0,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.attempts = attempts
        self.elapsed = elapsed
        self.retry_after = retry_after
        self.fallback_error: Exception | None = None


class NoProviderAvailable(CallFailed):
    """No provider could serve the call: each is open, at a limit, held or ineligible.

    Providers that cannot express the request may have been attempted before; see `attempts`.

    Attributes:
        states: for each provider of the route, why it could not be attempted.
        rate_limited: whether it is a cooldown after a rate limit (status 429) for each of them.
    """

    def __init__(
        self,
        message: str,
        *,
        states: Mapping[str, str],
        attempts: tuple[AttemptRecord, ...] = (),
        elapsed: float = 0.0,
        retry_after: float | None = None,
        rate_limited: bool = False,
    ) -> None:
        super().__init__(message, attempts=attempts, elapsed=elapsed, retry_after=retry_after)
        self.states: dict[str, str] = dict(states)
        self.rate_limited = rate_limited


class RequestUnsupported(NoProviderAvailable):
    """No provider of the route can express the request; `states` says what each of them lacks.

    The same request cannot succeed there later; on another route it may.
    """


class AllProvidersFailed(CallFailed):
    """Every available provider was attempted and failed; `__cause__` is the last error."""


class CallTimeout(CallFailed, TimeoutError):
    """The deadline of the whole call passed (`timeout=`)."""


class StreamInterrupted(CallFailed):
    """A stream ended before it was proven complete.

    Attributes:
        provider: the provider whose stream ended.
        chunks: number of chunks that the consumer had received.
    """

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        chunks: int,
        attempts: tuple[AttemptRecord, ...] = (),
        elapsed: float = 0.0,
    ) -> None:
        super().__init__(message, attempts=attempts, elapsed=elapsed)
        self.provider = provider
        self.chunks = chunks


_LIMIT_MESSAGES = {
    "first_token": "sent no content within {}={:g} s",
    "idle": "sent nothing for {}={:g} s",
    "total": "did not end its stream within {}={:g} s",
    "min_rate": "sent fewer than {}={:g} characters per second",
}


class AttemptTimeout(MultirouterError, TimeoutError):
    """One attempt exceeded a time limit; the call may continue at another provider.

    Attributes:
        provider: the provider that exceeded the limit.
        limit: the setting to change: `attempt_timeout`, `first_token`, `idle`, `total` or
            `min_rate`.
        seconds: the allowed time in seconds; for `min_rate`, characters per second.
    """

    def __init__(self, provider: str, limit: str, seconds: float) -> None:
        template = _LIMIT_MESSAGES.get(limit, "did not answer within {}={:g} s")
        super().__init__(f"{provider!r} {template.format(limit, seconds)}")
        self.provider = provider
        self.limit = limit
        self.seconds = seconds


class ProviderError(MultirouterError):
    """A provider's failure whose kind is known; the built-in adapters raise it.

    Your own `call` or `stream` function may raise it as well. The router then takes `kind` as it
    is, instead of classifying the exception by its type, attributes and text. Raise it `from` the
    client library's exception: for kind `transport`, the cause shows whether the request was sent.

    Args:
        message: what went wrong, for logs and for the caller.
        provider: the provider's name, as in `Provider(name, ...)`.
        kind: what the failure counts as; it decides about retry, failover and circuit (see
            `FailureKind` and `RULES`).
        status: the HTTP status of the response, or None when there was no response. With 403 only
            the second failure in a row counts in full, as a single one is weak evidence.
        code: the provider's own error code (`insufficient_quota`), or None.
        request_id: the id that the provider gave the request, for its support, or None.
        retry_after: seconds after which the provider accepts requests again (its Retry-After
            header), at least 0; None when it named no time. A `rate_limit` puts the provider
            into a cooldown of this length.
        retried: True when the client library already retried this request. The router then fails
            over, and makes no further attempt at the same provider for this failure.

    Every argument except `message` is also an attribute.

    Example:
        raise ProviderError("quota used up", provider="openai", kind=FailureKind.EXHAUSTED)
    """

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        kind: FailureKind,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        retried: bool = False,
    ) -> None:
        super().__init__(message)
        self.provider = provider
        self.kind = kind
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after
        self.retried = retried


class UsageError(MultirouterError):
    """The router was used incorrectly; the message names the mistake and the remedy."""


class OperationMissing(UsageError):
    """The call's `Chain` names an operation that no provider of its routes has."""


class ConfigurationError(MultirouterError, ValueError):
    """A setting is invalid.

    Attributes:
        what: the setting, as the user wrote it (`Provider('a').weight`).
        why: what is wrong with its value, and which values are allowed.
    """

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")
        self.what = what
        self.why = why
