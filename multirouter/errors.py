"""Every exception the package raises, and nothing else.

MultirouterError
├── CallFailed               attempts, elapsed, retry_after: one `except` for a web handler
│   ├── NoProviderAvailable      nobody could be asked; states by provider
│   ├── AllProvidersFailed       everybody asked failed; __cause__ is the last error
│   ├── CallTimeout              the call's deadline passed (a TimeoutError too)
│   └── StreamInterrupted        a stream ended early; provider, chunks delivered
├── AttemptTimeout           one attempt's limit; names the keyword to raise (a TimeoutError too)
├── ProviderError            an adapter's error: provider, kind, status, code, retry_after
├── UsageError               closed router, wrong loop, unknown route, no awaitable
└── ConfigurationError       refused at construction: what, why (a ValueError too)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multirouter.model import AttemptRecord, FailureKind


class MultirouterError(Exception):
    """The root: catches whatever this package raises and nothing of a provider's."""


class CallFailed(MultirouterError):
    """A call ended without an answer.

    Attributes:
        attempts: what was tried, in order; empty when nobody could be asked.
        elapsed: seconds from the call's start to its end.
        retry_after: seconds until another try may succeed, or None when unknown.
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


class NoProviderAvailable(CallFailed):
    """Nobody could be asked: each provider is out, full, held or unfit.

    Attributes:
        states: for each provider of the route, why it could not be asked.
    """

    def __init__(
        self,
        message: str,
        *,
        states: Mapping[str, str],
        elapsed: float = 0.0,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, elapsed=elapsed, retry_after=retry_after)
        self.states: dict[str, str] = dict(states)


class AllProvidersFailed(CallFailed):
    """Everybody who could be asked was asked and failed; `__cause__` is the last error."""


class CallTimeout(CallFailed, TimeoutError):
    """The deadline of the whole call passed (`timeout=`)."""


class StreamInterrupted(CallFailed):
    """A stream ended before it was proven complete.

    Attributes:
        provider: who was serving.
        chunks: how many chunks the consumer had received.
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


_RAN_INTO = {
    "first_token": "began no answer within {}={:g} s",
    "idle": "sent nothing for {}={:g} s",
    "total": "had not ended its stream after {}={:g} s",
    "min_rate": "sent less than {}={:g} characters a second",
}


class AttemptTimeout(MultirouterError, TimeoutError):
    """One attempt ran into a limit of its own; the call may go on elsewhere.

    Attributes:
        provider: who was too slow.
        limit: the keyword to change: `attempt_timeout`, `first_token`, `idle`, `total`,
            `min_rate`.
        seconds: the span that was allowed (for `min_rate`: the characters a second).
    """

    def __init__(self, provider: str, limit: str, seconds: float) -> None:
        what = _RAN_INTO.get(limit, "gave no answer within {}={:g} s").format(limit, seconds)
        super().__init__(f"{provider!r} {what}")
        self.provider = provider
        self.limit = limit
        self.seconds = seconds


class ProviderError(MultirouterError):
    """What an adapter raises: a provider's failure with its kind already known.

    A user's own provider may raise it as well: then no guess from its shape is needed.

    Attributes:
        provider: the provider's name.
        kind: what the failure counts as.
        status: the HTTP status, when there was one.
        code: the provider's own code (`insufficient_quota`), when there was one.
        request_id: the provider's id of the request, for its support.
        retry_after: seconds the provider asked to be left alone.
        retried: True when the failed request was already retried underneath (by an SDK):
            the router then fails over, and does not ask the same provider again.
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
    """The router was used in a way that cannot work: says which, and what to do instead."""


class ConfigurationError(MultirouterError, ValueError):
    """A setting was refused.

    Attributes:
        what: the setting, as the user wrote it (`Provider('a').weight`).
        why: what is wrong with it.
    """

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")
        self.what = what
        self.why = why
