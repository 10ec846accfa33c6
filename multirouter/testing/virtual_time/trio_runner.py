"""Runs a program on trio with trio's `MockClock`, and detects deadlocks."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import trio
import trio.testing

from multirouter.core import validation as check
from multirouter.errors import UsageError
from multirouter.testing.virtual_time.deadlock import Deadlock, suspended_at

T = TypeVar("T")


def run(function: Callable[..., Awaitable[T]], args: tuple[Any, ...], real_limit: float) -> T:
    """Runs `await function(*args)` under `MockClock(autojump_threshold=0)`.

    Raises:
        Deadlock: all tasks wait without a deadline, and no thread or socket can wake one.
    """
    watch = _DeadlockInstrument(real_limit)

    async def main() -> T:
        with watch.scope:
            result = await function(*args)
            # A thread cannot be cancelled, so a result may follow a deadlock.
            if not watch.scope.cancel_called:
                return result
        raise watch.deadlock

    return trio.run(main, clock=watch.clock, instruments=[watch])


def stall(seconds: float) -> None:
    """Lets time pass without running a task, see `VirtualClock.stall`."""
    try:
        clock = trio.lowlevel.current_clock()
    except RuntimeError:
        raise UsageError("no event loop is running") from None
    if not isinstance(clock, trio.testing.MockClock):
        raise UsageError(f"{type(clock).__name__} does not run in virtual time")
    clock.jump(check.number("seconds", seconds, minimum=0.0))


class _DeadlockInstrument(trio.abc.Instrument):
    """Pauses the clock while threads work, and detects that trio would wait forever.

    Without a deadline to jump to, trio's autojump polls without end. The next deadline of a
    deadlocked program is infinity; only a socket or a thread could still wake it.
    """

    def __init__(self, real_limit: float) -> None:
        self.scope = trio.CancelScope()
        self.clock = trio.testing.MockClock(autojump_threshold=0)
        self.deadlock: Deadlock = Deadlock(0.0, [])
        self._real_limit = real_limit
        self._stuck_since: float | None = None

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Called by trio after each step of a task; threads start and end in such steps."""
        self._set_autojump(bool(_thread_jobs()))

    def _set_autojump(self, waiting_for_real: bool) -> None:  # noqa: FBT001 - one private flag
        # The clock jumps after this many idle real seconds.
        threshold = self._real_limit if waiting_for_real else 0.0
        if self.clock.autojump_threshold != threshold:
            self.clock.autojump_threshold = threshold

    def before_io_wait(self, timeout: float) -> None:
        """Called by trio before each poll for I/O."""
        seen = trio.lowlevel.current_statistics()
        if seen.tasks_runnable or seen.seconds_to_next_deadline < math.inf:
            self._stuck_since = None
        elif not self.scope.cancel_called:
            self._stuck(_real_source_of(seen.io_statistics))

    def _stuck(self, awaited: str) -> None:
        # Measured in real time, since threads and sockets are real; a paused clock does not poll.
        self._set_autojump(bool(awaited))
        now = time.monotonic()
        self._stuck_since = now if self._stuck_since is None else self._stuck_since
        if not awaited or now - self._stuck_since >= self._real_limit:
            if awaited:
                awaited += f" did not respond within real_limit={self._real_limit:g} s"
            self.deadlock = Deadlock(trio.current_time(), _stuck_tasks(), awaited=awaited)
            self.scope.cancel()


def _real_source_of(io: Any) -> str:
    # trio itself always has one task that reads its wakeup pipe.
    if getattr(io, "tasks_waiting_read", 0) > 1 or getattr(io, "tasks_waiting_write", 0):
        return "an open socket"
    return "a thread job" if _thread_jobs() else ""


def _thread_jobs() -> int:
    limiter: Any = trio.to_thread.current_default_thread_limiter()
    jobs: int = limiter.borrowed_tokens
    return jobs


def _stuck_tasks() -> list[str]:
    root = trio.lowlevel.current_root_task()
    tasks: list[str] = []
    pending = list(root.child_nurseries) if root else []
    while pending:
        nursery = pending.pop(0)
        for task in sorted(nursery.child_tasks, key=lambda t: t.name):
            if not _is_trio_task(task):
                tasks.append(f"{task.name} {suspended_at(task.coro)}")
            pending += task.child_nurseries
    return tasks


def _is_trio_task(task: trio.lowlevel.Task) -> bool:
    return task.name.startswith(("trio._core", "<"))
