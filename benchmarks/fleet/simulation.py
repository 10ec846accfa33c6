"""Simulates an hour of a fleet in virtual time: one provider fails three times."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from random import Random
from typing import Any

from prometheus_client import CollectorRegistry

from multirouter import Listener, MultiProviderRouter, Provider, Route
from multirouter.core.events import CircuitChanged
from multirouter.testing import StatusError, VirtualLoop
from multirouter.testing.sharing import MemoryServer

HOUR = 3600.0

OUTAGES = (
    (600.0, 120.0, "503"),
    (1500.0, 300.0, "refused"),
    (2700.0, 20.0, "503"),
)
"""Start and length in seconds, and what the provider does."""

RATE = 0.2
"""Calls of one process a second; they arrive at random."""

LATENCY = 0.4
"""Seconds that the provider takes to answer; to refuse, a tenth of it."""

HOSTS = 4
"""Processes of one machine."""

WIRE = 0.001
"""Seconds of each way to the shared state."""


def simulate(
    processes: int, *, shared: bool, seed: int = 1, seconds: float = HOUR
) -> dict[str, Any]:
    """Runs one fleet for an hour, or for a part of it; returns its figures as plain data."""
    began = time.perf_counter()
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        result = runner.run(_Fleet(processes, seed, shared=shared).run(seconds))
    return {**result, "took": time.perf_counter() - began}


class _Fleet:
    """The processes, the provider that fails, and what is counted."""

    def __init__(self, processes: int, seed: int, *, shared: bool) -> None:
        self._rng = Random(seed)
        self._shared = shared
        self._server = MemoryServer(latency=WIRE, seed=seed)
        self._counts = [
            {"wasted": 0, "trials": 0, "known_after": None, "recovered_after": None}
            for _ in OUTAGES
        ]
        self._open: set[int] = set()
        self._processes = processes
        registry, logger = CollectorRegistry(), logging.getLogger("benchmarks.fleet")
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
        self._routers = [
            MultiProviderRouter(
                [Provider("a", self._a(number)), Provider("b", _b)],
                routes=[Route("default", ["a", "b"])],
                sharing=self._server.sharing(f"host {number // HOSTS}") if shared else None,
                registry=registry,
                logger=logger,
                rng=Random(seed * 100_003 + number),
                listeners=[_Watch(number, self._changed)],
            )
            for number in range(processes)
        ]

    def _a(self, number: int) -> Any:
        async def call(_: Any) -> str:
            loop = asyncio.get_running_loop()
            index = _outage_at(loop.time())
            if index is None:
                await asyncio.sleep(LATENCY)
                return "a"
            counts = self._counts[index]
            counts["wasted"] += 1
            if number in self._open:
                counts["trials"] += 1
            await asyncio.sleep(LATENCY / 10)
            if OUTAGES[index][2] == "503":
                raise StatusError("overloaded", status=503, headers={})
            raise ConnectionRefusedError("no route")

        return call

    def _changed(self, number: int, event: CircuitChanged) -> None:
        now = asyncio.get_running_loop().time()
        if event.new == "closed":
            self._open.discard(number)
        else:
            self._open.add(number)
        index = _outage_at(now)
        if index is not None and len(self._open) == self._processes:
            counts = self._counts[index]
            if counts["known_after"] is None:
                counts["known_after"] = now - OUTAGES[index][0]
        if not self._open:
            ended = [i for i, (start, length, _) in enumerate(OUTAGES) if now >= start + length]
            if ended and self._counts[ended[-1]]["recovered_after"] is None:
                start, length, _ = OUTAGES[ended[-1]]
                self._counts[ended[-1]]["recovered_after"] = now - start - length

    async def run(self, seconds: float) -> dict[str, Any]:
        """Runs all processes for so long."""
        for router in self._routers:
            await router.__aenter__()
        callers = [asyncio.create_task(self._calls(router)) for router in self._routers]
        await asyncio.sleep(seconds - asyncio.get_running_loop().time())
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        commands = sum(self._server.commands.values())
        for router in self._routers:
            await router.aclose(grace=0.0)
        return {
            "processes": self._processes,
            "shared": self._shared,
            "outages": self._counts,
            "commands": dict(self._server.commands),
            "commands_per_second": commands / seconds,
        }

    async def _calls(self, router: Any) -> None:
        loop = asyncio.get_running_loop()
        rng = Random(self._rng.random())
        running: set[asyncio.Task[Any]] = set()
        while True:
            await asyncio.sleep(-math.log(1.0 - rng.random()) / RATE)
            task = loop.create_task(router.call_outcome("?"))
            running.add(task)
            task.add_done_callback(running.discard)


class _Watch(Listener):
    """Reports the changes of one process's circuit of the failing provider."""

    def __init__(self, number: int, changed: Any) -> None:
        self._number = number
        self._changed = changed

    def circuit_changed(self, event: CircuitChanged) -> None:
        if event.provider == "a":
            self._changed(self._number, event)


async def _b(_: Any) -> str:
    await asyncio.sleep(LATENCY)
    return "b"


def _outage_at(now: float) -> int | None:
    for index, (start, length, _) in enumerate(OUTAGES):
        if start <= now < start + length:
            return index
    return None
