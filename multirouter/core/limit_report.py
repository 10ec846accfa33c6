"""What headers report of one limit of a provider."""

from __future__ import annotations

from typing import NamedTuple


class LimitReport(NamedTuple):
    """One limit of a provider, as the headers of an answer report it.

    Attributes:
        name: tells the provider's limits apart.
        tokens: whether it is a limit of tokens, and not of requests.
        remaining: units that are left, at least 0.
        limit: units of the whole limit; None when that was not sent.
        reset: seconds until it is refilled, at least 0.
    """

    name: str
    tokens: bool
    remaining: float
    limit: float | None
    reset: float
