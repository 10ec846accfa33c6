"""How hard the properties are tried: quickly at every run, long with the profile `deep`."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

DEEP = 40
"""How many times as many examples `--hypothesis-profile=deep` tries."""

PATIENT = pytest.mark.timeout(0)
"""For what may take long: the profile `deep`, and to find the smallest example that fails."""


def effort(examples: int, *, steps: int = 50) -> settings:
    """The settings of one property.

    Args:
        examples: how many are tried at every run.
        steps: how many rules a state machine applies in one of them.
    """
    deep = settings.get_current_profile_name() == "deep"
    return settings(
        max_examples=examples * (DEEP if deep else 1),
        stateful_step_count=steps * (2 if deep else 1),
        # How fast examples are made says more about the machine than about them.
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
