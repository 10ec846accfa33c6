"""Many clients at one provider with a rate limit that none of them knows, in virtual time."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from prometheus_client import CollectorRegistry

from multirouter import LimitPolicy, MultiProviderRouter, Provider, report_headers
from multirouter.testing import StatusError, VirtualLoop

LATENCY = (0.3, 0.9)
"""Seconds of an answer, uniformly random; a 429 takes a tenth."""

WORKERS = 4
"""Callers of each client, which work without a pause."""

BASE, CAP = 0.5, 30.0
"""Backoff of a client without a router: full jitter in [0, min(CAP, BASE * 2**n)] seconds."""

WAIT = 3600.0
"""Longest wait of a call for its provider, seconds."""

MODES = ("backoff", "router", "learned", "learned from headers")


class HiddenBucket:
    """The provider: a token bucket that admits `rate` requests a second.

    Args:
        rate: requests a second.
        burst: requests at once.
        headers: whether its answers have rate-limit headers, of an invented vendor.

    Attributes:
        rejected: number of 429s.
        answered: number of answers.
    """

    def __init__(self, rate: float, burst: float, *, headers: bool) -> None:
        self._rate, self._burst, self._level, self._seen = rate, burst, burst, 0.0
        self._headers = headers
        self.rejected = 0
        self.answered = 0
        self._awaited = math.inf
        self._reached = asyncio.Event()

    async def reached(self, answers: int) -> None:
        """Waits until it has given this many answers."""
        self._awaited = answers
        await self._reached.wait()

    async def call(self, rng: Random) -> str:
        """One request.

        Raises:
            StatusError: 429.
        """
        now = asyncio.get_running_loop().time()
        self._level = min(self._burst, self._level + (now - self._seen) * self._rate)
        self._seen = now
        latency = rng.uniform(*LATENCY)
        if self._level < 1.0:
            self.rejected += 1
            headers = self._state()
            await asyncio.sleep(latency / 10)
            raise StatusError("too many requests", status=429, headers=headers)
        self._level -= 1.0
        headers = self._state()
        await asyncio.sleep(latency)
        report_headers(headers)
        self.answered += 1
        if self.answered >= self._awaited:
            self._reached.set()
        return "answer"

    def _state(self) -> Mapping[str, str]:
        if not self._headers:
            return {}
        return {
            "acme-ratelimit-requests-limit": f"{self._burst:.0f}",
            "acme-ratelimit-requests-remaining": f"{int(self._level)}",
            "acme-ratelimit-requests-reset": f"{(self._burst - self._level) / self._rate:.3f}s",
        }


def simulate(
    mode: str, clients: int, rate: float, calls: int, *, burst: float, seed: int = 1
) -> dict[str, Any]:
    """All clients make `calls` calls each; returns the figures as plain data.

    Args:
        mode: one of `MODES`.
        clients: number of clients, each a router in a process of its own.
        rate: requests a second that the provider admits.
        calls: calls of each client.
        burst: requests that it admits at once.
        seed: of the random numbers.
    """
    began = time.perf_counter()
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        result = runner.run(_run(mode, clients, rate, calls, burst, seed))
    return {"mode": mode, **result, "took": time.perf_counter() - began}


async def _run(
    mode: str, clients: int, rate: float, calls: int, burst: float, seed: int
) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    provider = HiddenBucket(rate, burst, headers=mode.endswith("headers"))
    left, done, half = [calls] * clients, [0.0] * clients, [0] * clients
    registry = CollectorRegistry()
    start = loop.time()
    routers: list[Any] = []

    async def work(number: int, once: Callable[[], Any]) -> None:
        while left[number] > 0:
            left[number] -= 1
            if not await once():
                left[number] += 1
        done[number] = loop.time() - start

    tasks = []
    for number in range(clients):
        rng = Random(f"{seed} {number}")
        if mode == "backoff":
            once = _with_backoff(provider, rng)
        else:
            router = _router(provider, rng, registry, learn=mode.startswith("learned"))
            routers.append(router)
            await router.__aenter__()
            once = _through(router)
        tasks += [loop.create_task(work(number, once)) for _ in range(WORKERS)]
    total = clients * calls
    await provider.reached(total // 2)
    half[:] = [calls - n for n in left]
    await asyncio.gather(*tasks)
    for router in routers:
        await router.aclose(grace=0.0)
    return {
        "clients": clients,
        "rejected": provider.rejected,
        "rejected_per_answer": provider.rejected / total,
        "seconds": max(done),
        "ideal": max(0.0, total - burst) / rate,
        "jain": jain(half),
    }


def jain(values: list[int]) -> float:
    """Jain's index: 1 when all are equal, 1/n when one has all."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


def _with_backoff(provider: HiddenBucket, rng: Random) -> Callable[[], Any]:
    async def once() -> bool:
        limit = BASE
        while True:
            try:
                await provider.call(rng)
            except StatusError:
                await asyncio.sleep(rng.uniform(0.0, limit))
                limit = min(CAP, 2.0 * limit)
            else:
                return True

    return once


def _through(router: Any) -> Callable[[], Any]:
    async def once() -> bool:
        outcome = await router.call_outcome("?", wait=WAIT)
        return outcome.result == "success"

    return once


def _router(
    provider: HiddenBucket, rng: Random, registry: CollectorRegistry, *, learn: bool
) -> MultiProviderRouter[Any, Any, Any]:
    async def call(_: Any) -> str:
        return await provider.call(rng)

    limits = LimitPolicy(learn=True) if learn else None
    logger = logging.getLogger("benchmarks.limits")
    logger.setLevel(logging.CRITICAL)
    return MultiProviderRouter(
        [Provider("acme", call, limits=limits, attempt_timeout=60.0)],
        timeout=WAIT,
        registry=registry,
        rng=rng,
        logger=logger,
    )
