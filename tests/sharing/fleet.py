"""A fleet of routers in one loop in virtual time, that share a `MemoryServer`."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter, Provider
from multirouter.testing import Recorder, StatusError
from multirouter.testing.sharing import MemoryServer

Router = MultiProviderRouter[Any, Any]


class World:
    """Providers that work or fail, as each process sees them.

    Attributes:
        faults: makes what a provider raises, by name, or by name and host or model; a missing one
            answers.
        calls: attempts at each provider.
        by_process: the same, by process and provider.
        latency: seconds of an answer or failure.
    """

    def __init__(self) -> None:
        self.faults: dict[Any, Callable[[], Exception]] = {}
        self.calls: Counter[str] = Counter()
        self.by_process: Counter[tuple[int, str]] = Counter()
        self.latency = 0.05

    def provider(self, name: str, process: int, host: str, **settings: Any) -> Provider[Any, Any]:
        """A provider as one process sees it."""

        async def call(request: Any) -> str:
            self.calls[name] += 1
            self.by_process[process, name] += 1
            await asyncio.sleep(self.latency)
            model = request["model"] if isinstance(request, dict) else None
            fault = next(
                filter(None, map(self.faults.get, ((name, host), (name, model), name))), None
            )
            if fault is not None:
                raise fault()
            return name

        return Provider(name, call, **settings)


def unanswered() -> Exception:
    """A failure without an answer."""
    return ConnectionRefusedError("no route")


def answered() -> Exception:
    """A failure that the provider answered."""
    return StatusError("overloaded", status=503, headers={})


class Fleet:
    """Routers that share their state.

    Attributes:
        server: what keeps the state.
        world: the providers.
        routers: the routers.
        recorders: their events.
    """

    def __init__(self, seed: int = 0, **server: Any) -> None:
        self.server = MemoryServer(seed=seed, **server)
        self.world = World()
        self.routers: list[Router] = []
        self.recorders: list[Recorder] = []
        self._seed = seed
        self._stack = AsyncExitStack()

    def make(self, host: str, *, shared: bool = True, **settings: Any) -> Router:
        """Makes one more router, which is not entered."""
        number = len(self.routers)
        options = {name: settings.pop(name) for name in ("quorum", "interval") if name in settings}
        providers = settings.pop("providers", ("a", "b"))
        recorder = Recorder()
        router: Router = MultiProviderRouter(
            [self.world.provider(name, number, host) for name in providers],
            sharing=self.server.sharing(host, **options) if shared else None,
            registry=CollectorRegistry(),
            rng=Random(self._seed * 1000 + number),
            listeners=[recorder],
            **settings,
        )
        self.routers.append(router)
        self.recorders.append(recorder)
        return router

    async def start(self, *hosts: str, **settings: Any) -> list[Router]:
        """Enters one router on each of these hosts."""
        routers = [self.make(host, **settings) for host in hosts]
        for router in routers:
            await self._stack.enter_async_context(router)
        return routers

    async def settle(self, seconds: float = 4.0) -> None:
        """Lets time pass."""
        await asyncio.sleep(seconds)

    def states(self, provider: str) -> list[str]:
        """The state of a provider's circuit in each process."""
        return [router.circuit_state(provider) for router in self.routers]

    async def aclose(self) -> None:
        """Closes all routers."""
        await self._stack.aclose()


@asynccontextmanager
async def fleet(*hosts: str, seed: int = 0, **settings: Any) -> AsyncGenerator[Fleet]:
    """A fleet with one process on each of these hosts, which all know of each other."""
    made = Fleet(seed)
    await made.start(*hosts, **settings)
    await made.settle()
    try:
        yield made
    finally:
        await made.aclose()
