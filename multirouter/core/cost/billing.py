"""Billing of one route: usage and cost of its attempts, charged to accounts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from multirouter.core.cost.metering import ProviderPricing, UsageMeter
from multirouter.core.cost.usage import (
    estimated_tokens,
)
from multirouter.model import AttemptRecord, CallOutcome, FailureKind, Usage

if TYPE_CHECKING:
    from multirouter.core.cost.budgets import Account


MAY_BE_BILLED = frozenset(
    {
        FailureKind.SUCCESS,
        FailureKind.INVALID,
        FailureKind.TIMEOUT,
        FailureKind.INTERRUPTED,
        FailureKind.CANCELLED,
    }
)
"""Ends of an attempt at which the model has worked, or may have: without a word of usage they are
estimated. The other failures are refusals or breakdowns, which providers do not bill, unless
content had come before."""


class Billing:
    """The books of one route: reads off what its attempts used, and charges its accounts.

    Args:
        tariffs: the terms of those of its providers that have any, by name.
        accounts: the budgets of the route and of the router, if any.
        first: names and weights of the first tier, which a call asks when all is well.
    """

    __slots__ = ("_accounts", "_first", "_tariffs")

    def __init__(
        self,
        tariffs: Mapping[str, ProviderPricing],
        accounts: Iterable[Account],
        first: Mapping[str, float],
    ) -> None:
        self._tariffs = tariffs
        self._accounts = tuple(accounts)
        self._first = first

    def meter(self, provider: str) -> UsageMeter | None:
        """What counts a stream of this provider; None when nobody asks what it costs."""
        tariff = self._tariffs.get(provider)
        return None if tariff is None else UsageMeter(tariff.read)

    def book(
        self,
        record: AttemptRecord,
        meter: UsageMeter | None,
        value: object,
        request: Any,
        size: int,
    ) -> None:
        """Writes usage and cost into an ended attempt's record, and charges them.

        Copies for comparison (role `shadow`) are priced, and charged to nobody.

        Args:
            record: the attempt.
            meter: what has counted its stream; None for a call.
            value: its answer, if it has one.
            request: what was asked, for an estimate.
            size: the request's tokens when a hook has told them, else 0.
        """
        tariff = self._tariffs.get(record.provider)
        if tariff is None:
            return
        usage = _used(tariff, record, meter, value, request, size)
        if usage is None:
            return
        record.usage = usage
        record.cost = cost = tariff.price.of(usage)
        if record.role == "shadow":
            return
        if tariff.account is not None:
            tariff.account.book(cost)
        for account in self._accounts:
            account.book(cost)

    def settle(self, outcome: CallOutcome[Any]) -> None:
        """Writes into an answered call what it cost above its first choice; see `CallOutcome`."""
        trail = outcome.attempts
        if outcome.result != "success" or not trail:
            return
        if len(trail) == 1 and trail[0].provider in self._first:
            outcome.failover_cost = None if trail[0].usage is None else 0.0
            return
        answers = [record for record in trail if record.ok]
        pieces = sum(record.first_content is not None for record in trail)
        usage = answers[0].usage
        if usage is None or pieces > 1:
            return
        first = min(trail, key=_begun).provider
        asked = {first: 1.0} if first in self._first else self._first
        alone = self._at(asked, usage)
        if alone is not None:
            outcome.failover_cost = outcome.cost - alone

    def _at(self, providers: Mapping[str, float], usage: Usage) -> float | None:
        """What `usage` costs at these providers, by their weights; None without all prices."""
        total = sum(providers.values())
        cost = 0.0
        for name, weight in providers.items():
            tariff = self._tariffs.get(name)
            if tariff is None:
                return None
            cost += tariff.price.of(usage) * (weight / total if total else 1 / len(providers))
        return cost


def _begun(record: AttemptRecord) -> float:
    return record.started


def _used(
    tariff: ProviderPricing,
    record: AttemptRecord,
    meter: UsageMeter | None,
    value: object,
    request: Any,
    size: int,
) -> Usage | None:
    """What an attempt has used; None when it is not billed."""
    if meter is None and value is not None:
        told = tariff.read(value)
        if told is not None:
            return told
    verdict = record.verdict
    billed = verdict.kind in MAY_BE_BILLED or record.first_content is not None
    if not billed or verdict.unsent:
        return None
    if meter is not None:
        return meter.read_off(request, size, complete=verdict.kind is FailureKind.SUCCESS)
    sent = size or estimated_tokens(request)
    return Usage(sent, estimated_tokens(value), estimated=True)
