"""Runs programs in virtual time on asyncio, uvloop or trio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from multirouter.core import validation as check
from multirouter.errors import ConfigurationError, UsageError
from multirouter.testing.virtual_time.asyncio_loop import VirtualLoop
from multirouter.testing.virtual_time.loop_base import VirtualTime, check_real_limit

Backend = Literal["asyncio", "uvloop", "trio"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualClock:
    """Settings for running a program in virtual time; one object can be used for many runs.

    Attributes:
        backend: `asyncio`, `uvloop` or `trio`; the last two must be installed.
        shuffle_seed: asyncio only: seed for a random order of tasks that are ready together.
        io_wait: real seconds to wait for open sockets before each jump of the clock, 0 to 60
            (asyncio, uvloop).
        real_limit: real seconds to wait when only a socket or a thread can wake the program,
            0 to 86,400, then `Deadlock`; `math.inf`: no limit.
    """

    backend: Backend = "asyncio"
    shuffle_seed: int | None = None
    io_wait: float = 0.001
    real_limit: float = 10.0

    def __post_init__(self) -> None:
        check.one_of("backend", self.backend, get_args(Backend))
        if self.shuffle_seed is not None and self.backend != "asyncio":
            raise ConfigurationError(
                "shuffle_seed", f"requires backend='asyncio', got {self.backend!r}"
            )
        check.number("io_wait", self.io_wait, minimum=0.0, maximum=60.0)
        check_real_limit(self.real_limit)

    def run(self, function: Callable[..., Awaitable[T]], /, *args: Any) -> T:
        """Runs `await function(*args)` on a new loop whose time starts at 0.

        Returns:
            the function's result.

        Raises:
            Deadlock: every task waits and nothing can wake one.
        """
        if self.backend == "trio":
            from multirouter.testing.virtual_time import trio_runner as virtual_trio

            return virtual_trio.run(function, args, self.real_limit)

        async def main() -> T:
            return await function(*args)

        with asyncio.Runner(loop_factory=self.new_loop) as runner:
            return runner.run(main())

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """Returns a new asyncio loop in virtual time, for `asyncio.Runner(loop_factory=...)`.

        Raises:
            UsageError: the backend is trio, which has no loop object.
        """
        if self.backend == "asyncio":
            return VirtualLoop(
                shuffle_seed=self.shuffle_seed, io_wait=self.io_wait, real_limit=self.real_limit
            )
        if self.backend == "trio":
            raise UsageError("trio has no loop object: use run() instead of new_loop()")
        from multirouter.testing.virtual_time.uvloop_loop import VirtualUvloop

        return VirtualUvloop(io_wait=self.io_wait, real_limit=self.real_limit)

    @staticmethod
    def stall(seconds: float) -> None:
        """Stalls the running virtual loop, on any backend: time passes, and no callback runs.

        A blocking call does the same to a real loop, and so does a suspended machine. Timers that
        became due meanwhile run late, after the code that called this has waited.

        Args:
            seconds: how long, >= 0.

        Raises:
            UsageError: no virtual loop is running.
            ConfigurationError: `seconds` is not a finite number >= 0.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            from multirouter.testing.virtual_time import trio_runner as virtual_trio

            virtual_trio.stall(seconds)
        else:
            _virtual(loop).stall(seconds)

    @staticmethod
    def current() -> VirtualTime:
        """Returns the running virtual asyncio loop, for `paused()`.

        Raises:
            UsageError: the running loop is not virtual.
        """
        return _virtual(asyncio.get_running_loop())


def _virtual(loop: asyncio.AbstractEventLoop) -> VirtualTime:
    if not isinstance(loop, VirtualTime):
        raise UsageError(f"{type(loop).__name__} does not run in virtual time")
    return loop


virtual_clock: VirtualClock = VirtualClock()
"""A `VirtualClock` with the default settings: `virtual_clock.run(main)`."""
