"""Signals of a serving process: handlers only record them, and its loop acts on them."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from typing import Any


class Signals:
    """Records signals, and makes a file descriptor readable for the loop that waits for them.

    A handler interrupts the program anywhere, also in the middle of another handler, so it does
    nothing else. Signals that arrive before the loop runs are kept.

    Args:
        numbers: signals that are recorded from now on; see `record`.
    """

    def __init__(self, numbers: Iterable[int] = ()) -> None:
        self._received: list[int] = []
        self._before: dict[int, Any] = {}
        self._readable, self._wake = socket.socketpair()
        self._readable.setblocking(False)
        self._wake.setblocking(False)
        self._had_terminal = _has_terminal()
        self.record(numbers)

    def record(self, numbers: Iterable[int]) -> None:
        """Records these signals too from now on."""
        for number in numbers:
            self._before[number] = signal.signal(number, self._handle)

    def fileno(self) -> int:
        """Readable when there are signals to take."""
        return self._readable.fileno()

    def take(self) -> list[int]:
        """The signals since the last call, in order, each at most once.

        SIGHUP means "reload", except when it was sent because the terminal has been closed: then it
        is reported as SIGINT. Under `nohup` it always means "reload".
        """
        with suppress(BlockingIOError):
            while self._readable.recv(4096):
                pass
        received, self._received = self._received, []
        if signal.SIGHUP in received and self._terminal_closed():
            received = [signal.SIGINT if n == signal.SIGHUP else n for n in received]
        return list(dict.fromkeys(received))

    def close(self) -> None:
        """Restores the handlers of before, where they still are its own."""
        for number, before in self._before.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, before)
        self._readable.close()
        self._wake.close()

    def _handle(self, number: int, _frame: object) -> None:
        self._received.append(number)
        with suppress(OSError):  # full: it is readable already
            self._wake.send(b"\0")

    def _terminal_closed(self) -> bool:
        ignored = self._before.get(signal.SIGHUP) == signal.SIG_IGN
        return self._had_terminal and not ignored and not _has_terminal()


def _has_terminal() -> bool:
    """Whether the process has a controlling terminal, which a closed one no longer is."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


@contextmanager
def blocked(numbers: Iterable[int]) -> Generator[None]:
    """Blocks signals: they arrive at the end, or in a process that is forked meanwhile."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
