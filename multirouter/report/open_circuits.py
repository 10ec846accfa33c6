"""Derives trips and open periods from the recorded state changes of circuits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

from multirouter.report.model import OpenPeriod


class CircuitChange(NamedTuple):
    """The columns read of a state change; see `listeners.history.schema.CIRCUITS`."""

    at: float
    run: str
    router: str
    provider: str
    old: str
    new: str
    reason: str


def count_trips(changes: Iterable[CircuitChange], since: float, until: float) -> int:
    """How many times a closed circuit opened in `since <= at < until`."""
    return sum(
        since <= change.at < until and (change.old, change.new) == ("closed", "open")
        for change in changes
    )


def find_open_periods(
    changes: Iterable[CircuitChange],
    since: float,
    until: float,
    display_name: Callable[[str, str], str],
) -> list[OpenPeriod]:
    """The open periods that overlap a period, one for each process that recorded one.

    Args:
        changes: all changes before `until`, by time.
        since: start of the period, seconds since 1970.
        until: end of the period, seconds since 1970.
        display_name: returns a provider's name in the report, from router and provider.
    """
    current: dict[tuple[str, str, str], OpenPeriod] = {}
    found: list[OpenPeriod] = []
    for change in changes:
        key = (change.router, change.provider, change.run)
        if change.new == "closed":
            period = _pop_closed(current, key)
            if period is not None:
                found.append(replace(period, ended=change.at))
        elif key in current:
            reopened = change.new == "open"
            period = current[key]
            current[key] = replace(period, failed_trials=period.failed_trials + reopened)
        elif change.new == "open":
            provider = display_name(change.router, change.provider)
            current[key] = OpenPeriod(provider, change.reason, change.at, None, 0)
    found += current.values()
    overlapping = [p for p in found if p.started < until and (p.ended is None or p.ended > since)]
    return sorted(overlapping, key=lambda period: (period.started, period.provider))


def _pop_closed(
    current: dict[tuple[str, str, str], OpenPeriod], key: tuple[str, str, str]
) -> OpenPeriod | None:
    """Removes the period that a closing ends: the process's own, or one restored from another."""
    if key in current:
        return current.pop(key)
    restored = [other for other in current if other[:2] == key[:2]]
    return current.pop(restored[0]) if restored else None
