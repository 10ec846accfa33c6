"""Faults of the shared state: calls go on, and all processes agree again within seconds."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from multirouter import Route, UsageError
from multirouter.testing import virtual_clock
from tests.sharing.fleet import Fleet, answered, fleet, unanswered

IN_ORDER = {"routes": [Route("default", ["a", "b"])]}


async def open_circuit(found: Fleet, process: int = 0) -> None:
    """Lets one process fail three times at provider `a`."""
    found.world.faults["a"] = answered
    for _ in range(3):
        await found.routers[process].call("?")
    found.world.faults.clear()


async def overview(found: Fleet) -> dict[str, Any]:
    """The fleet as its first process sees it."""
    membership = found.routers[0].membership
    assert membership is not None
    return await membership.overview()


def connections(found: Fleet, process: int = 0) -> list[bool]:
    return [event.connected for event in found.recorders[process].of("sharing_changed")]


def test_without_the_server_each_process_works_alone() -> None:
    """Calls go on, an own circuit opens and recovers; one event when it goes and one after."""

    async def main() -> None:
        async with fleet("x", "y", **IN_ORDER) as found:
            found.server.down = True
            found.server.disconnect_all()
            await found.settle(1.0)
            await open_circuit(found)
            assert found.states("a") == ["open", "closed"]
            await asyncio.sleep(10.0)
            assert await found.routers[0].call("?") in {"a", "b"}
            await asyncio.sleep(1.0)
            assert found.states("a") == ["closed", "closed"]
            await found.settle(60.0)
            found.server.down = False
            await found.settle(10.0)
            assert connections(found) == [True, False, True]

    virtual_clock.run(main)


def test_a_first_connection_that_fails_is_one_event() -> None:
    """However often it is tried; another event says that it succeeded."""

    async def main() -> None:
        async with fleet("x", **IN_ORDER) as found:
            found.server.down = True
            await found.start("late", **IN_ORDER)
            await found.settle(60.0)
            assert connections(found, 1) == [False]
            found.server.down = False
            await found.settle(10.0)
            assert connections(found, 1) == [False, True]

    virtual_clock.run(main)


def test_a_holder_of_shares_that_does_not_answer_holds_no_report_up() -> None:
    """A process reports on while another one, which counts for it, is busy."""

    class Busy:
        async def report(self, interval: float) -> None:
            await asyncio.sleep(math.inf)

        def apply(self, *_: object) -> None:
            raise NotImplementedError

    async def main() -> None:
        async with fleet("x", "y", **IN_ORDER) as found:
            membership = found.routers[0].membership
            assert membership is not None
            membership.holder = Busy()  # type: ignore[assignment]
            await found.settle(120.0)
            assert connections(found) == [True]
            other = found.routers[1].membership
            assert other is not None
            assert (await other.overview())["processes"] == 2

    virtual_clock.run(main)


def test_a_circuit_that_opened_without_the_server_is_published_afterwards() -> None:
    """What the state lacks is written when the connection is back, with what is left of it."""

    async def main() -> None:
        async with fleet("x", "y", **IN_ORDER) as found:
            found.server.cut_off = {"x"}
            found.server.disconnect_all()
            await open_circuit(found)
            assert found.states("a") == ["open", "closed"]
            found.server.cut_off = set()
            await found.settle(2.0)
            assert found.states("a") == ["open", "open"]

    virtual_clock.run(main)


def test_a_server_that_restarts_empty_gets_the_state_back() -> None:
    """Open circuits, holds and weights are written again by those who know them."""

    async def main() -> None:
        async with fleet("x", "y", **IN_ORDER) as found:
            found.routers[0].hold("b", "metrics_only")
            found.routers[1].update("b", weight=7)
            await open_circuit(found)
            await found.settle(0.1)
            found.server.empty()
            await found.settle(2.0)
            (late,) = await found.start("z", **IN_ORDER)
            assert late.circuit_state("a") == "open"
            assert late.snapshot()["providers"]["b"]["hold"] == "metrics_only"
            assert next(p.weight for p in late.providers if p.name == "b") == 7

    virtual_clock.run(main)


def test_a_read_only_server_fails_no_call() -> None:
    """Writing fails, the processes work alone, and agree when it can be written again."""

    async def main() -> None:
        async with fleet("x", "y", **IN_ORDER) as found:
            found.server.read_only = True
            await open_circuit(found)
            await found.settle(2.0)
            assert found.states("a") == ["open", "closed"]
            assert await found.routers[1].call("?") == "a"
            found.server.read_only = False
            await found.settle(2.9)
            assert found.states("a")[0] in {"half_open", found.states("a")[1]}

    virtual_clock.run(main)


@pytest.mark.parametrize("seed", range(5))
def test_lost_doubled_and_reordered_messages_converge(seed: int) -> None:
    """With half of all messages lost, some doubled and late, all agree within two intervals."""

    async def main() -> None:
        hosts = [f"h{number}" for number in range(8)]
        async with fleet(*hosts, seed=seed, providers=("a", "b", "c"), **IN_ORDER) as found:
            found.server.loss, found.server.duplicates = 0.5, 0.3
            found.server.disorder = 1.0
            for number, hold in enumerate(("open", None, "closed", "metrics_only", None, "open")):
                router = found.routers[number]
                if hold is None:
                    router.unhold("c")
                else:
                    router.hold("c", hold)
                await asyncio.sleep(0.2)
            await open_circuit(found, 7)
            await found.settle(4.5)
            assert set(found.states("a")) == {"open"}
            await found.settle(6.0)
            assert len({r._engine.states.gates["c"].hold for r in found.routers}) == 1

    virtual_clock.run(main)


def test_a_process_killed_with_a_lease_delays_the_trial_by_seconds() -> None:
    """The lease ends by itself; another process then makes the trial."""

    async def main() -> None:
        async with fleet("x", "y", "z", **IN_ORDER) as found:
            lease = found.server.state("multirouter:default").leases
            await open_circuit(found)
            while "a" not in lease:
                await asyncio.sleep(0.01)
            origin, _ = lease["a"]
            holder = next(
                number
                for number, router in enumerate(found.routers)
                if router.membership.beliefs.origin == origin
            )
            found.server.cut_off = {"xyz"[holder]}  # killed: it neither calls nor reports
            left = [router for number, router in enumerate(found.routers) if number != holder]
            began = asyncio.get_running_loop().time()
            while any(router.circuit_state("a") != "closed" for router in left):
                for router in left:
                    await router.call("?")
                await asyncio.sleep(0.05)
            assert asyncio.get_running_loop().time() - began < 8.0

    virtual_clock.run(main)


def test_the_state_is_read_before_serving() -> None:
    """A process that starts during an outage sends nothing to the failing provider."""

    async def main() -> None:
        async with fleet("x", **IN_ORDER) as found:
            await open_circuit(found)
            before = found.world.calls["a"]
            (late,) = await found.start("y", **IN_ORDER)
            assert await late.call("?") == "b"
            assert found.world.calls["a"] == before

    virtual_clock.run(main)


def test_a_start_without_the_server_waits_for_the_timeout_only() -> None:
    """The router serves after `start_timeout`, says so, and joins when it can."""

    async def main() -> None:
        found = Fleet()
        found.server.down = True
        began = asyncio.get_running_loop().time()
        (router,) = await found.start("x", **IN_ORDER)
        assert asyncio.get_running_loop().time() - began == pytest.approx(2.0)
        assert await router.call("?") == "a"
        assert connections(found)[0] is False
        found.server.down = False
        await found.settle(10.0)
        assert connections(found)[-1] is True
        await found.aclose()

    virtual_clock.run(main)


def test_a_router_that_leaves_is_no_member() -> None:
    """Closing takes it off the list, and without the server a process lists itself only."""

    async def main() -> None:
        async with fleet("x", "y", **IN_ORDER) as found:
            await open_circuit(found, 1)
            await found.settle(3.9)
            both = await overview(found)
            assert (both["processes"], both["hosts"], both["connected"]) == (2, 2, True)
            assert [member["host"] for member in both["members"]] == ["x", "y"]
            assert both["members"][1]["providers"] == {
                "a": {"state": "open", "hold": None, "cooling_down": False}
            }
            (fact,) = both["facts"]
            assert (fact["kind"], fact["by"]) == ("open", both["members"][1]["id"])
            assert fact["value"]["answered"] is True
            assert 0.0 < both["lag"] < 0.1
            await found.routers[1].aclose()
            assert (await overview(found))["processes"] == 1
            found.server.down = True
            alone = await overview(found)
            assert (alone["processes"], alone["connected"]) == (1, False)
            json.dumps(alone)

    virtual_clock.run(main)


def test_a_program_that_cancels_all_tasks_does_not_end_sharing() -> None:
    """The connection is kept again a second later."""

    async def main() -> None:
        async with fleet("x", "y", **IN_ORDER) as found:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await found.settle(6.0)
            await open_circuit(found)
            await found.settle(0.1)
            assert found.states("a") == ["open", "open"]

    virtual_clock.run(main)


def test_a_dropped_router_is_not_kept_alive() -> None:
    """Without `aclose`, the connection ends when the router has gone."""

    async def main() -> None:
        import gc
        import weakref

        found = Fleet()
        router = found.make("x", **IN_ORDER)
        assert await router.call("?") == "a"
        await asyncio.sleep(1.0)
        dead = weakref.ref(router._engine.membership)
        found.routers.clear()
        found.recorders.clear()
        del router
        await asyncio.sleep(0)
        gc.collect()
        assert dead() is None
        await asyncio.sleep(20.0)
        assert not [t for t in asyncio.all_tasks() if "sharing" in t.get_name()]

    virtual_clock.run(main)


def test_moving_to_another_loop_keeps_the_identity_and_the_facts() -> None:
    """A router used in one loop after the other is one member."""

    def run(work: Callable[[], object]) -> None:
        virtual_clock.run(work)

    found = Fleet()
    router = found.make("x", **IN_ORDER)
    origin = router.membership.beliefs.origin

    async def first() -> None:
        await router.call("?")
        await asyncio.sleep(1.0)
        found.world.faults["a"] = unanswered
        for _ in range(3):
            await router.call("?")
        await asyncio.sleep(0.1)

    async def second() -> None:
        await router.call("?")
        await asyncio.sleep(1.0)
        assert router.membership.beliefs.origin == origin
        assert router.membership.connection.connected
        await router.aclose()

    run(first)
    run(second)


def test_trio_is_refused() -> None:
    """Making or opening a router that shares its state raises on trio."""
    from multirouter.testing import VirtualClock

    async def main() -> None:
        with pytest.raises(UsageError, match="requires asyncio"):
            async with made:
                pass
        with pytest.raises(UsageError, match="requires asyncio"):
            Fleet().make("x", **IN_ORDER)

    made = Fleet().make("x", **IN_ORDER)
    VirtualClock(backend="trio").run(main)
