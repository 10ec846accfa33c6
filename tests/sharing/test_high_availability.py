"""Sentinel and Cluster with real servers: after a failover all processes agree again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from multirouter import CircuitPolicy, MultiProviderRouter, Provider, RedisSharing, Route
from multirouter.testing import StatusError
from tests.sharing.servers import CLUSTERS, Server, free_port, running

pytestmark = pytest.mark.timeout(300)

TIMEOUT = 4.0
"""Seconds of a command at the server."""

FAILS: set[str] = set()
"""Providers that fail now."""


def provider(name: str) -> Provider[Any, Any]:
    async def call(_: Any) -> str:
        await asyncio.sleep(0.001)
        if name in FAILS:
            raise StatusError("overloaded", status=503, headers={})
        return name

    return Provider(name, call)


@asynccontextmanager
async def routers(url: str, count: int = 2) -> AsyncGenerator[list[Any]]:
    """Routers of one fleet, each with a connection of its own."""
    FAILS.clear()
    made = [
        MultiProviderRouter(
            [provider("a"), provider("b")],
            routes=[Route("default", ["a", "b"])],
            circuit=CircuitPolicy(
                open_duration=300.0, max_open_duration=300.0
            ),  # outlasts the test
            sharing=RedisSharing(url, host=f"h{number}", interval=0.3, timeout=TIMEOUT),
            registry=CollectorRegistry(),
        )
        for number in range(count)
    ]
    for router in made:
        await router.__aenter__()
    try:
        await until(lambda: all(r.membership.connection.processes == count for r in made))
        yield made
    finally:
        for router in made:
            await router.aclose(grace=0.0)


WAIT_LIMIT = 60.0
"""Seconds within which something must happen: a few on an idle machine."""


async def until(condition: Callable[[], bool]) -> None:
    """Waits for a condition of real processes."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + WAIT_LIMIT, "the condition was not met in time"
        await asyncio.sleep(0.02)


async def agree(found: list[Any], hold: str) -> None:
    """What one sets, all have."""
    found[0].hold("b", hold)
    gates = [router._engine.states.gates["b"] for router in found]
    await until(lambda: all(gate.hold == hold for gate in gates))


@contextmanager
def watched(kind: str, folder: Path) -> Iterator[tuple[Server, Server, Server]]:
    """A master, its replica, and a sentinel that fails over after half a second."""
    with running(kind, folder) as master:
        replica_of = ("--replicaof", "127.0.0.1", str(master.port))
        with running(kind, folder, *replica_of) as replica:
            config = folder / "sentinel.conf"
            config.write_text(
                f"sentinel monitor main 127.0.0.1 {master.port} 1\n"
                "sentinel down-after-milliseconds main 500\n"
                "sentinel failover-timeout main 3000\n"
            )
            with running(kind, folder, config=config) as sentinel:
                deadline = time.monotonic() + WAIT_LIMIT
                while not execute(sentinel, "SENTINEL", "REPLICAS", "main"):
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
                yield master, replica, sentinel


@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_a_failover_by_sentinel(kind: str, tmp_path: Path) -> None:
    """The master dies: calls go on, circuits stay, and all agree at the new master in seconds."""

    async def main(master: Server, replica: Server, sentinel: Server) -> None:
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/main"
        async with routers(url) as found:
            FAILS.add("a")
            for _ in range(3):
                await found[0].call("?")
            await until(lambda: found[1].circuit_state("a") == "open")
            master.stop()
            connections = [router.membership.connection for router in found]
            began, slowest = time.monotonic(), 0.0
            while not any(not connection.connected for connection in connections):
                started = time.monotonic()
                assert await found[1].call("?") == "b"
                slowest = max(slowest, time.monotonic() - started)
                assert started < began + WAIT_LIMIT
            assert slowest < TIMEOUT / 2  # no call has waited for the server
            await until(lambda: all(c.connected for c in connections))
            await agree(found, "metrics_only")
            assert execute(replica, "ROLE")[0] == "master"
            (facts,) = execute(replica, "KEYS", "*:facts")
            assert any("open" in slot for slot in execute(replica, "HKEYS", facts))

    with watched(kind, tmp_path) as servers:
        asyncio.run(main(*servers))


def test_a_replica_is_no_server_of_the_state(tmp_path: Path) -> None:
    """A read-only replica, which a plain URL may reach after a failover: each works alone."""

    async def main(master: Server, replica: Server) -> None:
        async with routers(replica.url, 1) as (router,):
            assert await router.call("?") == "a"
            assert not router.membership.connection.connected
            execute(replica, "REPLICAOF", "NO", "ONE")
            await until(lambda: router.membership.connection.connected)

    with running("redis", tmp_path) as master:
        replica_of = ("--replicaof", "127.0.0.1", str(master.port))
        with running("redis", tmp_path, *replica_of) as replica:
            asyncio.run(main(master, replica))


@CLUSTERS
@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_a_cluster(kind: str, tmp_path: Path) -> None:
    """Three nodes: the state of a fleet is on one of them, whichever the URL names."""

    async def main(nodes: list[Server]) -> None:
        async with routers(f"redis+cluster://127.0.0.1:{nodes[0].port}") as found:
            FAILS.add("a")
            for _ in range(3):
                await found[0].call("?")
            await until(lambda: found[1].circuit_state("a") == "open")
            await agree(found, "metrics_only")
            assert sum(bool(execute(node, "KEYS", "*")) for node in nodes) == 1

    with cluster(kind, tmp_path) as nodes:
        asyncio.run(main(nodes))


@contextmanager
def cluster(kind: str, folder: Path) -> Iterator[list[Server]]:
    """Three masters with a third of the slots each."""
    with ExitStack() as stack:
        nodes, buses = [], [free_port() for _ in range(3)]
        for bus in buses:
            options = ("--cluster-enabled", "yes", "--cluster-port", str(bus))
            options = (*options, "--cluster-config-file", f"{bus}.conf")
            nodes.append(stack.enter_context(running(kind, folder, *options)))
        for place, node in enumerate(nodes):
            last = 16383 if place == 2 else place * 5461 + 5460
            execute(node, "CLUSTER", "ADDSLOTSRANGE", place * 5461, last)
            execute(node, "CLUSTER", "MEET", "127.0.0.1", nodes[0].port, buses[0])
        deadline = time.monotonic() + WAIT_LIMIT
        for node in nodes:
            while "cluster_state:ok" not in str(execute(node, "CLUSTER", "INFO")):
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield nodes


def execute(server: Server, *command: Any) -> Any:
    """Runs a command at a server."""
    with server.client() as client:
        return client.execute_command(*command)
