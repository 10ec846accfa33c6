"""Percentiles of measured latencies."""

from __future__ import annotations

import math
from collections.abc import Sequence

SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
"""The percentiles in tables of latencies."""


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """The percentiles of `SHARES` by nearest rank: always a latency that was measured.

    Args:
        seconds: at least one latency, in any order.
    """
    ranked = sorted(seconds)
    last = len(ranked)
    return {name: ranked[max(1, math.ceil(share * last)) - 1] for name, share in SHARES.items()}
