"""The examples that play whole systems run offline, and with the vendors' own SDKs."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from random import Random

import pytest

from multirouter import MultiProviderRouter
from multirouter.testing.fakes.server import FakeProvider

EXAMPLES = Path(__file__).parents[2] / "examples"
SYSTEMS = ("weighted_router", "resilient_chain", "task_chains", "quality_fallback")
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "DEEPSEEK_API_KEY")


@pytest.fixture
def load(monkeypatch):
    """Loads an example anew, as `python examples/NAME.py` does, with no key set."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    for key in KEYS:
        monkeypatch.delenv(key, raising=False)
    for name in ("clients", *SYSTEMS):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module
    for name in ("clients", *SYSTEMS):
        sys.modules.pop(name, None)


@pytest.mark.backends("asyncio", "uvloop")
async def test_the_weighted_router_outlives_an_outage(load, capsys) -> None:
    """Shares follow the weights, the outage costs no caller an answer, and openai comes back."""
    answered = await load("weighted_router").main(rng=Random(1))
    assert answered.total() == 600
    assert answered["error"] == 0
    before, during, _ = (line for line in capsys.readouterr().out.splitlines() if "{" in line)
    assert "'openai'" in before
    assert "openai" not in during
    assert 110 < answered["openai"] < 230


@pytest.mark.backends("asyncio", "uvloop")
async def test_the_chain_keeps_its_order_and_its_priorities(load) -> None:
    """The chain asks its first node first and repeats it once; each priority asks whom it says."""
    *first, down, again, out = await load("resilient_chain").main(rng=Random(1))
    by_route = {outcome.route: outcome.provider for outcome in first}
    assert by_route["default"] == by_route["quality"] == "opus"
    assert by_route["cheapest"] == "flash"
    assert by_route["speed"] in {"flash", "gpt"}  # the faster of two drawn is never the slowest
    assert [record.provider for record in down.attempts] == ["opus", "opus", "gpt"]
    assert [record.provider for record in again.attempts] == ["opus", "gpt"]
    assert [record.provider for record in out.attempts] == ["gpt"]


@pytest.mark.backends("asyncio")
async def test_tasks_choose_their_chain_and_know_its_cost(load) -> None:
    """Each task goes down its chain; the outage is told, and what its failovers saved."""
    report = await load("task_chains").main()
    assert report.errors == 0
    assert report.answered["reasoning", "opus"] == report.answered["reasoning", "gpt"] == 30
    assert report.answered["coding", "gpt"] == report.answered["simple", "flash"] == 60
    assert report.cost > 0 > report.extra
    assert [(alarm.alarm, alarm.subject) for alarm in report.told] == [("provider_failing", "opus")]


@pytest.mark.backends("asyncio", "uvloop")
async def test_what_is_no_good_is_asked_elsewhere(load) -> None:
    """Every answer is good JSON, though models gave others; the trail says what was wrong."""
    example = load("quality_fallback")
    outcomes = await example.main(rng=Random(1))
    assert all(example.good(outcome.value) is True for outcome in outcomes)
    reasons = {r.verdict.reason for outcome in outcomes for r in outcome.attempts if not r.ok}
    assert reasons == {"no JSON", "status 503"}
    assert {outcome.provider for outcome in outcomes} <= {"gpt", "opus", "flash"}


@pytest.mark.backends("asyncio")
async def test_nobodys_good_answer_is_the_substitute(load) -> None:
    """When every model talks nonsense the caller gets the substitute, and it is not ok."""
    example = load("quality_fallback")
    prompt = example.asked("x" * (6 - len(example.asked("x")) % 5))
    assert len(prompt) % 5 == 0
    async with example.make_router() as router:
        assert isinstance(router, MultiProviderRouter)
        outcome = await router.call_outcome(prompt, route=["gpt", "mini"])
    assert (outcome.result, outcome.value) == ("fallback", example.UNSURE)


# Google's SDK derives from aiohttp's session, which aiohttp warns of; that is between the two.
@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
@pytest.mark.real_io
@pytest.mark.backends("asyncio")
async def test_with_keys_the_sdks_ask(load, monkeypatch) -> None:
    """Where a vendor's key is set its own SDK asks, and tells the usage that makes the cost."""
    clients = load("clients")
    async with FakeProvider() as fake:
        for key in KEYS:
            monkeypatch.setenv(key, "sham")
        monkeypatch.setenv("OPENAI_BASE_URL", f"{fake.url}/v1")
        monkeypatch.setenv("DEEPSEEK_BASE_URL", f"{fake.url}/v1")
        monkeypatch.setenv("ANTHROPIC_BASE_URL", fake.url)
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", fake.url)
        asked = []
        for vendor in clients.VENDORS:
            provider = clients.model(vendor, vendor, "any-model")
            reply = await provider.call("Hello?")
            asked.append((vendor, bool(reply.text), reply.usage is not None))
            assert not clients.switch(provider, down=True)
            await provider.aclose()
    assert asked == [(vendor, True, True) for vendor in clients.VENDORS]
    assert len(fake.requests) == 4
