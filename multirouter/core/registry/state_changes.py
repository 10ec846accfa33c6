"""Changes of the state that outlives a configuration: all of a new configuration, or none."""

from __future__ import annotations

from collections.abc import Callable, Generator, MutableMapping
from contextlib import contextmanager
from typing import Any


class StateChanges:
    """Makes changes at once, or within `together` when its block has ended without an error.

    So a configuration can be resolved with the state that is in force: if it turns out to be
    invalid, nothing has changed.
    """

    __slots__ = ("_added", "_pending")

    def __init__(self) -> None:
        self._pending: list[tuple[Callable[..., object], tuple[Any, ...]]] | None = None
        self._added: list[tuple[MutableMapping[Any, Any], Any]] = []

    @contextmanager
    def together(self) -> Generator[None]:
        """Makes the changes of the block at its end; when the block raises, there are none."""
        pending: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        self._pending = pending
        try:
            yield
        except BaseException:
            for store, key in self._added:
                del store[key]
            raise
        else:
            for change, arguments in pending:
                change(*arguments)
        finally:
            self._pending = None
            self._added = []

    def make(self, change: Callable[..., object], *arguments: Any) -> None:
        """Calls `change` with the arguments, now or at the end of the block."""
        if self._pending is None:
            change(*arguments)
        else:
            self._pending.append((change, arguments))

    def add(self, store: MutableMapping[Any, Any], key: Any, value: Any) -> None:
        """Adds a new entry to `store` now; it is removed when the block raises."""
        store[key] = value
        if self._pending is not None:
            self._added.append((store, key))
