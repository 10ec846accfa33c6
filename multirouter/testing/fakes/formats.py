"""What a format owes the fake server: reading requests, writing answers, events and errors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, Protocol

from multirouter.testing.fakes.answers import Answer, Asked

Stage = Literal["opening", "content", "finish", "end"]


class Told(NamedTuple):
    """One event of a stream.

    Attributes:
        stage: what it is to the stream; faults count and leave out by it.
        data: JSON, or text that is none (`[DONE]`).
        name: its `event:` name, or "".
    """

    stage: Stage
    data: Any
    name: str = ""

    def encoded(self, newline: bytes) -> bytes:
        """The event on the wire."""
        data = self.data if isinstance(self.data, str) else json.dumps(self.data)
        name = [b"event: " + self.name.encode()] if self.name else []
        return newline.join([*name, b"data: " + data.encode(), b"", b""])


class Refusal(Exception):
    """The request itself is wrong, as the real service would find it.

    Attributes:
        status: the HTTP status.
        sign: a name of the format's errors.
        message: what is wrong.
    """

    def __init__(self, status: int, sign: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.sign = sign
        self.message = message


class Failure(NamedTuple):
    """An error as a format tells it.

    Attributes:
        status: the HTTP status.
        body: JSON.
        headers: beside the usual ones.
    """

    status: int
    body: Any
    headers: Mapping[str, str] = {}


class Format(Protocol):
    """One wire format, seen from the server."""

    def read(self, headers: Mapping[str, str], body: Any) -> Asked:
        """The request. Raises Refusal where the real service answers 4xx."""
        ...

    def whole(self, asked: Asked, answer: Answer) -> Any:
        """The whole answer as JSON."""
        ...

    def events(self, asked: Asked, answer: Answer) -> Iterator[Told]:
        """The answer in pieces."""
        ...

    def endless(self, asked: Asked) -> Told:
        """A piece of content that can be repeated."""
        ...

    def failure(self, status: int, sign: str, message: str, retry_after: float = 0.0) -> Failure:
        """An error: by a sign (`rate-limit`, `quota` ...), or by its status alone."""
        ...

    def error_event(self) -> Told:
        """An error in the middle of a stream."""
        ...

    def ping(self) -> bytes:
        """What keeps a silent stream alive."""
        ...


def need(condition: object, message: str, sign: str = "request", status: int = 400) -> None:
    """Refuses a request unless `condition` holds.

    Raises:
        Refusal: with `message`.
    """
    if not condition:
        raise Refusal(status, sign, message)


def need_known(body: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    """Refuses fields the real service does not know.

    Raises:
        Refusal: naming the first.
    """
    for field in body:
        need(field in known, f"{where}{field}: Extra inputs are not permitted")
