"""A uvloop event loop in virtual time: libuv does I/O only; callbacks and timers run here."""

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


# uvloop's stubs differ from the standard library's in details that are not used here.
class VirtualUvloop(VirtualTime, uvloop.Loop):  # type: ignore[misc]  # pyright: ignore[reportIncompatibleMethodOverride]
    """`VirtualLoop` on uvloop, with the same arguments except `shuffle_seed`.

    libuv calls a pump between two polls, which runs the ready callbacks. If it finds none in two
    consecutive calls, a poll of all sockets between them has brought nothing.
    """

    def __init__(self, *, io_wait: float = 0.001, real_limit: float = 10.0) -> None:
        super().__init__()
        self._init_time(io_wait, real_limit)
        self._own_ready: deque[asyncio.Handle] = deque()
        self._sockets = False
        self._stop_requested = False
        self._deadlock_error: Deadlock | None = None
        self._pump_handle: Any = None
        self._wait_handle: Any = None
        self._quiet = 0

    def call_soon(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Schedules a callback for the next iteration."""
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
        """Schedules a callback at virtual time `when`."""
        handle = super().call_at(when, callback, *args, context=context)
        self._arm()
        return handle

    def run_forever(self) -> None:
        """Runs until `stop()`; raises `Deadlock` if every task waits forever."""
        self._stop_requested = False
        self._arm()
        try:
            super().run_forever()
        finally:
            self._disarm()
        if self._deadlock_error is not None:
            error, self._deadlock_error = self._deadlock_error, None
            raise error

    def stop(self) -> None:
        """Stops after the current iteration."""
        self._stop_requested = True
        super().stop()

    def close(self) -> None:
        """Closes the loop and discards its timers and threads."""
        super().close()
        self._own_ready.clear()
        self._dispose_time()

    def _arm(self) -> None:
        """Schedules the pump after libuv's next poll."""
        self._stop_waiting()
        if self._pump_handle is None:
            self._pump_handle = super().call_soon(self._pump)

    def _disarm(self) -> None:
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
        elif not self._stop_requested:
            self._quiet += 1
            self._idle()

    def _run_ready(self, ready: deque[asyncio.Handle]) -> None:
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()
            del handle  # the traceback of an exception may hold this frame

    def _idle(self) -> None:
        """Nothing is ready: waits for sockets and threads first, then jumps."""
        real = bool(self._sockets or self._real_jobs or self._has_foreign_threads())
        if real and self._quiet == 1:
            self._arm()
        elif self._real_jobs:
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
        """Runs libuv for real seconds; a callback in the meantime arms the pump."""
        self._wait_handle = uvloop.Loop.call_later(self, seconds, then)

    def _wait_for_real(self) -> None:
        awaited = self._real_source(sockets=self._sockets)
        if not awaited:
            self._fail("")
        elif self._real_limit == math.inf:
            self._stop_waiting()
        else:
            self._wait(self._real_limit, lambda: self._fail(awaited))

    def _fail(self, awaited: str) -> None:
        self._deadlock_error = self._deadlock(awaited)
        self.stop()


def _marks_sockets(name: str) -> Callable[..., Any]:
    """Wraps an I/O method to record that sockets are in use; libuv does not expose that."""
    original = getattr(uvloop.Loop, name)

    @functools.wraps(original)
    def method(self: VirtualUvloop, *args: Any, **options: Any) -> Any:
        self._sockets = True
        return original(self, *args, **options)

    return method


def _pauses_clock(name: str) -> Callable[..., Any]:
    """Wraps a coroutine that may resolve names in libuv's threads, to pause the clock."""
    original = getattr(uvloop.Loop, name)

    @functools.wraps(original)
    async def method(self: VirtualUvloop, *args: Any, **options: Any) -> Any:
        self._sockets = True
        with self.paused():
            return await original(self, *args, **options)

    return method


_IO_METHODS = (
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
_NAME_LOOKUP_METHODS = (
    "create_connection",
    "create_datagram_endpoint",
    "create_server",
    "create_unix_connection",
    "create_unix_server",
    "getaddrinfo",
    "getnameinfo",
)
for _name in _IO_METHODS:
    setattr(VirtualUvloop, _name, _marks_sockets(_name))
for _name in _NAME_LOOKUP_METHODS:
    setattr(VirtualUvloop, _name, _pauses_clock(_name))
