"""Limits under a new policy were a new object: calls of the old one never left it."""

from __future__ import annotations

from multirouter.core.settings.policies import LimitPolicy
from tests.core.kit import calm


def test_a_call_leaves_where_it_entered() -> None:
    """After a change of policy the attempts under way can still end, and room comes back."""
    memory = calm("a").memory
    (before,) = memory.limits("coding", LimitPolicy(in_flight=1))
    before.take(0, 0.0)
    (after,) = memory.limits("coding", LimitPolicy(in_flight=2))
    assert after.refuses(0, 0.0) == ""
    after.take(0, 0.0)
    assert after.refuses(0, 0.0) == "full (2 in flight)"
    before.leave()
    assert after.refuses(0, 0.0) == ""
