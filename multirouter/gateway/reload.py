"""Reloads the configuration while requests are under way; an invalid one changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from multirouter.config import Settings
from multirouter.config.file_state import FileState, file_state
from multirouter.errors import MultirouterError
from multirouter.gateway.access_log import AccessLog
from multirouter.gateway.app import Gateway
from multirouter.gateway.short_wait import ShortWait

POLL_INTERVAL = 1.0
"""Seconds between two checks of watched files."""

Files = Mapping[Path, FileState | None]
"""The files of settings, with their states just before they were read."""


@dataclass(frozen=True, slots=True)
class ApplySettings:
    """Operation that applies settings to the gateway of one process.

    Attributes:
        settings: the settings.
    """

    settings: Settings

    def __call__(self, gateway: Gateway) -> None:
        """Applies them.

        Raises:
            ConfigurationError: they cannot be applied; nothing has changed.
        """
        settings = self.settings
        settings.apply(gateway.router)
        gateway.apply(
            models=settings.models,
            keys=settings.keys,
            short_wait=ShortWait(settings.wait, settings.waits),
        )


class Reloader:
    """Applies the current settings to the gateway of one process.

    Args:
        read: reads the settings; called in a thread.
        gateway: they are applied to it and its router.
        files: the files that the settings in force were read from.

    Attributes:
        files: the same, as of the last reload.
    """

    def __init__(
        self, read: Callable[[], Settings], gateway: Gateway, files: Files = MappingProxyType({})
    ) -> None:
        self.files: Files = files
        self._read = read
        self._gateway = gateway
        self._one_at_a_time = asyncio.Lock()

    async def reload(self, reason: str) -> str:
        """Reads the settings in a thread, so that no request waits, and applies them.

        Reloads that are requested meanwhile follow one after the other.

        Args:
            reason: what caused the reload, for the log.

        Returns:
            What is wrong with the new settings, or "" when they are in force.
        """
        async with self._one_at_a_time:
            try:
                settings = await asyncio.to_thread(self._read)
                ApplySettings(settings)(self._gateway)
            except Exception as error:  # noqa: BLE001 - no failure of a reload may end the process
                return reload_rejected(self._gateway.log, reason, error)
            self.files = settings.files
            reload_applied(self._gateway.log, reason, settings)
            return ""


def reload_applied(log: AccessLog, reason: str, settings: Settings) -> None:
    """Logs a reload that every process has applied."""
    log.changed("configuration reloaded", reason=reason, source=settings.source)


def reload_rejected(log: AccessLog, reason: str, error: BaseException) -> str:
    """Logs a reload that was rejected; returns what is wrong."""
    text = str(error) if isinstance(error, MultirouterError | OSError) else repr(error)
    log.change_rejected("configuration reload rejected", reason=reason, error=text)
    return text


class FileWatch:
    """Notices changes of the files of settings.

    Args:
        files: the files of the settings in force; changes since they were read count.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._known = dict(files)

    def changes(self, files: Files) -> str:
        """What has changed since the last call, as the reason of a reload, or "".

        Args:
            files: the files of the settings in force; after a reload, those of the new ones.
        """
        if files is not self._files:
            self._files = files
            self._known = dict(files)
        # A file that is missing may be in the middle of its replacement.
        states = {path: file_state(path) or self._known[path] for path in files}
        changed = [path.name for path in files if states[path] != self._known[path]]
        self._known = states
        return f"{' and '.join(changed)} changed" if changed else ""


async def watch(reloader: Reloader, *, interval: float = POLL_INTERVAL) -> None:
    """Reloads whenever a file of the settings, or of the keys, has changed, until cancelled.

    Args:
        reloader: its `files` are watched.
        interval: seconds between two checks.
    """
    files = FileWatch(reloader.files)
    while True:
        await asyncio.sleep(interval)
        reason = files.changes(reloader.files)
        if reason:
            await reloader.reload(reason)
