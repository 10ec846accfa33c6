"""Billing of a chain: each attempt at the prices and accounts of its target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from multirouter.core.cost.billing import Billing
from multirouter.core.cost.metering import ProviderPricing, UsageMeter
from multirouter.model import AttemptRecord


class TargetPricing(ProviderPricing):
    """Pricing of a provider at one target of a chain, where the request names a model of its own.

    Args:
        base: the provider's pricing.
        model: the target's model; "" leaves the request as it is.
        target: position of the target, from 0.

    Attributes:
        target: position of the target, from 0.
    """

    __slots__ = ("_requested", "target")

    def __init__(self, base: ProviderPricing, model: str, target: int) -> None:
        for slot in ProviderPricing.__slots__:
            setattr(self, slot, getattr(base, slot))
        self.plain = False  # so that every attempt is billed, which records its target
        self._requested = model
        self.target: int = target

    def model_of(self, request: Any, *, report: bool = False) -> str | None:
        """See `ProviderPricing.model_of`."""
        if self._requested and isinstance(request, Mapping):
            request = {**request, "model": self._requested}
        return super().model_of(request, report=report)


class ChainBilling(Billing):
    """Bills the attempts of a chain.

    Args:
        billings: the billing of each target's route.
        pricings: the pricings of the first target, by provider.
    """

    __slots__ = ("_billings",)

    def __init__(
        self, billings: Sequence[Billing], pricings: Mapping[str, ProviderPricing]
    ) -> None:
        super().__init__(pricings, (), billings[0].first)
        self._billings = tuple(billings)
        self.has_prices: bool = any(billing.has_prices for billing in billings)

    def charge(
        self,
        record: AttemptRecord,
        pricing: ProviderPricing,
        meter: UsageMeter | None,
        value: object,
        request: Any,
        size: int,
    ) -> None:
        """As `Billing.charge`, to the accounts of the target; records the target."""
        target = pricing.target if isinstance(pricing, TargetPricing) else 0
        record.set_target(target)
        self._billings[target].charge(record, pricing, meter, value, request, size)

    def _is_first_choice(self, record: AttemptRecord) -> bool:
        return not record.target and super()._is_first_choice(record)
