"""The window of a provider's health by itself: its edge, its generation, and reads at a time."""

from __future__ import annotations

import pytest

from multirouter.core.change_counter import ChangeCounter
from multirouter.core.health.degraded import HealthWindow
from multirouter.core.settings.policies import HealthPolicy

POLICY = HealthPolicy(window=10.0, minimum_calls=4, min_success_rate=0.7)


def failed(count: int, now: float = 0.0) -> HealthWindow:
    """A window with so many failures."""
    health = HealthWindow(POLICY, ChangeCounter())
    for _ in range(count):
        health.record_failure(now)
    return health


@pytest.mark.parametrize("late", [0.0, 100.0])
def test_a_success_drops_what_is_too_old(late: float) -> None:
    """At the edge of the window already: the failures from before are forgotten."""
    health = failed(4)
    assert health.degraded
    edge = health.changes_at()
    for _ in range(20):
        if health.changes_at() >= 10.0:
            break
        health.refresh(edge, 0)
        edge = health.changes_at()
    health.record_success(edge + late)
    assert (health.calls, health.failures, health.degraded) == (1, 0, False)


def test_a_window_is_cleared_once_for_each_generation() -> None:
    """A circuit that has closed again begins a new window; the same circuit keeps it."""
    health = failed(4)
    health.refresh(0.0, 1)
    assert (health.calls, health.degraded) == (0, False)
    health.record_failure(0.0)
    health.refresh(0.0, 1)
    assert health.failures == 1


def test_reads_at_a_time_change_nothing() -> None:
    """They count what the window would hold then, and nothing for another generation."""
    health = failed(3)
    for _ in range(5):
        health.record_success(0.0)
    assert health.answers_at(0.0) == 5
    assert health.degraded_at(0.0)
    assert health.degraded_at(0.0, 0)
    assert not health.degraded_at(0.0, 1)
    assert (health.answers_at(100.0), health.degraded_at(100.0)) == (0, False)
    assert (health.calls, health.degraded) == (8, True)
