"""Price of a model, and the cost of a usage at it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from multirouter.core import function_checks as hooks
from multirouter.core import validation as check
from multirouter.errors import ConfigurationError
from multirouter.model import Usage

_MILLION = 1e6


@dataclass(frozen=True, slots=True)
class Price:
    """Price of a model in US dollars; every value from 0 to 1e9.

    Attributes:
        input: per million input tokens.
        output: per million output tokens, including reasoning.
        cached_input: per million tokens read from the prompt cache; None means as `input`.
        per_request: per billed request.
        cache_write: per million tokens written into the prompt cache; None means as `input`.
        above: prices of requests with more input tokens than the key, an integer above 0; they
            apply to the whole request; None for none.

    Raises:
        ConfigurationError: a value is out of range.
    """

    input: float
    output: float
    cached_input: float | None = None
    per_request: float = 0.0
    _: KW_ONLY
    cache_write: float | None = None
    above: Mapping[int, Price] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        for name in ("input", "output", "cached_input", "per_request", "cache_write"):
            value = getattr(self, name)
            if value is not None:
                check.number(f"Price.{name}", value, minimum=0.0, maximum=1e9)
        above = {} if self.above is None else self.above
        if not isinstance(above, Mapping):
            raise ConfigurationError(
                "Price.above", f"must be a mapping of tokens to Price, got {self.above!r}"
            )
        for tokens, price in above.items():
            check.count("Price.above", tokens)
            if not isinstance(price, Price):
                raise ConfigurationError(
                    f"Price.above[{tokens}]", f"must be a Price, got {price!r}"
                )
            if price.above:
                raise ConfigurationError(
                    f"Price.above[{tokens}]", "must have no `above` of its own"
                )

    def of(self, usage: Usage) -> float:
        """Cost of one request with this usage, USD."""
        total_input, output, read, written, _, _ = usage
        if self.above:
            exceeded = [tokens for tokens in self.above if total_input > tokens]
            if exceeded:
                return self.above[max(exceeded)].of(usage)
        uncached = total_input - read - written
        if uncached < 0:
            uncached = total_input  # some resellers report the input without the cached tokens
        cost = uncached * self.input + output * self.output
        if read:
            cost += read * (self.input if self.cached_input is None else self.cached_input)
        if written:
            cost += written * (self.input if self.cache_write is None else self.cache_write)
        return cost / _MILLION + self.per_request

    def prompt_usage(self, total: int, output: int, cached: int) -> Usage:
        """Usage of a request with a prompt of which a part is cached.

        What is not cached is written into the cache, if the price has `cache_write`.

        Args:
            total: all input tokens.
            output: output tokens.
            cached: input tokens that are read from the cache, as far as there are so many.
        """
        cached = min(cached, total)
        return Usage(total, output, cached, 0 if self.cache_write is None else total - cached)


PriceSource = Callable[[str], Price | None]
"""Returns the price of a model by its name; None for a model that it does not know."""

Prices = Price | Mapping[str, Price] | PriceSource
"""Prices of one provider: of all its models, by model name (`*` is a wildcard), or a function."""


def checked_prices(what: str, value: Any) -> Prices | None:
    """Returns the value of `price=`.

    Raises:
        ConfigurationError: it is no `Price`, no mapping of model names to prices, and no function.
    """
    if value is None or isinstance(value, Price):
        return value
    if isinstance(value, Mapping):
        if not value:
            raise ConfigurationError(what, "must have the price of at least one model, got {}")
        for name, price in value.items():
            check.name(what, name)
            if not isinstance(price, Price):
                raise ConfigurationError(f"{what}[{name!r}]", f"must be a Price, got {price!r}")
        return dict(value)
    if isinstance(value, type) or not callable(value):
        raise ConfigurationError(
            what,
            f"must be a Price, a mapping of model names to prices, or a function, got {value!r}",
        )
    source: PriceSource = hooks.plain_function(what, value, "model")
    return source
