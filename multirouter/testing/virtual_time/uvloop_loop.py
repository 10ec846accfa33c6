"""A uvloop whose time is virtual: libuv still does the I/O, the callbacks and timers are ours."""

from __future__ import annotations

import asyncio
import functools
import math
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVarTuple

import uvloop

from multirouter.testing.virtual_time.deadlock import Deadlock
from multirouter.testing.virtual_time.loop_base import VirtualTime

Ts = TypeVarTuple("Ts")


# uvloop's stubs differ from the standard library's in details that nothing here uses.
class VirtualUvloop(VirtualTime, uvloop.Loop):  # type: ignore[misc]  # pyright: ignore[reportIncompatibleMethodOverride]
    """`VirtualLoop` on uvloop, with the same arguments but for `shuffle_seed`.

    A pump, called by libuv between two polls, runs the ready callbacks; when it finds none in
    two calls in a row, one poll of all sockets has lain between and brought nothing.
    """

    def __init__(self, *, io_wait: float = 0.001, real_limit: float = 10.0) -> None:
        super().__init__()
        self._begin(io_wait, real_limit)
        self._own_ready: deque[asyncio.Handle] = deque()
        self._sockets = False
        self._halting = False
        self._failure: Deadlock | None = None
        self._pump_handle: Any = None
        self._wait_handle: Any = None
        self._quiet = 0

    def call_soon(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Calls back in the loop's next turn."""
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        handle = asyncio.Handle(callback, args, self, context)
        self._own_ready.append(handle)
        self._arm()
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Calls back at the virtual instant `when`."""
        handle = super().call_at(when, callback, *args, context=context)
        self._arm()
        return handle

    def run_forever(self) -> None:
        """Runs until `stop()`; raises `Deadlock` when time cannot go on."""
        self._halting = False
        self._arm()
        try:
            super().run_forever()
        finally:
            self._rest()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def stop(self) -> None:
        """Stops after the present turn."""
        self._halting = True
        super().stop()

    def close(self) -> None:
        """Closes the loop and forgets its timers and threads."""
        super().close()
        self._own_ready.clear()
        self._end()

    def _arm(self) -> None:
        """Has libuv call the pump after its next poll."""
        self._stop_waiting()
        if self._pump_handle is None:
            self._pump_handle = super().call_soon(self._pump)

    def _rest(self) -> None:
        self._stop_waiting()
        if self._pump_handle is not None:
            self._pump_handle.cancel()
            self._pump_handle = None

    def _stop_waiting(self) -> None:
        if self._wait_handle is not None:
            self._wait_handle.cancel()
            self._wait_handle = None

    def _pump(self) -> None:
        self._pump_handle = None
        ready = self._own_ready
        self._timers.due(self._now, ready)
        if ready:
            self._quiet = 0
            self._run_ready(ready)
            self._arm()
        elif not self._halting:
            self._quiet += 1
            self._idle()

    def _run_ready(self, ready: deque[asyncio.Handle]) -> None:
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()

    def _idle(self) -> None:
        """Nothing is ready: lets what is real come first, then jumps."""
        real = bool(self._sockets or self._standing or self._foreign_threads())
        if real and self._quiet == 1:
            self._arm()
        elif self._standing:
            self._wait_for_real()
        elif real and self._quiet == 2 and self._io_wait:
            self._wait(self._io_wait, self._arm)
        elif (when := self._timers.next_at()) == math.inf:
            self._wait_for_real()
        else:
            self._quiet = 0
            self._now = when
            self._arm()

    def _wait(self, seconds: float, then: Callable[[], object]) -> None:
        """Leaves the thread to libuv for real seconds; a callback meanwhile arms the pump."""
        self._wait_handle = uvloop.Loop.call_later(self, seconds, then)

    def _wait_for_real(self) -> None:
        awaited = self._awaited(sockets=self._sockets)
        if not awaited:
            self._give_up("")
        elif self._real_limit == math.inf:
            self._stop_waiting()
        else:
            self._wait(self._real_limit, lambda: self._give_up(awaited))

    def _give_up(self, awaited: str) -> None:
        self._failure = self._deadlock(awaited)
        self.stop()


def _noting_sockets(name: str) -> Callable[..., Any]:
    """Wraps a method that does I/O, so that the loop knows of sockets; libuv does not tell."""
    original = getattr(uvloop.Loop, name)

    @functools.wraps(original)
    def method(self: VirtualUvloop, *args: Any, **options: Any) -> Any:
        self._sockets = True
        return original(self, *args, **options)

    return method


def _standing_still(name: str) -> Callable[..., Any]:
    """Wraps a coroutine that may look up names in threads of libuv, which it does not tell."""
    original = getattr(uvloop.Loop, name)

    @functools.wraps(original)
    async def method(self: VirtualUvloop, *args: Any, **options: Any) -> Any:
        self._sockets = True
        with self.stands_still():
            return await original(self, *args, **options)

    return method


_READING_AND_WRITING = (
    "add_reader",
    "add_writer",
    "connect_accepted_socket",
    "connect_read_pipe",
    "connect_write_pipe",
    "sendfile",
    "sock_accept",
    "sock_connect",
    "sock_recv",
    "sock_recv_into",
    "sock_recvfrom",
    "sock_recvfrom_into",
    "sock_sendall",
    "sock_sendto",
    "start_tls",
    "subprocess_exec",
    "subprocess_shell",
)
_OPENING = (
    "create_connection",
    "create_datagram_endpoint",
    "create_server",
    "create_unix_connection",
    "create_unix_server",
    "getaddrinfo",
    "getnameinfo",
)
for _name in _READING_AND_WRITING:
    setattr(VirtualUvloop, _name, _noting_sockets(_name))
for _name in _OPENING:
    setattr(VirtualUvloop, _name, _standing_still(_name))
