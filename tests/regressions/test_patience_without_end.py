"""Six hours of trials that hung doubled the patience to infinity, which no answer ever calmed."""

from __future__ import annotations

from multirouter.core.health.adaptive_timeout import Pace
from multirouter.core.settings.policies import PacePolicy


def test_a_long_outage_is_forgotten() -> None:
    """After 2,000 trials cut off, some thirty answers in time bring the usual limit back."""
    pace = Pace(PacePolicy())
    for i in range(64):
        pace.answered(1.0, 20.0 * i)
    usual = pace.limit
    for _ in range(2000):
        pace.timed_out(usual, trial=True)
    for i in range(64, 96):
        pace.answered(1.0, 20.0 * i)
    assert pace._patience == 1.0
    assert pace.limit < 1.2 * usual
