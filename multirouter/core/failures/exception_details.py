"""What a foreign exception shows of itself, read by shape, in bounds, without trusting it.

No SDK is imported and nothing is fetched: an attribute may raise, a body may be huge or refer to
itself, a number may be a word. Whatever cannot be read is as good as absent.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from enum import Enum
from itertools import islice
from typing import Any

_TEXT = 4096
_WORD = 100
_BODY = 65536
_HEADERS = 256
_NODES = 200
_FIELDS = 64

_STATUSES = range(100, 600)
_FAILING = range(400, 600)

# Where error bodies keep what we look for. Only envelopes are opened: other fields may quote the
# caller's own request.
_WORD_KEYS = frozenset(
    {"code", "type", "status", "error_code", "reason", "quotaid", "quotametric", "__type"}
)
_TEXT_KEYS = frozenset({"message", "error", "detail", "error_description"})
_DELAY_KEYS = frozenset({"retrydelay", "retry_after"})
_ENVELOPES = frozenset({"error", "errors", "detail", "details", "innererror", "violations"})


class ExceptionDetails:
    """The signs of one exception.

    Attributes:
        status: the HTTP status, 100 to 599, or None.
        words: codes, types and reasons it names, lower case, outermost first.
        text: its messages, lower case, at most a few thousand characters.
        headers: the answer's headers by lower-case name.
        delays: raw delays found in fields and bodies (`retryDelay`, `retry_after`).
        retried: whether something underneath has already retried the request.
    """

    __slots__ = ("_texts", "delays", "headers", "retried", "status", "text", "words")

    def __init__(self, error: BaseException) -> None:
        response = peek(error, "response")
        metadata = response.get("ResponseMetadata") if isinstance(response, Mapping) else None
        self.words: list[str] = []
        self._texts: list[str] = []
        self.delays: list[object] = [peek(error, "retry_after")]
        self.headers: dict[str, str] = _headers(response, metadata, error)
        self.status = _status(error, response, metadata)
        self._note_fields(error)
        self._note_bodies(error, response)
        self.text: str = self._joined(error)
        self.retried: bool = (
            peek(error, "already_retried") is True
            or self.headers.get("x-should-retry") == "false"
            or _sdk_retried(error, metadata)
        )

    @property
    def failing(self) -> int | None:
        """The status when it is that of an error, 400 to 599."""
        return self.status if self.status in _FAILING else None

    def _note_fields(self, error: BaseException) -> None:
        for name in ("type", "status", "error_code", "reason"):
            self._note_word(peek(error, name))
        self._note_word(_code(error))

    def _note_word(self, value: object) -> None:
        """Notes a code; inside a body, and after a 200, a number is as good as a status."""
        word = value.name if isinstance(value, Enum) else value
        if isinstance(word, str):
            bare = word[:_WORD].rpartition("#")[2]  # AWS: com.amazon.coral#ThrottlingException
            self.words.append(bare.strip().lower())
        if self.failing is None:
            self.status = _number(value, _FAILING) or self.status

    def _note_bodies(self, error: BaseException, response: object) -> None:
        told = [peek(error, name) for name in ("body", "details", "response_json")]
        told.append(response)
        if not any(isinstance(body, Mapping | list) for body in told):
            told.append(_content(response))
        for body in told:
            with suppress(Exception):
                self._open(body)
            if isinstance(body, str | bytes | bytearray) and not self._texts:
                self._texts.append(_plain(body[:_TEXT]))

    def _open(self, body: object) -> None:
        """Reads an error body breadth first, so that the outer envelope speaks first."""
        pending = deque([body])
        for _ in range(_NODES):
            if not pending:
                return
            node = pending.popleft()
            if isinstance(node, str | bytes | bytearray):
                pending.extend(_parsed(node))
            elif isinstance(node, list | tuple):
                pending.extend(islice(node, _FIELDS))
            elif isinstance(node, Mapping):
                for key, value in islice(node.items(), _FIELDS):
                    pending.extend(self._note(str(key).lower(), value))

    def _note(self, key: str, value: Any) -> tuple[Any, ...]:
        """Notes one field of a body; returns what is still to be opened."""
        if key in _WORD_KEYS:
            self._note_word(value)
        elif key in _DELAY_KEYS:
            self.delays.append(value)
        elif key in _TEXT_KEYS and isinstance(value, str):
            self._texts.append(value[:_TEXT])
            return (value,)  # front ends of Gemini put the whole inner answer into `message`
        return (value,) if key in _ENVELOPES else ()

    def _joined(self, error: BaseException) -> str:
        texts = self._texts
        if not texts:
            with suppress(Exception):
                texts = [str(error)[:_TEXT]]
        return "\n".join(texts)[:_TEXT].lower()


def peek(thing: object, name: str) -> Any:
    """An attribute, or None when it is missing or raises."""
    try:
        return getattr(thing, name, None)
    except Exception:  # noqa: BLE001 - a foreign property may raise whatever it likes
        return None


def _code(error: BaseException) -> object:
    """`code`; next to a numeric `status` only if it was set: aiohttp's property warns when read."""
    if isinstance(peek(error, "status"), int):
        return vars(error).get("code")
    return peek(error, "code")


def _status(error: BaseException, response: object, metadata: object) -> int | None:
    told = (
        peek(error, "status_code"),
        peek(error, "status"),
        _code(error),
        peek(response, "status_code"),
        peek(response, "status"),
        metadata.get("HTTPStatusCode") if isinstance(metadata, Mapping) else None,
    )
    numbers = (_number(value, _STATUSES) for value in told)
    return next((number for number in numbers if number is not None), None)


def _number(value: object, allowed: range) -> int | None:
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return int(value) if value in allowed else None


def _headers(response: object, metadata: object, error: BaseException) -> dict[str, str]:
    """The headers by lower-case name, from an answer, botocore's metadata, or the error itself."""
    told = [peek(response, "headers"), peek(error, "headers")]
    if isinstance(metadata, Mapping):
        told.append(metadata.get("HTTPHeaders"))
    found: dict[str, str] = {}
    for headers in told:
        with suppress(Exception):
            for name, value in islice(_pairs(headers), _HEADERS):
                found.setdefault(_plain(name).lower(), _plain(value))
    return found


def _pairs(headers: Any) -> Iterable[tuple[object, object]]:
    if headers is None:
        return ()
    items = peek(headers, "items")
    pairs: Iterable[tuple[object, object]] = headers if items is None else items()
    return pairs


def _plain(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes | bytearray) else str(value)


def _content(response: object) -> object:
    """A body that was already read.

    Looked up where httpx and requests (`_content`) and aiohttp (`_body`) store it, since the
    public properties would decode all of it, or block to read it from the network first.
    """
    for name in ("_content", "_body"):
        content = peek(response, name)
        if isinstance(content, bytes | bytearray | str):
            return content
    return None


def _parsed(text: str | bytes | bytearray) -> tuple[Any, ...]:
    """The JSON in a text, if it is short enough to be an error body and looks like JSON."""
    if len(text) > _BODY or text[:64].strip()[:1] not in ("{", "[", b"{", b"["):
        return ()
    try:
        return (json.loads(text),)
    except (ValueError, RecursionError):
        return ()


def _sdk_retried(error: BaseException, metadata: object) -> bool:
    """Whether the SDK says that this was not its first try.

    Source: `x-stainless-retry-count`, which the openai and anthropic SDKs send with each request;
    `RetryAttempts` in botocore's response metadata.
    """
    with suppress(Exception):
        if isinstance(metadata, Mapping):
            return int(metadata.get("RetryAttempts", 0)) > 0
        sent = peek(peek(error, "request"), "headers")
        if isinstance(sent, Mapping):
            return int(sent.get("x-stainless-retry-count", "0")) > 0
    return False
