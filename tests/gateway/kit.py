"""A gateway on a real loopback socket in front of fakes that fail to order, in virtual time."""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter, Route
from multirouter.core.settings.policies import RetryPolicy
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.gateway.access_log import AccessLog
from multirouter.gateway.app import Gateway
from multirouter.gateway.server import Server
from multirouter.providers import OpenAI
from multirouter.testing.fakes import FakeProvider
from multirouter.testing.fakes.faults import Fault

SECRET = "sk-upstream-1234567890"
PROMPT = "one two three four five six"
SAID = f"You said: {PROMPT}"


class Moody(FakeProvider):
    """Fails in one way after the other; the last way stays."""

    def __init__(self, *faults: str) -> None:
        self._plan: deque[Fault] = deque()
        super().__init__()
        self._plan = deque(Fault.checked(fault) for fault in faults or ("",))

    @property
    def fault(self) -> Fault:
        return self._plan.popleft() if len(self._plan) > 1 else self._plan[0]

    @fault.setter
    def fault(self, fault: Fault) -> None:
        self._plan = deque([fault])

    def plan(self, *faults: str) -> None:
        self._plan = deque(map(Fault.checked, faults))


class Lines:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, dict[str, Any]]] = []

    def __getattr__(self, level: str) -> Any:
        return lambda event, **fields: self.told.append((level, event, fields))


@dataclass
class Place:
    """Where a test happens."""

    url: str
    gateway: Gateway
    server: Server
    router: Any
    fakes: list[Moody]
    http: aiohttp.ClientSession
    log: Lines
    registry: CollectorRegistry

    async def ask(self, *, path: str = "/v1/chat/completions", **body: Any) -> Answer:
        """Asks and reads all of the answer; a broken connection is a part of it."""
        headers = body.pop("headers", {})
        request = {"model": "m", "messages": [{"role": "user", "content": PROMPT}], **body}
        return await self.post(path, json.dumps(request).encode(), headers)

    async def post(self, path: str, data: bytes, headers: Any = None) -> Answer:
        headers = {"Content-Length": str(len(data)), **(headers or {})}
        sending = self.http.post(self.url + path, data=BytesIO(data), headers=headers)
        async with sending as response:
            answer = Answer(response.status, response.headers)
            try:
                async for part in response.content.iter_any():
                    answer.data += part
            except aiohttp.ClientPayloadError:
                answer.broken = True
            return answer


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Any
    data: bytes = b""
    broken: bool = False
    trail: list[Any] = field(init=False)

    def __post_init__(self) -> None:
        self.trail = json.loads(self.headers.get("X-Attempts", "[]"))

    @property
    def json(self) -> Any:
        return json.loads(self.data)

    @property
    def events(self) -> list[Any]:
        """The data of all events but `[DONE]`."""
        lines = [line[6:] for line in self.data.split(b"\n") if line.startswith(b"data: ")]
        return [json.loads(line) for line in lines if line != b"[DONE]"]

    @property
    def done(self) -> int:
        """How often the end was told."""
        return self.data.count(b"data: [DONE]\n\n")

    @property
    def text(self) -> str:
        """The text, of a stream or of a whole answer."""
        if self.data.startswith(b"{"):
            return str(self.json["choices"][0]["message"]["content"])
        choices = [event["choices"][0] for event in self.events if event.get("choices")]
        return "".join(choice["delta"].get("content") or "" for choice in choices)


@asynccontextmanager
async def standing(
    *moods: Iterable[str],
    route: Any = None,
    models: Any = None,
    drain: float = 0.1,
    providers: Any = None,
    **settings: Any,
) -> AsyncIterator[Place]:
    """A gateway in front of a chain of fakes, one for each list of faults."""
    registry = CollectorRegistry()
    lines = Lines()
    async with AsyncExitStack() as stack:
        fakes = [await stack.enter_async_context(Moody(*mood)) for mood in moods or ((),)]
        names = ["first", "second", "third"][: len(fakes)]
        made = [
            OpenAI(name, base_url=f"{fake.url}/v1", api_key=SECRET)
            for name, fake in zip(names, fakes, strict=True)
        ]
        made = [provider.replace(**(providers or {}).get(provider.name, {})) for provider in made]
        router = MultiProviderRouter(
            made,
            routes=[Route("main", names, **(route or {})), *(Route(n, [n]) for n in names)],
            attempt_timeout=30,
            retry=RetryPolicy(),
            stream=StreamPolicy(on_interrupt="continue", first_token=10.0, idle=5.0),
            registry=registry,
            logger=logging.getLogger("tests.gateway"),
        )
        await stack.enter_async_context(router)
        gateway = Gateway(
            router,
            models=models or {"m": "main", "*": "main"},
            registry=registry,
            log=AccessLog(lines),
            **settings,
        )
        server = await stack.enter_async_context(Server(gateway, drain=drain))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield Place(server.url, gateway, server, router, fakes, http, lines, registry)
