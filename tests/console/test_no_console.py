"""A router without a console, and a gateway without open pages: what they do for it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter, Provider
from multirouter.core.listener import EVENT_NAMES
from multirouter.gateway.embedded.console_server import ConsoleServer
from tests.gateway.harness import running_gateway


async def good(_request: Any) -> str:
    return "good"


def router_of() -> MultiProviderRouter[Any, Any, Any]:
    return MultiProviderRouter([Provider("a", good)], registry=CollectorRegistry())


def handlers(router: Any) -> dict[str, int]:
    """How many methods of listeners each event of a router is delivered to."""
    dispatcher = router._engine.dispatcher
    return {name: len(dispatcher._handlers[name]) for name in EVENT_NAMES}


def test_a_console_adds_one_listener_of_one_event() -> None:
    """A router without one has none: its calls take the path that they would take otherwise."""
    alone, watched = router_of(), router_of()
    assert handlers(alone) == handlers(watched)
    with ConsoleServer(watched):
        added = {name: n - handlers(alone)[name] for name, n in handlers(watched).items()}
    assert {name for name, n in added.items() if n} == {"call_ended"}
    assert added["call_ended"] == 1
    assert watched._engine.dispatcher.has_start_listeners is False


@pytest.mark.backends("asyncio")
async def test_a_gateway_without_pages_registers_and_computes_nothing() -> None:
    """Its console reads the router when a page asks; requests are recorded by the gateway."""
    async with running_gateway() as harness:
        assert handlers(harness.router) == handlers(router_of())
        for _ in range(3):
            await harness.send()
        await asyncio.sleep(5)
        feed = harness.gateway.console.feed
        assert (feed.viewers, feed.computed, feed._task) == (0, 0, None)
        assert handlers(harness.router) == handlers(router_of())


def test_a_router_loads_no_part_of_the_console() -> None:
    """Not even after its first call: neither the page nor its data are in memory."""
    program = (
        "import asyncio, sys\n"
        "from multirouter import MultiProviderRouter, Provider\n"
        "async def good(request): return 'good'\n"
        "async def main():\n"
        "    async with MultiProviderRouter([Provider('a', good)]) as router:\n"
        "        await router.call('x')\n"
        "asyncio.run(main())\n"
        "parts = 'multirouter.console', 'multirouter.gateway'\n"
        "print([name for name in sys.modules if name.startswith(parts)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
