"""`async with router:` in a second loop took the router away from the one that it lived in."""

from __future__ import annotations

import asyncio

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter, UsageError
from tests.scenarios.kit import Logger, play


@pytest.mark.real_io
@pytest.mark.backends("asyncio", "uvloop")
async def test_a_second_loop_is_refused_at_the_door() -> None:
    """While the first loop runs, entering from another thread's loop is a UsageError."""
    router = MultiProviderRouter([play("a")], registry=CollectorRegistry(), logger=Logger())
    assert await router.call("q") == "a: q"

    def elsewhere() -> None:
        async def main() -> None:
            with pytest.raises(UsageError, match="another event loop"):
                async with router:
                    raise AssertionError

        asyncio.run(main())

    await anyio.to_thread.run_sync(elsewhere)
    assert await router.call("q") == "a: q"
    await router.aclose()
