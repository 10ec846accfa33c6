"""Hedges: when an attempt counts as slow, and what share of the retry budget they may use."""

from __future__ import annotations

from multirouter.core.planning.steps import AttemptStep
from multirouter.core.settings.policies import HedgePolicy

HEDGE_BUDGET_SHARE = 0.5
"""Share of the retry budget that hedges may use up, 0 to 1.

An outage makes many calls slow at once. The other half is left for calls whose attempt failed.
"""


def schedule_hedge(step: AttemptStep, policy: HedgePolicy, now: float) -> None:
    """Sets the loop time at which an attempt counts as slow and is hedged.

    Args:
        step: the attempt, of a route with more than one provider.
        policy: the route's hedge policy.
        now: loop time of its start, seconds.
    """
    if policy.after is not None:
        step.hedge_at = now + policy.after
    elif policy.percentile is not None:  # pragma: no branch - one of the two is always set
        latencies = step.member.latency.latencies
        if latencies.samples >= policy.minimum_samples:
            step.hedge_at = now + latencies.percentile(policy.percentile)
