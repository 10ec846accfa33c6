"""Gateway of a configuration file, in front of a fake provider."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from multirouter import ConfigurationError
from multirouter.config import load
from multirouter.gateway.access_log import AccessLog
from multirouter.gateway.process import make_gateway
from multirouter.gateway.reload import Reloader
from multirouter.gateway.server import Server
from multirouter.testing.fakes import FakeProvider
from tests.gateway.harness import PROMPT, REPLY, Harness, RecordingLogger

pytestmark = [pytest.mark.backends("asyncio")]

CONFIG = """\
providers:
  up: {{kind: openai, base_url: "{url}/v1", api_key: sk-12345678, models: [gpt-5, embed-1]}}
routes:
  {route}: {{tiers: [up]}}
"""


async def test_endpoints_of_a_configuration(tmp_path: Path) -> None:
    """Chat and passthrough map model names; a reload replaces routes, an invalid one nothing."""
    file = tmp_path / "gateway.yaml"
    log = RecordingLogger()
    async with FakeProvider() as fake:
        file.write_text(CONFIG.format(url=fake.url, route="one"))
        settings = load(file)
        async with (
            settings.build(registry=CollectorRegistry()) as router,
            aiohttp.ClientSession() as http,
        ):
            gateway = make_gateway(router, settings, log=AccessLog(log))
            async with Server(gateway) as server:
                harness = Harness(
                    server.url, gateway, server, router, [], http, log, CollectorRegistry()
                )
                assert (await harness.send(model="one")).text == REPLY
                models: list[Any] = []
                for model in ("up/embed-1", "embed-1", "one"):
                    answer = await harness.send(path="/v1/embeddings", model=model, input=PROMPT)
                    assert answer.status == 200
                    models.append(fake.requests[-1].body["model"])
                assert models == ["embed-1", "embed-1", "gpt-5"]

                reloader = Reloader(lambda: load(file), gateway)
                file.write_text(CONFIG.format(url=fake.url, route="two"))
                assert await reloader.reload("test") == ""
                assert (await harness.send(model="two")).text == REPLY
                assert (await harness.send(model="one")).status == 404
                file.write_text("providers: 7")
                assert "providers" in await reloader.reload("test")
                assert (await harness.send(model="two")).text == REPLY
    assert [event for _, event, _ in log.events if "reload" in event] == [
        "configuration reloaded",
        "configuration reload rejected",
    ]


async def test_unexpected_error_is_logged_and_hidden(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An internal error is a 500 without details; the log has them."""
    file = tmp_path / "gateway.yaml"
    log = RecordingLogger()
    async with FakeProvider() as fake, aiohttp.ClientSession() as http:
        file.write_text(CONFIG.format(url=fake.url, route="one"))
        settings = load(file)
        async with settings.build(registry=CollectorRegistry()) as router:
            gateway = make_gateway(router, settings, log=AccessLog(log))

            def fail(name: str) -> None:
                raise ConfigurationError("secret", name)

            monkeypatch.setattr(gateway.catalogue, "find", fail)
            async with Server(gateway) as server:
                harness = Harness(
                    server.url, gateway, server, router, [], http, log, CollectorRegistry()
                )
                answer = await harness.send(model="one")
    assert (answer.status, answer.json["error"]["code"]) == (500, "internal_error")
    assert "secret" not in answer.data.decode()
    assert [event for _, event, _ in log.events] == ["internal error", "request"]
