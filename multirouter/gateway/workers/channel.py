"""Messages between the supervisor and one worker, over a pair of sockets."""

from __future__ import annotations

import pickle
import socket
from contextlib import suppress
from typing import Any

_HEADER = 4
"""Bytes of the length in front of each message."""

_CHUNK = 256 * 1024


class Channel:
    """One end of a connection on which any data that can be pickled is sent; never blocks.

    Both ends belong to one gateway, the one process forked from the other, so that pickles can be
    trusted. When a process ends, however it ends, the other end is `closed`.

    Attributes:
        closed: whether the other end has gone; what was received before is still returned.
    """

    __slots__ = ("_received", "_socket", "_unsent", "closed")

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._socket = end
        self._received = bytearray()
        self._unsent = bytearray()
        self.closed: bool = False

    @staticmethod
    def pair() -> tuple[Channel, Channel]:
        """Both ends of a new connection."""
        one, other = socket.socketpair()
        return Channel(one), Channel(other)

    def fileno(self) -> int:
        """Readable when there is something to `receive`, writable when there is to `flush`."""
        return self._socket.fileno()

    @property
    def unsent(self) -> bool:
        """Whether something is left to `flush`."""
        return bool(self._unsent)

    def send(self, message: Any) -> None:
        """Sends a message, as far as the socket takes it; `flush` sends the rest."""
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self._unsent += len(data).to_bytes(_HEADER, "big") + data
        self.flush()

    def flush(self) -> None:
        """Sends what is left, as far as the socket takes it."""
        try:
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent.clear()  # the other end has gone: `receive` finds that too

    def receive(self) -> list[Any]:
        """The messages that have arrived, in order."""
        try:
            while data := self._socket.recv(_CHUNK):
                self._received += data
            self.closed = True
        except BlockingIOError:
            pass
        except OSError:
            self.closed = True
        messages = []
        while (end := self._end_of_first()) <= len(self._received):
            messages.append(pickle.loads(self._received[_HEADER:end]))  # noqa: S301 - see the class
            del self._received[:end]
        return messages

    def close(self) -> None:
        """Closes this end."""
        with suppress(OSError):
            self._socket.close()

    def _end_of_first(self) -> int:
        """Bytes of the first message with its header; more than there are if it is incomplete."""
        if len(self._received) < _HEADER:
            return _HEADER
        return _HEADER + int.from_bytes(self._received[:_HEADER], "big")
