"""`async with router:` in a second running loop raises, and leaves the router in its first loop."""

from __future__ import annotations

import asyncio

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter, UsageError
from tests.scenarios.harness import Logger, scripted


@pytest.mark.real_io
@pytest.mark.backends("asyncio", "uvloop")
async def test_entering_in_a_second_running_loop_raises() -> None:
    """While the first loop runs, entering from another thread's loop is a UsageError."""
    router = MultiProviderRouter([scripted("a")], registry=CollectorRegistry(), logger=Logger())
    assert await router.call("q") == "a: q"

    def from_another_thread() -> None:
        async def main() -> None:
            with pytest.raises(UsageError, match="another event loop"):
                async with router:
                    raise AssertionError

        asyncio.run(main())

    await anyio.to_thread.run_sync(from_another_thread)
    assert await router.call("q") == "a: q"
    await router.aclose()
