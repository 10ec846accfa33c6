"""`aclose=` of providers that leave while no loop runs, or whose closing cannot begin."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter
from multirouter.testing import VirtualClock
from tests.runtime.test_provider_closing import Client, asyncio_only, closable
from tests.scenarios.harness import Logger, harness, scripted


def new_router(client: Client) -> MultiProviderRouter[Any, Any]:
    settings: dict[str, Any] = {"registry": CollectorRegistry(), "logger": Logger()}
    return MultiProviderRouter([closable("a", client), scripted("b")], **settings)


@asyncio_only
@pytest.mark.parametrize("used", [True, False], ids=["used", "unused"])
def test_one_that_leaves_between_two_loops(virtual_clock: VirtualClock, used: bool) -> None:
    """It is closed in the next one; by the router's `aclose`, when no call is made there."""
    client = Client()
    router = new_router(client)

    async def call() -> None:
        await router.call("q")

    virtual_clock.run(call)
    router.remove("a")
    if used:
        virtual_clock.run(call)
        assert len(client.closed) == 1
    virtual_clock.run(router.aclose)
    assert len(client.closed) == 1


def test_one_that_leaves_between_two_runs_of_a_loop() -> None:
    """It is closed when the next call has ended."""
    client = Client()
    router = new_router(client)

    async def call() -> None:
        await router.call("q")
        await asyncio.sleep(0.001)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(call())
    router.remove("a")
    loop.run_until_complete(call())
    assert len(client.closed) == 1
    loop.run_until_complete(router.aclose())
    loop.close()
    assert len(client.closed) == 1


@asyncio_only
async def test_a_closing_that_is_cancelled_before_it_begins_is_made_up_for() -> None:
    """No client is lost when all tasks of the loop are cancelled."""
    client = Client()
    async with harness(closable("a", client), "b") as env:
        await env.call()
        env.router.remove("a")
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await anyio.sleep(0.01)
        await env.router.aclose()
        assert len(client.closed) == 1


async def test_one_that_comes_back_before_its_closing_began_is_not_closed() -> None:
    """A removal and an addition in one turn of the loop leave the client open."""
    client = Client()
    provider = closable("a", client)
    async with harness(provider, "b") as env:
        await env.call()
        env.router.remove("a")
        env.router.add(provider)
        await anyio.sleep(0.01)
        assert client.begun == []
        await env.router.aclose()
        assert len(client.closed) == 1
