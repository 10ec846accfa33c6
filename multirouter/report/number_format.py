"""Formats figures for people: counts, shares, durations, amounts of money, dates."""

from __future__ import annotations

import math
from datetime import UTC, datetime

NONE = "-"
"""Text of an unknown figure."""


def count(value: float) -> str:
    """A count with thousands separators."""
    return f"{value:,.0f}"


def decimal(value: float | None) -> str:
    """A number with two decimal places."""
    return NONE if value is None else f"{value:.2f}"


def percent(value: float | None) -> str:
    """A share (0 to 1) in percent, rounded down, with more digits close to 100 %."""
    if value is None:
        return NONE
    if value == 1.0:
        return "100 %"
    digits = 1 if 0.01 <= value < 0.995 else 2
    floored = math.floor(value * 100 * 10**digits + 1e-9) / 10**digits
    return f"{floored:.{digits}f} %"


def latency(value: float | None) -> str:
    """A latency in seconds; `math.inf` is "no answer"."""
    if value is None:
        return NONE
    if value == math.inf:
        return "no answer"
    if value < 1.0:
        return f"{value * 1000:.0f} ms"
    return f"{value:.2f} s" if value < 10.0 else f"{value:.1f} s"


def duration(value: float | None) -> str:
    """A duration in seconds, in its two largest units; None is a circuit that is still open."""
    if value is None:
        return "still open"
    whole = round(value)
    if whole < 60:
        return f"{value:.1f} s" if value < 10 else f"{whole} s"
    for size, unit, small, small_unit in _UNITS:
        if whole >= size:
            remainder = whole % size // small
            return f"{whole // size} {unit}" + (f" {remainder} {small_unit}" if remainder else "")
    raise AssertionError("a minute is the smallest unit")


_UNITS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))


def usd(value: float | None, *, sign: bool = False) -> str:
    """An amount of US dollars, with more digits if it is small."""
    if value is None:
        return NONE
    size = abs(value)
    digits = 2 if size >= 1 or not size else min(6, 2 - math.floor(math.log10(size)))
    prefix = "-" if value < 0 else "+" if sign and value else ""
    return f"{prefix}${size:,.{digits}f}"


def tokens(value: int) -> str:
    """A count of tokens, abbreviated."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.1f}{unit}"
    return str(value)


def timestamp(at: float) -> str:
    """A date and time (seconds since 1970) to the minute, UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"


def axis_timestamp(at: float, step: float) -> str:
    """A date, with the time if the axis has intervals shorter than 3 h, UTC.

    Args:
        at: seconds since 1970.
        step: length of an interval, seconds.
    """
    return f"{datetime.fromtimestamp(at, UTC):{'%d %b' if step >= 3 * 3600 else '%d %b %H:%M'}}"


def words(name: str) -> str:
    """A kind or reason as words."""
    return name.replace("_", " ")


def change(now: float | None, before: float | None) -> str:
    """The relative change in percent; "" if it is not defined."""
    if now is None or before is None or not before or math.inf in (now, before):
        return ""
    relative = (now - before) / before
    return "±0 %" if abs(relative) < 0.0005 else f"{relative:+,.1%}".replace("%", " %")
