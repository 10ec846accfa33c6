"""Reloads the configuration while requests are under way; an invalid one changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from multirouter.config import Settings
from multirouter.config.file_state import FileState, file_state
from multirouter.errors import MultirouterError
from multirouter.gateway.app import Gateway
from multirouter.gateway.routing.router_calls import Router
from multirouter.gateway.short_wait import ShortWait

POLL_INTERVAL = 1.0
"""Seconds between two checks of watched files."""


class Reloader:
    """Applies the current settings to a gateway and its router.

    Args:
        read: reads the settings.
        router: gets their providers, routes and policies.
        gateway: gets their models, keys and waits.
        files: the files that the settings in force were read from, with their states just before.

    Attributes:
        files: the same, as of the last reload.
    """

    def __init__(
        self,
        read: Callable[[], Settings],
        router: Router,
        gateway: Gateway,
        files: Mapping[Path, FileState | None] = MappingProxyType({}),
    ) -> None:
        self.files: Mapping[Path, FileState | None] = files
        self._read = read
        self._router = router
        self._gateway = gateway

    def reload(self, reason: str) -> str:
        """Reads the settings and applies them.

        Args:
            reason: what caused the reload, for the log.

        Returns:
            What is wrong with the new settings, or "" when they are in force.
        """
        try:
            settings = self._read()
            settings.apply(self._router)
        except (MultirouterError, OSError) as error:
            return self._rejected(reason, str(error))
        except Exception as error:  # noqa: BLE001 - no failure of a reload may end the process
            return self._rejected(reason, repr(error))
        self.files = settings.files
        self._gateway.apply(
            models=settings.models,
            keys=settings.keys,
            short_wait=ShortWait(settings.wait, settings.waits),
        )
        log = self._gateway.log
        log.changed("configuration reloaded", reason=reason, source=settings.source)
        return ""

    def _rejected(self, reason: str, error: str) -> str:
        log = self._gateway.log
        log.change_rejected("configuration reload rejected", reason=reason, error=error)
        return error


async def watch(reloader: Reloader, *, interval: float = POLL_INTERVAL) -> None:
    """Reloads whenever a file of the settings, or of the keys, has changed, until cancelled.

    Args:
        reloader: its `files` are watched.
        interval: seconds between two checks.
    """
    files = reloader.files
    known = dict(files)
    while True:
        await asyncio.sleep(interval)
        if reloader.files is not files:
            files = reloader.files
            known = dict(files)
        states = {path: file_state(path) or known[path] for path in files}
        changed = [path.name for path in files if states[path] != known[path]]
        known = states
        if changed:
            reloader.reload(f"{' and '.join(changed)} changed")
