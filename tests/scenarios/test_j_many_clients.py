"""Many clients that one provider rejects together do not come back together."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter, Provider
from multirouter.testing import StatusError, virtual_clock

CLIENTS = 100


def come_backs(headers: dict[str, str]) -> list[float]:
    """When each client's second attempt starts, seconds after all were rejected with a 429."""

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        seen: Counter[int] = Counter()
        times: list[float] = []

        async def client(number: int) -> None:
            async def call(request: str) -> str:
                seen[number] += 1
                if seen[number] <= 4:  # the callers of the client, all of them at once
                    raise StatusError("too many requests", status=429, headers=headers)
                if seen[number] == 5:
                    times.append(loop.time() - began)
                return "answer"

            provider: Provider[Any, Any] = Provider("a", call)
            rng = Random(f"client {number}")
            async with MultiProviderRouter([provider], registry=registry, rng=rng) as router:
                await asyncio.gather(*(router.call("?", wait=60.0) for _ in range(4)))

        registry = CollectorRegistry()
        began = loop.time()
        await asyncio.gather(*map(client, range(CLIENTS)))
        return times

    found: list[float] = virtual_clock.run(main)
    return found


def test_clients_that_guess_come_back_spread() -> None:
    """From 5 to 7.5 s after a 429 without a time: of 100 at most 15 within a tenth of a second."""
    times = come_backs({})
    assert len(times) == CLIENTS
    assert 5.0 <= min(times) < 5.2
    assert 7.3 < max(times) <= 7.5
    assert max(Counter(int(10 * time) for time in times).values()) <= 15


def test_clients_wait_as_long_as_the_provider_says() -> None:
    """Its own time has no jitter: it is neither shorter nor longer."""
    assert come_backs({"Retry-After": "7"}) == [pytest.approx(7.0)] * CLIENTS
