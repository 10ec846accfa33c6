"""Prices of a configured provider: its own, those of `prices` for its models, published ones."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from multirouter.core.chat.model_names import unversioned
from multirouter.core.cost.model_prices import ModelPrices
from multirouter.core.cost.price import Price, Prices, PriceSource
from multirouter.errors import ConfigurationError
from multirouter.published_prices import known_prices

if TYPE_CHECKING:
    from multirouter.config.document import Document
    from multirouter.config.sections.provider import ProviderSection


class ListedOrKnown:
    """The price of a model in the configuration, else the published one.

    Args:
        listed: the prices in the configuration that one of the provider's models may have.
        url: the provider's base URL, which tells the vendor.
        known: returns the published price.
    """

    def __init__(self, listed: Mapping[str, Price], url: str, known: PriceSource) -> None:
        self._inputs = (listed, url)
        self._listed = ModelPrices(listed)
        self._known = known

    def __call__(self, model: str) -> Price | None:
        """Returns the price of a model, None for an unknown one."""
        return self._listed.price_of(model) or self._known(model)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ListedOrKnown) and self._inputs == other._inputs

    def __hash__(self) -> int:
        return hash(self._inputs[1])  # a mapping has no hash


def prices_of(
    name: str,
    section: ProviderSection,
    models: tuple[str, ...],
    url: str | None,
    document: Document,
) -> Prices | None:
    """The prices of a provider; None when none of its models may have one.

    Args:
        name: the provider's name; prices of `name/model` take precedence over those of `model`.
        section: its settings.
        models: its models, with `*` as a wildcard; none: any.
        url: its base URL, or None.
        document: has the prices of models, and says whether published prices are used.
    """
    if section.price is not None:
        return section.price
    listed = _listed(f"{name}/", models or ("*",), document.prices)
    if document.known_prices and url is not None:
        try:
            return ListedOrKnown(listed, url, known_prices(url=url))
        except ConfigurationError:  # a server without published prices
            pass
    return listed or None


def _listed(
    prefix: str, models: tuple[str, ...], prices: Mapping[str, Price]
) -> Mapping[str, Price]:
    """The prices that one of the models may have."""
    found = {key: price for key, price in prices.items() if _may_be(key, models)}
    for key, price in prices.items():
        model = key.removeprefix(prefix)
        if model != key and _may_be(model, models):
            found[model] = price
    return found


def _may_be(key: str, models: tuple[str, ...]) -> bool:
    """Whether a name, possibly with `*`, may mean one of the models."""
    return any(
        fnmatchcase(key, model) or fnmatchcase(model, key) or unversioned(key) == unversioned(model)
        for model in models
    )
