"""Reads the configuration again while calls are in flight; one that is refused changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from multirouter.config import Settings
from multirouter.errors import MultirouterError
from multirouter.gateway.app import Gateway
from multirouter.gateway.routing.router_calls import Router
from multirouter.gateway.short_wait import Patience

EVERY = 1.0
"""Seconds between two looks at a watched file."""


class Reloader:
    """Brings a gateway and its router to the settings as they are now.

    Args:
        read: reads them.
        router: is brought to them as a whole.
        gateway: takes over its models and keys.
        files: what the settings in force were read from.

    Attributes:
        files: the same, as of the last reload.
    """

    def __init__(
        self,
        read: Callable[[], Settings],
        router: Router,
        gateway: Gateway,
        files: Sequence[Path] = (),
    ) -> None:
        self.files: Sequence[Path] = files
        self._read = read
        self._router = router
        self._gateway = gateway

    def reload(self, why: str) -> str:
        """Reads and takes over.

        Args:
            why: who asked, for the log.

        Returns:
            What is wrong with the new settings, "" when they are in force.
        """
        try:
            settings = self._read()
            settings.apply(self._router)
        except (MultirouterError, OSError) as error:
            return self._refused(why, str(error))
        except Exception as error:  # noqa: BLE001 - a reload ends nothing that runs, whatever it is
            return self._refused(why, repr(error))
        self.files = settings.files
        self._gateway.adopt(
            models=settings.models,
            keys=settings.keys,
            patience=Patience(settings.wait, settings.waits),
        )
        self._gateway.log.changed("reloaded", why=why, source=settings.source)
        return ""

    def _refused(self, why: str, error: str) -> str:
        self._gateway.log.refused("reload refused", why=why, error=error)
        return error


async def watch(reloader: Reloader, *, every: float = EVERY) -> None:
    """Reloads whenever a file of the settings has changed, the keys' too, until cancelled."""
    seen = {path: _mark(path) for path in reloader.files}
    while True:
        await asyncio.sleep(every)
        marks = {path: _mark(path) or seen.get(path) for path in reloader.files}
        changed = [path.name for path in marks if path in seen and marks[path] != seen[path]]
        seen = marks
        if changed:
            reloader.reload(f"{' and '.join(changed)} changed")


def _mark(path: Path) -> tuple[int, int, int] | None:
    """What changes with a file, also when an editor puts a new one in its place."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
