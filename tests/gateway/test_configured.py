"""A gateway as a file describes it, in front of the fakes."""

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
from tests.gateway.kit import PROMPT, SAID, Lines, Place

pytestmark = [pytest.mark.backends("asyncio")]

CONFIG = """\
providers:
  up: {{kind: openai, base_url: "{url}/v1", api_key: sk-12345678, models: [gpt-5, embed-1]}}
routes:
  {route}: {{tiers: [up]}}
"""


async def test_doors_of_a_file(tmp_path: Path) -> None:
    """Chats and passing doors ask for the model that the client means; a reload brings others."""
    file = tmp_path / "gateway.yaml"
    lines = Lines()
    async with FakeProvider() as fake:
        file.write_text(CONFIG.format(url=fake.url, route="one"))
        settings = load(file)
        async with (
            settings.build(registry=CollectorRegistry()) as router,
            aiohttp.ClientSession() as http,
        ):
            gateway = make_gateway(router, settings, log=AccessLog(lines))
            async with Server(gateway) as server:
                place = Place(
                    server.url, gateway, server, router, [], http, lines, CollectorRegistry()
                )
                assert (await place.ask(model="one")).text == SAID
                sent: list[Any] = []
                for model in ("up/embed-1", "embed-1", "one"):
                    answer = await place.ask(path="/v1/embeddings", model=model, input=PROMPT)
                    assert answer.status == 200
                    sent.append(fake.requests[-1].body["model"])
                assert sent == ["embed-1", "embed-1", "gpt-5"]

                reloader = Reloader(lambda: load(file), router, gateway)
                file.write_text(CONFIG.format(url=fake.url, route="two"))
                assert reloader.reload("test") == ""
                assert (await place.ask(model="two")).text == SAID
                assert (await place.ask(model="one")).status == 404
                file.write_text("providers: 7")
                assert "providers" in reloader.reload("test")
                assert (await place.ask(model="two")).text == SAID
    assert [event for _, event, _ in lines.told if "reload" in event] == [
        "reloaded",
        "reload refused",
    ]


async def test_what_nobody_foresaw(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An error of the gateway's own is a 500 that tells nothing, and the log tells it all."""
    file = tmp_path / "gateway.yaml"
    lines = Lines()
    async with FakeProvider() as fake, aiohttp.ClientSession() as http:
        file.write_text(CONFIG.format(url=fake.url, route="one"))
        settings = load(file)
        async with settings.build(registry=CollectorRegistry()) as router:
            gateway = make_gateway(router, settings, log=AccessLog(lines))

            def broken(name: str) -> None:
                raise ConfigurationError("secret", name)

            monkeypatch.setattr(gateway.catalog, "find", broken)
            async with Server(gateway) as server:
                place = Place(
                    server.url, gateway, server, router, [], http, lines, CollectorRegistry()
                )
                answer = await place.ask(model="one")
    assert (answer.status, answer.json["error"]["code"]) == (500, "internal_error")
    assert "secret" not in answer.data.decode()
    assert [event for _, event, _ in lines.told] == ["gateway failed", "request"]
