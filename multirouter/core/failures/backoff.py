"""When again: spans that grow, exponential backoff with full jitter, Retry-After as its floor."""

from __future__ import annotations

from multirouter.core.settings.policies import CircuitPolicy, RetryPolicy

DEFAULT_JITTER = 0.1
"""Share by which open times are spread, unless the policy says otherwise."""


def grown(base: float, growth: float, cap: float, times: int) -> float:
    """Base * growth**(times - 1), at most max(base, cap); no overflow for any `times`."""
    limit = max(base, cap)
    if growth == 1.0 or base == 0.0:
        return base
    span = base
    for _ in range(times - 1):
        span *= growth
        if span >= limit:
            return limit
    return span


def jitter_of(policy: CircuitPolicy) -> float:
    """The policy's jitter: left out, a fixed open time (`growth=1`) stays fixed."""
    if policy.jitter is not None:
        return policy.jitter
    return 0.0 if policy.growth == 1.0 else DEFAULT_JITTER


def ceiling(policy: RetryPolicy, round_number: int) -> float:
    """The longest rest before round `round_number` (1 = the first repetition), seconds.

    min(cap, base * factor**(round_number - 1)), worked out without overflow for any round.
    """
    return min(policy.cap, grown(policy.base, policy.factor, policy.cap, round_number))


def rest(policy: RetryPolicy, round_number: int, floor: float, draw: float) -> float:
    """How long to rest before a round, seconds.

    Evenly spread over [0, ceiling] by `draw`, a number drawn from [0, 1); over [floor, ceiling]
    when a provider asked for a rest of `floor` seconds, and never under that.

    Source: "full jitter", AWS Architecture Blog, Exponential Backoff And Jitter, 2015.
    """
    return floor + draw * max(0.0, ceiling(policy, round_number) - floor)
