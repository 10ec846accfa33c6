"""A gateway that is stopped at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest

from multirouter.gateway import process
from multirouter.gateway.process import ServeOptions
from tests.gateway.harness import ScriptedProvider
from tests.gateway.processes.fake_upstream import upstream

pytestmark = [pytest.mark.backends("asyncio")]

CHAT = {"model": "one", "messages": [{"role": "user", "content": "Hello"}]}


async def test_second_stop_waits_for_no_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither for the drain nor for the seconds that a router gives its calls when it closes."""
    monkeypatch.setattr(process, "freeze_startup_objects", lambda: None)
    file = tmp_path / "gateway.yaml"
    stops: list[process.Stop] = []
    urls: list[str] = []

    @asynccontextmanager
    async def control(gateway: Any, stop: process.Stop) -> AsyncGenerator[None]:
        stops.append(stop)
        yield

    async with ScriptedProvider("stall-0") as provider, aiohttp.ClientSession() as http:
        file.write_text(upstream(provider.url) + "server: {drain_timeout: 1.0e+9}\n")
        options = ServeOptions(config=str(file), port=0)
        serving = asyncio.create_task(
            process._serve(options, options.load_settings(), control, urls.append)
        )
        while not urls:
            await anyio.sleep(0.01)
        request = asyncio.create_task(http.post(f"{urls[0]}/v1/chat/completions", json=CHAT))
        while not provider.requests:
            await anyio.sleep(0.01)
        first = anyio.current_time()
        stops[0].request(graceful=False)
        await anyio.sleep(0.1)
        stops[0].request(graceful=False)
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert anyio.current_time() - first < 1.0
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()  # as the end of the process does
        with pytest.raises(asyncio.CancelledError):
            await request
