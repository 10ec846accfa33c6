"""One cell of the matrix: an agent, a gateway, and fakes of the services behind it.

An upstream format is a function in `UPSTREAMS` that makes a provider for the address of a fake.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter, Provider, Route
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.gateway.access_log import AccessLog
from multirouter.gateway.app import Gateway
from multirouter.gateway.server import Server
from multirouter.providers import Anthropic, Gemini, OpenAI
from multirouter.testing.fakes import Answers
from tests.agents.programs import Agent
from tests.agents.tasks import Task
from tests.gateway.harness import ScriptedProvider

KEY = "sk-upstream-1234567890"
TIMEOUT = 100.0
"""Seconds in which an agent must have done its task."""

FIRST_TOKEN = 3.0
"""Seconds after which the gateway leaves a provider that hangs."""

Make = Callable[[str, str], Provider[Any, Any, Any]]

UPSTREAMS: Mapping[str, Make] = {
    "anthropic": lambda name, url: Anthropic(
        name, model="claude-opus-5", base_url=url, api_key=KEY
    ),
    "chat": lambda name, url: OpenAI(
        name, model="gpt-5", base_url=f"{url}/v1", api_key=KEY, api="chat"
    ),
    "responses": lambda name, url: OpenAI(
        name, model="gpt-6", base_url=f"{url}/v1", api_key=KEY, api="responses"
    ),
    "gemini": lambda name, url: Gemini(name, model="gemini-3-pro", base_url=url, api_key=KEY),
}


@dataclass(frozen=True)
class Run:
    """How a run of an agent ended.

    Attributes:
        code: the exit code.
        output: what it printed.
        errors: what it printed to stderr, and the log of the gateway.
        requests: how many requests each fake received.
    """

    code: int | None
    output: str
    errors: str
    requests: tuple[int, ...]

    def done(self, task: Task) -> bool:
        """Whether the task was done."""
        return self.code == 0 and all(word in self.output for word in task.expected)

    def __str__(self) -> str:
        return f"exit code {self.code}\n{self.output[-3000:]}\n{self.errors[-3000:]}"


class FakeService(ScriptedProvider):
    """A fake service with one fault per request; the last fault stays."""

    def __init__(self, answers: Answers, faults: Sequence[str]) -> None:
        super().__init__(*faults)
        self._answers = answers


class Lines:
    """Keeps the log of the gateway."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __getattr__(self, level: str) -> Any:
        return lambda event, **fields: self.lines.append(f"{level} {event} {fields}")


@asynccontextmanager
async def gateway_for(
    formats: Sequence[str], fakes: Sequence[FakeService], lines: Lines
) -> AsyncIterator[str]:
    """The address of a gateway before fakes, each in a format, in order of preference."""
    async with AsyncExitStack() as stack:
        providers = []
        for number, (kind, fake) in enumerate(zip(formats, fakes, strict=True)):
            await stack.enter_async_context(fake)
            providers.append(UPSTREAMS[kind](f"p{number}", fake.url))
        registry = CollectorRegistry()
        router: MultiProviderRouter[Any, Any, Any] = MultiProviderRouter(
            providers,
            routes=[Route("main", [[provider.name] for provider in providers])],
            stream=StreamPolicy(on_interrupt="continue", first_token=FIRST_TOKEN, idle=FIRST_TOKEN),
            registry=registry,
        )
        await stack.enter_async_context(router)
        gateway = Gateway(router, models={"*": "main"}, registry=registry, log=AccessLog(lines))
        stack.callback(gateway.close)
        server = await stack.enter_async_context(Server(gateway, drain=0.1))
        yield server.url


async def run_agent(
    agent: Agent,
    task: Task,
    formats: Sequence[str],
    folder: Path,
    faults: Sequence[Sequence[str]] = ((),),
) -> Run:
    """Runs an agent with a task.

    Args:
        agent: the agent.
        task: its task.
        formats: the format of each service behind the gateway, in order of preference.
        folder: an empty folder, for its home and its files.
        faults: the faults of each service, one for each of its first requests; then there is none.
    """
    home, work = folder / "home", folder / "work"
    home.mkdir()
    work.mkdir()
    task.prepare(work)
    fakes = [FakeService(task.model(agent, work), [*one, ""]) for one in faults]
    lines = Lines()
    async with gateway_for(formats, fakes, lines) as url:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TERM": "dumb",
            **agent.environment(url, home),
        }
        process = await asyncio.create_subprocess_exec(
            str(agent.program),
            *agent.arguments(task.prompt),
            cwd=work,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(TIMEOUT):
                output, errors = await process.communicate()
        except TimeoutError:
            output, errors = b"", b"timeout"
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return Run(
        process.returncode,
        output.decode(),
        "\n".join([errors.decode(), *lines.lines]),
        tuple(len(fake.requests) for fake in fakes),
    )
