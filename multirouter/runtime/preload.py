"""Loads what calls may need before there are calls.

`import multirouter` is quick, since it loads only what every program needs. The rest is loaded with
the first router. If it were loaded when it is first used, the first failure would block the event
loop for a tenth of a second, at the begin of an incident and while other calls are in flight.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib import import_module

MODULES = (
    "difflib",  # errors that suggest a name
    "multirouter.core.introspection",
    "multirouter.runtime.hedge_race",
    "multirouter.runtime.streams.session",
    "multirouter.runtime.streams.stream",
)
"""Modules that some calls need."""

MODULES_OF: dict[str, tuple[str, ...]] = {
    # aiohttp resolves names in a thread of the loop's executor.
    "multirouter.providers.transport.http": ("aiohttp", "concurrent.futures.thread"),
    "multirouter.listeners.alarms.webhook": ("aiohttp", "concurrent.futures.thread"),
    "asyncio": ("multirouter.runtime.event_loops.asyncio_loop",),
    "trio": ("multirouter.runtime.event_loops.trio_loop",),
}
"""Modules that calls need in a program that has loaded another module."""

ANYIO_BACKENDS: dict[str, str] = {
    "asyncio": "anyio._backends._asyncio",
    "trio": "anyio._backends._trio",
}
"""Modules that anyio loads at the first use in a loop of a library. Their names are its own affair:
when there is none of that name, the first call loads what there is instead."""


def preload() -> None:
    """Imports the modules that calls may need."""
    for name in MODULES:
        import_module(name)
    for loaded, names in MODULES_OF.items():
        if loaded in sys.modules:
            for name in names:
                import_module(name)
    for loaded, name in ANYIO_BACKENDS.items():
        if loaded in sys.modules:
            with suppress(ImportError):
                import_module(name)
