"""Attempts in flight that all end with a 429 double the cooldown only once."""

from __future__ import annotations

import pytest

from multirouter.core.settings.failure_rules import CircuitEffect
from tests.core.gate_bench import RATE_LIMITED, GateBench


def test_simultaneous_429s_start_one_cooldown() -> None:
    """Fifty attempts that end with 429 at once cause the cooldown of one."""
    bench = GateBench()
    for permit in [bench.acquire(0.0) for _ in range(50)]:
        bench.end(permit, RATE_LIMITED, CircuitEffect.COOLDOWN, 1.0)
    assert bench.gate.cooldown_until == pytest.approx(1.0 + bench.gate.circuit.policy.cooldown)
