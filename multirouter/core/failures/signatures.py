"""The signs by which failures are told apart: codes, statuses, phrases, types, error numbers.

Tables first, then one short reader a table. Each reader gives a `Sign` or None, for "no opinion".
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import NamedTuple

from multirouter.model import FailureKind


class Sign(NamedTuple):
    """What one sign says.

    Attributes:
        kind: what the failure counts as.
        reason: the sign itself, a word of these tables.
        unsent: whether the request surely never reached the provider.
        certain: whether one such answer is proof enough.
        hollow: whether the exception merely wraps another, which knows better.
    """

    kind: FailureKind
    reason: str
    unsent: bool = False
    certain: bool = True
    hollow: bool = False


# Codes that mean the same whatever the status: the same 429 is a limit for seconds or a bill that
# is not paid, the same 400 the caller's fault or a bad key.
# Source: error types of openai 3.52, anthropic 2.11 and google-genai 3.4; AWS's common errors and
# botocore's list of throttling codes; Azure OpenAI's content filter.
_CODES: dict[FailureKind, tuple[str, ...]] = {
    FailureKind.EXHAUSTED: (
        "insufficient_quota",
        "billing_error",
        "billing_hard_limit_reached",
        "billing_not_active",
        "linked_organization_billing_unavailable",
    ),
    FailureKind.CREDENTIALS: (
        "invalid_api_key",
        "api_key_invalid",
        "organization_on_hold",
        "cmek_key_disabled",
        "cmek_key_network_blocked",
        "expiredtoken",
        "expiredtokenexception",
        "invalidclienttokenid",
        "invalidsignatureexception",
        "signaturedoesnotmatch",
        "unrecognizedclientexception",
    ),
    FailureKind.CONTEXT_LENGTH: (
        "context_length_exceeded",
        "request_too_large",
        "request_body_too_large_after_decoding",
    ),
    FailureKind.CONTENT_FILTER: (
        "content_policy_violation",
        "content_filter",
        "responsibleaipolicyviolation",
    ),
    FailureKind.REQUEST: ("string_above_max_length",),
    FailureKind.NOT_FOUND: ("model_not_found", "deploymentnotfound"),
    FailureKind.RATE_LIMIT: (
        "rate_limit_exceeded",
        "ramp_limit_exceeded",
        "throttling",
        "throttlingexception",
        "throttledexception",
        "requestthrottledexception",
        "toomanyrequestsexception",
        "requestlimitexceeded",
        "servicequotaexceededexception",
        "limitexceededexception",
        "slowdown",
    ),
    FailureKind.OVERLOADED: (
        "overloaded_error",
        "modelnotreadyexception",
        "serviceunavailableexception",
    ),
    FailureKind.SERVER: (
        "modelerrorexception",
        "modelstreamerrorexception",
        "modeltimeoutexception",
    ),
}

# Codes that only repeat a status in words; they count where there is no failing status, as in a
# stream that breaks after its 200.
_WORDS: dict[FailureKind, tuple[str, ...]] = {
    FailureKind.RATE_LIMIT: ("rate_limit_error", "resource_exhausted"),
    FailureKind.OVERLOADED: ("unavailable", "overloaded"),
    FailureKind.SERVER: (
        "server_error",
        "api_error",
        "timeout_error",
        "conflict_error",
        "internal",
        "internal_server_error",
        "internalserverexception",
        "deadline_exceeded",
        "aborted",
    ),
    FailureKind.CREDENTIALS: ("authentication_error", "unauthenticated"),
    FailureKind.NOT_FOUND: ("not_found_error", "not_found", "resourcenotfoundexception"),
    FailureKind.REQUEST: (
        "invalid_request_error",
        "invalid_argument",
        "failed_precondition",
        "validationexception",
    ),
}
_UNCERTAIN_WORDS = ("permission_error", "permission_denied", "accessdeniedexception")

_STATUSES: dict[FailureKind, tuple[int, ...]] = {
    FailureKind.RATE_LIMIT: (429,),
    FailureKind.EXHAUSTED: (402,),
    FailureKind.OVERLOADED: (503, 529, 498),  # 498: Groq's flex tier is at capacity
    FailureKind.SERVER: (
        408,
        409,
        424,
        425,
        499,
    ),  # 424: Bedrock's model failed; 499: Gemini CANCELLED
    FailureKind.CREDENTIALS: (401, 403, 407),
    FailureKind.NOT_FOUND: (
        404,
        405,
        410,
        451,
    ),  # none is the request's fault: this address lacks it
}

# Phrases, lower case. Those of the second table are too common to mean anything in an exception
# that has no HTTP status.
_NOT_CONTEXT = ("max_tokens is too large",)
_PHRASES: dict[FailureKind, tuple[str, ...]] = {
    FailureKind.EXHAUSTED: ("credit balance is too low",),
    FailureKind.CREDENTIALS: ("api key not valid", "api key expired"),
    FailureKind.CONTENT_FILTER: (
        "blocked by content filtering policy",
        "content management policy",
    ),
    FailureKind.CONTEXT_LENGTH: (
        "maximum context length",
        "exceeds the context window",
        "exceed context window",
        "exceed context limit",
        "input tokens exceed the configured limit",
        "prompt is too long",
        "exceeds the maximum number of tokens allowed",
        "request payload size exceeds the limit",
        "exceeds the available context size",
    ),
}
_WEAK_PHRASES: dict[FailureKind, tuple[str, ...]] = {
    FailureKind.CONTEXT_LENGTH: ("input is too long", "context window", "too many tokens"),
}
_PHRASED = frozenset({200, 400, 402, 403, 413, 422})
"""The statuses under which a phrase may overrule the status."""

# Exceptions that carry no status, by top-level package and class name.
_NEVER_SENT = (
    "builtins.ConnectionRefusedError",
    "socket.gaierror",
    "socket.herror",
    "ssl.SSLCertVerificationError",
    "aiohttp.ClientConnectorError",
    "aiohttp.ConnectionTimeoutError",
    "aiohttp.ServerFingerprintMismatch",
    *(
        f"{package}.{name}"
        for package in ("httpx", "httpx2", "httpcore", "httpcore2")
        for name in ("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError")
    ),
    "httpx.UnsupportedProtocol",
    "httpx2.UnsupportedProtocol",
    "botocore.ConnectionError",
    "requests.ConnectTimeout",
    "urllib3.ConnectTimeoutError",
    "urllib3.NewConnectionError",
)
_TYPES: dict[FailureKind, tuple[str, ...]] = {
    FailureKind.TRANSPORT: (
        "builtins.ConnectionError",
        "builtins.EOFError",
        "ssl.SSLError",
        "http.HTTPException",
        "json.JSONDecodeError",
        "openai.APIResponseValidationError",
        "anthropic.APIResponseValidationError",
        "aiohttp.ClientConnectionError",
        "aiohttp.ClientPayloadError",
        "httpx.RequestError",
        "httpx2.RequestError",
        "httpcore.NetworkError",
        "httpcore.ProtocolError",
        "httpcore2.NetworkError",
        "httpcore2.ProtocolError",
        "botocore.HTTPClientError",
        "botocore.IncompleteReadError",
        "botocore.ChecksumError",
        "requests.RequestException",
        "urllib3.HTTPError",
        "anyio.EndOfStream",
        "anyio.BrokenResourceError",
        "trio.BrokenResourceError",
        "google.TransportError",
        "google.UnknownApiResponseError",
    ),
    FailureKind.TIMEOUT: (
        "builtins.TimeoutError",
        "aiohttp.ServerTimeoutError",
        "httpx.TimeoutException",
        "httpx2.TimeoutException",
        "httpcore.TimeoutException",
        "httpcore2.TimeoutException",
        "botocore.ReadTimeoutError",
        "requests.Timeout",
        "urllib3.TimeoutError",
        "trio.TooSlowError",
    ),
    FailureKind.CREDENTIALS: (
        "openai.SubjectTokenProviderError",
        "anthropic.CredentialsError",
        "anthropic.WorkloadIdentityError",
        "botocore.NoCredentialsError",
        "botocore.PartialCredentialsError",
        "botocore.CredentialRetrievalError",
        "botocore.NoAuthTokenError",
        "botocore.TokenRetrievalError",
        "botocore.SSOError",
        "botocore.LoginError",
        "google.DefaultCredentialsError",
        "google.RefreshError",
    ),
    FailureKind.SERVER: ("openai.APIError",),  # an error event inside a stream: it has no status
    FailureKind.OVERLOADED: (
        "multirouter.NoProviderAvailable",
    ),  # a provider that is itself a router
    FailureKind.INTERRUPTED: ("multirouter.StreamInterrupted",),
    FailureKind.CONTENT_FILTER: ("openai.ContentFilterFinishReasonError",),
    FailureKind.REQUEST: ("openai.LengthFinishReasonError", "botocore.ParamValidationError"),
}
_HOLLOW: dict[FailureKind, tuple[str, ...]] = {
    FailureKind.TRANSPORT: ("openai.APIConnectionError", "anthropic.APIConnectionError"),
    FailureKind.TIMEOUT: ("openai.APITimeoutError", "anthropic.APITimeoutError"),
}

_NETWORK_ERRNOS = frozenset(
    {
        errno.EADDRNOTAVAIL,
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETRESET,
        errno.ENETUNREACH,
        errno.ENOTCONN,
        errno.EPIPE,
        errno.ESHUTDOWN,
        errno.ETIMEDOUT,
    }
)


def _signs(table: dict[FailureKind, tuple[str, ...]]) -> dict[str, Sign]:
    return {sign: Sign(kind, sign) for kind, signs in table.items() for sign in signs}


def _type_signs() -> dict[str, Sign]:
    hollow = {name: sign._replace(hollow=True) for name, sign in _signs(_HOLLOW).items()}
    unsent = {name: Sign(FailureKind.TRANSPORT, name, unsent=True) for name in _NEVER_SENT}
    return _signs(_TYPES) | hollow | unsent


_SIGN_BY_CODE = _signs(_CODES)
_SIGN_BY_WORD = _signs(_WORDS) | {
    word: Sign(FailureKind.CREDENTIALS, word, certain=False) for word in _UNCERTAIN_WORDS
}
_SIGN_BY_TYPE = _type_signs()
_KIND_BY_STATUS = {status: kind for kind, statuses in _STATUSES.items() for status in statuses}


def by_code(words: Iterable[str]) -> Sign | None:
    """The first word that decides whatever the status; a per-day quota and a spend limit too."""
    for word in words:
        if "perday" in word.replace("_", ""):
            return Sign(FailureKind.EXHAUSTED, "per-day quota")
        if word.endswith("_spend_limit_reached"):
            return Sign(FailureKind.EXHAUSTED, "spend limit")
        if word in _SIGN_BY_CODE:
            return _SIGN_BY_CODE[word]
    return None


def by_word(words: Iterable[str]) -> Sign | None:
    """The first word that stands for a status."""
    return next((_SIGN_BY_WORD[word] for word in words if word in _SIGN_BY_WORD), None)


def by_phrase(status: int | None, text: str) -> Sign | None:
    """What a lower-case message says, where the status leaves room for it."""
    if status is None:
        return _phrase(_PHRASES, text)
    if status not in _PHRASED:
        return None
    return _phrase(_PHRASES, text) or _phrase(_WEAK_PHRASES, text)


def _phrase(table: dict[FailureKind, tuple[str, ...]], text: str) -> Sign | None:
    for kind, phrases in table.items():
        if kind is FailureKind.CONTEXT_LENGTH and any(phrase in text for phrase in _NOT_CONTEXT):
            continue
        for phrase in phrases:
            if phrase in text:
                return Sign(kind, phrase)
    return None


def by_status(status: int) -> Sign:
    """What a status alone says; an exception raised on an answer below 400 means rubbish in it."""
    other = (
        FailureKind.TRANSPORT
        if status < 400
        else FailureKind.REQUEST
        if status < 500
        else FailureKind.SERVER
    )
    kind = _KIND_BY_STATUS.get(status, other)
    return Sign(kind, f"status {status}", certain=status != 403)


def by_type(cls: type[BaseException]) -> Sign | None:
    """What the nearest known class among its ancestors says; the reason is its own name."""
    for base in cls.__mro__:
        package = str(base.__module__).partition(".")[0]
        sign = _SIGN_BY_TYPE.get(f"{package}.{base.__qualname__}")
        if sign is not None:
            return sign._replace(reason=cls.__name__)
    return None


def by_errno(error: OSError) -> Sign | None:
    """An operating system's error is the provider's only when it is about the network."""
    number = error.errno
    if number is None:
        return Sign(FailureKind.TRANSPORT, "OSError")
    if number not in _NETWORK_ERRNOS:
        return None
    return Sign(FailureKind.TRANSPORT, errno.errorcode[number], unsent=number == errno.ECONNREFUSED)
