"""A task for each open circuit that wakes at its reset time: a bell, not the truth.

The circuit half-opens by itself; the task makes gauges, logs, waiting calls and probes be on
time when there is no traffic to notice it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from multirouter.core.circuit.gate import Gate
from multirouter.core.circuit.states import CircuitState
from multirouter.core.events import CircuitChanged, Configured, Listener
from multirouter.runtime.event_loops.base import Background, EventLoop


class HalfOpenTimers(Listener):
    """Keeps exactly one pending reset for each open circuit.

    Args:
        gate_of: finds a provider's gate, or None when it has left.
        settled: awaited when a circuit has half-opened, with its gate and the loop.
    """

    def __init__(
        self,
        gate_of: Callable[[str], Gate | None],
        settled: Callable[[Gate, EventLoop], Awaitable[None]],
    ) -> None:
        self._gate_of = gate_of
        self._settled = settled
        self._pending: dict[str, Background] = {}
        self._loop: EventLoop | None = None

    def __len__(self) -> int:
        """How many resets are pending."""
        return sum(not task.done for task in self._pending.values())

    def moved_to(self, loop: EventLoop | None, open_gates: tuple[Gate, ...] = ()) -> None:
        """Goes on in another loop, where the tasks of the old one are not; or in none."""
        for task in self._pending.values():
            if loop is None:
                task.cancel()
        self._pending.clear()
        self._loop = loop
        for gate in open_gates:
            self._schedule(gate)

    def circuit_changed(self, news: CircuitChanged) -> None:
        """The reset of an earlier era is cancelled; an opening schedules a new one."""
        pending = self._pending.get(news.provider)
        gate = self._gate_of(news.provider)
        if news.reason != "reset" and pending is not None:
            pending.cancel()
        if gate is not None and (news.new == "open" or news.reason == "released"):
            self._schedule(gate)

    def configured(self, news: Configured) -> None:
        """A provider that leaves takes its reset along."""
        for name in news.removed:
            task = self._pending.pop(name, None)
            if task is not None:
                task.cancel()

    def _schedule(self, gate: Gate) -> None:
        if self._loop is None or gate.hold == "open":
            return
        name = f"reset {gate.name}"
        self._pending[gate.name] = self._loop.spawn(name, self._ring, gate, self._loop)

    async def _ring(self, gate: Gate, loop: EventLoop) -> None:
        generation = gate.circuit.generation
        while (
            gate.circuit.generation == generation
            and gate.circuit.state(loop.time()) is CircuitState.OPEN
        ):
            left = gate.circuit.half_open_at - loop.time()
            await anyio.sleep(left)
        gate.circuit.settle(loop.time())
        await self._settled(gate, loop)
