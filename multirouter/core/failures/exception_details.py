"""Details of a foreign exception, read by attribute names, within bounds, without trusting it.

No SDK is imported and nothing is fetched. An attribute may raise, a body may be huge or refer to
itself, a number may be a string. Whatever cannot be read counts as absent.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from itertools import islice
from typing import Any

from multirouter.core.error_text import class_and_message
from multirouter.core.failures.exception_types import is_plain
from multirouter.core.failures.headers import plain_headers, plain_text

_MAX_TEXT = 4096
_MAX_WORD = 100
_MAX_BODY = 65536
_MAX_NODES = 200
_MAX_FIELDS = 64

_STATUSES = range(100, 600)
_GRPC_STATUSES = {
    "invalid_argument": 400,
    "failed_precondition": 400,
    "out_of_range": 400,
    "unauthenticated": 401,
    "permission_denied": 403,
    "not_found": 404,
    "already_exists": 409,
    "aborted": 409,
    "resource_exhausted": 429,
    "cancelled": 499,
    "unknown": 500,
    "internal": 500,
    "data_loss": 500,
    "unimplemented": 501,
}
"""HTTP statuses of gRPC codes. Source: google/rpc/code.proto. Two codes have a signature of their
own: `unavailable` may have been sent, `deadline_exceeded` is the client's own limit."""

_FAILING = range(400, 600)

_STRUCTURES = (Mapping, list)
_TEXTS = (str, bytes, bytearray)

# The fields of error bodies that are read. Only envelopes are opened: other fields may quote the
# caller's own request.
_WORD_KEYS = frozenset(
    {
        "code",
        "type",
        "status",
        "error_code",
        "error_type",
        "reason",
        "quotaid",
        "quotametric",
        "__type",
    }
)
_TEXT_KEYS = frozenset({"message", "error", "detail", "error_description", "raw"})
_FIELD_KEYS = frozenset({"param", "loc", "field"})
"""Fields of error bodies that name the invalid field of the request."""

_DELAY_KEYS = frozenset({"retrydelay", "retry_after"})
_ENVELOPES = frozenset({"error", "errors", "detail", "details", "fieldviolations"}) | {
    "innererror",
    "metadata",
    "violations",
}


class ExceptionDetails:
    """Details of one exception: status, codes, messages, headers and delays.

    Attributes:
        status: the HTTP status, 100 to 599, or None.
        words: its codes, types and reasons, lower case, outermost first.
        text: its messages, lower case, at most 4,096 characters.
        headers: the answer's headers by lower-case name.
        delays: raw delays found in fields and bodies (`retryDelay`, `retry_after`).
        retried: whether a client library has already retried the request.
        grpc_code: the name of a gRPC status code, lower case; "" for any other exception.
        names_field: whether the error names the field of the request that is invalid.
    """

    __slots__ = (
        "_texts",
        "delays",
        "grpc_code",
        "headers",
        "names_field",
        "retried",
        "status",
        "text",
        "words",
    )

    def __init__(self, error: BaseException) -> None:
        self.words: list[str] = []
        self._texts: list[str] = []
        self.delays: list[object] = []
        self.headers: dict[str, str] = {}
        self.status: int | None = None
        self.grpc_code: str = ""
        self.names_field: bool = False
        self.retried: bool = False
        if not is_plain(error):
            self._read(error)
        self.text: str = self._joined_text(error)

    def _read(self, error: BaseException) -> None:
        response = peek(error, "response")
        metadata = response.get("ResponseMetadata") if isinstance(response, Mapping) else None
        self.delays.append(peek(error, "retry_after"))
        self.headers = _headers(response, metadata, error)
        self.status = _status(error, response, metadata)
        self.names_field = _is_field(peek(error, "param"))
        if _is_grpc(error):
            self._read_grpc(error)
        self._read_fields(error)
        self._read_bodies(error, response)
        self.retried = (
            peek(error, "already_retried") is True
            or self.headers.get("x-should-retry") == "false"
            or _sdk_retried(error, metadata)
        )

    @property
    def failing(self) -> int | None:
        """The status if it is 400 to 599, else None."""
        # None would be compared with every number of the range.
        return self.status if self.status is not None and self.status in _FAILING else None

    def _read_grpc(self, error: BaseException) -> None:
        """Reads a gRPC error, whose code, message and trailing metadata are methods."""
        code = getattr(_called(error, "code"), "name", "")
        self.grpc_code = code.lower() if isinstance(code, str) else ""
        self.status = _GRPC_STATUSES.get(self.grpc_code)
        text = _called(error, "details")
        if isinstance(text, str):
            self._texts.append(text[:_MAX_TEXT])
        self.headers = plain_headers(_called(error, "trailing_metadata"))

    def _read_fields(self, error: BaseException) -> None:
        for name in ("type", "status", "error_code", "reason"):
            self._add_word(peek(error, name))
        self._add_word(_code(error))

    def _add_word(self, value: object) -> None:
        """Adds a code; a number from 400 to 599 becomes the status, if there is no failing one."""
        if value is None:
            return
        word = value.name if isinstance(value, Enum) else value
        if isinstance(word, str):
            bare = word[:_MAX_WORD].rpartition("#")[2]  # AWS: com.amazon.coral#ThrottlingException
            self.words.append(bare.strip().lower())
        if self.failing is None:
            self.status = _number(value, _FAILING) or self.status

    def _read_bodies(self, error: BaseException, response: object) -> None:
        bodies = [peek(error, name) for name in ("body", "details", "response_json")]
        bodies.append(response)
        if response is not None and not any(isinstance(body, _STRUCTURES) for body in bodies):
            bodies.append(_content(response))
        for body in (body for body in bodies if body is not None):
            with suppress(Exception):
                self._read_body(body)
            if isinstance(body, _TEXTS) and not self._texts:
                self._texts.append(plain_text(body[:_MAX_TEXT]))

    def _read_body(self, body: object) -> None:
        """Reads an error body breadth first, so that the outer envelope comes first."""
        pending = deque([body])
        for _ in range(_MAX_NODES):
            if not pending:
                return
            node = pending.popleft()
            if isinstance(node, _TEXTS):
                pending.extend(_parsed(node))
            elif isinstance(node, list | tuple):
                pending.extend(islice(node, _MAX_FIELDS))
            elif isinstance(node, Mapping):
                for key, value in islice(node.items(), _MAX_FIELDS):
                    pending.extend(self._read_field(str(key).lower(), value))

    def _read_field(self, key: str, value: Any) -> tuple[Any, ...]:
        """Reads one field of a body; returns the values that are still to be read."""
        if key in _WORD_KEYS:
            self._add_word(value)
        elif key in _DELAY_KEYS:
            self.delays.append(value)
        elif key in _FIELD_KEYS:
            self.names_field = self.names_field or _is_field(value)
        elif key in _TEXT_KEYS and isinstance(value, str):
            self._texts.append(value[:_MAX_TEXT])
            return (value,)  # front ends of Gemini put the whole inner body into `message`
        return (value,) if key in _ENVELOPES else ()

    def _joined_text(self, error: BaseException) -> str:
        texts = self._texts
        if not texts:
            with suppress(Exception):
                texts = [str(error)[:_MAX_TEXT]]
        return "\n".join(texts)[:_MAX_TEXT].lower()


def location_of(error: BaseException) -> str:
    """File, line and function that raised an exception, without any values; "" if unknown."""
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    name = code.co_filename.replace("\\", "/").rpartition("/")[2]
    return f"{name}:{trace.tb_lineno} in {code.co_name}"


def description_of(error: BaseException) -> str:
    """Class, message and place of an exception in one line."""
    what, location = class_and_message(error), location_of(error)
    return f"{what} ({location})" if location else what


def peek(thing: object, name: str) -> Any:
    """Returns an attribute, or None when it is missing or raises."""
    try:
        return getattr(thing, name, None)
    except Exception:  # noqa: BLE001 - a foreign property may raise anything
        return None


def _is_field(value: object) -> bool:
    """Whether a value names a field: a name, or a path of names and positions."""
    return isinstance(value, str | list | tuple) and bool(value)


def _is_grpc(error: BaseException) -> bool:
    return any(
        base.__name__ == "RpcError" and base.__module__.partition(".")[0] == "grpc"
        for base in type(error).__mro__
    )


def _called(thing: object, name: str) -> Any:
    """What a method without arguments returns, or None when it is missing or raises."""
    try:
        return getattr(thing, name)()
    except Exception:  # noqa: BLE001 - as in peek
        return None


def _code(error: BaseException) -> object:
    """`code`; beside a numeric `status` only if it is set: aiohttp's property warns when read."""
    if isinstance(peek(error, "status"), int):
        return vars(error).get("code")
    return peek(error, "code")


def _status(error: BaseException, response: object, metadata: object) -> int | None:
    candidates = [peek(error, "status_code"), peek(error, "status"), _code(error)]
    if response is not None:
        candidates += (peek(response, "status_code"), peek(response, "status"))
        if isinstance(metadata, Mapping):
            candidates.append(metadata.get("HTTPStatusCode"))
    numbers = (_number(value, _STATUSES) for value in candidates if value is not None)
    return next((number for number in numbers if number is not None), None)


def _number(value: object, allowed: range) -> int | None:
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return int(value) if value in allowed else None


def _headers(response: object, metadata: object, error: BaseException) -> dict[str, str]:
    """The headers by lower-case name, of the response, botocore's metadata and the error itself."""
    sources = [peek(response, "headers"), peek(error, "headers")]
    if isinstance(metadata, Mapping):
        sources.append(metadata.get("HTTPHeaders"))
    return plain_headers(*sources)


def _content(response: object) -> object:
    """The response's body if it was already read, else None.

    Taken from the attributes in which httpx and requests (`_content`) and aiohttp (`_body`) store
    it: the public properties would decode all of it, or read it from the network first.
    """
    for name in ("_content", "_body"):
        content = peek(response, name)
        if isinstance(content, bytes | bytearray | str):
            return content
    return None


def _parsed(text: str | bytes | bytearray) -> tuple[Any, ...]:
    """The JSON in a text of at most `_MAX_BODY` that looks like JSON, as a tuple of one or none."""
    if len(text) > _MAX_BODY or text[:64].strip()[:1] not in ("{", "[", b"{", b"["):
        return ()
    try:
        return (json.loads(text),)
    except (ValueError, RecursionError):
        return ()


def _sdk_retried(error: BaseException, metadata: object) -> bool:
    """Whether the SDK reports that this was not its first attempt.

    Source: `x-stainless-retry-count`, which the openai and anthropic SDKs send with each request;
    `RetryAttempts` in botocore's response metadata.
    """
    with suppress(Exception):
        if metadata is not None and isinstance(metadata, Mapping):
            return int(metadata.get("RetryAttempts", 0)) > 0
        sent = peek(peek(error, "request"), "headers")
        if sent is not None and isinstance(sent, Mapping):
            return int(sent.get("x-stainless-retry-count", "0")) > 0
    return False
