"""The event loops that a benchmark runs on, by the real clock or in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from importlib.util import find_spec
from typing import Any, Literal, TypeVar

from multirouter.testing import VirtualClock

Loop = Literal["asyncio", "uvloop"]

T = TypeVar("T")


def installed() -> tuple[Loop, ...]:
    """The names of the event loops that are installed."""
    return ("asyncio", "uvloop") if find_spec("uvloop") else ("asyncio",)


def run(loop: Loop, main: Callable[[], Coroutine[Any, Any, T]], *, virtual: bool = False) -> T:
    """Runs `main()` on a new event loop.

    Args:
        loop: its name.
        main: makes the coroutine.
        virtual: whether time is virtual: no sleep takes any.
    """
    factory = VirtualClock(backend=loop).new_loop if virtual else _factory(loop)
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())


def _factory(loop: Loop) -> Callable[[], asyncio.AbstractEventLoop]:
    if loop == "asyncio":
        return asyncio.SelectorEventLoop
    import uvloop

    return uvloop.new_event_loop
