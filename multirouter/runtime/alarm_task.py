"""Background tasks of the alarms: evaluate the rules at intervals, send alarms to async targets."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from random import Random
from weakref import WeakMethod

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

RESTART_DELAY = 1.0
"""Seconds until the sending begins again after a foreign party cancelled it."""

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
        self._loop: EventLoop | None = None
        self._running = False
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
        self._start()

    def rebind(self, loop: EventLoop | None) -> None:
        """Sends in `loop` from here on; None sends nothing more."""
        self._loop = loop
        self._running = False
        self._start()

    async def flush(self) -> None:
        """Waits until all queued alarms are sent."""
        if self._running:
            self._emptied = anyio.Event()
            await self._emptied.wait()

    def _start(self) -> None:
        """Starts the task that sends, if there is something to send and it does not run."""
        loop = self._loop
        if loop is None or loop.is_closed() or self._running or not self._queue:
            return
        self._running = True
        loop.spawn("alarms out", self._run, on_end=lambda: self._ended(loop))

    async def _run(self) -> None:
        """Sends all queued alarms; one whose sending is cancelled stays queued."""
        while self._queue:
            event = self._queue.popleft()
            try:
                await self._send(event)
            except BaseException:
                self._queue.appendleft(event)
                raise

    def _ended(self, loop: EventLoop) -> None:
        if loop is not self._loop:
            return
        self._running = False
        if self._queue:  # a party that cancels all tasks has cancelled this one
            loop.call_at("alarms out", loop.time() + RESTART_DELAY, self._start)
        elif self._emptied is not None:
            self._emptied.set()

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
    """Work of one router's alarms in its loop: evaluates the rules, sends to async targets.

    The evaluation is a timer and no task, so that it outlives a party that cancels all tasks, and
    does not keep a router alive that was dropped without being closed.

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
        self._loop: EventLoop | None = None
        self._outboxes = tuple(Outbox(target, rng, on_error) for target in alarms.async_targets)
        for outbox in self._outboxes:
            dispatcher.add(outbox)

    def rebind(self, loop: EventLoop, by: float) -> None:
        """Goes on in `loop`, whose clock is `by` seconds ahead of the previous loop's."""
        self._evaluator.shift(by)
        self._loop = loop
        self._evaluate_at(loop.time(), loop)
        for outbox in self._outboxes:
            outbox.rebind(loop)

    async def shutdown(self) -> None:
        """Waits up to `FLUSH_TIMEOUT` seconds for queued alarms; evaluates no more."""
        self._loop = None
        try:
            with anyio.move_on_after(FLUSH_TIMEOUT):
                for outbox in self._outboxes:
                    await outbox.flush()
        finally:
            for outbox in self._outboxes:
                outbox.rebind(None)

    def _evaluate_at(self, when: float, loop: EventLoop) -> None:
        evaluate = WeakMethod(self._evaluate)

        def fire() -> None:
            method = evaluate()
            if method is not None:
                method(loop)

        loop.call_at("alarms", when, fire)

    def _evaluate(self, loop: EventLoop) -> None:
        if loop is self._loop:
            now = loop.time()
            self._evaluate_at(now + self._every, loop)
            self._evaluator.evaluate(now)
            self._dispatcher.deliver()
