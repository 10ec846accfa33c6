"""Background tasks of the alarms: evaluate the rules at intervals, send alarms to async targets."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from random import Random

import anyio
from typing_extensions import override

from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import AlarmChanged
from multirouter.core.failures.backoff import backoff_delay
from multirouter.core.listener import Listener
from multirouter.core.settings.policies import RetryPolicy
from multirouter.errors import UsageError
from multirouter.listeners.alarms.alarms import AlarmEvaluator, Alarms
from multirouter.runtime.event_loops.base import ErrorHandler, EventLoop

MAX_QUEUED = 100
"""Alarms that may be queued for one target; when one more arrives, the oldest is dropped."""

MAX_ATTEMPTS = 6
"""Attempts to send one alarm before it is dropped; with the backoff, about two minutes."""

SEND_TIMEOUT = 30.0
"""Seconds that one attempt to send may take."""

FLUSH_TIMEOUT = 5.0
"""Seconds that queued alarms get to be sent when the router closes."""

_BACKOFF = RetryPolicy(base=2.0, cap=60.0)


class Outbox(Listener):
    """Sends alarms to one async target, one at a time and in order.

    Args:
        target: awaited with each alarm; repeated when it raises anything but a UsageError.
        rng: random numbers for the jitter of the backoff.
        on_error: called for each alarm that is dropped, with a description and the exception.

    Attributes:
        dropped: alarms that were dropped, after too many failed attempts or from a full queue.
    """

    def __init__(
        self,
        target: Callable[[AlarmChanged], Awaitable[object]],
        rng: Random,
        on_error: ErrorHandler,
    ) -> None:
        self._target = target
        self._rng = rng
        self._on_error = on_error
        self._queue: deque[AlarmChanged] = deque()
        self._sending: AlarmChanged | None = None
        self._new_item: anyio.Event | None = None
        self._emptied: anyio.Event | None = None
        self.dropped: int = 0

    def __repr__(self) -> str:
        return f"<Outbox to {self._target!r} queued={len(self._queue)} dropped={self.dropped}>"

    @override
    def alarm_changed(self, event: AlarmChanged) -> None:
        if len(self._queue) == MAX_QUEUED:
            self._queue.popleft()
            self._drop(OverflowError(f"alarm queue full ({MAX_QUEUED}): oldest alarm dropped"))
        self._queue.append(event)
        if self._new_item is not None:
            self._new_item.set()

    async def run(self) -> None:
        """Sends until cancelled; an alarm whose sending was cancelled is sent by the next run."""
        while True:
            self._new_item = anyio.Event()
            while self._queue:
                event = self._sending = self._queue.popleft()
                try:
                    await self._send(event)
                except BaseException:
                    self._queue.appendleft(event)
                    raise
                finally:
                    self._sending = None
            if self._emptied is not None:
                self._emptied.set()
            await self._new_item.wait()

    async def flush(self) -> None:
        """Waits until all queued alarms are sent; `run` must be running."""
        if self._queue or self._sending is not None:
            self._emptied = anyio.Event()
            await self._emptied.wait()

    async def _send(self, event: AlarmChanged) -> None:
        for number in range(1, MAX_ATTEMPTS + 1):
            try:
                with anyio.fail_after(SEND_TIMEOUT):
                    await self._target(event)
            except Exception as error:  # noqa: BLE001 - any error of the target: the next alarms still go out
                if number == MAX_ATTEMPTS or isinstance(error, UsageError):
                    self._drop(error)
                    return
            else:
                return
            await anyio.sleep(backoff_delay(_BACKOFF, number, 0.0, self._rng.random()))

    def _drop(self, error: Exception) -> None:
        self.dropped += 1
        self._on_error(f"alarm to {self._target!r}", error)


class AlarmTask:
    """Background tasks of one router's alarms: one evaluates the rules, one per async target sends.

    Args:
        alarms: the rules, their interval and their targets.
        evaluator: evaluates the rules.
        dispatcher: delivers the events of the rules.
        rng: the router's random numbers.
        on_error: called for alarms that could not be sent.
    """

    def __init__(
        self,
        alarms: Alarms,
        evaluator: AlarmEvaluator,
        dispatcher: EventDispatcher,
        rng: Random,
        on_error: ErrorHandler,
    ) -> None:
        self._every = alarms.interval
        self._evaluator = evaluator
        self._dispatcher = dispatcher
        self._outboxes = tuple(Outbox(target, rng, on_error) for target in alarms.async_targets)
        for outbox in self._outboxes:
            dispatcher.add(outbox)

    def rebind(self, loop: EventLoop, by: float) -> None:
        """Starts the tasks in `loop`, whose clock is `by` seconds ahead of the previous loop's."""
        self._evaluator.shift(by)
        loop.spawn("alarms", self._evaluate, loop)
        for outbox in self._outboxes:
            loop.spawn("alarms out", outbox.run)

    async def shutdown(self) -> None:
        """Waits up to `FLUSH_TIMEOUT` seconds for queued alarms; the tasks end with the loop."""
        with anyio.move_on_after(FLUSH_TIMEOUT):
            for outbox in self._outboxes:
                await outbox.flush()

    async def _evaluate(self, loop: EventLoop) -> None:
        while True:
            self._evaluator.evaluate(loop.time())
            self._dispatcher.deliver()
            await anyio.sleep(self._every)
