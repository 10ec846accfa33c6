"""Signatures of exceptions without an HTTP answer: tables of exception types and error numbers."""

from __future__ import annotations

import errno

from multirouter.core.failures.signatures import Signature, signatures_of
from multirouter.model import FailureKind

# By top-level package and class name.
_UNSENT = (
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
_WRAPPERS: dict[FailureKind, tuple[str, ...]] = {
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


def _by_type() -> dict[str, Signature]:
    wrappers = {
        name: signature._replace(wrapper=True)
        for name, signature in signatures_of(_WRAPPERS).items()
    }
    unsent = {name: Signature(FailureKind.TRANSPORT, name, unsent=True) for name in _UNSENT}
    return signatures_of(_TYPES) | wrappers | unsent


_BY_TYPE = _by_type()


def by_type(cls: type[BaseException]) -> Signature | None:
    """The signature of the nearest known class among `cls` and its bases, or None.

    Its reason is the name of `cls`.
    """
    for base in cls.__mro__:
        package = str(base.__module__).partition(".")[0]
        signature = _BY_TYPE.get(f"{package}.{base.__qualname__}")
        if signature is not None:
            return signature._replace(reason=cls.__name__)
    return None


def by_errno(error: OSError) -> Signature | None:
    """The signature of an operating system error, or None when it is not about the network."""
    number = error.errno
    if number is None:
        return Signature(FailureKind.TRANSPORT, "OSError")
    if number not in _NETWORK_ERRNOS:
        return None
    unsent = number == errno.ECONNREFUSED
    return Signature(FailureKind.TRANSPORT, errno.errorcode[number], unsent=unsent)
