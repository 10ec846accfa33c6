"""Where a router lives: the loop it is in, the move to another one, and what time it is there.

Loop time is not portable: trio's begins anywhere, a virtual loop's at 0. A router that meets a
new loop shifts every instant it has stored, so that what is left of an open circuit stays.
"""

from __future__ import annotations

import time
from typing import Protocol

import anyio

from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.failures.classify import Classifier
from multirouter.core.limits.rate_limits import RetryBudget
from multirouter.core.registry.provider_state import ProviderStates
from multirouter.errors import UsageError
from multirouter.runtime.attempt import Asker
from multirouter.runtime.event_loops.base import Broken, EventLoop
from multirouter.runtime.event_loops.running_loop import running_loop
from multirouter.runtime.half_open_timers import HalfOpenTimers
from multirouter.runtime.trials import BackgroundAttempts


class Attendant(Protocol):
    """Who works for a router in background tasks of the loop it lives in."""

    def moved_to(self, loop: EventLoop, by: float) -> None:
        """Goes on in another loop, whose clock is `by` seconds ahead of the old one's."""
        ...

    async def farewell(self) -> None:
        """Ends in good order, within seconds; what it has spawned is cancelled afterwards."""
        ...


class LoopBinding:
    """The one loop a router lives in at a time.

    Attributes:
        attendants: who moves along with the router.
        asker: what awaits providers in that loop, or None before the first call.
        calls: calls in flight.
        last_seen: the newest loop time that a call has seen.
        closed: whether the router was closed.
    """

    __slots__ = (
        "_anchor",
        "_background",
        "_broken",
        "_budget",
        "_classifier",
        "_dispatcher",
        "_idle",
        "_memory",
        "_opened",
        "_resets",
        "asker",
        "attendants",
        "calls",
        "closed",
        "last_seen",
    )

    def __init__(
        self,
        memory: ProviderStates,
        budget: RetryBudget,
        resets: HalfOpenTimers,
        background: BackgroundAttempts,
        classifier: Classifier,
        dispatcher: EventDispatcher,
        broken: Broken,
    ) -> None:
        self._memory = memory
        self._budget = budget
        self._resets = resets
        self._background = background
        self._classifier = classifier
        self._dispatcher = dispatcher
        self._broken = broken
        self._opened = False
        self._idle: anyio.Event | None = None
        self._anchor = (0.0, time.monotonic())
        self.attendants: list[Attendant] = []
        self.asker: Asker | None = None
        self.calls: int = 0
        self.last_seen: float = 0.0
        self.closed: bool = False

    def settle_in(self) -> Asker:
        """What awaits providers in the loop of the caller; moves there when it is a new one.

        Raises:
            UsageError: when the router is closed, when the loop it lives in still runs elsewhere,
                outside of any loop, or on trio without `async with router:`.
        """
        self._refuse_elsewhere()
        asker = self.asker
        if asker is not None and asker.loop.current():
            return asker
        loop = running_loop(self._broken)
        if loop.name == "trio":
            raise UsageError("on trio, open the router with `async with router:` before its calls")
        return self._move(loop)

    async def open(self) -> None:
        """Enters the running loop for the time of an `async with`.

        Raises:
            UsageError: when the router is closed, open already, or in another running loop.
        """
        self._refuse_elsewhere()
        if self._opened:
            raise UsageError("the router is open already: enter `async with router:` once")
        loop = running_loop(self._broken)
        if loop.name == "trio" or self.asker is None or not self.asker.loop.current():
            self._move(await loop.__aenter__())
        self._opened = True

    async def close(self, grace: float) -> None:
        """Refuses new calls, gives those in flight `grace` seconds, ends the background tasks."""
        self.closed = True
        asker = self.asker
        if asker is None or not asker.loop.current():
            return
        try:
            if self.calls:
                self._idle = anyio.Event()
                with anyio.move_on_after(grace):
                    await self._idle.wait()
        finally:
            await self._end_tasks(asker.loop)

    async def leave(self) -> None:
        """Ends what `open` began: on trio the nursery, which only its own block may leave."""
        if self._opened and self.asker is not None:
            self._opened = False
            await self.asker.loop.__aexit__(None, None, None)

    def call_ended(self) -> None:
        """Notes that a call is no longer in flight."""
        self.calls -= 1
        if self._idle is not None and not self.calls:
            self._idle.set()

    def now(self) -> float:
        """Loop time, from any thread, in a loop or not; estimated when the loop is gone."""
        asker = self.asker
        if asker is not None and asker.loop.current():
            return asker.loop.time()
        loop_time, monotonic = self._anchor
        return max(self.last_seen, loop_time + time.monotonic() - monotonic)

    def _refuse_elsewhere(self) -> None:
        """Refuses a router that is closed, or that lives in another loop which still runs."""
        if self.closed:
            raise UsageError("the router is closed")
        loop = None if self.asker is None else self.asker.loop
        if loop is not None and not loop.current() and loop.alive():
            raise UsageError(
                "the router lives in another event loop, which still runs: "
                "use one router a loop, or one after the other"
            )

    async def _end_tasks(self, loop: EventLoop) -> None:
        self._resets.moved_to(None)
        try:
            for attendant in self.attendants:
                await attendant.farewell()
        finally:
            with anyio.CancelScope(shield=True):
                await loop.close()
            self._background.abandon()

    def _move(self, loop: EventLoop) -> Asker:
        by = loop.time() - self.now()
        if self.asker is not None:
            self._background.abandon()
        self._memory.shift(by)
        self._budget.shift(by)
        self._anchor = (loop.time(), time.monotonic())
        self.last_seen = loop.time()
        self.asker = Asker(loop, self._classifier, self._dispatcher)
        gates = self._memory.gates.values()
        not_closed = [gate for gate in gates if not gate.circuit.is_closed]
        self._resets.moved_to(loop, tuple(not_closed))
        for attendant in self.attendants:
            attendant.moved_to(loop, by)
        return self.asker
