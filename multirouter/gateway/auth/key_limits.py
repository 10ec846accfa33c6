"""Limits of gateway keys: rate, concurrency and budget of each key."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypedDict

from multirouter.core.cost.account import Account
from multirouter.gateway.auth.key_protocol import Key
from multirouter.gateway.auth.key_shares import KeyShares
from multirouter.gateway.auth.key_usage import KeyUsage
from multirouter.gateway.http.http_error import HTTPError
from multirouter.sharing.transport import Demands, Grants


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


class KeyUse(TypedDict):
    """What one key uses now.

    Attributes:
        under_way: its requests under way.
        budgets: for each of its budgets `per`, `usd`, `spent` (USD) and `ends_in` (seconds).
    """

    under_way: int
    budgets: list[dict[str, Any]]


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

    async def usage(self) -> Mapping[str, KeyUse]:
        """What each key uses, by name; keys that were not used are left out."""
        ...

    async def report(self, interval: float) -> Demands | None:
        """The demands on the limits of keys; see `ShareHolder`."""
        ...

    def apply(self, grants: Grants, hosts: int) -> None:
        """Applies what this gateway was granted; see `ShareHolder`."""
        ...


class KeyLimits:
    """Counts what each key uses in this process; see `Limiter`.

    Args:
        shares: the shares of this gateway, where several share the limits of keys.

    Attributes:
        shares: see Args.
    """

    def __init__(self, shares: KeyShares | None = None) -> None:
        self.shares: KeyShares | None = shares
        self._usage: dict[str, KeyUsage] = {}

    async def acquire(self, key: Key, now: float) -> None:
        """See `Limiter`."""
        rejection = self.admit(key, now)
        if rejection is not None:
            raise rejection.error()

    def admit(self, key: Key, now: float) -> Rejection | None:
        """Counts a request that starts, or says why it may not; see `Limiter.acquire`."""
        usage = self._of(key, now)
        if self.shares is not None:
            self.shares.use(usage)
        if usage.account.rejection():
            return _budget_used_up(key, usage.account)
        if not usage.limits.admits(1, now):
            reached = usage.limits.reached(1, now)
            part = "the share of this gateway in " if usage.limits.share < 1.0 else ""
            wait = usage.limits.ready_in(1, now)
            if reached == "in_flight":
                return _limit_reached(f"{part}{key.concurrent} concurrent requests", wait)
            if reached == "requests_per_minute":
                return _limit_reached(
                    f"{part}{key.requests_per_minute:g} requests per minute", wait
                )
            return _limit_reached(f"{part}{key.tokens_per_minute:g} tokens per minute", wait)
        usage.limits.acquire(0, now)
        return None

    def release(self, key: Key, tokens: int, usd: float, now: float) -> None:
        """See `Limiter`."""
        usage = self._of(key, now)
        usage.limits.release()
        usage.limits.use_tokens(tokens, now)
        if usd > 0:
            usage.account.charge(usd)

    async def usage(self) -> Mapping[str, KeyUse]:
        """See `Limiter`."""
        return self.read()

    def read(self) -> dict[str, KeyUse]:
        """The same at once."""
        return {
            name: {"under_way": usage.limits.in_flight, "budgets": usage.account.snapshot()}
            for name, usage in self._usage.items()
        }

    async def report(self, interval: float) -> Demands | None:
        """The demands on the limits of keys; see `ShareHolder`."""
        now = asyncio.get_running_loop().time()
        return None if self.shares is None else self.shares.report(interval, now)

    def apply(self, grants: Grants, hosts: int) -> None:
        """Applies what this gateway was granted; see `ShareHolder`."""
        if self.shares is not None:
            self.shares.apply(grants, hosts)

    def _of(self, key: Key, now: float) -> KeyUsage:
        usage = self._usage.get(key.name)
        if usage is None:
            usage = self._usage[key.name] = KeyUsage(key.name)
        usage.apply(key)
        usage.used_at = now
        return usage


def _budget_used_up(key: Key, account: Account) -> Rejection:
    ready = account.ready_in()
    if account.exhausted:
        message = f"the budget of this key is used up: {key.budget}"
        return Rejection(message, "insufficient_quota", ready, retry=False)
    return _limit_reached(f"the share of this gateway in {key.budget}", ready)


def _limit_reached(limit: str, wait: float | None) -> Rejection:
    retry_after = 1.0 if wait is None else max(wait, 0.001)
    return Rejection(f"the limit of this key is reached: {limit}", retry_after=retry_after)
