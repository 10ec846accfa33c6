"""An asyncio event loop in virtual time."""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from typing import Any

from multirouter.testing.virtual_time.loop_base import VirtualTime


class VirtualLoop(VirtualTime, asyncio.SelectorEventLoop):
    """A selector event loop in virtual time, starting at 0.

    Use it with `asyncio.Runner(loop_factory=VirtualLoop)`. Callbacks run as on the standard loop;
    when none is ready, time jumps to exactly the time of the next timer. Sockets and threads work;
    `VirtualTime` says when the clock waits for them. `time.monotonic()` is not patched.

    Args:
        shuffle_seed: if set, tasks that are ready together run in a random, reproducible order
            (`random.Random(shuffle_seed)`). Callbacks that are not tasks keep their order, since
            transports rely on it.
        io_wait: real seconds to wait for open sockets before each jump, 0 to 60.
        real_limit: real seconds to wait for sockets and threads before `Deadlock`, 0 to 86,400;
            `math.inf`: no limit.
    """

    # Attributes of the standard loop that its type stubs lack.
    _ready: deque[Any]
    _stopping: bool
    _selector: Any

    def __init__(
        self,
        *,
        shuffle_seed: int | None = None,
        io_wait: float = 0.001,
        real_limit: float = 10.0,
    ) -> None:
        self._init_time(io_wait, real_limit)
        super().__init__()
        self._shuffle = None if shuffle_seed is None else random.Random(shuffle_seed)
        self._selector_map = self._selector.get_map()
        self._signal_handlers: dict[int, Any] = getattr(self, "_signal_handlers", {})

    def _run_once(self) -> None:
        """One iteration: polls sockets, moves time when nothing is ready, runs ready callbacks.

        Replaces the standard iteration, which costs a system call, and whose timers may run early
        by the resolution of the real clock.
        """
        ready = self._ready
        if not ready and not self._stopping:
            self._idle()
        elif self._watching():
            self._process_events(self._selector.select(0))
        self._timers.due(self._now, ready)
        if self._shuffle is not None:
            self._shuffle_tasks(self._shuffle)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()
        # As in the standard loop: the traceback of an exception may hold this frame.
        handle = None

    def _watching(self) -> bool:
        # One entry is the loop's own pipe, which needs no poll: callbacks that other threads send
        # through it are already in `_ready`.
        return len(self._selector_map) > 1 or bool(self._signal_handlers)

    def _idle(self) -> None:
        """Nothing is ready: waits for sockets and threads first, then jumps."""
        when = self._timers.next_at()
        if when <= self._now:
            return
        if self._real_jobs:
            self._wait_for_real()
        elif (self._watching() or self._has_foreign_threads()) and self._poll(self._io_wait):
            return
        elif when == math.inf:
            self._wait_for_real()
        else:
            self._now = when

    def _poll(self, timeout: float | None) -> bool:
        events = self._selector.select(timeout)
        self._process_events(events)
        return bool(events)

    def _wait_for_real(self) -> None:
        awaited = self._real_source(sockets=self._watching())
        if not awaited and not self._ready:
            raise self._deadlock()
        limit = None if self._real_limit == math.inf else self._real_limit
        if not self._poll(limit) and not self._ready:
            raise self._deadlock(awaited)

    def _shuffle_tasks(self, rng: random.Random) -> None:
        """Shuffles the tasks among the ready callbacks; other callbacks keep their places."""
        ready = self._ready
        batch = [ready.popleft() for _ in range(len(ready))]
        places = [i for i, handle in enumerate(batch) if _is_task_step(handle)]
        mixed = places.copy()
        rng.shuffle(mixed)
        shuffled = batch.copy()
        for place, origin in zip(places, mixed, strict=True):
            shuffled[place] = batch[origin]
        ready.extendleft(reversed(shuffled))

    def _process_events(self, event_list: Any) -> None:
        super()._process_events(event_list)  # type: ignore[misc]  # missing in the stubs

    def close(self) -> None:
        """Closes the loop and discards its timers and threads."""
        super().close()
        self._dispose_time()


def _is_task_step(handle: Any) -> bool:
    return isinstance(getattr(handle._callback, "__self__", None), asyncio.Task)
