"""Log events of the shared state: one when it is connected, one when it is lost."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from typing_extensions import override

from multirouter.core.events import SharingChanged
from multirouter.core.listener import Listener


class SharingLog(Listener):
    """Logs changes of the connection."""

    @override
    def sharing_changed(self, event: SharingChanged) -> None:
        fields = {"to": event.to, "processes": event.processes}
        if event.connected:
            self._log("info", "shared state connected", **fields)
        else:
            self._log("warning", "shared state lost", **fields, why=event.why)

    @abstractmethod
    def _log(self, level: str, event: str, /, **fields: Any) -> None:
        """Logs an event."""
