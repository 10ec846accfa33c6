"""What attempts cost: prices, what was used at them, and on whose account it goes.

Who has no price is never asked here. What an attempt has used is, in this order: what its answer
tells, what its stream has told so far, and else an estimate from the text (`Usage.estimated`).
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from multirouter.core import validation as check
from multirouter.model import Usage

_MILLION = 1e6


@dataclass(frozen=True, slots=True)
class Price:
    """What a provider charges, in US dollars.

    Attributes:
        input: for a million tokens of input, at least 0.
        output: for a million tokens of output, reasoning included, at least 0.
        cached_input: for a million tokens read from the prompt cache; left out, as `input`.
        per_request: for each request that is billed, at least 0.
        cache_write: for a million tokens written into the prompt cache; left out, as `input`.
    """

    input: float
    output: float
    cached_input: float | None = None
    per_request: float = 0.0
    _: KW_ONLY
    cache_write: float | None = None

    def __post_init__(self) -> None:
        for name in ("input", "output", "cached_input", "per_request", "cache_write"):
            value = getattr(self, name)
            if value is not None:
                check.number(f"Price.{name}", value, least=0.0, most=1e9)

    def of(self, usage: Usage) -> float:
        """What `usage` costs as one request, USD."""
        whole, said, read, written, _, _ = usage
        fresh = whole - read - written
        if fresh < 0:
            fresh = whole  # told without what the cache held, as some resellers do
        cost = fresh * self.input + said * self.output
        if read:
            cost += read * (self.input if self.cached_input is None else self.cached_input)
        if written:
            cost += written * (self.input if self.cache_write is None else self.cache_write)
        return cost / _MILLION + self.per_request


FREE = Price(0.0, 0.0)
"""The price of a provider that says how to read its usage, and names none."""
