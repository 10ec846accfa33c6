"""One process of a fleet: receives commands over a pipe, and sends their answers."""

from __future__ import annotations

import asyncio
import ctypes
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from multirouter import CircuitPolicy, MultiProviderRouter, Provider, RedisSharing, Route
from multirouter.testing import StatusError

CLONE_NEWNET = 0x40000000
"""Kind of a network namespace, for setns(2)."""


class Child:
    """A router with two providers, whose faults the test sets."""

    def __init__(self, url: str, host: str, open_duration: float) -> None:
        self.faults: dict[str, str] = {}
        self.attempts = {"a": 0, "b": 0}
        self.router: Any = MultiProviderRouter(
            [self._provider("a"), self._provider("b")],
            routes=[Route("default", ["a", "b"])],
            circuit=CircuitPolicy(open_duration=open_duration, growth=1.0),
            sharing=RedisSharing(url, host=host, interval=0.5, timeout=0.5),
            registry=CollectorRegistry(),
        )

    def _provider(self, name: str) -> Provider[Any, Any]:
        async def call(request: Any) -> str:
            self.attempts[name] += 1
            if name in self.faults:
                if self.faults[name] == "answered":
                    raise StatusError("overloaded", status=503, headers={})
                raise ConnectionRefusedError("no route")
            return name

        return Provider(name, call)

    async def run(self, command: dict[str, Any]) -> Any:
        """Runs one command and returns its answer."""
        what = command.pop("do")
        return await getattr(self, what)(**command)

    async def fault(self, kind: str | None, provider: str = "a") -> None:
        """Sets how a provider fails; None lets it answer."""
        if kind is None:
            self.faults.pop(provider, None)
        else:
            self.faults[provider] = kind

    async def call(self, times: int = 1) -> Any:
        """Calls, and returns who answered, and the longest time of a call in seconds."""
        loop, answers, longest = asyncio.get_running_loop(), [], 0.0
        for _ in range(times):
            began = loop.time()
            answers.append(await self.router.call("?"))
            longest = max(longest, loop.time() - began)
        return {"answers": answers, "longest": longest}

    async def hold(self, provider: str, how: str | None) -> None:
        """Sets or removes a hold."""
        if how is None:
            self.router.unhold(provider)
        else:
            self.router.hold(provider, how)

    async def state(self) -> Any:
        """What this process believes."""
        connection = self.router.membership.connection
        return {
            "a": self.router.circuit_state("a"),
            "hold": self.router._engine.states.gates["b"].hold,
            "connected": connection.connected,
            "processes": connection.processes,
            "attempts": self.attempts,
            "id": self.router.membership.beliefs.origin,
            "leases": list(self.router.membership._leases.held),
        }


async def main(pipe: Connection, url: str, host: str, open_duration: float) -> None:
    """Answers commands until the pipe is closed."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    child, loop = Child(url, host, open_duration), asyncio.get_running_loop()
    arrived = asyncio.Event()
    loop.add_reader(pipe.fileno(), arrived.set)
    async with child.router:
        while True:
            await arrived.wait()
            arrived.clear()
            while pipe.poll():
                pipe.send(await child.run(pipe.recv()))


def serve(pipe: Connection, namespace: str, url: str, host: str, open_duration: float) -> None:
    """Runs in a process of its own, in a network namespace if one is named."""
    if namespace:
        with Path("/run/netns", namespace).open("rb") as file:
            assert ctypes.CDLL(None).setns(file.fileno(), CLONE_NEWNET) == 0
    asyncio.run(main(pipe, url, host, open_duration))
