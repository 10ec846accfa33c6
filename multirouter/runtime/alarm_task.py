"""Keeps alarms on time, and carries them to whoever takes time to be told."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from random import Random

import anyio
from typing_extensions import override

from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import AlarmChanged, Listener
from multirouter.core.failures.backoff import rest
from multirouter.core.settings.policies import RetryPolicy
from multirouter.errors import UsageError
from multirouter.listeners.alarms.alarms import Alarms, Watch
from multirouter.runtime.event_loops.base import Broken, EventLoop

MOST_WAITING = 100
"""Alarms that may wait to be sent to one target; beyond it the oldest is dropped."""

ATTEMPTS = 6
"""How often one alarm is sent before it is given up; with the rests between, some two minutes."""

SENDING = 30.0
"""Seconds that one sending may take."""

FAREWELL = 5.0
"""Seconds that the last alarms get when the router closes."""

_RESTS = RetryPolicy(base=2.0, cap=60.0)


class Outbox(Listener):
    """Carries alarms to one async target, one after the other and in order.

    Args:
        target: awaited with each alarm; what it raises is repeated later, but for UsageError.
        rng: chance, for the rests between.
        broken: told of an alarm that is given up.

    Attributes:
        lost: how many alarms were given up, or dropped because too many waited.
    """

    def __init__(
        self, target: Callable[[AlarmChanged], Awaitable[object]], rng: Random, broken: Broken
    ) -> None:
        self._target = target
        self._rng = rng
        self._broken = broken
        self._waiting: deque[AlarmChanged] = deque()
        self._sending: AlarmChanged | None = None
        self._arrived: anyio.Event | None = None
        self._emptied: anyio.Event | None = None
        self.lost: int = 0

    def __repr__(self) -> str:
        return f"<Outbox to {self._target!r} waiting={len(self._waiting)} lost={self.lost}>"

    @override
    def alarm_changed(self, news: AlarmChanged) -> None:
        if len(self._waiting) == MOST_WAITING:
            self._waiting.popleft()
            self._lose(OverflowError("more alarms than can be sent: the oldest is dropped"))
        self._waiting.append(news)
        if self._arrived is not None:
            self._arrived.set()

    async def run(self) -> None:
        """Sends until cancelled; what is just being sent then is sent again by the next run."""
        while True:
            self._arrived = anyio.Event()
            while self._waiting:
                news = self._sending = self._waiting.popleft()
                try:
                    await self._send(news)
                except BaseException:
                    self._waiting.appendleft(news)
                    raise
                finally:
                    self._sending = None
            if self._emptied is not None:
                self._emptied.set()
            await self._arrived.wait()

    async def empty(self) -> None:
        """Waits until everything is sent; `run` must be under way."""
        if self._waiting or self._sending is not None:
            self._emptied = anyio.Event()
            await self._emptied.wait()

    async def _send(self, news: AlarmChanged) -> None:
        for number in range(1, ATTEMPTS + 1):
            try:
                with anyio.fail_after(SENDING):
                    await self._target(news)
            except Exception as error:  # noqa: BLE001 - whatever the target raises, later ones follow
                if number == ATTEMPTS or isinstance(error, UsageError):
                    self._lose(error)
                    return
            else:
                return
            await anyio.sleep(rest(_RESTS, number, 0.0, self._rng.random()))

    def _lose(self, error: Exception) -> None:
        self.lost += 1
        self._broken(f"alarm to {self._target!r}", error)


class AlarmTask:
    """Looks at a router's alarms from time to time, in background tasks of the router's.

    Args:
        alarms: what is watched, and whom to tell.
        watch: looks at them.
        wire: where their news are told.
        rng: the router's chance.
        broken: told of alarms that could not be sent.
    """

    def __init__(
        self, alarms: Alarms, watch: Watch, dispatcher: EventDispatcher, rng: Random, broken: Broken
    ) -> None:
        self._every = alarms.every
        self._watch = watch
        self._dispatcher = dispatcher
        self._outboxes = tuple(Outbox(target, rng, broken) for target in alarms.awaited)
        for outbox in self._outboxes:
            dispatcher.add(outbox)

    def moved_to(self, loop: EventLoop, by: float) -> None:
        """Goes on in another loop, whose clock is `by` seconds ahead of the old one's."""
        self._watch.shift(by)
        loop.spawn("alarms", self._look, loop)
        for outbox in self._outboxes:
            loop.spawn("alarms out", outbox.run)

    async def farewell(self) -> None:
        """Gives the last alarms a little time; the tasks end with the loop."""
        with anyio.move_on_after(FAREWELL):
            for outbox in self._outboxes:
                await outbox.empty()

    async def _look(self, loop: EventLoop) -> None:
        while True:
            self._watch.judge(loop.time())
            self._dispatcher.deliver()
            await anyio.sleep(self._every)
