"""The examples of whole routers run offline, with the vendors' SDKs, and with the adapters."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from random import Random

import pytest

from multirouter import MultiProviderRouter
from multirouter.testing.fakes.server import FakeProvider

EXAMPLES = Path(__file__).parents[2] / "examples"
SYSTEMS = (
    "weighted_router",
    "resilient_chain",
    "task_chains",
    "quality_fallback",
    "openai_anthropic",
)
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "DEEPSEEK_API_KEY")


@pytest.fixture
def load(monkeypatch):
    """Imports an example anew, as `python examples/NAME.py` does, with no API key set."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    for key in KEYS:
        monkeypatch.delenv(key, raising=False)
    for name in ("clients", *SYSTEMS):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module
    for name in ("clients", *SYSTEMS):
        sys.modules.pop(name, None)


@pytest.mark.backends("asyncio", "uvloop")
async def test_weighted_router(load, capsys) -> None:
    """Shares follow the weights, no caller sees an error during the outage, openai recovers."""
    answered = await load("weighted_router").main(rng=Random(1))
    assert answered.total() == 600
    assert answered["error"] == 0
    before, during, _ = (line for line in capsys.readouterr().out.splitlines() if "{" in line)
    assert "'openai'" in before
    assert "openai" not in during
    assert 110 < answered["openai"] < 230


@pytest.mark.backends("asyncio", "uvloop")
async def test_resilient_chain(load) -> None:
    """The chain attempts its first provider twice; each priority selects the right provider."""
    *first, down, again, out = await load("resilient_chain").main(rng=Random(1))
    by_route = {outcome.route: outcome.provider for outcome in first}
    assert by_route["default"] == by_route["quality"] == "opus"
    assert by_route["cheapest"] == "flash"
    assert by_route["speed"] in {
        "flash",
        "gpt",
    }  # the faster of two candidates is never the slowest
    assert [record.provider for record in down.attempts] == ["opus", "opus", "gpt"]
    assert [record.provider for record in again.attempts] == ["opus", "opus", "gpt"]
    assert [record.provider for record in out.attempts] == ["opus", "gpt"]


@pytest.mark.backends("asyncio")
async def test_task_chains(load) -> None:
    """Each task uses its chain; the outage fires an alarm, and the failovers' savings are known."""
    report = await load("task_chains").main()
    assert report.errors == 0
    assert report.answered["reasoning", "opus"] == report.answered["reasoning", "gpt"] == 30
    assert report.answered["coding", "gpt"] == report.answered["simple", "flash"] == 60
    assert report.cost > 0 > report.extra
    assert [(alarm.alarm, alarm.subject) for alarm in report.alarms] == [
        ("provider_failing", "opus")
    ]


@pytest.mark.backends("asyncio", "uvloop")
async def test_quality_fallback_rejects_invalid_answers(load) -> None:
    """Every answer is valid JSON, though models gave others; the trail has the reasons."""
    example = load("quality_fallback")
    outcomes = await example.main(rng=Random(1))
    assert all(example.accept(outcome.value) is True for outcome in outcomes)
    reasons = {a.verdict.reason for outcome in outcomes for a in outcome.attempts if not a.ok}
    assert reasons == {"invalid JSON", "status 503"}
    assert {outcome.provider for outcome in outcomes} <= {"gpt", "opus", "flash"}


@pytest.mark.backends("asyncio")
async def test_quality_fallback_without_valid_answer(load) -> None:
    """If no model gives a valid answer the caller gets the fallback, and the call is not ok."""
    example = load("quality_fallback")
    prompt = example.prompt_for("x" * (6 - len(example.prompt_for("x")) % 5))
    assert len(prompt) % 5 == 0
    async with example.make_router() as router:
        assert isinstance(router, MultiProviderRouter)
        outcome = await router.call_outcome(prompt, route=["gpt", "mini"])
    assert (outcome.result, outcome.value) == ("fallback", example.FALLBACK)


@pytest.mark.real_io
@pytest.mark.backends("asyncio", "uvloop")
async def test_adapters_fail_over_to_anthropic(load, capsys) -> None:
    """The adapters' example fails over during the outage, in calls and in streams."""
    assert await load("openai_anthropic").offline() == ["openai", "anthropic", "anthropic"]
    output = capsys.readouterr().out
    assert "anthropic: You said: And now?" in output
    assert "anthropic: You said: And as a stream?" in output


@pytest.mark.real_io
@pytest.mark.backends("asyncio")
async def test_adapters_read_keys_from_the_environment(load, monkeypatch) -> None:
    """With both keys in the environment the adapters' example needs no other setting."""
    monkeypatch.setenv("OPENAI_API_KEY", "sham")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sham")
    example = load("openai_anthropic")
    openai = example.OpenAI("openai", model=example.GPT)
    anthropic = example.Anthropic("anthropic", model=example.CLAUDE)
    async with example.make_router(openai, anthropic) as router:
        assert [p.name for p in router.providers] == ["openai", "anthropic"]


# Google's SDK subclasses aiohttp's session, for which aiohttp emits this warning.
@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
@pytest.mark.real_io
@pytest.mark.backends("asyncio")
async def test_clients_use_sdks_if_keys_are_set(load, monkeypatch) -> None:
    """If a vendor's key is set its SDK is called, and the reply has the usage for the cost."""
    clients = load("clients")
    async with FakeProvider() as fake:
        for key in KEYS:
            monkeypatch.setenv(key, "sham")
        monkeypatch.setenv("OPENAI_BASE_URL", f"{fake.url}/v1")
        monkeypatch.setenv("DEEPSEEK_BASE_URL", f"{fake.url}/v1")
        monkeypatch.setenv("ANTHROPIC_BASE_URL", fake.url)
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", fake.url)
        replies = []
        for vendor in clients.VENDORS:
            provider = clients.model(vendor, vendor, "any-model")
            reply = await provider.call("Hello?")
            replies.append((vendor, bool(reply.text), reply.usage is not None))
            assert not clients.set_down(provider, down=True)
            await provider.aclose()
    assert replies == [(vendor, True, True) for vendor in clients.VENDORS]
    assert len(fake.requests) == 4
