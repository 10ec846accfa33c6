"""Routers and circuit breakers whose processes share their state in Redis: all in one form."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from multirouter import CircuitPolicy, MultiProviderRouter, Provider, RedisSharing, Route

FAILURES = 3
"""Failures in a row after which a provider is left alone."""

OPEN = 5.0
"""Seconds for which it is left alone."""

INTERVAL = 0.5
"""Seconds between two looks at the shared state, where that can be set."""

Attempt = Callable[[], Awaitable[object]]

Contestant = Callable[[str | None, Attempt, Attempt], AbstractAsyncContextManager[Attempt]]
"""Made of the URL of Redis (None: nothing is shared) and attempts at two providers, the second of
which is used when the first fails; it is one call."""


@asynccontextmanager
async def multirouter(url: str | None, first: Attempt, second: Attempt) -> AsyncGenerator[Attempt]:
    """This library."""
    sharing = None if url is None else RedisSharing(url, namespace="outage", interval=INTERVAL)
    logger = logging.getLogger("benchmarks.fleet")
    logger.setLevel(logging.CRITICAL)
    router: Any = MultiProviderRouter(
        [Provider("a", lambda _: first()), Provider("b", lambda _: second())],
        routes=[Route("default", ["a", "b"])],
        circuit=CircuitPolicy(failures=FAILURES, open_duration=OPEN),
        sharing=sharing,
        logger=logger,
    )
    async with router:
        yield lambda: router.call("?")


@asynccontextmanager
async def interlock(url: str | None, first: Attempt, second: Attempt) -> AsyncGenerator[Attempt]:
    """`interlock.CircuitBreaker` (package interlock-cb) with its Redis storage."""
    peer: Any = import_module("interlock")
    storage, client = None, None
    if url is not None:
        client = import_module("redis.asyncio").Redis.from_url(url)
        made: Any = import_module("interlock.integrations.redis")
        storage = made.AsyncRedisStorage(client, poll_interval=INTERVAL)
    config = peer.Config(
        failure_rate_threshold=1.0,
        minimum_number_of_calls=FAILURES,
        window_size=FAILURES,
        permitted_calls_in_half_open=1,
        wait_duration_in_open=OPEN,
    )
    breaker = peer.CircuitBreaker(name="a", config=config, storage=storage)

    async def call() -> object:
        try:
            return await breaker.call_async(first)
        except Exception:  # noqa: BLE001 - rejected, or failed
            return await second()

    yield call
    if client is not None:
        await breaker.aclose()
        await client.aclose()


_PACKAGES = {"interlock-cb": ("interlock", interlock)}

CONTESTANTS: dict[str, Contestant] = {
    "multirouter": multirouter,
    **{name: made for name, (module, made) in _PACKAGES.items() if find_spec(module) is not None},
}
"""Those that are installed, by name."""
