"""Mixed pools: a request goes to a provider whose format can express it, and no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from prometheus_client import CollectorRegistry

from multirouter.config import load
from multirouter.gateway.access_log import AccessLog
from multirouter.gateway.process import make_gateway
from multirouter.gateway.server import Server
from multirouter.testing.fakes import FakeProvider
from tests.gateway.harness import Answer, Harness, RecordingLogger

pytestmark = [pytest.mark.backends("asyncio")]

KEY = "sk-12345678"
AUDIO = {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}
HOLOGRAM = {"type": "hologram", "hologram": {"depth": 3}}


class Pool:
    """A gateway in front of an OpenAI, an Anthropic and a Gemini provider."""

    def __init__(self, harness: Harness, fakes: dict[str, FakeProvider]) -> None:
        self.harness = harness
        self.fakes = fakes

    async def send(self, **body: Any) -> Answer:
        """Sends one request to the route `pool`."""
        return await self.harness.send(model="pool", **body)

    async def statuses(self, **body: Any) -> dict[tuple[int, str], int]:
        """How many of 20 requests ended with which status, at which provider."""
        answers = [await self.send(**body) for _ in range(20)]
        return Counter((a.status, a.headers.get("X-Provider", "")) for a in answers)


@asynccontextmanager
async def pool_of(
    tmp_path: Path, tiers: Any, faults: dict[str, str] | None = None, **route: Any
) -> AsyncIterator[Pool]:
    """A pool of the providers that the tiers name (`oa`, `claude`, `gem`)."""
    file = tmp_path / "gateway.yaml"
    async with AsyncExitStack() as stack:
        fakes: dict[str, FakeProvider] = {}
        for name in ("oa", "claude", "gem"):
            fake = FakeProvider(fault=(faults or {}).get(name, ""))
            fakes[name] = await stack.enter_async_context(fake)
        sections = {
            "oa": {"kind": "openai", "model": "gpt-x", "base_url": f"{fakes['oa'].url}/v1"},
            "claude": {"kind": "anthropic", "model": "claude-x", "base_url": fakes["claude"].url},
            "gem": {"kind": "gemini", "model": "gemini-3-x", "base_url": fakes["gem"].url},
        }
        config = {
            "providers": {name: {**one, "api_key": KEY} for name, one in sections.items()},
            "routes": {"pool": {"tiers": tiers, **route}},
        }
        file.write_text(yaml.safe_dump(config))
        settings = load(file)
        log = RecordingLogger()
        router = await stack.enter_async_context(settings.build(registry=CollectorRegistry()))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        gateway = make_gateway(router, settings, log=AccessLog(log))
        server = await stack.enter_async_context(Server(gateway))
        harness = Harness(server.url, gateway, server, router, [], http, log, CollectorRegistry())
        yield Pool(harness, fakes)


def user(*parts: Any) -> list[Any]:
    """One message of these parts."""
    return [{"role": "user", "content": [{"type": "text", "text": "hi"}, *parts]}]


@pytest.mark.parametrize("tiers", [[["oa", "claude"]], ["claude", "oa"]], ids=["one tier", "two"])
@pytest.mark.parametrize(
    "fields",
    [{"n": 2}, {"stop": ["\n\n"]}, {"messages": user(AUDIO)}, {"response_format": {"type": "x"}}],
    ids=["field", "value", "part", "invented value"],
)
async def test_the_provider_that_can(tmp_path: Path, tiers: Any, fields: Any) -> None:
    """Every request is answered by it, in one attempt; the other is sent nothing."""
    async with pool_of(tmp_path, tiers) as pool:
        assert await pool.statuses(**fields) == {(200, "oa"): 20}
        answer = await pool.send(stream=True, **fields)
        assert answer.status == 200
        assert [entry["provider"] for entry in answer.trail] == ["oa"]
        assert not pool.fakes["claude"].requests
        plain = await pool.statuses()
        assert all(status == 200 for status, _ in plain)
        assert pool.fakes["claude"].requests


async def test_only_when_no_provider_can(tmp_path: Path) -> None:
    """The 400 names what cannot be expressed, and each provider; nothing is sent, none opens."""
    async with pool_of(tmp_path, [["claude", "gem"]]) as pool:
        answer = await pool.send(messages=user(HOLOGRAM), logit_bias={"5": 1})
        assert answer.status == 400
        error = answer.json["error"]
        assert error["code"] == "unsupported"
        assert answer.headers["X-Should-Retry"] == "false"
        for said in ("claude: cannot express logit_bias", "gem: cannot express", "'hologram'"):
            assert said in error["message"]
        assert not any(fake.requests for fake in pool.fakes.values())
        assert (await pool.send()).status == 200


async def test_a_400_of_a_provider_about_a_field(tmp_path: Path) -> None:
    """The next provider is attempted at once, and the circuit stays closed."""
    async with pool_of(tmp_path, ["oa", "claude"], {"oa": "unsupported-field"}) as pool:
        for _ in range(10):
            answer = await pool.send()
            assert (answer.status, answer.headers["X-Provider"]) == (200, "claude")
        assert answer.trail[0]["verdict"] == "unsupported"


@pytest.mark.parametrize("fault", ["fail-503", "fail-500", "fail-429"])
async def test_outages_are_not_hidden(tmp_path: Path, fault: str) -> None:
    """The provider that can express it is down: SDKs may try again."""
    expected = {"fail-503": 503, "fail-500": 502, "fail-429": 429}[fault]
    async with pool_of(tmp_path, ["oa", "claude"], {"oa": fault}) as pool:
        for _ in range(12):  # until its circuit is open, and after
            answer = await pool.send(n=2)
            assert answer.status in {expected, 503}
            assert answer.headers.get("X-Should-Retry") != "false"
        assert answer.headers.get("Retry-After") or fault == "fail-500"


async def test_drop(tmp_path: Path) -> None:
    """The field is left out, and the header says so, for whole answers and streams."""
    async with pool_of(tmp_path, ["claude", "oa"], unsupported="drop") as pool:
        for stream in (False, True):
            answer = await pool.send(n=2, x_frobnicate=1, stream=stream)
            assert (answer.status, answer.headers["X-Provider"]) == (200, "claude")
            assert answer.headers["X-Dropped-Fields"] == "n, x_frobnicate"
        answer = await pool.send(messages=user(AUDIO))
        assert answer.headers["X-Provider"] == "oa"
        assert "X-Dropped-Fields" not in answer.headers


async def test_reject(tmp_path: Path) -> None:
    """Whichever provider is first, the request is rejected when one of them cannot express it."""
    for tiers in (["claude", "oa"], ["oa", "claude"]):
        async with pool_of(tmp_path, tiers, unsupported="reject") as pool:
            answer = await pool.send(n=2)
            assert answer.status == 400
            assert "claude: cannot express n" in answer.json["error"]["message"]
            assert (await pool.send()).status == 200


async def test_fallback_models(tmp_path: Path) -> None:
    """The models of one request are a mixed pool, too."""
    async with pool_of(tmp_path, ["claude"]) as pool:
        answer = await pool.harness.send(model="claude-x", fallback_models=["gpt-x"], n=2)
        assert (answer.status, answer.headers["X-Provider"]) == (200, "oa")
