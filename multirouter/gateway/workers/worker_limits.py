"""Limits of client keys in a worker: it asks, and the supervisor counts (`auth/key_limits.py`)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from multirouter.gateway.auth.key_limits import KeyUse, Rejection
from multirouter.gateway.auth.key_protocol import Key
from multirouter.sharing.transport import Demands, Grants


class RequestCounter(Protocol):
    """Counts the requests of each key over all workers."""

    def acquire(self, key: Key) -> asyncio.Future[Rejection | None]:
        """Counts a request that starts; the result says why it must not, if it must not."""
        ...

    def release(self, key: Key, tokens: int, usd: float) -> None:
        """Counts a request that has ended."""

    async def usage(self) -> Mapping[str, KeyUse]:
        """What each key uses."""
        ...

    async def demands(self, interval: float) -> Demands | None:
        """The demands on the limits of keys, when they are due."""
        ...

    def granted(self, grants: Grants, hosts: int) -> None:
        """Applies what the gateway was granted."""


class WorkerLimits:
    """Limits of keys over all workers; see `Limiter`.

    Args:
        counter: counts over all workers.
    """

    def __init__(self, counter: RequestCounter) -> None:
        self._counter = counter

    async def acquire(self, key: Key, now: float) -> None:
        """See `Limiter`; a key without limits costs no question."""
        if not _is_limited(key):
            return
        answer = self._counter.acquire(key)
        try:
            rejection = await asyncio.shield(answer)
        except asyncio.CancelledError:
            answer.add_done_callback(lambda done: self._abandon(key, done))
            raise
        if rejection is not None:
            raise rejection.error()

    def release(self, key: Key, tokens: int, usd: float, now: float) -> None:
        """See `Limiter`."""
        if _is_limited(key):
            self._counter.release(key, tokens, usd)

    async def usage(self) -> Mapping[str, KeyUse]:
        """See `Limiter`."""
        return await self._counter.usage()

    async def report(self, interval: float) -> Demands | None:
        """See `Limiter`."""
        return await self._counter.demands(interval)

    def apply(self, grants: Grants, hosts: int) -> None:
        """See `Limiter`."""
        self._counter.granted(grants, hosts)

    def _abandon(self, key: Key, answer: asyncio.Future[Rejection | None]) -> None:
        """Ends a request whose client went away before the answer."""
        if answer.exception() is None and answer.result() is None:
            self._counter.release(key, 0, 0.0)


def _is_limited(key: Key) -> bool:
    limits = (key.requests_per_minute, key.tokens_per_minute, key.concurrent, key.budget)
    return any(limit is not None for limit in limits)
