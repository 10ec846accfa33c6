"""A model that thinks for minutes: the defaults of a configuration file, and what clients see."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import anyio
import pytest
import yaml
from prometheus_client import CollectorRegistry

from multirouter.config import load
from multirouter.gateway.access_log import AccessLog
from multirouter.gateway.process import make_gateway
from multirouter.gateway.server import Server
from multirouter.testing.fakes import FakeProvider
from tests.gateway.harness import Harness, RecordingLogger
from tests.gateway.wandering.clients import CLIENTS
from tests.gateway.wandering.sdk_types import check_events, check_whole, ended

pytestmark = [pytest.mark.backends("asyncio")]

THINKS = 290
"""Seconds: below the limit of an attempt, which is 300 s in a configuration file."""

EVERY = 15
"""Seconds between two signs of life; the default of `server.comment_interval`."""

COMMENTS = {"gemini": b"\n", "messages": b": waiting\n\n"}


@pytest.mark.parametrize("kind", CLIENTS)
async def test_minutes_of_silence(kind: str, tmp_path: Path) -> None:
    """A stream is kept alive, in a form that the client skips; a whole answer just takes long."""
    async with AsyncExitStack() as stack:
        fake = await stack.enter_async_context(FakeProvider(f"slow-first-token-{THINKS * 1000}"))
        section = {"kind": "openai", "model": "gpt-5", "api_key": "k" * 12, "api": "chat"}
        file = tmp_path / "gateway.yaml"
        provider = {**section, "base_url": f"{fake.url}/v1"}
        routes = {"m": {"tiers": ["slow"]}}
        file.write_text(yaml.safe_dump({"providers": {"slow": provider}, "routes": routes}))
        settings = load(file)
        router = await stack.enter_async_context(settings.build(registry=CollectorRegistry()))
        gateway = make_gateway(router, settings, log=AccessLog(RecordingLogger()))
        server = await stack.enter_async_context(Server(gateway))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        harness = Harness(
            server.url, gateway, server, router, [], http, RecordingLogger(), CollectorRegistry()
        )
        client = CLIENTS[kind](["read"], "m", keeps=True, invents=False)
        path, body = client.request(stream=True)
        start = anyio.current_time()
        answer = await harness.post(path, json.dumps(body).encode())
        assert anyio.current_time() - start == pytest.approx(THINKS, abs=1)
        assert answer.status == 200
        comment = COMMENTS.get(kind, b": waiting\n\n")
        assert answer.data.startswith(comment * (THINKS // EVERY - 1))
        assert ended(kind, check_events(kind, answer))
        path, body = client.request(stream=False)
        answer = await harness.post(path, json.dumps(body).encode())
        assert check_whole(kind, answer.json)
