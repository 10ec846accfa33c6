"""Which price applies to the model that answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from multirouter.core.chat.model_names import unversioned
from multirouter.core.cost.price import Price, Prices, PriceSource

MAX_KNOWN = 1_000
"""Names of models for which the price found is kept; more are looked up anew."""


class ModelPrices:
    """Finds the price of the model that answered.

    A model is looked up by the name in the answer, then by that name without its version, then by
    the name that was requested; among names with `*` the longest that matches is used.

    Args:
        prices: see `Prices`.

    Attributes:
        fixed: the price, when it is the same for all models; else None.
    """

    __slots__ = ("_exact", "_found", "_source", "_wild", "fixed")

    def __init__(self, prices: Prices) -> None:
        self.fixed: Price | None = prices if isinstance(prices, Price) else None
        self._source: PriceSource | None = None
        self._exact: dict[str, Price] = {}
        self._wild: list[tuple[str, Price]] = []
        self._found: dict[tuple[str | None, str | None], Price | None] = {}
        if isinstance(prices, Mapping):
            self._exact = {name: price for name, price in prices.items() if "*" not in name}
            wild = [(name, price) for name, price in prices.items() if "*" in name]
            self._wild = sorted(wild, key=lambda entry: -len(entry[0].replace("*", "")))
        elif not isinstance(prices, Price):
            self._source = prices

    def price_of(self, answered: str | None, requested: str | None = None) -> Price | None:
        """Returns the price of a model; None when it is not known.

        Args:
            answered: the model that the answer names, or None.
            requested: the model that was requested, or None.
        """
        if self.fixed is not None:
            return self.fixed
        if self._source is not None:
            found = map(self._source, _names(answered, requested))
            return next((price for price in found if price is not None), None)
        key = (answered, requested)
        if key not in self._found:
            if len(self._found) >= MAX_KNOWN:
                self._found.clear()
            self._found[key] = self._look_up(answered, requested)
        return self._found[key]

    def _look_up(self, answered: str | None, requested: str | None) -> Price | None:
        for name in _names(answered, requested):
            if name in self._exact:
                return self._exact[name]
        for name in filter(None, (answered, requested)):
            for pattern, price in self._wild:
                if fnmatchcase(name, pattern):
                    return price
        return None


def _names(answered: str | None, requested: str | None) -> Iterator[str]:
    """The names under which a price is looked up, without duplicates."""
    names: dict[str, None] = {}
    for name in filter(None, (answered, requested)):
        names |= dict.fromkeys((name, unversioned(name)))
    return iter(names)
