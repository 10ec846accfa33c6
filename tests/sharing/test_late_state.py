"""Shared state that is slow, or older than what the processes know."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

from multirouter import Route
from multirouter.sharing.transport import Message
from multirouter.testing import virtual_clock
from tests.sharing.fleet import answered, fleet

IN_ORDER = {"routes": [Route("default", ["a", "b"])]}


def test_a_slow_server_slows_no_call() -> None:
    """With 0.9 s each way, a call takes as long as without it, and all agree within seconds."""

    async def main() -> None:
        async with fleet(*"xyz", **IN_ORDER) as found:
            loop = asyncio.get_running_loop()
            found.server.latency = 0.9
            found.world.faults["a"] = answered
            slowest = 0.0
            for _ in range(4):
                began = loop.time()
                assert await found.routers[0].call("?") == "b"
                slowest = max(slowest, loop.time() - began)
            assert slowest <= 2.01 * found.world.latency  # an attempt at each provider
            await found.settle(3.0)
            assert found.states("a") == ["open"] * 3
            found.world.faults.clear()
            recovered = loop.time() + 20.0
            while found.states("a") != ["closed"] * 3:
                began = loop.time()
                for router in found.routers:
                    await router.call("?")
                assert loop.time() - began <= 3 * 2.01 * found.world.latency
                await asyncio.sleep(0.1)
                assert loop.time() < recovered

    virtual_clock.run(main)


def test_an_older_state_after_a_failover_is_completed() -> None:
    """A replica that had not yet all facts becomes the master: the processes write them again."""

    async def main() -> None:
        async with fleet("x", "y", **IN_ORDER) as found:
            server: Any = found.server
            found.routers[1].hold("b", "metrics_only")
            await found.settle(0.1)
            replica = copy.deepcopy(server._states)
            found.routers[0].hold("b", "disabled")
            found.world.faults["a"] = answered
            for _ in range(3):
                await found.routers[0].call("?")
            await found.settle(0.1)
            server._states = replica
            server.disconnect_all()
            await found.settle(3.0)
            (late,) = await found.start("z", **IN_ORDER)
            assert late.circuit_state("a") == "open"
            holds = [r.snapshot()["providers"]["b"]["hold"] for r in found.routers]
            assert holds == ["disabled"] * 3

    virtual_clock.run(main)


def test_messages_from_long_ago_change_nothing() -> None:
    """All messages of an outage and of a hold arrive once more, minutes after both have ended."""

    async def main() -> None:
        async with fleet("x", "y", **IN_ORDER) as found:
            server: Any = found.server
            sent: list[Message] = []
            deliver = server.deliver

            def recorded(name: str, message: Message) -> None:
                sent.append(message)
                deliver(name, message)

            server.deliver = recorded
            found.world.faults["a"] = answered
            for _ in range(3):
                await found.routers[0].call("?")
            found.routers[0].hold("b", "disabled")
            await found.settle(0.1)
            found.world.faults.clear()
            found.routers[1].unhold("b")
            for _ in range(100):
                await found.routers[0].call("?")
                await asyncio.sleep(1.0)
            assert found.states("a") == ["closed"] * 2
            kinds = {fact.kind for message in sent for fact in message.facts}
            assert {"open", "closed", "hold"} <= kinds
            for message in [*sent, *reversed(sent)]:
                deliver("multirouter:default", message)
            await found.settle(0.1)
            assert found.states("a") == ["closed"] * 2
            assert {r.snapshot()["providers"]["b"]["hold"] for r in found.routers} == {None}
            assert await found.routers[1].call("?") == "a"

    virtual_clock.run(main)


def test_a_lease_that_comes_after_a_hold_is_given_back() -> None:
    """The hold decides meanwhile; another process may make the trial."""

    async def main() -> None:
        async with fleet("x", **IN_ORDER) as found:
            found.world.faults["a"] = answered
            for _ in range(3):
                await found.routers[0].call("?")
            found.server.latency = 0.3
            state = found.server.state("multirouter:default")
            left = found.routers[0].snapshot()["providers"]["a"]["half_open_in"]
            await asyncio.sleep(left - 0.4)  # the lease is requested half a second before
            found.routers[0].hold("a", "open")
            await asyncio.sleep(0.3)
            assert state.leases
            await found.settle(1.0)
            assert not state.leases

    virtual_clock.run(main)
