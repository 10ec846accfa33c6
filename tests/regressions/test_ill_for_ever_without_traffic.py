"""A provider whose last attempt failed an hour ago still cost its failovers a paid attempt."""

from __future__ import annotations

from multirouter.core.settings.policies import CircuitPolicy
from tests.core.gates import Door


def test_old_failures_make_nobody_ill() -> None:
    """What is older than the window is forgotten though no new attempt has come."""
    door = Door(CircuitPolicy(failures=5, window=10))
    door.fail(0.0)
    assert door.gate.ill(1.0)
    assert not door.gate.ill(3600.0)
