"""Lease of a half-open circuit's trial: how long its permit lasts before it counts as lost."""

from __future__ import annotations

import math

LEASE_MARGIN = 1.0
"""Seconds that a trial's lease outlasts its deadline.

A trial that is cut off is recorded shortly after its deadline. If its lease ended first, the trial
would count as lost, and the circuit of a provider that hangs would not open again.
"""


def lease_for(limit: float, open_duration: float) -> float:
    """The lease of a trial, seconds: its limit plus `LEASE_MARGIN`.

    Args:
        limit: seconds until the trial is cut off: its timeout, or the idle limit of a stream.
        open_duration: the circuit's own, which stands for an infinite limit.
    """
    return (limit if limit < math.inf else open_duration) + LEASE_MARGIN
