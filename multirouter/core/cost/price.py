"""What attempts cost: prices, what was used at them, and on whose account it goes.

Who has no price is never asked here. What an attempt has used is, in this order: what its answer
tells, what its stream has told so far, and else an estimate from the text (`Usage.estimated`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

from multirouter.core import validation as check
from multirouter.core.chat import completions as chat
from multirouter.core.cost.usage import (
    CHARACTERS_A_TOKEN,
    ReadUsage,
    Usage,
    checked,
    estimated_tokens,
    usage_of,
)
from multirouter.model import AttemptRecord, CallOutcome, Kind

if TYPE_CHECKING:
    from multirouter.core.cost.budgets import Account
    from multirouter.core.planning.steps import Try
    from multirouter.core.settings.stream_policy import Reader

_MILLION = 1e6

MAY_BE_BILLED = frozenset(
    {Kind.SUCCESS, Kind.INVALID, Kind.TIMEOUT, Kind.INTERRUPTED, Kind.CANCELLED}
)
"""Ends of an attempt at which the model has worked, or may have: without a word of usage they are
estimated. The other failures are refusals or breakdowns, which providers do not bill, unless
content had come before."""


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

Broken = Callable[[Callable[..., Any], Exception], None]
"""Told of a hook of the user's that raised, and of what it raised."""


def guarded(hook: ReadUsage | None, broken: Broken) -> ReadUsage:
    """A user's hook that can harm no call, or the readers that are known when there is none."""
    if hook is None:
        return usage_of

    def read(answer: Any) -> Usage | None:
        try:
            usage = hook(answer)
            return None if usage is None else checked(usage)
        except Exception as error:  # noqa: BLE001 - a hook may break, a call may not
            broken(hook, error)
            return None

    return read


class Tariff:
    """One provider's terms: its price, how its usage is read, and its account.

    Attributes:
        price: what it charges.
        read: reads usage from an answer or a chunk.
        account: its own budgets, or None.
    """

    __slots__ = ("account", "price", "read")

    def __init__(self, price: Price, read: ReadUsage, account: Account | None) -> None:
        self.price: Price = price
        self.read: ReadUsage = read
        self.account: Account | None = account


class Meter:
    """What one stream has used so far.

    Attributes:
        usage: what its chunks have told, or None.
        letters: characters of content that have come.
        whole: whether usage was told at the end of the answer, so that nothing is missing.
    """

    __slots__ = ("_read", "letters", "usage", "whole")

    def __init__(self, read: ReadUsage) -> None:
        self._read = read
        self.usage: Usage | None = None
        self.letters: int = 0
        self.whole: bool = False

    def note(self, chunk: Any, reader: Reader) -> None:
        """Counts a chunk that came."""
        told = self._read(chunk)
        if told is not None:
            self.usage = told if self.usage is None else self.usage.joined(told)
            self.whole = reader.as_chat is not None and chat.is_last(reader.as_chat(chunk))
        with suppress(TypeError, AttributeError):  # of another type than the first: it counts for 0
            self.letters += reader.letters(chunk)

    def read_off(self, request: Any, size: int, *, complete: bool) -> Usage:
        """What was used: as told, or estimated where the stream was cut before it was told."""
        told = self.usage
        if told is not None and (complete or self.whole):
            return told
        output = -(-self.letters // CHARACTERS_A_TOKEN)
        if told is None:
            return Usage(size or estimated_tokens(request), output, estimated=True)
        sent = told.input or size or estimated_tokens(request)
        return told._replace(input=sent, output=max(told.output, output), estimated=True)


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
        tariffs: Mapping[str, Tariff],
        accounts: Iterable[Account],
        first: Mapping[str, float],
    ) -> None:
        self._tariffs = tariffs
        self._accounts = tuple(accounts)
        self._first = first

    def meter(self, provider: str) -> Meter | None:
        """What counts a stream of this provider; None when nobody asks what it costs."""
        tariff = self._tariffs.get(provider)
        return None if tariff is None else Meter(tariff.read)

    def book(
        self, record: AttemptRecord, step: Try, value: object, request: Any, size: int
    ) -> None:
        """Writes usage and cost into an ended attempt's record, and charges them.

        Copies for comparison (role `shadow`) are priced, and charged to nobody.

        Args:
            record: the attempt.
            step: as what it was begun.
            value: its answer, if it has one.
            request: what was asked, for an estimate.
            size: the request's tokens when a hook has told them, else 0.
        """
        tariff = self._tariffs.get(record.provider)
        if tariff is None:
            return
        usage = _used(tariff, record, step, value, request, size)
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
    tariff: Tariff, record: AttemptRecord, step: Try, value: object, request: Any, size: int
) -> Usage | None:
    """What an attempt has used; None when it is not billed."""
    meter = step.meter
    if meter is None and value is not None:
        told = tariff.read(value)
        if told is not None:
            return told
    verdict = record.verdict
    billed = verdict.kind in MAY_BE_BILLED or step.served_at is not None
    if not billed or verdict.unsent:
        return None
    if meter is not None:
        return meter.read_off(request, size, complete=verdict.kind is Kind.SUCCESS)
    sent = size or estimated_tokens(request)
    return Usage(sent, estimated_tokens(value), estimated=True)
