"""Shares of a limit: how much of it each process of a fleet may use, by its demand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

FIRST_SHARE = 0.1
"""Share that a process uses before it was granted one."""

EVEN = 0.1
"""Part of a limit that is divided evenly, whatever the demand: idle processes can begin."""

LEAST = 0.05
"""Share, divided by the number of processes, that is granted even when the others hold all: until
they have given some back, the sum of all shares may exceed 1 by about this."""

LASTS = 10.0
"""Intervals after which the share of a process that does not report is free again."""


class Grant(NamedTuple):
    """What one process was granted.

    Attributes:
        share: its share of the limit, 0 to 1.
        demand: the demand that it reported, at least 0.
        until: time of the shared state until which it is kept for it, seconds.
    """

    share: float
    demand: float
    until: float


def granted(demand: float, others: Mapping[str, Grant], now: float) -> float:
    """The share of a process that reports a demand; the script of Redis computes the same.

    Args:
        demand: the demand of the process, in any unit that all use, at least 0.
        others: the grants of the other processes, by their ids.
        now: time of the shared state, seconds.
    """
    live = [grant for grant in others.values() if grant.until > now]
    count = len(live) + 1
    total = demand + sum(grant.demand for grant in live)
    by_demand = demand / total if total > 0.0 else 1.0 / count
    wanted = (1.0 - EVEN) * by_demand + EVEN / count
    return max(min(wanted, 1.0 - sum(grant.share for grant in live)), LEAST / count)


class Reserve(NamedTuple):
    """What one process has of a budget.

    Attributes:
        allowance: amount that is reserved for it in the whole period.
        spent: amount that it has spent.
        until: time of the shared state until which the allowance is kept for it, seconds.
    """

    allowance: float
    spent: float
    until: float


def reserved(
    spent: float, usd: float, share: float, others: Mapping[str, Reserve], now: float
) -> tuple[float, float]:
    """The allowance of a process, so that all together stay within the budget.

    The script of Redis computes the same.

    Args:
        spent: amount that it has spent.
        usd: the whole budget.
        share: its share in what is left, 0 to 1.
        others: what the other processes have, by their ids.
        now: time of the shared state, seconds.

    Returns:
        The allowance, at least `spent`, and the amount that the others have spent.
    """
    committed = sum(o.allowance if o.until > now else o.spent for o in others.values())
    theirs = sum(other.spent for other in others.values())
    left = min(share * (usd - theirs - spent), usd - committed - spent)
    return spent + max(0.0, left), theirs
