"""The clients: bare aiohttp, routers with adapters, installed peers."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter
from multirouter.providers import Anthropic, Gemini, OpenAI, chat

MODEL = "gpt-5"
KEY = "sk-none"


class Client(NamedTuple):
    """One way to send requests.

    Attributes:
        call: requests a whole answer; None where only streams are measured.
        stream: requests a streamed answer and iterates over its chunks.
    """

    call: Callable[[str], Awaitable[object]] | None
    stream: Callable[[str], AsyncIterator[object]]


Make = Callable[[str, AsyncExitStack], Awaitable[Client]]


async def bare(url: str, alive: AsyncExitStack) -> Client:
    """The minimum: aiohttp, and one parse of each JSON."""
    session = await alive.enter_async_context(aiohttp.ClientSession())
    address, headers = f"{url}/v1/chat/completions", {"Authorization": f"Bearer {KEY}"}

    async def call(prompt: str) -> object:
        body = {"model": MODEL, **chat(prompt)}
        async with session.post(address, json=body, headers=headers) as response:
            return json.loads(await response.read())

    async def stream(prompt: str) -> AsyncIterator[object]:
        body = {"model": MODEL, "stream": True, **chat(prompt)}
        async with session.post(address, json=body, headers=headers) as response:
            async for line in response.content:
                if line.startswith(b"data: {"):
                    yield json.loads(line[6:])

    return Client(call, stream)


def routed(make: Callable[[str], Any]) -> Make:
    """A router with one adapter."""

    async def client(url: str, alive: AsyncExitStack) -> Client:
        router: Any = MultiProviderRouter([make(url)], registry=CollectorRegistry())
        await alive.enter_async_context(router)

        async def call(prompt: str) -> object:
            return await router.call(chat(prompt))

        async def stream(prompt: str) -> AsyncIterator[object]:
            async with router.stream(chat(prompt)) as chunks:
                async for chunk in chunks:
                    yield chunk

        return Client(call, stream)

    return client


async def openai_sdk(url: str, alive: AsyncExitStack) -> Client:
    """The official SDK, with its retries off."""
    from openai import AsyncOpenAI

    sdk: Any = AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0)
    await alive.enter_async_context(sdk)

    async def call(prompt: str) -> object:
        return await sdk.chat.completions.create(model=MODEL, **chat(prompt))

    async def stream(prompt: str) -> AsyncIterator[object]:
        async for chunk in await sdk.chat.completions.create(
            model=MODEL, stream=True, **chat(prompt)
        ):
            yield chunk

    return Client(call, stream)


async def litellm(url: str, alive: AsyncExitStack) -> Client:  # noqa: ARG001 - as all have it
    """`litellm.Router` with one deployment."""
    import litellm as peer

    params = {"model": f"openai/{MODEL}", "api_base": f"{url}/v1", "api_key": KEY}
    router: Any = peer.Router(model_list=[{"model_name": "any", "litellm_params": params}])

    async def call(prompt: str) -> object:
        return await router.acompletion(model="any", **chat(prompt))

    async def stream(prompt: str) -> AsyncIterator[object]:
        async for chunk in await router.acompletion(model="any", stream=True, **chat(prompt)):
            yield chunk

    return Client(call, stream)


async def tensorzero(url: str, alive: AsyncExitStack) -> Client:
    """TensorZero's embedded client, with observability off."""
    from tensorzero import AsyncTensorZeroGateway

    os.environ[_VARIABLE] = KEY
    file = _configuration(alive.enter_context(tempfile.TemporaryDirectory()), url)
    built: Any = AsyncTensorZeroGateway.build_embedded(config_file=file)
    gateway: Any = await built
    alive.push_async_exit(gateway.__aexit__)

    def arguments(prompt: str) -> dict[str, Any]:
        return {"model_name": "any", "input": {"messages": [{"role": "user", "content": prompt}]}}

    async def call(prompt: str) -> object:
        return await gateway.inference(**arguments(prompt))

    async def stream(prompt: str) -> AsyncIterator[object]:
        async for chunk in await gateway.inference(stream=True, **arguments(prompt)):
            yield chunk

    return Client(call, stream)


def _configuration(folder: str, url: str) -> str:
    file = Path(folder, "tensorzero.toml")
    text = _TENSORZERO.format(url=url, model=MODEL, variable=_VARIABLE)
    file.write_text(text, encoding="utf-8")
    return str(file)


_VARIABLE = "MULTIROUTER_BENCHMARK_KEY"

_TENSORZERO = """\
[gateway]
observability.enabled = false

[models.any]
routing = ["fake"]

[models.any.providers.fake]
type = "openai"
model_name = "{model}"
api_base = "{url}/v1/"
api_key_location = "env::{variable}"
"""

PEERS: dict[str, tuple[str, Make]] = {
    "openai SDK": ("openai", openai_sdk),
    "litellm": ("litellm", litellm),
    "tensorzero": ("tensorzero", tensorzero),
}


def present() -> dict[str, Make]:
    """The contestants, by name; the first is the base of the comparison."""
    found: dict[str, Make] = {
        "bare aiohttp": bare,
        "router, OpenAI": routed(
            lambda url: OpenAI("a", model=MODEL, api_key=KEY, base_url=f"{url}/v1")
        ),
        "router, Anthropic": routed(
            lambda url: Anthropic("a", model="claude-opus-5", api_key=KEY, base_url=url)
        ),
        "router, Gemini": routed(
            lambda url: Gemini("a", model="gemini-3-pro", api_key=KEY, base_url=url)
        ),
    }
    installed = {name: make for name, (module, make) in PEERS.items() if find_spec(module)}
    return found | installed
