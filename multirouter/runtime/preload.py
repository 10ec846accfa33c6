"""Loads what calls may need before there are calls.

`import multirouter` is quick, since it loads only what every program needs. The rest is loaded with
the first router. If it were loaded when it is first used, the first failure would block the event
loop for a tenth of a second, at the begin of an incident and while other calls are in flight.
"""

from __future__ import annotations

import sys
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
    "multirouter.providers.http": ("aiohttp", "concurrent.futures.thread"),
    "multirouter.listeners.alarms.webhook": ("aiohttp", "concurrent.futures.thread"),
}
"""Modules that calls need in a program that has loaded another module."""


def preload() -> None:
    """Imports the modules that calls may need."""
    for name in MODULES:
        import_module(name)
    for loaded, names in MODULES_OF.items():
        if loaded in sys.modules:
            for name in names:
                import_module(name)
