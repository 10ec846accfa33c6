"""Calls in flight are released from the limits they entered, also after a change of the policy."""

from __future__ import annotations

from multirouter.core.settings.policies import LimitPolicy
from tests.core.kit import calm


def test_a_release_after_a_change_frees_capacity() -> None:
    """After a change of the policy attempts in flight can still end, and free capacity."""
    states = calm("a").states
    (before,) = states.limits("coding", LimitPolicy(in_flight=1))
    before.acquire(0, 0.0)
    (after,) = states.limits("coding", LimitPolicy(in_flight=2))
    assert after.rejection(0, 0.0) == ""
    after.acquire(0, 0.0)
    assert after.rejection(0, 0.0) == "at its limit (2 in flight)"
    before.release()
    assert after.rejection(0, 0.0) == ""
