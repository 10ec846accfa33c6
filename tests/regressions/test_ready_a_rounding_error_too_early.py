"""A bucket said when it would be ready, and a third of the time was not: the waiter spun."""

from __future__ import annotations

from random import Random

from multirouter.core.limits.rate_limits import TokenBucket


def test_at_the_told_instant_there_is_enough() -> None:
    """Whatever the rate and the loop's clock, `now + ready_in` is late enough."""
    rng = Random(1)
    for _ in range(2000):
        bucket, now = TokenBucket(rng.uniform(1.0, 1e7), 1.0), rng.uniform(1e4, 1e6)
        bucket.take(rng.uniform(0.0, 1.5) * bucket.capacity, now)
        units = rng.uniform(0.0, 1.2) * bucket.capacity
        assert bucket.has(units, now + bucket.ready_in(units, now))
