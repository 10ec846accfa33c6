"""Gateway on a loopback socket in front of fake providers with scripted faults, in virtual time."""

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
REPLY = f"You said: {PROMPT}"


class ScriptedProvider(FakeProvider):
    """Fake provider with one fault per request; the last fault stays."""

    def __init__(self, *faults: str) -> None:
        self._script: deque[Fault] = deque()
        super().__init__()
        self._script = deque(Fault.checked(fault) for fault in faults or ("",))

    @property
    def fault(self) -> Fault:
        return self._script.popleft() if len(self._script) > 1 else self._script[0]

    @fault.setter
    def fault(self, fault: Fault) -> None:
        self._script = deque([fault])

    def script(self, *faults: str) -> None:
        self._script = deque(map(Fault.checked, faults))


class RecordingLogger:
    """Logger that records its events as (level, event, fields)."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, Any]]] = []

    def __getattr__(self, level: str) -> Any:
        return lambda event, **fields: self.events.append((level, event, fields))


@dataclass
class Harness:
    """A running gateway with its router, fake providers and log, and an HTTP client."""

    url: str
    gateway: Gateway
    server: Server
    router: Any
    fakes: list[ScriptedProvider]
    http: aiohttp.ClientSession
    log: RecordingLogger
    registry: CollectorRegistry

    async def send(self, *, path: str = "/v1/chat/completions", **body: Any) -> Answer:
        """Sends a chat request and reads the answer, which may be a broken one."""
        headers = body.pop("headers", {})
        request = {"model": "m", "messages": [{"role": "user", "content": PROMPT}], **body}
        return await self.post(path, json.dumps(request).encode(), headers)

    async def post(self, path: str, data: bytes, headers: Any = None) -> Answer:
        headers = {"Content-Length": str(len(data)), **(headers or {})}
        posting = self.http.post(self.url + path, data=BytesIO(data), headers=headers)
        async with posting as response:
            answer = Answer(response.status, response.headers)
            try:
                async for part in response.content.iter_any():
                    answer.data += part
            except aiohttp.ClientPayloadError:
                answer.broken = True
            return answer


@dataclass
class Answer:
    """A response of the gateway; `broken` if the connection was dropped before its end."""

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
        """The data of all events except `[DONE]`."""
        lines = [line[6:] for line in self.data.split(b"\n") if line.startswith(b"data: ")]
        return [json.loads(line) for line in lines if line != b"[DONE]"]

    @property
    def done(self) -> int:
        """The number of `[DONE]` events."""
        return self.data.count(b"data: [DONE]\n\n")

    @property
    def text(self) -> str:
        """The text of a stream or of a whole answer."""
        if self.data.startswith(b"{"):
            return str(self.json["choices"][0]["message"]["content"])
        choices = [event["choices"][0] for event in self.events if event.get("choices")]
        return "".join(choice["delta"].get("content") or "" for choice in choices)


@asynccontextmanager
async def running_gateway(
    *fault_lists: Iterable[str],
    route: Any = None,
    models: Any = None,
    drain: float = 0.1,
    providers: Any = None,
    sharing: Any = None,
    **settings: Any,
) -> AsyncIterator[Harness]:
    """A gateway in front of a chain of fake providers, one for each list of faults."""
    registry = CollectorRegistry()
    log = RecordingLogger()
    async with AsyncExitStack() as stack:
        fakes = [
            await stack.enter_async_context(ScriptedProvider(*faults))
            for faults in fault_lists or ((),)
        ]
        names = ["first", "second", "third"][: len(fakes)]
        chain = [
            OpenAI(name, base_url=f"{fake.url}/v1", api_key=SECRET)
            for name, fake in zip(names, fakes, strict=True)
        ]
        chain = [provider.replace(**(providers or {}).get(provider.name, {})) for provider in chain]
        router = MultiProviderRouter(
            chain,
            routes=[Route("main", names, **(route or {})), *(Route(n, [n]) for n in names)],
            attempt_timeout=30,
            retry=RetryPolicy(),
            stream=StreamPolicy(on_interrupt="continue", first_token=10.0, idle=5.0),
            sharing=sharing,
            registry=registry,
            logger=logging.getLogger("tests.gateway"),
        )
        await stack.enter_async_context(router)
        gateway = Gateway(
            router,
            models=models or {"m": "main", "*": "main"},
            registry=registry,
            log=AccessLog(log),
            **settings,
        )
        stack.callback(gateway.close)
        server = await stack.enter_async_context(Server(gateway, drain=drain))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield Harness(server.url, gateway, server, router, fakes, http, log, registry)


def calls_of(harness: Harness) -> dict[str, float]:
    """How many calls of the router ended in which way, as its metrics count them."""
    counts: dict[str, float] = {}
    for metric in harness.registry.collect():
        for sample in metric.samples:
            if sample.name == "multirouter_calls_total" and sample.value:
                outcome = sample.labels["outcome"]
                counts[outcome] = counts.get(outcome, 0.0) + sample.value
    return counts
