"""Binds a router to one event loop at a time, and moves it to another one.

Loop time differs between loops: trio's starts at an arbitrary value, a virtual loop's at 0. A
router that moves to another loop shifts every stored instant, so that remaining durations, such as
that of an open circuit, stay.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Protocol

import anyio

from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.failures.classify import Classifier
from multirouter.core.limits.retry_budget import RetryBudget
from multirouter.core.registry.provider_state import ProviderStates
from multirouter.errors import UsageError
from multirouter.runtime.attempt import CallAttempter
from multirouter.runtime.event_loops.base import ErrorHandler, EventLoop
from multirouter.runtime.event_loops.running_loop import running_loop
from multirouter.runtime.event_loops.stalls import Stall
from multirouter.runtime.provider_closing import ProviderClosing
from multirouter.runtime.recovery.half_open_timers import HalfOpenTimers
from multirouter.runtime.recovery.trials import BackgroundAttempts


class LoopService(Protocol):
    """A part of a router with background tasks in the router's loop."""

    def rebind(self, loop: EventLoop, by: float) -> None:
        """Starts its tasks in `loop`, whose clock is `by` seconds ahead of the previous loop's."""
        ...

    async def shutdown(self) -> None:
        """Finishes its work within seconds; its tasks are cancelled afterwards."""
        ...


class Member(LoopService, Protocol):
    """The router's part in a fleet."""

    def check_loop(self) -> None:
        """Raises UsageError in a loop that it cannot work in."""
        ...

    async def opened(self) -> None:
        """Waits for what the router should know before it serves, for seconds at most."""
        ...


class LoopBinding:
    """The event loop that a router is bound to.

    Attributes:
        services: parts of the router with background tasks, started anew in each loop.
        attempter: awaits providers in that loop; None before the first call.
        last_seen: the newest loop time that a call has read, seconds.
        closed: whether the router was closed.
    """

    __slots__ = (
        "_anchor",
        "_background",
        "_budget",
        "_classifier",
        "_dispatcher",
        "_half_open_timers",
        "_member",
        "_on_error",
        "_on_lost",
        "_on_stall",
        "_opened",
        "_process",
        "_provider_closing",
        "_states",
        "attempter",
        "closed",
        "last_seen",
        "services",
    )

    def __init__(
        self,
        states: ProviderStates,
        budget: RetryBudget,
        half_open_timers: HalfOpenTimers,
        background: BackgroundAttempts,
        provider_closing: ProviderClosing,
        classifier: Classifier,
        dispatcher: EventDispatcher,
        on_error: ErrorHandler,
        on_stall: Callable[[Stall], None],
        on_lost: Callable[..., None],
    ) -> None:
        self._states = states
        self._budget = budget
        self._half_open_timers = half_open_timers
        self._background = background
        self._provider_closing = provider_closing
        self._classifier = classifier
        self._dispatcher = dispatcher
        self._on_error = on_error
        self._on_stall = on_stall
        self._on_lost = on_lost
        self._process = os.getpid()
        self._opened = False
        self._member: Member | None = None
        self._anchor = (0.0, time.monotonic())
        self.services: list[LoopService] = [provider_closing]
        self.attempter: CallAttempter | None = None
        self.last_seen: float = 0.0
        self.closed: bool = False

    def join(self, member: Member) -> None:
        """Takes part in a fleet in each loop from here on."""
        self._member = member
        self.services.append(member)

    def bind(self) -> CallAttempter:
        """The attempter for the caller's loop; moves the router there when it is another one.

        Raises:
            UsageError: when the router is closed, when its loop still runs elsewhere, outside of
                any loop, or on trio without `async with router:`.
        """
        self._check_usable()
        attempter = self.attempter
        if attempter is not None and attempter.loop.is_current():
            return attempter
        loop = running_loop(self._on_error)
        if loop.name == "trio":
            raise UsageError("on trio, open the router with `async with router:` before its calls")
        return self._rebind(loop)

    async def open(self) -> None:
        """Binds the router to the running loop for the duration of an `async with`.

        Raises:
            UsageError: when the router is closed, already open, or bound to another running loop.
        """
        self._check_usable()
        if self._member is not None:
            self._member.check_loop()
        if self._opened:
            raise UsageError("the router is already open: enter `async with router:` only once")
        loop = running_loop(self._on_error)
        if loop.name == "trio" or self.attempter is None or not self.attempter.loop.is_current():
            self._rebind(await loop.__aenter__())
        self._opened = True
        if self._member is not None:
            await self._member.opened()

    async def close(self, grace: float) -> None:
        """Rejects new calls, waits `grace` seconds for calls in flight, ends background tasks."""
        self.closed = True
        attempter = self.attempter
        if attempter is None or not attempter.loop.is_current():
            return
        try:
            await self._provider_closing.wait_for_calls(attempter.loop, grace)
        finally:
            await self._end_tasks(attempter.loop)

    async def exit(self) -> None:
        """Ends what `open` began; on trio a nursery, which only its own block may exit."""
        if self._opened and self.attempter is not None:
            self._opened = False
            await self.attempter.loop.__aexit__(None, None, None)

    def now(self) -> float:
        """Loop time, seconds, from any thread; estimated outside of the router's loop."""
        attempter = self.attempter
        if attempter is not None and attempter.loop.is_current():
            return attempter.loop.time()
        loop_time, monotonic = self._anchor
        return max(self.last_seen, loop_time + time.monotonic() - monotonic)

    def run(self, function: Callable[[], object]) -> None:
        """Runs a function soon in the loop's thread; at once when no loop is running."""
        loop = None if self.attempter is None else self.attempter.loop
        if loop is None or loop.is_current() or not loop.is_running():
            function()
        else:
            loop.call_soon(function)

    def check_change(self, method: str) -> None:
        """Raises UsageError when the router is closed, or its loop runs and is not the caller's.

        A change from another thread would interfere with calls that are being decided, and would
        wake no call that waits for it.

        Args:
            method: the method of the router that makes the change, for the error.
        """
        if self.closed:
            raise UsageError(f"{method}(): the router is closed")
        loop = None if self.attempter is None else self.attempter.loop
        if loop is not None and not loop.is_current() and loop.is_running():
            raise UsageError(
                f"{method}() must be called in the thread of the router's event loop: from another "
                f"thread, use loop.call_soon_threadsafe(router.{method}, ...)"
            )

    def _check_usable(self) -> None:
        """Raises UsageError when the router is closed, or its loop still runs elsewhere."""
        if self.closed:
            raise UsageError("the router is closed")
        if os.getpid() != self._process:  # forked: the calls in flight are those of the parent
            self._process = os.getpid()
            self._opened = False
            self._on_lost(forked=True)
        loop = None if self.attempter is None else self.attempter.loop
        if loop is not None and not loop.is_current() and loop.is_running():
            raise UsageError(
                "the router is bound to another event loop, which is still running: "
                "use one router per loop, or one loop after the other"
            )

    async def _end_tasks(self, loop: EventLoop) -> None:
        self._half_open_timers.rebind(None)
        try:
            for attendant in self.services:
                await attendant.shutdown()
        finally:
            with anyio.CancelScope(shield=True):
                await loop.close()
            self._background.abandon()

    def _rebind(self, loop: EventLoop) -> CallAttempter:
        by = loop.time() - self.now()
        if self.attempter is not None:
            self._background.abandon()
            if self.attempter.loop.is_closed():
                self._on_lost(forked=False)
        self._states.shift(by)
        self._budget.shift(by)
        self._anchor = (loop.time(), time.monotonic())
        self.last_seen = loop.time()
        loop.stalls.report_to(self._on_stall)
        self.attempter = CallAttempter(loop, self._classifier, self._dispatcher)
        gates = self._states.gates.values()
        not_closed = [gate.name for gate in gates if not gate.circuit.is_closed]
        self._half_open_timers.rebind(loop, tuple(not_closed))
        for attendant in self.services:
            attendant.rebind(loop, by)
        return self.attempter
