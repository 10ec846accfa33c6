"""Runs a program on trio with its own `MockClock`, and ends it when it can only wait for ever."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import trio
import trio.testing

from multirouter.testing.virtual_time.deadlock import Deadlock, whereabouts

T = TypeVar("T")


def run(function: Callable[..., Awaitable[T]], args: tuple[Any, ...], real_limit: float) -> T:
    """Runs `await function(*args)` under `MockClock(autojump_threshold=0)`.

    Raises:
        Deadlock: all tasks wait, without a deadline, and nothing real is on its way.
    """
    watch = _Watch(real_limit)

    async def main() -> T:
        with watch.scope:
            result = await function(*args)
            # A thread cannot be cancelled, so a deadlock may be followed by a result.
            if not watch.scope.cancel_called:
                return result
        raise watch.deadlock

    return trio.run(main, clock=watch.clock, instruments=[watch])


class _Watch(trio.abc.Instrument):
    """Holds the clock while threads work, and looks whether trio would wait for ever.

    With nothing to jump to, trio's autojump polls without end; the last deadline of a stuck
    program is infinity, and then only a socket or a thread could still wake it.
    """

    def __init__(self, real_limit: float) -> None:
        self.scope = trio.CancelScope()
        self.clock = trio.testing.MockClock(autojump_threshold=0)
        self.deadlock: Deadlock = Deadlock(0.0, [])
        self._real_limit = real_limit
        self._since: float | None = None

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Called by trio whenever a task has run a piece, by which threads begin and end."""
        self._hold(bool(_thread_jobs()))

    def _hold(self, hold_changed: bool) -> None:  # noqa: FBT001 - one private flag
        # The clock jumps after this many real seconds in which nothing happened.
        threshold = self._real_limit if hold_changed else 0.0
        if self.clock.autojump_threshold != threshold:
            self.clock.autojump_threshold = threshold

    def before_io_wait(self, timeout: float) -> None:
        """Called by trio before each look for I/O."""
        seen = trio.lowlevel.current_statistics()
        if seen.tasks_runnable or seen.seconds_to_next_deadline < math.inf:
            self._since = None
        elif not self.scope.cancel_called:
            self._stuck(_real_awaited(seen.io_statistics))

    def _stuck(self, awaited: str) -> None:
        # Real time, since what may come is real; holding the clock spares polling for it.
        self._hold(bool(awaited))
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if not awaited or now - self._since >= self._real_limit:
            if awaited:
                awaited += f" gave no sign within real_limit={self._real_limit:g} s"
            self.deadlock = Deadlock(trio.current_time(), _stuck_tasks(), awaited=awaited)
            self.scope.cancel()


def _real_awaited(io: Any) -> str:
    # trio itself always has one task that reads its wake-up pipe.
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
            if not _of_trio(task):
                tasks.append(f"{task.name} {whereabouts(task.coro)}")
            pending += task.child_nurseries
    return tasks


def _of_trio(task: trio.lowlevel.Task) -> bool:
    return task.name.startswith(("trio._core", "<"))
