"""Exceptions by their types: signatures of those without an HTTP answer, and which have fields."""

from __future__ import annotations

import errno
from types import TracebackType, WrapperDescriptorType
from weakref import WeakKeyDictionary

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
    "httpx.InvalidURL",
    "httpx2.InvalidURL",
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
    FailureKind.REQUEST: ("openai.LengthFinishReasonError",),
}
# Raised before anything is sent: the request cannot be encoded, or has an invalid field.
_UNENCODABLE = (
    "builtins.UnicodeEncodeError",
    "orjson.JSONEncodeError",
    "pydantic_core.PydanticSerializationError",
    "botocore.ParamValidationError",
)
_UNENCODABLE_TEXTS = (
    "not json serializable",
    "not json compliant",
    "surrogates not allowed",
    "circular reference detected",
    "while encoding a json object",
)
"""Parts of the messages of JSON encoders: json, orjson, ujson, simplejson."""

_SENDING_MODULES = (
    "json.encoder",
    "urllib.parse",
    "http.client",
    "httpx._content",
    "httpx._models",
    "httpx._multipart",
    "httpx._urlparse",
    "httpx._urls",
    "h11._headers",
    "aiohttp.client_reqrep",
    "aiohttp.formdata",
    "aiohttp.http_writer",
    "aiohttp.payload",
    "yarl",
    "multidict",
    "requests.models",
    "requests.utils",
    "openai._base_client",
    "openai._qs",
    "openai._utils",
    "openai.resources",
    "anthropic._base_client",
    "anthropic._qs",
    "anthropic._utils",
    "anthropic.resources",
    "google.genai._transformers",
    "google.genai.models",
    "botocore.validate",
    "grpc._common",
)
"""Modules of client libraries that make requests. A TypeError or ValueError that one of them raises
is about the request: their errors about answers have types of their own."""

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
    unsent |= {name: Signature(FailureKind.REQUEST, name, unsent=True) for name in _UNENCODABLE}
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


def by_grpc_code(code: str, text: str) -> Signature | None:
    """The signature of a gRPC code that no HTTP status stands for, or None.

    Args:
        code: its name, lower case.
        text: the message, lower case.
    """
    if code == "unavailable":
        unsent = "failed to connect" in text or "dns resolution failed" in text
        return Signature(FailureKind.TRANSPORT, code, unsent=unsent)
    if code == "deadline_exceeded":
        return Signature(FailureKind.TIMEOUT, code)
    return None


def by_encoder(error: BaseException, text: str) -> Signature | None:
    """The signature of a request that a client library could not encode, or None.

    Args:
        error: the exception.
        text: its message, lower case.
    """
    if not isinstance(error, TypeError | ValueError | RecursionError):
        return None
    if any(part in text for part in _UNENCODABLE_TEXTS) or _raised_while_sending(error):
        return Signature(FailureKind.REQUEST, type(error).__name__, unsent=True)
    return None


def _raised_while_sending(error: BaseException) -> bool:
    """Whether a module that makes requests raised the exception."""
    trace: TracebackType | None = error.__traceback__
    module = ""
    while trace is not None:
        module, trace = str(trace.tb_frame.f_globals.get("__name__", "")), trace.tb_next
    return any(module == name or module.startswith(f"{name}.") for name in _SENDING_MODULES)


FIELDS = (
    "already_retried",
    "body",
    "code",
    "details",
    "error_code",
    "headers",
    "param",
    "reason",
    "request",
    "response",
    "response_json",
    "retry_after",
    "status",
    "status_code",
    "type",
)
"""The attributes that `ExceptionDetails` reads."""

_plain: WeakKeyDictionary[type, bool] = WeakKeyDictionary()
"""Of each class of exceptions, whether its instances have fields only in their own dict."""


def is_plain(error: BaseException) -> bool:
    """Whether an exception has none of `FIELDS`, so that reading each of them can be left out."""
    if getattr(error, "__dict__", None):
        return False
    cls = type(error)
    plain = _plain.get(cls)
    if plain is None:
        plain = _plain[cls] = _is_plain(cls)
    return plain


def _is_plain(cls: type) -> bool:
    """Whether a class defines none of `FIELDS`, and no function that finds attributes."""
    try:
        return (
            type(cls.__getattribute__) is WrapperDescriptorType
            and not hasattr(cls, "__getattr__")
            and not any(hasattr(cls, name) for name in FIELDS)
        )
    except Exception:  # noqa: BLE001 - a foreign metaclass may raise anything
        return False
