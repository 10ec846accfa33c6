"""Half-open timers: a task for each open circuit that wakes when the circuit half-opens.

A circuit half-opens by itself when its state is read after its open duration. Without traffic
nothing reads it, so these tasks do: gauges, logs, waiting calls and health checks are then on time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from multirouter.core.circuit.gate import Gate
from multirouter.core.circuit.states import CircuitState
from multirouter.core.events import CircuitChanged, Configured, Listener
from multirouter.runtime.event_loops.base import BackgroundTask, EventLoop


class HalfOpenTimers(Listener):
    """Keeps exactly one half-open timer for each open circuit.

    Args:
        find_gate: returns the gate of a provider, or None when the provider was removed.
        on_half_open: awaited when a circuit has half-opened, with its gate and the loop.
    """

    def __init__(
        self,
        find_gate: Callable[[str], Gate | None],
        on_half_open: Callable[[Gate, EventLoop], Awaitable[None]],
    ) -> None:
        self._find_gate = find_gate
        self._on_half_open = on_half_open
        self._pending: dict[str, BackgroundTask] = {}
        self._loop: EventLoop | None = None

    def __len__(self) -> int:
        """How many timers are pending."""
        return sum(not task.done for task in self._pending.values())

    def rebind(self, loop: EventLoop | None, open_gates: tuple[Gate, ...] = ()) -> None:
        """Starts timers for `open_gates` in another loop; None cancels all timers.

        The tasks of the previous loop ended with it.
        """
        for task in self._pending.values():
            if loop is None:
                task.cancel()
        self._pending.clear()
        self._loop = loop
        for gate in open_gates:
            self._schedule(gate)

    def circuit_changed(self, event: CircuitChanged) -> None:
        """Cancels the timer of an earlier generation; an opened circuit gets a new timer."""
        pending = self._pending.get(event.provider)
        gate = self._find_gate(event.provider)
        if event.reason != "timer" and pending is not None:
            pending.cancel()
        if gate is not None and (event.new == "open" or event.reason == "released"):
            self._schedule(gate)

    def configured(self, event: Configured) -> None:
        """Cancels the timers of removed providers."""
        for name in event.removed:
            task = self._pending.pop(name, None)
            if task is not None:
                task.cancel()

    def _schedule(self, gate: Gate) -> None:
        if self._loop is None or gate.hold == "open":
            return
        name = f"half-open timer {gate.name}"
        self._pending[gate.name] = self._loop.spawn(name, self._run, gate, self._loop)

    async def _run(self, gate: Gate, loop: EventLoop) -> None:
        generation = gate.circuit.generation
        while (
            gate.circuit.generation == generation
            and gate.circuit.state(loop.time()) is CircuitState.OPEN
        ):
            left = gate.circuit.half_open_at - loop.time()
            await anyio.sleep(left)
        gate.circuit.settle(loop.time())
        await self._on_half_open(gate, loop)
