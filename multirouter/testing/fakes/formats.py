"""Interface of the fake server's wire formats: read requests, write answers, events, errors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, Protocol

from multirouter.testing.fakes.answers import Answer, ParsedRequest

Stage = Literal["opening", "content", "finish", "end"]


class StreamEvent(NamedTuple):
    """One event of a stream.

    Attributes:
        stage: the part of the stream; faults count or drop events by stage.
        data: a JSON value, or text that is not JSON (`[DONE]`).
        name: the `event:` name, or "".
    """

    stage: Stage
    data: Any
    name: str = ""

    def encoded(self, newline: bytes) -> bytes:
        """The event as bytes of a server-sent event stream."""
        data = self.data if isinstance(self.data, str) else json.dumps(self.data)
        name = [b"event: " + self.name.encode()] if self.name else []
        return newline.join([*name, b"data: " + data.encode(), b"", b""])


class RequestRejected(Exception):
    """The request is invalid for the real service.

    Attributes:
        status: the HTTP status.
        error_name: a name of the format's errors (`request`, `bad-key` ...).
        message: what is wrong.
    """

    def __init__(self, status: int, error_name: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_name = error_name
        self.message = message


class ErrorResponse(NamedTuple):
    """An error response of a format.

    Attributes:
        status: the HTTP status.
        body: a JSON value.
        headers: additional headers.
    """

    status: int
    body: Any
    headers: Mapping[str, str] = {}


class Format(Protocol):
    """One wire format, server side."""

    def read(self, headers: Mapping[str, str], body: Any) -> ParsedRequest:
        """Parses a request; raises RequestRejected where the real service answers 4xx."""
        ...

    def full_response(self, parsed: ParsedRequest, answer: Answer) -> Any:
        """The complete answer as JSON."""
        ...

    def events(self, parsed: ParsedRequest, answer: Answer) -> Iterator[StreamEvent]:
        """The answer as events of a stream."""
        ...

    def filler_event(self, parsed: ParsedRequest) -> StreamEvent:
        """A content event that can be repeated without end."""
        ...

    def error_response(
        self, status: int, error_name: str, message: str, retry_after: float = 0.0
    ) -> ErrorResponse:
        """An error by name (`rate-limit`, `quota` ...), or by status if the name is unknown."""
        ...

    def error_event(self) -> StreamEvent:
        """An error event in the middle of a stream."""
        ...

    def ping(self) -> bytes:
        """A keep-alive comment or event."""
        ...


def require(
    condition: object, message: str, error_name: str = "request", status: int = 400
) -> None:
    """Rejects a request unless `condition` is true.

    Raises:
        RequestRejected: with `message`.
    """
    if not condition:
        raise RequestRejected(status, error_name, message)


def require_known(body: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    """Rejects fields that the real service does not know.

    Raises:
        RequestRejected: naming the first unknown field.
    """
    for field in body:
        require(field in known, f"{where}{field}: Extra inputs are not permitted")
