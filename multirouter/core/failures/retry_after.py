"""Retry-After of a provider, read from headers, body or message.

Nothing is clamped here: a span of ten hours is returned as such, and the policies bound it. A
value that is negative, infinite, not a number or not understood counts as absent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

WallClock = Callable[[], float]
"""Returns wall-clock time, seconds since 1970; called only to convert a date into a span."""

_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,12})?"
_UNIT = r"milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|h|days?|d"
_PIECE = rf"({_NUMBER})\s?({_UNIT})(?![a-z])"
_UNCAPTURED = rf"{_NUMBER}\s?(?:{_UNIT})(?![a-z])"

_BARE_NUMBER = re.compile(_NUMBER)
_PIECES = re.compile(_PIECE)
_DURATION = re.compile(rf"(?:{_UNCAPTURED}\s?)+")
_RETRY_IN = re.compile(rf"(?:retry|try again) (?:in|after) ((?:{_UNCAPTURED}\s?)+)")

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_EPOCH = 1e9
_EPOCH_MS = 1e12
_MAX_LENGTH = 64


def from_headers(headers: Mapping[str, str], wall: WallClock) -> float | None:
    """The wait that Retry-After requests, seconds, or None.

    Milliseconds come before seconds, a number before an HTTP date. A date is measured against the
    response's own `Date`, so that clocks that disagree do no harm.

    Args:
        headers: the response's headers by lower-case name.
        wall: called only for a date in a response without `Date`.

    Source: RFC 9110 section 10.2.3; `retry-after-ms` as Azure OpenAI sends it;
        `grpc-retry-pushback-ms` of gRPC's proposal A6.
    """
    milliseconds = plain_number(
        headers.get("retry-after-ms") or headers.get("grpc-retry-pushback-ms", "")
    )
    if milliseconds is not None:
        return milliseconds / 1000.0
    value = headers.get("retry-after", "")
    seconds = plain_number(value)
    return seconds if seconds is not None else _until(_http_date(value), headers, wall)


def from_body(delays: Iterable[object]) -> float | None:
    """The first delay of a body that can be read, seconds, or None.

    Args:
        delays: raw values: seconds as a number or string, or a duration such as `"34.07s"`.

    Source: google.rpc.RetryInfo's `retryDelay`, a protobuf Duration in JSON.
    """
    for delay in delays:
        wait = span(delay)
        if wait is not None:
            return wait
    return None


def from_text(text: str) -> float | None:
    """The wait in a lower-case message, seconds: "try again in 6m0s", "retry after 20 s"."""
    found = _RETRY_IN.search(text)
    return None if found is None else _duration(found[1])


def span(value: object) -> float | None:
    """A span in seconds from a number, a numeric string or a duration such as `6m0s` or `12ms`."""
    if isinstance(value, str):
        number = plain_number(value)
        return number if number is not None else _duration(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < _EPOCH_MS else None


def plain_number(text: str) -> float | None:
    """A number without a unit; `float` alone would take "nan", "1_0" and "infinity" too."""
    text = text.strip()
    return float(text) if _BARE_NUMBER.fullmatch(text) else None


def _duration(text: str) -> float | None:
    text = text.strip().lower()
    if len(text) > _MAX_LENGTH or _DURATION.fullmatch(text) is None:
        return None
    return math.fsum(float(number) * _scale(unit) for number, unit in _PIECES.findall(text))


def _scale(unit: str) -> float:
    return 0.001 if unit.startswith(("ms", "milli")) else _SECONDS[unit[0]]


def refill_time(value: str, headers: Mapping[str, str], wall: WallClock) -> float | None:
    """A refill time in any of its spellings, as seconds from now; None for one that has passed."""
    number = plain_number(value)
    if number is None:
        wait = _duration(value)
        return wait if wait is not None else _until(_rfc3339(value), headers, wall)
    if number >= _EPOCH_MS:
        return _until(number / 1000.0, headers, wall)
    return _until(number, headers, wall) if number >= _EPOCH else number


def _until(instant: float | None, headers: Mapping[str, str], wall: WallClock) -> float | None:
    if instant is None:
        return None
    sent = _http_date(headers.get("date", ""))
    wait = instant - (wall() if sent is None else sent)
    return wait if wait >= 0 else None


def _http_date(text: str) -> float | None:
    if not text:
        return None
    try:
        return _timestamp(parsedate_to_datetime(text[:_MAX_LENGTH]))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _rfc3339(text: str) -> float | None:
    try:
        return _timestamp(datetime.fromisoformat(text[:_MAX_LENGTH].strip()))
    except (ValueError, OverflowError):
        return None


def _timestamp(moment: datetime) -> float:
    """Seconds since 1970; a time without a zone is UTC, as in HTTP."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
