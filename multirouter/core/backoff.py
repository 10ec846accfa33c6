"""When again: exponential backoff with full jitter, and Retry-After as its floor."""

from __future__ import annotations

from multirouter.core.policies import RetryPolicy


def ceiling(policy: RetryPolicy, round_number: int) -> float:
    """The longest rest before round `round_number` (1 = the first repetition), seconds.

    min(cap, base * factor**(round_number - 1)), worked out without overflow for any round.
    """
    if policy.factor == 1.0 or policy.base == 0.0:
        return min(policy.cap, policy.base)
    rest = policy.base
    for _ in range(round_number - 1):
        rest *= policy.factor
        if rest >= policy.cap:
            return policy.cap
    return min(policy.cap, rest)


def rest(policy: RetryPolicy, round_number: int, floor: float, draw: float) -> float:
    """How long to rest before a round, seconds.

    Evenly spread over [0, ceiling] by `draw`, a number drawn from [0, 1); over [floor, ceiling]
    when a provider asked for a rest of `floor` seconds, and never under that.

    Source: "full jitter", AWS Architecture Blog, Exponential Backoff And Jitter, 2015.
    """
    return floor + draw * max(0.0, ceiling(policy, round_number) - floor)
