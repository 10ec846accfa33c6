"""Attempts under way that all met a 429 doubled the rest fifty times over: ten minutes for one."""

from __future__ import annotations

import pytest

from multirouter.core.settings.failure_rules import CircuitEffect
from tests.core.gates import TOO_MANY, Door


def test_a_burst_of_429s_is_one_step_of_the_doubling() -> None:
    """Fifty attempts refused at once rest the provider as long as one does."""
    door = Door()
    for permit in [door.enter(0.0) for _ in range(50)]:
        door.end(permit, TOO_MANY, CircuitEffect.COOL, 1.0)
    assert door.gate.cooldown_until == pytest.approx(1.0 + door.gate.circuit.policy.cooldown)
