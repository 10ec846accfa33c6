"""Limits of gateway keys: rate, concurrency and budget of each key."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Protocol

from multirouter.core.cost.budgets import Account, as_budgets
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.limits.rate_limits import TokenBucket
from multirouter.gateway.auth.key_protocol import Key
from multirouter.gateway.http.http_error import HTTPError

BURST = 1.0
"""Minutes' worth of a key's rate that may be used at once."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a key may not start a request now.

    Attributes:
        message: the limit that is reached.
        code: the code of the error.
        retry_after: seconds until a request may start; None when unknown.
        retry: False when a retry cannot succeed soon.
    """

    message: str
    code: str = "rate_limit_exceeded"
    retry_after: float | None = None
    retry: bool | None = None

    def error(self) -> HTTPError:
        """The response."""
        return HTTPError(
            429, self.message, code=self.code, retry_after=self.retry_after, retry=self.retry
        )


class Limiter(Protocol):
    """Counts what each key uses: in this process, or over all workers of a gateway."""

    async def acquire(self, key: Key, now: float) -> None:
        """Counts a request that starts.

        Args:
            key: its key.
            now: loop time, seconds.

        Raises:
            HTTPError: 429 with a time to retry, when a limit of the key is reached.
        """
        ...

    def release(self, key: Key, tokens: int, usd: float, now: float) -> None:
        """Counts a request that has ended.

        Args:
            key: its key, as it was acquired.
            tokens: tokens that it used.
            usd: what it cost, USD.
            now: loop time, seconds.
        """
        ...


class KeyLimits:
    """Counts what each key uses in this process; see `Limiter`."""

    def __init__(self) -> None:
        self._usage: dict[str, _KeyUsage] = {}

    async def acquire(self, key: Key, now: float) -> None:
        """See `Limiter`."""
        rejection = self.admit(key, now)
        if rejection is not None:
            raise rejection.error()

    def admit(self, key: Key, now: float) -> Rejection | None:
        """Counts a request that starts, or says why it may not; see `Limiter.acquire`."""
        usage = self._of(key)
        if key.concurrent is not None and usage.concurrent >= key.concurrent:
            return _limit_reached(f"{key.concurrent} concurrent requests", None)
        if usage.account.rejection():
            message = f"the budget of this key is used up: {key.budget}"
            ready = usage.account.ready_in()
            return Rejection(message, "insufficient_quota", ready, retry=False)
        if usage.requests is not None and not usage.requests.has(1, now):
            wait = usage.requests.ready_in(1, now)
            return _limit_reached(f"{key.requests_per_minute:g} requests per minute", wait)
        if usage.tokens is not None and not usage.tokens.has(1, now):
            wait = usage.tokens.ready_in(1, now)
            return _limit_reached(f"{key.tokens_per_minute:g} tokens per minute", wait)
        if usage.requests is not None:
            usage.requests.acquire(1, now)
        usage.concurrent += 1
        return None

    def release(self, key: Key, tokens: int, usd: float, now: float) -> None:
        """See `Limiter`."""
        usage = self._of(key)
        usage.concurrent -= 1
        if usd > 0:
            usage.account.charge(usd)
        if usage.tokens is not None and tokens:
            usage.tokens.acquire(tokens, now)

    def _of(self, key: Key) -> _KeyUsage:
        usage = self._usage.get(key.name)
        if usage is None:
            usage = self._usage[key.name] = _KeyUsage(key.name)
        usage.apply(key)
        return usage


class _KeyUsage:
    """What one key has used."""

    __slots__ = ("_key", "_rates", "account", "concurrent", "requests", "tokens")

    def __init__(self, name: str) -> None:
        dispatcher = EventDispatcher((), _ignore)
        self.account = Account("gateway", f"key {name}", time.time, dispatcher)
        self.concurrent = 0
        self.requests: TokenBucket | None = None
        self.tokens: TokenBucket | None = None
        self._rates: tuple[float | None, float | None] = (None, None)
        self._key: Key | None = None

    def apply(self, key: Key) -> None:
        """Applies the key's limits if a reload has changed them; what was used stays counted."""
        if key is self._key or key == self._key:  # equal ones come from other processes
            return
        self._key = key
        self.account.apply(as_budgets(f"key {key.name!r}", key.budget))
        rates = (key.requests_per_minute, key.tokens_per_minute)
        if rates != self._rates:
            self._rates = rates
            self.requests, self.tokens = (
                _bucket(old, rate)
                for old, rate in zip((self.requests, self.tokens), rates, strict=True)
            )


def _bucket(old: TokenBucket | None, per_minute: float | None) -> TokenBucket | None:
    if per_minute is None or math.isinf(per_minute):
        return None
    if old is None:
        return TokenBucket(per_minute, BURST)
    old.apply(per_minute, BURST)
    return old


def _limit_reached(limit: str, wait: float | None) -> Rejection:
    retry_after = 1.0 if wait is None else max(wait, 0.001)
    return Rejection(f"the limit of this key is reached: {limit}", retry_after=retry_after)


def _ignore(*_: object) -> None:
    """Budget events of a key have no listener: its rejected requests are in the access log."""
