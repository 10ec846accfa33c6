"""Number of examples of the properties: few at every run, many with the profile `deep`."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

DEEP = 40
"""Factor on the number of examples with `--hypothesis-profile=deep`."""

NO_TIMEOUT = pytest.mark.timeout(0)
"""For properties that may run long: with the profile `deep`, and to shrink a failing example."""


def property_settings(examples: int, *, steps: int = 50) -> settings:
    """Returns the hypothesis settings of one property.

    Args:
        examples: number of examples at every run.
        steps: number of rules that a state machine applies in one of them.
    """
    deep = settings.get_current_profile_name() == "deep"
    return settings(
        max_examples=examples * (DEEP if deep else 1),
        stateful_step_count=steps * (2 if deep else 1),
        # The speed of generating examples depends on the machine more than on them.
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
