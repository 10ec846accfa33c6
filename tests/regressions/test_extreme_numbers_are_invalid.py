"""A window of 1e-320 s (division by zero) and 10**400 (overflow) raise at construction."""

from __future__ import annotations

import pytest

from multirouter.core.settings.policies import CircuitPolicy, LimitPolicy
from multirouter.errors import ConfigurationError


@pytest.mark.parametrize("value", [5e-324, 1e-320, 10**400])
def test_extreme_numbers_raise_at_construction(value: float) -> None:
    """Case 42: numbers that arithmetic cannot handle are a ConfigurationError."""
    with pytest.raises(ConfigurationError):
        CircuitPolicy(window=value)
    with pytest.raises(ConfigurationError):
        LimitPolicy(requests_per_minute=value)
