"""Rate-limit headers of any vendor, recognised by their shape.

A name has `ratelimit` (or `rate-limit`) in it, and after that one of the words `limit`, `remaining`
and `reset`: `x-ratelimit-remaining-requests`, `anthropic-ratelimit-input-tokens-reset`. Names that
differ in that word only are one limit. A limit is of tokens if its name says so, else of requests.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from multirouter.core.failures import retry_after
from multirouter.core.limit_report import LimitReport

_MAX_LENGTH = 64
_WORD = re.compile(r"[-_]+")
_ROLES = frozenset({"limit", "remaining", "reset"})


class Reading(NamedTuple):
    """What the headers of one answer say of one limit.

    Attributes:
        name: tells the limits of one provider apart.
        tokens: whether it is a limit of tokens, and not of requests.
        limit: units of the whole limit; None when that was not sent.
        remaining: units that are left; None when that was not sent.
        reset: seconds until it is refilled; None when that was not sent, or has passed.
    """

    name: str
    tokens: bool
    limit: float | None
    remaining: float | None
    reset: float | None


def reports(headers: Mapping[str, str], wall: Callable[[], float]) -> Iterator[LimitReport]:
    """The limits whose rest and refill time the headers tell; see `readings`."""
    for name, tokens, limit, remaining, reset in readings(headers, wall):
        if remaining is not None and reset is not None:
            yield LimitReport(name, tokens, remaining, limit, reset)


def readings(headers: Mapping[str, str], wall: Callable[[], float]) -> list[Reading]:
    """What the headers say of the provider's limits.

    Args:
        headers: the response's headers; names of any case.
        wall: wall-clock time, seconds since 1970; called only for a point in time in a response
            without `Date`.

    Source: OpenAI's `x-ratelimit-*`, Anthropic's `anthropic-ratelimit-*`, and services that took
        over either form.
    """
    found: dict[str, dict[str, str]] = {}
    date = ""
    for key, value in headers.items():
        name = key.lower()
        if name == "date":
            date = value
        elif "rate" in name and len(name) <= _MAX_LENGTH:
            split = _split(name)
            if split is not None:
                found.setdefault(split[0], {})[split[1]] = value
    sent = {"date": date}
    return [
        Reading(
            name,
            any(word.startswith("token") for word in name.split("-")),
            retry_after.plain_number(values.get("limit", "")),
            retry_after.plain_number(values.get("remaining", "")),
            retry_after.refill_time(values.get("reset", ""), sent, wall),
        )
        for name, values in found.items()
    ]


def until_refilled(headers: Mapping[str, str], wall: Callable[[], float]) -> float | None:
    """The time until the rate limit that was hit refills, seconds, or None.

    Of the limits that are used up (nothing remains) the last to refill counts; a limit with
    something left does not. When no header tells what is left, the first to refill counts.

    Args:
        headers: see `readings`.
        wall: see `readings`.
    """
    resets = [reading for reading in readings(headers, wall) if reading.reset is not None]
    used_up = [reading.reset for reading in resets if reading.remaining == 0]
    unknown = [reading.reset for reading in resets if reading.remaining is None]
    found = max(used_up, default=None, key=_seconds)
    return found if found is not None else min(unknown, default=None, key=_seconds)


def _seconds(reset: float | None) -> float:
    return reset or 0.0


def _split(name: str) -> tuple[str, str] | None:
    """The name without its role, and the role; None for a header of another shape."""
    words = _WORD.split(name.replace("rate-limit", "ratelimit").replace("rate_limit", "ratelimit"))
    first = next((place for place, word in enumerate(words) if "ratelimit" in word), None)
    if first is None:
        return None
    for place in range(len(words) - 1, first, -1):
        if words[place] in _ROLES:
            return "-".join((*words[:place], *words[place + 1 :])), words[place]
    return None
