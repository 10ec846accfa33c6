"""One worker process, as its supervisor sees it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess

from multirouter.gateway.auth.key_protocol import Key
from multirouter.gateway.workers.channel import Channel


class WorkerHandle:
    """One worker process.

    Args:
        process: the process, started just now.
        channel: leads to it.
        drain: seconds that requests get when it stops.

    Attributes:
        channel: see Args.
        drain: see Args.
        started: when it was started, seconds of the monotonic clock.
        pid: its process id.
    """

    def __init__(self, process: BaseProcess, channel: Channel, drain: float) -> None:
        self._process = process
        self._keys: dict[str, list[Key]] = {}
        self.channel: Channel = channel
        self.drain: float = drain
        self.started: float = time.monotonic()
        self.pid: int = process.pid or 0

    @property
    def sentinel(self) -> int:
        """A file descriptor that is readable once the process has ended."""
        return self._process.sentinel

    @property
    def exit_status(self) -> int:
        """The exit status of a process that has ended; negative: the signal that ended it."""
        return self._process.exitcode or 0

    def kill(self) -> None:
        """Kills the process, if it still runs."""
        self._process.kill()

    def close(self) -> None:
        """Frees what belongs to a process that has ended."""
        self._process.join()
        self.channel.close()

    def key_acquired(self, key: Key) -> None:
        """Records that a request of a key is under way there."""
        self._keys.setdefault(key.name, []).append(key)

    def key_released(self, key: Key) -> None:
        """Records that one has ended."""
        self._keys[key.name].pop()

    def keys_under_way(self) -> Iterator[Key]:
        """The keys of the requests under way there, once for each request."""
        for keys in self._keys.values():
            yield from keys
