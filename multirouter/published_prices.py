"""Published prices of models, from the table that the package genai-prices maintains."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from multirouter.core.cost.model_prices import MAX_KNOWN
from multirouter.core.cost.price import Price, PriceSource
from multirouter.errors import ConfigurationError

REFRESH = 3_600.0
"""Seconds for which a price is kept: some change on a date, or with the time of day."""


def known_prices(
    vendor: str | None = None, *, url: str | None = None, wall: Callable[[], float] = time.time
) -> PriceSource:
    """Returns a `price=` with the published prices of a vendor's models.

    The table is loaded at once, in about a second, so call it before the router serves. It does not
    change while the process runs, unless `genai_prices.UpdatePrices` fetches newer ones. Published
    prices may be out of date, and know no discount.

    Args:
        vendor: the vendor in genai-prices: `openai`, `anthropic`, `google`, `openrouter`, ...
        url: the base URL instead, which tells the vendor.
        wall: the wall clock, seconds since 1970.

    Returns:
        A function that returns the price of a model, None for an unknown one.

    Raises:
        ConfigurationError: neither or both are given, the vendor is unknown, or the extra `prices`
            is not installed.
    """
    if (vendor is None) is (url is None):
        raise ConfigurationError("known_prices", "requires a vendor or a url, and not both")
    try:
        from genai_prices import data_snapshot
    except ImportError:
        raise ConfigurationError(
            "known_prices", "requires genai-prices: install multirouter[prices]"
        ) from None
    try:
        data_snapshot.get_snapshot().find_provider(None, vendor, url)
    except LookupError:
        raise ConfigurationError("known_prices", f"unknown vendor {vendor or url!r}") from None
    return _KnownPrices(vendor, url, wall)


def published_price(model: str) -> Price | None:
    """Returns the published price of a model of any vendor, USD per million tokens.

    None when it is not known, or when the extra `prices` is not installed.
    """
    try:
        from genai_prices import data_snapshot
    except ImportError:
        return None
    for provider in data_snapshot.get_snapshot().providers:
        price = known_prices(provider.id)(model)
        if price is not None:
            return price
    return None


class _KnownPrices:
    """The published prices of one vendor."""

    def __init__(self, vendor: str | None, url: str | None, wall: Callable[[], float]) -> None:
        self._vendor = vendor
        self._url = url
        self._wall = wall
        self._kept: dict[str, tuple[float, Price | None]] = {}

    def __call__(self, model: str) -> Price | None:
        """Returns the price of a model, None for an unknown one."""
        now = self._wall()
        until, price = self._kept.get(model, (0.0, None))
        if not now < until:
            price = self._look_up(model)
            if len(self._kept) >= MAX_KNOWN:
                self._kept.clear()
            self._kept[model] = (now + REFRESH, price)
        return price

    def _look_up(self, model: str) -> Price | None:
        from genai_prices import Usage, calc_price

        usage = Usage(input_tokens=1, output_tokens=1)
        try:
            if self._vendor is not None:
                found = calc_price(usage, model, provider_id=self._vendor)
            else:
                found = calc_price(usage, model, provider_api_url=self._url)
        except LookupError:
            return None
        return price_from(found.model_price)

    def __repr__(self) -> str:
        return f"<known prices of {self._vendor or self._url}>"


def price_from(published: Any) -> Price | None:
    """The price for a `ModelPrice` of genai-prices; None when tokens have no price there."""
    if getattr(published, "input_mtok", None) is None:
        return None
    fields = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "requests_kcount")
    values = [getattr(published, field, None) for field in fields]
    starts = {tier.start for value in values for tier in getattr(value, "tiers", ())}
    base = _price(*(getattr(value, "base", value) for value in values))
    above = {start: _price(*(_value_above(value, start) for value in values)) for start in starts}
    return Price(
        base.input,
        base.output,
        base.cached_input,
        base.per_request,
        cache_write=base.cache_write,
        above=above or None,
    )


def _price(sent: Any, received: Any, read: Any, written: Any, per_thousand: Any) -> Price:
    return Price(
        float(sent),
        0.0 if received is None else float(received),
        None if read is None else float(read),
        0.0 if per_thousand is None else float(per_thousand) / 1000.0,
        cache_write=None if written is None else float(written),
    )


def _value_above(value: Any, start: int) -> Any:
    """The value of the tier that applies above `start` input tokens."""
    tiers = [tier for tier in getattr(value, "tiers", ()) if tier.start <= start]
    return max(tiers, key=lambda tier: tier.start).price if tiers else getattr(value, "base", value)
