"""Metrics of the state that one router shares with other processes."""

from __future__ import annotations

from multirouter.listeners.metrics.families import Families


class SharingMetrics:
    """Counts messages, and shows the connection.

    Args:
        router: value of the `router` label.
        families: the metric families.
    """

    def __init__(self, router: str, families: Families) -> None:
        self._connected = families.sharing_connected.labels(router)
        self._processes = families.sharing_processes.labels(router)
        self._lag = families.sharing_lag.labels(router)
        self._sent = families.sharing_messages.labels(router, "sent")
        self._received = families.sharing_messages.labels(router, "received")
        self._dropped = families.sharing_dropped.labels(router)
        self.connection(connected=False, processes=0)

    def connection(self, *, connected: bool, processes: int) -> None:
        """Shows whether there is a connection, and the number of connected processes."""
        self._connected.set(connected)
        self._processes.set(processes)

    def sent(self) -> None:
        """Counts a message that was sent."""
        self._sent.inc()

    def received(self, lag: float) -> None:
        """Counts a message that was received, and times it.

        Args:
            lag: seconds that it was under way.
        """
        self._received.inc()
        self._lag.observe(lag)

    def dropped(self, messages: int) -> None:
        """Counts messages that were lost or could not be read."""
        self._dropped.inc(messages)
