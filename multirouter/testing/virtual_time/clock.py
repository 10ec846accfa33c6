"""Runs whole programs in virtual time, on asyncio, on uvloop and on trio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from multirouter.core import validation as check
from multirouter.errors import ConfigurationError, UsageError
from multirouter.testing.virtual_time.asyncio_loop import VirtualLoop
from multirouter.testing.virtual_time.loop_base import VirtualTime

Backend = Literal["asyncio", "uvloop", "trio"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualClock:
    """How to run a program in virtual time; holds settings only, so one serves many runs.

    Attributes:
        backend: `asyncio`, `uvloop` or `trio`; the last two must be installed.
        shuffle_seed: on asyncio, draws the order in which tasks that are ready at once run.
        io_wait: real seconds that open sockets are given before each jump of the clock
            (asyncio, uvloop).
        real_limit: real seconds after which a program that can only be woken by a socket or a
            thread is given up; `math.inf` waits for ever.
    """

    backend: Backend = "asyncio"
    shuffle_seed: int | None = None
    io_wait: float = 0.001
    real_limit: float = 10.0

    def __post_init__(self) -> None:
        if self.backend not in get_args(Backend):
            known = ", ".join(get_args(Backend))
            raise ConfigurationError("backend", f"must be one of {known}, not {self.backend!r}")
        if self.shuffle_seed is not None and self.backend != "asyncio":
            raise ConfigurationError("shuffle_seed", f"works on asyncio, not on {self.backend}")
        check.number("io_wait", self.io_wait, least=0.0, most=60.0)
        check.number("real_limit", self.real_limit, least=0.0, endless=True)

    def run(self, function: Callable[..., Awaitable[T]], /, *args: Any) -> T:
        """Runs `await function(*args)` on a new loop whose time starts at 0 (trio: anywhere).

        Returns:
            what the function returns.

        Raises:
            Deadlock: everything waits for what cannot come.
        """
        if self.backend == "trio":
            from multirouter.testing.virtual_time import trio_runner as virtual_trio

            return virtual_trio.run(function, args, self.real_limit)

        async def main() -> T:
            return await function(*args)

        with asyncio.Runner(loop_factory=self.new_loop) as runner:
            return runner.run(main())

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """A new asyncio loop in virtual time, as `asyncio.Runner(loop_factory=...)` wants it."""
        if self.backend == "asyncio":
            return VirtualLoop(
                shuffle_seed=self.shuffle_seed, io_wait=self.io_wait, real_limit=self.real_limit
            )
        if self.backend == "trio":
            raise UsageError("trio has no loop object: use run()")
        from multirouter.testing.virtual_time.uvloop_loop import VirtualUvloop

        return VirtualUvloop(io_wait=self.io_wait, real_limit=self.real_limit)

    @staticmethod
    def current() -> VirtualTime:
        """The running virtual asyncio loop, for `stands_still()`.

        Raises:
            UsageError: the running loop is not virtual.
        """
        loop = asyncio.get_running_loop()
        if not isinstance(loop, VirtualTime):
            raise UsageError(f"{type(loop).__name__} does not run in virtual time")
        return loop


virtual_clock: VirtualClock = VirtualClock()
"""A `VirtualClock` with the default settings: `virtual_clock.run(main)`."""
