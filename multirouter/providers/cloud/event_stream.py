"""Events of Bedrock's streams, which AWS frames in binary messages."""

from __future__ import annotations

import base64
import json
from typing import Any

from multirouter.providers.transport.sse import MAX_EVENT, Event, EventTooLong


class BedrockEvents:
    """Turns the bytes of `InvokeModelWithResponseStream` into events, like `SSEParser`.

    Each message has one event of the model's own format, in base64. A message that is an exception
    becomes an error event.
    """

    def __init__(self) -> None:
        from botocore.eventstream import EventStreamBuffer  # type: ignore[import-untyped] # it has no types

        self._buffer: Any = EventStreamBuffer()
        self._size = 0

    def feed(self, chunk: bytes) -> list[Event]:
        """Returns the events that `chunk` completes, in order.

        Raises:
            EventTooLong: the stream is invalid, or an event is too long.
        """
        self._buffer.add_data(chunk)
        self._size += len(chunk)
        try:
            events = [_event(message.to_response_dict()) for message in self._buffer]
        except Exception as error:
            raise EventTooLong(f"invalid event stream: {type(error).__name__}") from error
        if events:
            self._size = 0
        elif self._size > MAX_EVENT:
            raise EventTooLong(f"a stream event exceeds {MAX_EVENT} bytes")
        return events

    def finish(self) -> list[Event]:
        """Returns nothing: a message that was cut off is no event."""
        return []


def _event(message: dict[str, Any]) -> Event:
    headers, body = message["headers"], json.loads(message["body"] or b"{}")
    failed = headers.get(":exception-type") or headers.get(":error-code")
    if failed:
        text = body.get("message") or headers.get(":error-message") or ""
        error = {"type": "error", "error": {"type": str(failed), "message": text}}
        return Event("error", json.dumps(error).encode())
    data = base64.b64decode(body["bytes"]) if "bytes" in body else b""
    return Event("", data)
