"""Leases of trials: at half-open one process of the fleet makes the trial, the others wait for it.

A lease is requested in the background shortly before the circuit half-opens. When no answer comes
in time, the circuit half-opens as without a fleet.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from random import Random
from weakref import WeakMethod

from multirouter.core.circuit.breaker import CircuitBreaker
from multirouter.core.circuit.states import CircuitState
from multirouter.runtime.event_loops.base import EventLoop, Timer
from multirouter.sharing.transport import SharingError, Transport

LEASE = 4.0
"""Seconds that a lease lasts unless it is renewed: as long as the trial of a process that was
killed keeps the others waiting."""

LEAD = 0.5
"""Seconds before the half-open time at which the lease is requested."""

RETRY_SPREAD = 0.5
"""Longest random wait, seconds, after the end of another's lease."""


class TrialLeases:
    """Requests, renews and gives back the leases of one router's trials.

    A circuit is named by its subject: the provider's name, or a `model_subject`.

    Args:
        transport: returns the connection; None while there is none.
        find_circuit: returns a circuit; None when it was removed, or a hold decides.
        rng: spreads the requests.
        postpone: called with a subject and the loop time until which its circuit stays open.
    """

    def __init__(
        self,
        transport: Callable[[], Transport | None],
        find_circuit: Callable[[str], CircuitBreaker | None],
        rng: Random,
        postpone: Callable[[str, float], None],
    ) -> None:
        self._transport = transport
        self._find_circuit = find_circuit
        self._rng = rng
        self._postpone = postpone
        self._loop: EventLoop | None = None
        self._timers: dict[str, Timer] = {}
        self._asking: set[str] = set()
        self.held: dict[str, float] = {}

    def rebind(self, loop: EventLoop | None) -> None:
        """Works in this loop from here on; None requests nothing more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._asking.clear()
        self.held.clear()
        self._loop = loop

    def update(self, name: str) -> None:
        """Requests, renews or gives back the lease of a circuit that has changed."""
        self._cancel(name)
        loop, circuit = self._loop, self._find_circuit(name)
        if loop is None:
            return
        now = loop.time()
        state = CircuitState.CLOSED if circuit is None else circuit.state(now)
        if state is CircuitState.HALF_OPEN:
            if name in self.held:
                self._at(now + LEASE / 3, name, loop)
            return
        opens_at = math.inf if circuit is None else circuit.half_open_at
        if name in self.held and not (state is CircuitState.OPEN and opens_at - now <= LEAD):
            del self.held[name]
            self._spawn("release", self._release, name, loop)
        if state is CircuitState.OPEN and opens_at < math.inf:
            self._at(max(now, opens_at - LEAD), name, loop)

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _at(self, when: float, name: str, loop: EventLoop) -> None:
        self._cancel(name)  # one that was set while a lease was requested
        ask = WeakMethod(self._ask)

        def fire() -> None:
            method = ask()
            if method is not None:
                method(name, loop)

        self._timers[name] = loop.call_at(f"trial lease {name}", when, fire)

    def _ask(self, name: str, loop: EventLoop) -> None:
        self._timers.pop(name, None)
        if loop is self._loop and name not in self._asking:
            self._asking.add(name)
            self._spawn("lease", self._acquire, name, loop)

    def _spawn(
        self, what: str, function: Callable[[str], Awaitable[None]], name: str, loop: EventLoop
    ) -> None:
        loop.spawn(f"trial {what} {name}", function, name)

    async def _acquire(self, name: str) -> None:
        loop, transport = self._loop, self._transport()
        try:
            circuit = self._find_circuit(name)
            if loop is None or transport is None or circuit is None:
                return
            now = loop.time()
            trials = circuit.trials.in_flight(now)
            half_open = circuit.state(now) is CircuitState.HALF_OPEN
            if half_open and not trials and now > self.held.get(name, now) + 2 * LEASE:
                return  # no call came for the trial: another process may make it
            try:
                left = await transport.acquire_lease(name, LEASE)
            except SharingError:
                return  # it half-opens as without a fleet
        finally:
            self._asking.discard(name)
        if loop is not self._loop:
            return
        if self._find_circuit(name) is not circuit:  # removed, or held, meanwhile
            if left <= 0.0:
                await self._release(name)
            return
        now, state = loop.time(), circuit.state(loop.time())
        if left <= 0.0:
            self.held.setdefault(name, now)
            if state is CircuitState.OPEN:
                self._at(max(circuit.half_open_at, now), name, loop)  # renews it
            else:
                self.update(name)
        elif state is CircuitState.OPEN:
            wait = min(left, LEASE) + RETRY_SPREAD * self._rng.random() + LEAD
            self._postpone(name, now + wait)
            self.update(name)

    async def _release(self, name: str) -> None:
        transport = self._transport()
        if transport is not None:
            try:
                await transport.release_lease(name)
            except SharingError:
                return  # it ends by itself
