"""Base class of the virtual asyncio loops: virtual time, timers, and pausing of the clock."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple

from multirouter.core import validation as check
from multirouter.testing.virtual_time.deadlock import Deadlock, stuck_tasks
from multirouter.testing.virtual_time.timers import Timers

Ts = TypeVarTuple("Ts")
T = TypeVar("T")


class VirtualTime(asyncio.AbstractEventLoop):
    """Virtual time of an event loop: it stops while code runs and jumps when all tasks wait.

    The clock is paused while a thread job of `run_in_executor` or `asyncio.to_thread` runs, and
    within `paused()`. If sockets are open, or threads were started by others than the loop, it
    waits for them `io_wait` real seconds before each jump. Each loop's `_idle` makes the jump.
    """

    _now: float
    _timers: Timers
    _real_jobs: int

    def _init_time(self, io_wait: float, real_limit: float) -> None:
        self._io_wait = check.number("io_wait", io_wait, minimum=0.0, maximum=60.0)
        self._real_limit = check_real_limit(real_limit)
        self._now = 0.0
        self._timers = Timers()
        self._real_jobs = 0
        self._pool: Executor | None = None
        self._initial_threads = frozenset(threading.enumerate())

    def time(self) -> float:
        """Virtual seconds since the loop was created."""
        return self._now

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Schedules a callback `delay` virtual seconds from now."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Schedules a callback at virtual time `when`; timers of one time run in creation order."""
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        if math.isnan(when):
            raise ValueError("`when` must not be NaN")
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._timers.add(when, handle)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        self._timers.cancelled(handle)

    def stall(self, seconds: float) -> None:
        """Lets time pass without a callback, see `VirtualClock.stall`."""
        self._now += check.number("seconds", seconds, minimum=0.0)

    @contextmanager
    def paused(self) -> Generator[None]:
        """Pauses the clock while the program waits for a file, a foreign thread or a server."""
        self._real_jobs += 1
        try:
            yield
        finally:
            self._real_jobs -= 1

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Runs a function in a thread; the clock is paused until it returns."""
        if executor is None:
            executor = self._pool = self._pool or ThreadPoolExecutor(thread_name_prefix="asyncio")
        # The concrete loop that this class is mixed into implements the method.
        job = super().run_in_executor(executor, func, *args)  # pyright: ignore[reportAbstractUsage]
        self._real_jobs += 1
        job.add_done_callback(self._job_done)
        return job

    def set_default_executor(self, executor: Any) -> None:
        """Sets the executor that runs the functions of `asyncio.to_thread`."""
        self._pool = executor

    def _job_done(self, _: asyncio.Future[Any]) -> None:
        self._real_jobs -= 1

    async def shutdown_default_executor(self, *_: Any, **__: Any) -> None:
        """Joins the threads of the default executor, for `real_limit` real seconds at most."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)
            until = time.monotonic() + self._real_limit
            for thread in _threads(self._pool):
                left = max(0.0, until - time.monotonic())
                thread.join(None if left == math.inf else left)

    def _dispose_time(self) -> None:
        self._timers.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=False)

    def _has_foreign_threads(self) -> bool:
        """Whether a thread outside the default executor was started since the loop was created."""
        known = self._initial_threads
        foreign = [thread for thread in threading.enumerate() if thread not in known]
        return bool(foreign) and (
            self._pool is None or not _threads(self._pool).issuperset(foreign)
        )

    def _deadlock(self, awaited: str = "") -> Deadlock:
        if awaited:
            awaited += f" did not respond within real_limit={self._real_limit:g} s"
        return Deadlock(self._now, stuck_tasks(self), awaited=awaited)

    def _real_source(self, *, sockets: bool) -> str:
        """Describes the socket or thread that can still wake the loop, or returns ""."""
        if self._real_jobs:
            return "a thread job or a paused() block"
        if sockets:
            return "an open socket"
        return "a foreign thread" if self._has_foreign_threads() else ""


def check_real_limit(real_limit: float) -> float:
    """Returns it, 0 to a day or infinite: the system's polls take no time beyond some weeks.

    Raises:
        ConfigurationError: it is out of range.
    """
    return check.number("real_limit", real_limit, minimum=0.0, maximum=86_400.0, allow_inf=True)


def _threads(pool: Executor) -> set[threading.Thread]:
    """The threads of an executor; the standard library has no public attribute for them."""
    return set(getattr(pool, "_threads", ()))
