"""Billing of one route: model, usage and cost of its attempts, charged to accounts.

The usage of an attempt is what its answer reports, else what its stream has reported so far. For
providers with a price or a usage reader it is else an estimate from the text (`Usage.estimated`).
The price is that of the model that answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from multirouter.core.chat.model_names import answered_model, same_model
from multirouter.core.cost.metering import ProviderPricing, UsageMeter
from multirouter.core.cost.usage import estimated_tokens
from multirouter.model import AttemptRecord, CallOutcome, FailureKind, Usage

if TYPE_CHECKING:
    from multirouter.core.cost.account import Account
    from multirouter.core.cost.prompt_caches import CachedPrompt


BILLABLE_KINDS = frozenset(
    {
        FailureKind.SUCCESS,
        FailureKind.INVALID,
        FailureKind.REFUSAL,
        FailureKind.TIMEOUT,
        FailureKind.INTERRUPTED,
        FailureKind.CANCELLED,
    }
)
"""Results at which the model has worked, or may have: without reported usage they are estimated.

Providers do not bill the other failures, unless content arrived before the failure.
"""


class Billing:
    """Finds model, usage and cost of a route's attempts, and charges its accounts.

    Args:
        pricings: the pricing of each of the route's providers, by name.
        accounts: the accounts of the route and of the router, if any.
        first: names and weights of the first choice, which calls use when all is healthy.

    Attributes:
        first: names and weights of the first choice.
        has_prices: whether any of the providers has a price.
    """

    __slots__ = ("_accounts", "_pricings", "first", "has_prices")

    def __init__(
        self,
        pricings: Mapping[str, ProviderPricing],
        accounts: Iterable[Account],
        first: Mapping[str, float],
    ) -> None:
        self._pricings = pricings
        self._accounts = tuple(accounts)
        self.first: Mapping[str, float] = first
        self.has_prices: bool = any(pricing.has_prices for pricing in pricings.values())

    def charge(
        self,
        record: AttemptRecord,
        pricing: ProviderPricing,
        meter: UsageMeter | None,
        value: object,
        request: Any,
        size: int,
    ) -> None:
        """Writes model, usage and cost into the record of an ended attempt; charges the accounts.

        Shadow copies (role `shadow`) are priced, but charged to no account.

        Args:
            record: the attempt.
            pricing: the pricing of its provider.
            meter: the usage meter of its stream; None for a call.
            value: its answer, or None.
            request: the request, for its model and for an estimate.
            size: the request's tokens as counted by a hook, else 0.
        """
        # A call's own attempts have been reported before they began.
        requested = pricing.model_of(request, report=record.role == "shadow")
        answered = answered_model(value) if meter is None else meter.model
        record.model = _recorded_model(requested, answered)
        usage = _usage_of(pricing, record, meter, value, request, size)
        if usage is None:
            return
        record.usage = usage
        price = pricing.price_of(answered, requested)
        if price is None:
            return
        record.priced = True
        record.cost = cost = price.of(usage)
        if record.role == "shadow":
            return
        if pricing.account is not None:
            pricing.account.charge(cost)
        for account in self._accounts:
            account.charge(cost)

    def set_failover_cost(
        self, outcome: CallOutcome[Any], request: Any, prompt: CachedPrompt | None = None
    ) -> None:
        """Sets `failover_cost` of an answered call; see `CallOutcome`.

        Args:
            outcome: how the call ended.
            request: the request, for its model.
            prompt: the prompt of the conversation that was cached when the call began; None when
                none is known. If another provider answered, that cache was lost.
        """
        attempts = outcome.attempts
        if outcome.result != "success" or not attempts:
            return
        cached = None
        if prompt is not None and prompt.provider != outcome.provider:
            cached = prompt.usage.input
        if len(attempts) == 1 and self._is_first_choice(attempts[0]) and cached is None:
            outcome.failover_cost = 0.0 if attempts[0].priced else None
            return
        answers = [record for record in attempts if record.ok]
        partial_answers = sum(record.first_content is not None for record in attempts)
        usage = answers[0].usage
        if usage is None or partial_answers > 1 or not all(_cost_known(a) for a in attempts):
            return
        first = min(attempts, key=_started)
        first_choice = {first.provider: 1.0} if self._is_first_choice(first) else self.first
        cost = self._cost_at(first_choice, usage, request, cached)
        if cost is not None:
            outcome.failover_cost = outcome.cost - cost

    def _is_first_choice(self, record: AttemptRecord) -> bool:
        """Whether an attempt was at one of the first choice."""
        return record.provider in self.first

    def _cost_at(
        self, providers: Mapping[str, float], usage: Usage, request: Any, cached: int | None
    ) -> float | None:
        """Cost of `usage` at these providers, averaged by weight; None without all prices.

        With `cached`, so many of the input tokens would have been read from the cache.
        """
        total = sum(providers.values())
        cost = 0.0
        for name, weight in providers.items():
            pricing = self._pricings[name]
            price = pricing.price_of(None, pricing.model_of(request))
            if price is None:
                return None
            if cached is not None:
                usage = price.prompt_usage(usage.input, usage.output, cached)
            cost += price.of(usage) * (weight / total if total else 1 / len(providers))
        return cost


def _started(record: AttemptRecord) -> float:
    return record.started


def _cost_known(record: AttemptRecord) -> bool:
    """Whether the attempt's cost is known: it has a price, or was not billed."""
    return record.priced or record.usage is None


def _recorded_model(requested: str | None, answered: str | None) -> str | None:
    """The model of a record: that of the answer, under the name that was requested for it.

    Services answer `gpt-5` as `gpt-5-2025-08-07`. Attempts that fail and attempts that succeed
    would otherwise have two models.
    """
    if answered is None or (requested is not None and same_model(requested, answered)):
        return requested
    return answered


def _usage_of(
    pricing: ProviderPricing,
    record: AttemptRecord,
    meter: UsageMeter | None,
    value: object,
    request: Any,
    size: int,
) -> Usage | None:
    """Usage of an attempt; None when it is not billed, or not known."""
    if meter is None and value is not None:
        reported = pricing.read(value)
        if reported is not None:
            return reported
    verdict = record.verdict
    billed = verdict.kind in BILLABLE_KINDS or record.first_content is not None
    if not billed or verdict.unsent:
        return None
    if meter is not None:
        return meter.total(request, size, complete=verdict.kind is FailureKind.SUCCESS)
    if not pricing.estimates:
        return None
    sent = size or estimated_tokens(request)
    return Usage(sent, estimated_tokens(value), estimated=True)
