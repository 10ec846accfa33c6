"""An asyncio event loop whose time is virtual: whole programs run in no real time."""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from typing import Any

from multirouter.testing.virtual_time.loop_base import VirtualTime


class VirtualLoop(VirtualTime, asyncio.SelectorEventLoop):
    """A selector event loop in virtual time, starting at 0.

    `asyncio.Runner(loop_factory=VirtualLoop)` uses it. Callbacks run as on the stock loop; when
    none is ready, time jumps to exactly the next timer's instant. Sockets and threads work: see
    `VirtualTime` for when the clock waits for them. `time.monotonic()` is not touched.

    Args:
        shuffle_seed: when given, tasks that are ready at once run in an order drawn from
            `random.Random(shuffle_seed)`: other interleavings, every one repeatable. Callbacks
            that are no tasks keep their places, since transports rely on it.
        io_wait: real seconds that open sockets are given before each jump.
        real_limit: real seconds after which waiting for sockets and threads is given up with a
            `Deadlock`; `math.inf` waits for ever.
    """

    # Names of the stock loop that its type stubs leave out.
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
        self._begin(io_wait, real_limit)
        super().__init__()
        self._shuffle = None if shuffle_seed is None else random.Random(shuffle_seed)
        self._watched = self._selector.get_map()
        self._signal_handlers: dict[int, Any] = getattr(self, "_signal_handlers", {})

    def _run_once(self) -> None:
        """One turn: poll what is real, move time when nothing is ready, run what is ready.

        Replaces the stock loop's turn, which costs a system call, and whose timers may run
        before their time by the resolution of the real clock.
        """
        ready = self._ready
        if not ready and not self._stopping:
            self._idle()
        elif self._watching():
            self._process_events(self._selector.select(0))
        self._timers.due(self._now, ready)
        if self._shuffle is not None:
            self._mix(self._shuffle)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def _watching(self) -> bool:
        # One entry is the loop's own pipe, which alone needs no poll: what comes through it from
        # other threads is already in `_ready`.
        return len(self._watched) > 1 or bool(self._signal_handlers)

    def _idle(self) -> None:
        """Nothing is ready: lets what is real come first, then jumps."""
        when = self._timers.next_at()
        if when <= self._now:
            return
        if self._standing:
            self._wait_for_real()
        elif (self._watching() or self._foreign_threads()) and self._poll(self._io_wait):
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
        awaited = self._awaited(sockets=self._watching())
        if not awaited and not self._ready:
            raise self._deadlock()
        limit = None if self._real_limit == math.inf else self._real_limit
        if not self._poll(limit) and not self._ready:
            raise self._deadlock(awaited)

    def _mix(self, rng: random.Random) -> None:
        """Lets the tasks among the ready callbacks change places with each other."""
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
        super()._process_events(event_list)  # type: ignore[misc]  # the stubs leave it out

    def close(self) -> None:
        """Closes the loop and forgets its timers and threads."""
        super().close()
        self._end()


def _is_task_step(handle: Any) -> bool:
    return isinstance(getattr(handle._callback, "__self__", None), asyncio.Task)
