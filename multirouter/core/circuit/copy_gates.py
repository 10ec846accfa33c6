"""Gates of shadow copies: what a provider answers to copies stops further copies, and no call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from multirouter.core.change_counter import ChangeCounter
from multirouter.core.circuit.gate import Gate
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.settings.policies import CircuitPolicy

NEVER = 10**9
"""Consecutive failures that stop copies: how often they fail is what a shadow shall show."""


class CopyGates:
    """A gate for the copies of each provider, beside the provider's own gate.

    It keeps the cooldowns after a copy's 429 or Retry-After, and the openings after bad credentials
    or a used-up quota. Copies must not change what calls may do, but a provider that asks for a
    pause must not get a copy of each call either. Nothing is reported: events are those of calls.

    Args:
        rng: source of the jitter of open durations.
    """

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._silent = EventDispatcher((), _ignore)
        self._gates: dict[str, tuple[Gate, CircuitPolicy, Gate]] = {}

    def of(self, gate: Gate) -> Gate:
        """Returns the gate for copies to the provider whose own gate this is."""
        policy = gate.circuit.policy
        own, applied, copies = self._gates.get(gate.name, (None, None, None))
        if own is gate and applied is policy and copies is not None:
            return copies
        lenient = replace(policy, failures=NEVER, failure_rate=None, slow_after=None)
        if own is gate and copies is not None:
            copies.apply(lenient, None)
        else:
            copies = self._new(gate.name, lenient)
        self._gates = {n: found for n, found in self._gates.items() if not found[0].removed}
        self._gates[gate.name] = gate, policy, copies
        return copies

    def forget_attempts(self) -> None:
        """Counts no copy as in flight."""
        for _, _, copies in self._gates.values():
            copies.forget_attempts()

    def shift(self, by: float) -> None:
        """Moves every instant by `by` seconds, to the clock of another loop."""
        for _, _, copies in self._gates.values():
            copies.shift(by)

    def _new(self, name: str, policy: CircuitPolicy) -> Gate:
        return Gate(
            name,
            policy,
            None,
            router="",
            dispatcher=self._silent,
            revision=ChangeCounter(),
            rng=self._rng,
        )


def _ignore(hook: Callable[..., Any], error: Exception) -> None:
    """No listener of copies can fail: there is none."""
