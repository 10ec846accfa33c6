"""Slow answers of the time when a hand held the circuit closed tripped it once released."""

from __future__ import annotations

from multirouter.core.settings.policies import CircuitPolicy
from tests.core.gates import Door


def test_a_release_starts_clean() -> None:
    """Twenty slow answers while held closed, and one after the release: it stays closed."""
    door = Door(CircuitPolicy(slow_after=1.0))
    door.hold("closed")
    for _ in range(20):
        door.gate.release_answered(door.enter(0.0), 0.0, 9.0)
    door.hold(None)
    door.gate.release_answered(door.enter(0.0), 0.0, 9.0)
    assert door.changes == []
