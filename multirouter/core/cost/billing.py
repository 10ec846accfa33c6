"""Billing of one route: usage and cost of its attempts, charged to accounts.

Only providers with a price or a usage reader are billed. The usage of an attempt is what its
answer reports, else what its stream has reported so far, else an estimate from the text
(`Usage.estimated`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from multirouter.core.cost.metering import ProviderPricing, UsageMeter
from multirouter.core.cost.usage import estimated_tokens
from multirouter.model import AttemptRecord, CallOutcome, FailureKind, Usage

if TYPE_CHECKING:
    from multirouter.core.cost.budgets import Account


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
    """Computes usage and cost of a route's attempts, and charges its accounts.

    Args:
        pricings: by name, the pricing of each provider that has a price or a usage reader.
        accounts: the accounts of the route and of the router, if any.
        first: names and weights of the first tier, which calls use when all is healthy.
    """

    __slots__ = ("_accounts", "_first", "_pricings")

    def __init__(
        self,
        pricings: Mapping[str, ProviderPricing],
        accounts: Iterable[Account],
        first: Mapping[str, float],
    ) -> None:
        self._pricings = pricings
        self._accounts = tuple(accounts)
        self._first = first

    def meter(self, provider: str) -> UsageMeter | None:
        """A usage meter for one stream of this provider; None when the provider is not billed."""
        pricing = self._pricings.get(provider)
        return None if pricing is None else UsageMeter(pricing.read)

    def charge(
        self,
        record: AttemptRecord,
        meter: UsageMeter | None,
        value: object,
        request: Any,
        size: int,
    ) -> None:
        """Writes usage and cost into the record of an ended attempt, and charges the accounts.

        Shadow copies (role `shadow`) are priced, but charged to no account.

        Args:
            record: the attempt.
            meter: the usage meter of its stream; None for a call.
            value: its answer, or None.
            request: the request, for an estimate.
            size: the request's tokens as counted by a hook, else 0.
        """
        pricing = self._pricings.get(record.provider)
        if pricing is None:
            return
        usage = _usage_of(pricing, record, meter, value, request, size)
        if usage is None:
            return
        record.usage = usage
        record.cost = cost = pricing.price.of(usage)
        if record.role == "shadow":
            return
        if pricing.account is not None:
            pricing.account.charge(cost)
        for account in self._accounts:
            account.charge(cost)

    def set_failover_cost(self, outcome: CallOutcome[Any]) -> None:
        """Sets `failover_cost` of an answered call; see `CallOutcome`."""
        attempts = outcome.attempts
        if outcome.result != "success" or not attempts:
            return
        if len(attempts) == 1 and attempts[0].provider in self._first:
            outcome.failover_cost = None if attempts[0].usage is None else 0.0
            return
        answers = [record for record in attempts if record.ok]
        partial_answers = sum(record.first_content is not None for record in attempts)
        usage = answers[0].usage
        if usage is None or partial_answers > 1:
            return
        first = min(attempts, key=_started).provider
        first_choice = {first: 1.0} if first in self._first else self._first
        cost = self._cost_at(first_choice, usage)
        if cost is not None:
            outcome.failover_cost = outcome.cost - cost

    def _cost_at(self, providers: Mapping[str, float], usage: Usage) -> float | None:
        """Cost of `usage` at these providers, averaged by weight; None without all prices."""
        total = sum(providers.values())
        cost = 0.0
        for name, weight in providers.items():
            pricing = self._pricings.get(name)
            if pricing is None:
                return None
            cost += pricing.price.of(usage) * (weight / total if total else 1 / len(providers))
        return cost


def _started(record: AttemptRecord) -> float:
    return record.started


def _usage_of(
    pricing: ProviderPricing,
    record: AttemptRecord,
    meter: UsageMeter | None,
    value: object,
    request: Any,
    size: int,
) -> Usage | None:
    """Usage of an attempt; None when it is not billed."""
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
    sent = size or estimated_tokens(request)
    return Usage(sent, estimated_tokens(value), estimated=True)
