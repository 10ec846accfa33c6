"""Answers that pass as they are: a whole body, or the events of a stream beside its chunks.

Chunks remain what the router reads: content, usage, the end. Each carries the events that it was
translated from. An endpoint of the same format passes those on instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from multirouter.providers.calls.names import ToolNames
from multirouter.providers.transport.sse import Event

KEY = "native"
"""The key of a canonical answer or chunk under which the native one is."""

Chunk = dict[str, Any]


class NativeAnswer(NamedTuple):
    """A whole answer as the provider sent it.

    Attributes:
        body: the parsed body.
        request_id: the provider's id of the request; "" without one.
    """

    body: dict[str, Any]
    request_id: str


class NativeEvents(NamedTuple):
    """Events of a stream as the provider sent them.

    Attributes:
        stream: identifies the stream that they are from.
        number: the chunk's position in the stream, from 0.
        events: the events that made the chunk, and earlier ones that made none, in order.
        request_id: the provider's id of the request; "" without one.
    """

    stream: object
    number: int
    events: tuple[Event, ...]
    request_id: str


Attach = Callable[[Event | None, Iterable[Any]], Iterable[Any]]
"""Returns the chunks of an event, with what else is to go with them."""


def attaching(request_id: str, names: ToolNames | None) -> Attach:
    """What attaches the events of a stream to its chunks; nothing does for a translation.

    Args:
        request_id: the provider's id of the request.
        names: the names of tools in a client's own request; None for a translation.
    """
    return _without_events if names is None else EventRecorder(request_id, names).attach


def _without_events(_: Event | None, chunks: Iterable[Any]) -> Iterable[Any]:
    return chunks


class EventRecorder:
    """Attaches the events of one stream to the chunks that are translated from them.

    Args:
        request_id: the provider's id of the request.
        names: the names of the request's tools; events get the client's.
    """

    def __init__(self, request_id: str, names: ToolNames) -> None:
        self._request_id = request_id
        self._names = names
        self._number = 0
        self._pending: list[Event] = []

    def attach(self, event: Event | None, chunks: Iterable[Any]) -> Iterable[Any]:
        """The chunks; the first one has the event, and earlier events that made no chunk.

        Args:
            event: the event; None for chunks that the end of the stream makes.
            chunks: its chunks.
        """
        if event is not None:
            data = self._names.restored_event(event.data) if self._names else event.data
            self._pending.append(event if data is event.data else event._replace(data=data))
        for chunk in chunks:
            events, self._pending = tuple(self._pending), []
            yield {**chunk, KEY: NativeEvents(self, self._number, events, self._request_id)}
            self._number += 1


class NativeStream:
    """Decides which events of a stream a client gets as they are.

    It does so from a stream's first event, as long as none is missing. A stream that continues
    another one is translated: its events begin a message that the client has already begun.
    """

    def __init__(self) -> None:
        self._stream: object = None
        self._number = 0
        self._broken = False

    def passes(self, chunk: Chunk) -> bool:
        """Whether `take` returns the events of a chunk, if it is the next one."""
        native: NativeEvents | None = chunk.get(KEY)
        if native is None or self._broken:
            return False
        known = self._stream is None or self._stream is native.stream
        return known and native.number == self._number

    def take(self, chunk: Chunk) -> tuple[Event, ...] | None:
        """Removes the events from a chunk; None if the chunk itself is to be sent."""
        passes = self.passes(chunk)
        native: NativeEvents | None = chunk.pop(KEY, None)
        if native is None or not passes:
            self._broken = True
            return None
        self._stream = native.stream
        self._number += 1
        return native.events


def request_id_of(chunk: Any) -> str:
    """The provider's id of the request, if the chunk has native events; else ""."""
    native = chunk.get(KEY) if isinstance(chunk, dict) else None
    return native.request_id if isinstance(native, NativeEvents) else ""
