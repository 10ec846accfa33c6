"""Edges of limits: single requests, and tokens that an update does not give back."""

from __future__ import annotations

from multirouter.core.limits.rate_limits import Limits
from multirouter.core.settings.policies import LimitPolicy


def test_two_requests_a_minute_are_two() -> None:
    """The last unit of a bucket of requests is one to take."""
    limits = Limits(LimitPolicy(requests_per_minute=2))
    for _ in range(2):
        assert limits.refuses(0, 0.0) == ""
        limits.take(0, 0.0)
    assert limits.refuses(0, 0.0) == "requests_per_minute used up"


def test_used_tokens_stay_used_under_a_new_policy() -> None:
    """An update refills no bucket."""
    policy = LimitPolicy(tokens_per_minute=60, size=len)
    limits = Limits(policy)
    limits.take(60, 0.0)
    limits.adopt(policy)
    assert limits.refuses(1, 0.0) == "tokens_per_minute used up"
