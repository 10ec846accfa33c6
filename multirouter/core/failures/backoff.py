"""Growing durations, and the delay before a retry: exponential backoff with full jitter."""

from __future__ import annotations

from multirouter.core.settings.policies import RetryPolicy


def grown_duration(base: float, factor: float, cap: float, count: int) -> float:
    """Returns base * factor**(count - 1), at most max(base, cap); no overflow for any `count`.

    Args:
        base: the first duration, seconds.
        factor: the growth from one to the next, at least 1.
        cap: the longest, seconds; a cap below `base` has no effect.
        count: which one, 1 for the first.
    """
    limit = max(base, cap)
    if factor == 1.0 or base == 0.0:
        return base
    duration = base
    for _ in range(count - 1):
        duration *= factor
        if duration >= limit:
            return limit
    return duration


def backoff_ceiling(policy: RetryPolicy, round_number: int, base: float | None = None) -> float:
    """The longest delay before round `round_number` (1 = the first retry), seconds.

    min(cap, base * factor**(round_number - 1)), computed without overflow for any round. A `base`
    of a provider's own takes the place of the policy's, and may be above its cap.
    """
    first = policy.base if base is None else base
    cap = policy.cap if base is None else max(policy.cap, base)
    return min(cap, grown_duration(first, policy.factor, cap, round_number))


def backoff_delay(
    policy: RetryPolicy,
    round_number: int,
    floor: float,
    fraction: float,
    base: float | None = None,
) -> float:
    """The delay before a round, seconds: uniform between `floor` and the ceiling, by `fraction`.

    Args:
        policy: base, factor and cap of the backoff.
        round_number: 1 for the first retry.
        floor: the shortest delay, seconds: the Retry-After of a provider, else 0. A floor above
            the ceiling is the delay.
        fraction: a random number in [0, 1).
        base: the first delay of a provider's own, seconds; None for the policy's.

    Source: "full jitter", AWS Architecture Blog, Exponential Backoff And Jitter, 2015.
    """
    return floor + fraction * max(0.0, backoff_ceiling(policy, round_number, base) - floor)
