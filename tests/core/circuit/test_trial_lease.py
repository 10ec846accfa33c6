"""The lease of a trial."""

from __future__ import annotations

import math

import pytest

from multirouter.core.circuit.trial_lease import LEASE_MARGIN, lease_for


@pytest.mark.parametrize(
    ("limit", "seconds"), [(0.0, 0.0), (30.0, 30.0), (1e9, 1e9), (math.inf, 60.0)]
)
def test_a_lease_outlasts_the_limit_of_the_trial(limit: float, seconds: float) -> None:
    """By a margin; without a limit it lasts as long as the circuit was open."""
    assert lease_for(limit, 60.0) == seconds + LEASE_MARGIN
