"""Figures in words that people read: shares, spans, sums of money, times of day."""

from __future__ import annotations

import math
from datetime import UTC, datetime

NONE = "-"
"""Stands where there is nothing to tell."""


def number(count: float) -> str:
    """A count with its thousands apart."""
    return f"{count:,.0f}"


def share(value: float | None) -> str:
    """A share in percent; the closer to all, the finer, and never rounded up to all."""
    if value is None:
        return NONE
    if value == 1.0:
        return "100 %"
    digits = 1 if 0.01 <= value < 0.995 else 2
    floored = math.floor(value * 100 * 10**digits + 1e-9) / 10**digits
    return f"{floored:.{digits}f} %"


def seconds(value: float | None) -> str:
    """A latency, or that none came."""
    if value is None:
        return NONE
    if value == math.inf:
        return "no answer"
    if value < 1.0:
        return f"{value * 1000:.0f} ms"
    return f"{value:.2f} s" if value < 10.0 else f"{value:.1f} s"


def span(value: float | None) -> str:
    """A length of time in its two largest units."""
    if value is None:
        return "still open"
    whole = round(value)
    if whole < 60:
        return f"{value:.1f} s" if value < 10 else f"{whole} s"
    for size, unit, small, small_unit in _UNITS:
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size} {unit}" + (f" {rest} {small_unit}" if rest else "")
    raise AssertionError("a minute is the smallest unit")


_UNITS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))


def usd(value: float | None, *, sign: bool = False) -> str:
    """A sum of money, with more digits when it is small."""
    if value is None:
        return NONE
    size = abs(value)
    digits = 2 if size >= 1 or not size else min(6, 2 - math.floor(math.log10(size)))
    before = "-" if value < 0 else "+" if sign and value else ""
    return f"{before}${size:,.{digits}f}"


def tokens(value: int) -> str:
    """A count of tokens, short."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.1f}{unit}"
    return str(value)


def moment(at: float) -> str:
    """A time to the minute, UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"


def short_moment(at: float, step: float) -> str:
    """A time for an axis whose pieces are `step` seconds long, UTC."""
    return f"{datetime.fromtimestamp(at, UTC):{'%d %b' if step >= 3 * 3600 else '%d %b %H:%M'}}"


def words(name: str) -> str:
    """A kind or a reason as words."""
    return name.replace("_", " ")


def change(now: float | None, before: float | None) -> str:
    """By how much something grew or shrank, in percent."""
    if now is None or before is None or not before or math.inf in (now, before):
        return ""
    by = (now - before) / before
    return "±0 %" if abs(by) < 0.0005 else f"{by:+,.1%}".replace("%", " %")
