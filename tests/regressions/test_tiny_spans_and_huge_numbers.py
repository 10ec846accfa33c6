"""A window of 1e-320 s divided by zero in its first call, and 10**400 overflowed in the check."""

from __future__ import annotations

import pytest

from multirouter.core.settings.policies import CircuitPolicy, LimitPolicy
from multirouter.errors import ConfigurationError


@pytest.mark.parametrize("value", [5e-324, 1e-320, 10**400])
def test_they_are_refused_where_they_are_made(value: float) -> None:
    """Case 42: what arithmetic cannot carry is a ConfigurationError, at construction."""
    with pytest.raises(ConfigurationError):
        CircuitPolicy(window=value)
    with pytest.raises(ConfigurationError):
        LimitPolicy(requests_per_minute=value)
