"""The event loops that a benchmark runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from importlib.util import find_spec
from typing import Any, TypeVar

T = TypeVar("T")


def installed() -> tuple[str, ...]:
    """The names of the event loops that can be measured here."""
    return ("asyncio", "uvloop") if find_spec("uvloop") else ("asyncio",)


def run(loop: str, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Runs `main()` on a new event loop: `asyncio` or `uvloop`."""
    with asyncio.Runner(loop_factory=_factory(loop)) as runner:
        return runner.run(main())


def _factory(loop: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if loop == "asyncio":
        return asyncio.SelectorEventLoop
    import uvloop

    return uvloop.new_event_loop
