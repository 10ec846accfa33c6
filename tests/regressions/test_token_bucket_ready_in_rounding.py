"""At the time that a token bucket reports as ready it is ready, in spite of rounding."""

from __future__ import annotations

from random import Random

from multirouter.core.limits.rate_limits import TokenBucket


def test_the_bucket_is_ready_after_ready_in() -> None:
    """Whatever the rate and the loop's clock, `now + ready_in` is late enough."""
    rng = Random(1)
    for _ in range(2000):
        bucket, now = TokenBucket(rng.uniform(1.0, 1e7), 1.0), rng.uniform(1e4, 1e6)
        bucket.acquire(rng.uniform(0.0, 1.5) * bucket.capacity, now)
        units = rng.uniform(0.0, 1.2) * bucket.capacity
        assert bucket.has(units, now + bucket.ready_in(units, now))
