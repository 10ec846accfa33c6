"""What both virtual asyncio loops share: their own time, their timers, and what stops the clock."""

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
    """Time of an event loop that stands still while code runs and jumps when all of it waits.

    The clock stands still while a thread job of `run_in_executor` or `asyncio.to_thread` is under
    way, and within `stands_still()`. When sockets are open, or threads were born that the loop
    did not start itself, they are given `io_wait` real seconds before each jump.
    """

    _now: float
    _timers: Timers
    _standing: int

    def _begin(self, io_wait: float, real_limit: float) -> None:
        self._io_wait = check.number("io_wait", io_wait, least=0.0, most=60.0)
        self._real_limit = check.number("real_limit", real_limit, least=0.0, endless=True)
        self._now = 0.0
        self._timers = Timers()
        self._standing = 0
        self._pool: Executor | None = None
        self._threads_before = threading.active_count()

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Calls back `delay` virtual seconds from now."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Calls back at the virtual instant `when`; timers of one instant run in order of birth."""
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        if math.isnan(when):
            raise ValueError("a timer's instant must not be NaN")
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._timers.add(when, handle)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        self._timers.cancelled(handle)

    @contextmanager
    def stands_still(self) -> Generator[None]:
        """Stops the clock while something real (a file, a foreign thread, a server) is awaited."""
        self._standing += 1
        try:
            yield
        finally:
            self._standing -= 1

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Runs a function in a thread; the clock stands still until it is done."""
        if executor is None:
            executor = self._pool = self._pool or ThreadPoolExecutor(thread_name_prefix="asyncio")
        # The loops that this class is mixed into have what the abstract one lacks.
        job = super().run_in_executor(executor, func, *args)  # pyright: ignore[reportAbstractUsage]
        self._standing += 1
        job.add_done_callback(self._job_done)
        return job

    def set_default_executor(self, executor: Any) -> None:
        """Has another executor run the functions of `asyncio.to_thread`."""
        self._pool = executor

    def _job_done(self, _: asyncio.Future[Any]) -> None:
        self._standing -= 1

    async def shutdown_default_executor(self, *_: Any, **__: Any) -> None:
        """Joins the threads of the default executor, for `real_limit` real seconds at most."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)
            until = time.monotonic() + self._real_limit
            for thread in _threads(self._pool):
                left = max(0.0, until - time.monotonic())
                thread.join(None if left == math.inf else left)

    def _end(self) -> None:
        self._timers.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=False)

    def _foreign_threads(self) -> bool:
        """Whether a thread that is not of the default executor was born since the loop was."""
        own = 0 if self._pool is None else len(_threads(self._pool))
        return threading.active_count() - own > self._threads_before

    def _deadlock(self, awaited: str = "") -> Deadlock:
        if awaited:
            awaited += f" gave no sign within real_limit={self._real_limit:g} s"
        return Deadlock(self._now, stuck_tasks(self), awaited=awaited)

    def _awaited(self, *, sockets: bool) -> str:
        """Names what real thing may still wake the loop, or nothing."""
        if self._standing:
            return "a thread job, or what is awaited in stands_still(),"
        if sockets:
            return "an open socket"
        return "a foreign thread" if self._foreign_threads() else ""


def _threads(pool: Executor) -> list[threading.Thread]:
    """The threads of an executor, which the standard library keeps to itself."""
    return list(getattr(pool, "_threads", ()))
