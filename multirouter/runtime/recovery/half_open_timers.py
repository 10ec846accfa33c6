"""Half-open timers: what happens to circuits that are not closed while no call looks at them.

A circuit half-opens by itself when its state is read after its open duration. Without traffic
nothing reads it, so a timer does: gauges, logs, waiting calls and health checks are then on time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any
from weakref import WeakMethod

from multirouter.core.circuit.gate import Gate
from multirouter.core.events import CircuitChanged, Configured, CooldownStarted, HoldChanged
from multirouter.core.listener import Listener
from multirouter.runtime.event_loops.base import BackgroundTask, EventLoop, Timer
from multirouter.runtime.recovery.health_checks import HealthChecks


class HalfOpenTimers(Listener):
    """Keeps one timer for each circuit that is not closed, as long as it has one to wait for.

    An open circuit half-opens. A half-open one is checked by its provider's `health_check=`, again
    and again until it is not half-open any more; while a hold or a cooldown excludes the provider,
    the checks wait for its end. Events that move these instants move the timer.

    No timer is a task, and none keeps a router alive that was dropped without being closed.

    Args:
        find_gate: returns the gate of a provider, or None when the provider was removed.
        health_checks: runs the health checks.
        on_half_open: called with the loop time when a circuit has half-opened.
    """

    def __init__(
        self,
        find_gate: Callable[[str], Gate | None],
        health_checks: HealthChecks,
        on_half_open: Callable[[float], None],
    ) -> None:
        self._find_gate = find_gate
        self._health_checks = health_checks
        self._on_half_open = on_half_open
        self._loop: EventLoop | None = None
        self._timers: dict[str, Timer] = {}
        self._checks: dict[str, BackgroundTask] = {}

    def __len__(self) -> int:
        """How many timers are pending."""
        return len(self._timers)

    def rebind(self, loop: EventLoop | None, names: tuple[str, ...] = ()) -> None:
        """Sets the timers of these providers in another loop; None cancels all timers.

        The health checks of the previous loop ended with it.
        """
        for name in tuple(self._timers):
            self._cancel(name)
        self._checks.clear()
        self._health_checks.clear()
        self._loop = loop
        for name in names:
            self.update(name)

    def circuit_changed(self, event: CircuitChanged) -> None:
        """Sets the provider's timer to the next change of its circuit."""
        self.update(event.provider)

    def cooldown_started(self, event: CooldownStarted) -> None:
        """Lets a health check wait for the end of the cooldown."""
        self.update(event.provider)

    def hold_changed(self, event: HoldChanged) -> None:
        """Goes on with the health checks when a hold has ended."""
        self.update(event.provider)

    def configured(self, event: Configured) -> None:
        """Ends what belongs to removed providers; updated ones may have another health check."""
        for name in event.removed:
            self._cancel(name)
            if name in self._checks:
                self._checks[name].cancel()
        for name in event.updated:
            self.update(name)

    def update(self, name: str) -> None:
        """Sets the timer of a provider to the next change of its circuit."""
        self._cancel(name)
        loop, gate = self._loop, self._find_gate(name)
        if loop is None or gate is None or name in self._checks:
            return
        due = self._due(gate)
        if due < math.inf:
            fire = WeakMethod(self._fire)
            what = f"half-open timer {name}"
            self._timers[name] = loop.call_at(what, due, lambda: _call(fire, name, loop))

    def _due(self, gate: Gate) -> float:
        """Loop time at which the circuit half-opens or is checked, seconds; infinite for never."""
        if gate.circuit.half_open_at < math.inf:
            return gate.circuit.half_open_at
        if gate.circuit.is_closed or gate.hold is not None:
            return math.inf
        return max(gate.cooldown_until, self._health_checks.due(gate))

    def _fire(self, name: str, loop: EventLoop) -> None:
        self._cancel(name)
        gate, now = self._find_gate(name), loop.time()
        if loop is not self._loop or gate is None:
            return
        if self._due(gate) > now:  # the loop was early
            self.update(name)
        elif gate.circuit.half_open_at < math.inf:
            gate.circuit.settle(now)  # its event sets the next timer
            self._on_half_open(now)
        else:
            ended = WeakMethod(self._check_ended)
            self._checks[name] = loop.spawn(
                f"health check {name}",
                self._health_checks.run,
                gate,
                loop,
                on_end=lambda: _call(ended, name, loop),
            )

    def _check_ended(self, name: str, loop: EventLoop) -> None:
        if loop is self._loop:
            del self._checks[name]
            self.update(name)

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()


def _call(method: WeakMethod[Any], name: str, loop: EventLoop) -> None:
    """Calls a method, unless its object is gone with its router."""
    found = method()
    if found is not None:
        found(name, loop)
