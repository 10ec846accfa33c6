"""Circuits of a fleet: what one process sees protects all, and none takes a provider from all."""

from __future__ import annotations

import asyncio

from multirouter import Route
from multirouter.testing import virtual_clock
from tests.sharing.fleet import answered, fleet, unanswered

IN_ORDER = {"routes": [Route("default", ["a", "b"])]}


def run(function, *arguments):
    return virtual_clock.run(function, *arguments)


def test_the_third_failure_of_one_process_protects_all() -> None:
    """Answered failures in one process open the circuit in all within milliseconds."""

    async def main() -> None:
        async with fleet(*"xxyy", **IN_ORDER) as found:
            found.world.faults["a"] = answered
            for _ in range(3):
                await found.routers[0].call("?")
            await asyncio.sleep(0.01)
            assert found.states("a") == ["open"] * 4
            for router in found.routers:
                assert await router.call("?") == "b"
            assert found.world.calls["a"] == 3
            reasons = [r.of("circuit_changed")[0].reason for r in found.recorders]
            assert reasons == ["failures", "peers", "peers", "peers"]

    run(main)


def test_a_process_with_a_broken_network_takes_no_provider_from_the_others() -> None:
    """Failures without an answer on one host leave the others' circuits closed; one more opens."""

    async def main() -> None:
        async with fleet(*"xxyz", **IN_ORDER) as found:
            found.world.faults["a", "x"] = unanswered
            for router in found.routers[:2]:
                for _ in range(4):
                    await router.call("?")
            await found.settle(0.1)
            assert found.states("a") == ["open", "open", "closed", "closed"]
            assert await found.routers[2].call("?") == "a"
            found.world.faults["a"] = unanswered
            await found.routers[2].call("?")  # suspected: the first own failure opens it
            await found.settle(0.1)
            assert found.states("a") == ["open"] * 4

    run(main)


def test_one_trial_of_the_whole_fleet_per_recovery() -> None:
    """While a provider fails, each round has one trial; the one that passes closes all circuits."""

    async def main() -> None:
        async with fleet(*(f"h{number}" for number in range(20)), **IN_ORDER) as found:
            found.world.faults["a"] = answered
            for _ in range(3):
                await found.routers[0].call("?")
            found.world.latency = 1.0  # the circuits of others half-open during a trial

            async def traffic(router):
                while True:
                    await router.call("?")
                    await asyncio.sleep(0.2)

            tasks = [asyncio.create_task(traffic(router)) for router in found.routers]
            await asyncio.sleep(4.0)
            assert found.world.calls["a"] == 3
            await asyncio.sleep(40.0)
            trials = found.world.calls["a"] - 3
            assert 2 <= trials <= 8
            found.world.faults.clear()
            before = found.world.calls["a"]
            while "closed" not in found.states("a"):
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.01)
            assert found.world.calls["a"] - before <= 2
            assert found.states("a") == ["closed"] * 20
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    run(main)


def test_failures_of_several_processes_count_together() -> None:
    """Calls that fail everywhere at once open the circuits after three failures in all."""

    async def main() -> None:
        async with fleet(*"wxyz", **IN_ORDER) as found:
            found.world.faults["a"] = unanswered
            for router in found.routers[:3]:
                await router.call("?")
            await asyncio.sleep(0.01)
            assert found.states("a") == ["closed", "closed", "open", "closed"]
            await found.routers[3].call("?")
            await asyncio.sleep(0.01)
            assert found.states("a") == ["open"] * 4
            assert found.world.calls["a"] == 4

    run(main)


def test_single_failures_here_and_there_open_nothing() -> None:
    """Each process that has had a success since ignores what the others reported."""

    async def main() -> None:
        async with fleet(*"wxyz", **IN_ORDER) as found:
            for _ in range(5):
                for router in found.routers:
                    found.world.faults["a"] = answered
                    await router.call("?")
                    found.world.faults.clear()
                    for other in found.routers:
                        await other.call("?")
            assert found.states("a") == ["closed"] * 4

    run(main)


def test_a_failing_model_is_avoided_by_all() -> None:
    """The circuit of one model opens and closes in all processes; the provider's own stays."""

    async def main() -> None:
        async with fleet(*"xyz", **IN_ORDER) as found:
            healthy, broken = {"model": "m1"}, {"model": "m2"}
            found.world.faults["a", "m2"] = answered
            for router in found.routers:
                await router.call(healthy)
                await router.call({"model": "m3"})
            for _ in range(3):
                assert await found.routers[0].call(broken) == "b"
            await asyncio.sleep(0.01)
            assert found.states("a") == ["closed"] * 3
            before = found.world.calls["a"]
            for router in found.routers:
                assert await router.call(broken) == "b"
                assert await router.call(healthy) == "a"
            assert found.world.calls["a"] == before + 3
            reasons = [r.of("model_circuit_changed")[0].reason for r in found.recorders]
            assert reasons == ["failures", "peers", "peers"]
            found.world.faults.clear()
            await asyncio.sleep(30.0)
            assert await found.routers[0].call(broken) == "a"  # the trial
            await asyncio.sleep(0.01)
            assert await found.routers[1].call(broken) == "a"
            newest = [r.of("model_circuit_changed")[-1] for r in found.recorders]
            assert [event.new for event in newest] == ["closed"] * 3
            assert {event.reason for event in newest[1:]} == {"peers"}

    run(main)


def test_one_trial_of_the_whole_fleet_for_a_model() -> None:
    """While a model fails, each round has one trial, of whichever process has calls for it."""

    async def main() -> None:
        async with fleet(*(f"h{number}" for number in range(20)), **IN_ORDER) as found:
            for router in found.routers:
                for model in ("m1", "m2"):
                    await router.call({"model": model})
            found.world.faults["a", "m2"] = answered
            for _ in range(3):
                await found.routers[0].call({"model": "m2"})
            before = found.world.calls["a"]
            found.world.latency = 1.0  # the circuits of others half-open during a trial

            async def traffic(router):
                while True:
                    await router.call({"model": "m2"})
                    await asyncio.sleep(0.2)

            tasks = [asyncio.create_task(traffic(router)) for router in found.routers]
            await asyncio.sleep(4.0)
            assert found.world.calls["a"] == before
            await asyncio.sleep(40.0)
            assert 2 <= found.world.calls["a"] - before <= 8
            found.world.faults.clear()
            before = found.world.calls["a"]
            gates = [router._engine.states.gates["a"] for router in found.routers]
            while any(gate.models.states(0.0) for gate in gates):
                await asyncio.sleep(0.01)
            assert found.world.calls["a"] - before <= 4
            assert not any(router.membership._leases.held for router in found.routers)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    run(main)


def test_a_model_that_no_call_names_here_is_not_followed() -> None:
    """A process whose calls name no model, or one only, has the provider's circuit alone."""

    async def main() -> None:
        async with fleet(*"xyz", **IN_ORDER) as found:
            await found.routers[1].call({"model": "m2"})
            for model in ("m1", "m2"):
                await found.routers[0].call({"model": model})
            found.world.faults["a"] = answered
            for _ in range(3):
                await found.routers[0].call({"model": "m2"})
            await asyncio.sleep(0.01)
            gates = [router._engine.states.gates["a"] for router in found.routers]
            assert [gate.models is None for gate in gates] == [False, True, True]
            assert found.states("a") == ["closed"] * 3

    run(main)
