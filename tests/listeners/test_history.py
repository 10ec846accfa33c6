"""History: what is written of calls, attempts, failovers and circuits, and what never is."""

from __future__ import annotations

import contextlib
import gc
import time
from threading import enumerate as threads

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import ConfigurationError, MultiProviderRouter, Provider, Route, UsageError
from multirouter.core.cost.price import Price
from multirouter.listeners.history.history import History
from multirouter.testing import Answer, ScriptedProvider
from tests.listeners.doubles import PROMPT, attempt, tell
from tests.listeners.history_kit import BASE, history, router, rows

USED = {"usage": {"prompt_tokens": 1000, "completion_tokens": 200}}


async def test_each_attempt_and_call_is_written(tmp_path):
    """A call that fails over leaves two attempts, a failover and one call, with times and costs."""
    file = tmp_path / "history.db"
    first = ScriptedProvider("first", latency=2.0, script=["error"])
    second = ScriptedProvider("second", latency=1.0, answer=lambda _: USED)
    providers = [
        Provider("first", first, price=Price(9, 9)),
        Provider("second", second, price=Price(5, 25)),
    ]
    chain = Route("chain", ["first", "second"])
    async with router(history(file), *providers, routes=[chain]) as r:
        await r.call("q", route="chain")
    failed, answered = rows(file, "attempts")
    assert (failed["provider"], failed["kind"], failed["status"]) == ("first", "server", 500)
    assert failed["elapsed"] == pytest.approx(2.0)
    assert failed["cost"] is None
    assert (answered["provider"], answered["kind"], answered["route"]) == (
        "second",
        "success",
        "chain",
    )
    assert (answered["input_tokens"], answered["output_tokens"]) == (1000, 200)
    assert answered["cost"] == pytest.approx(0.01)
    assert answered["estimated"] == 0
    (call,) = rows(file, "calls")
    assert call["at"] == pytest.approx(answered["at"])
    assert (call["result"], call["provider"], call["attempts"]) == ("success", "second", 2)
    assert (call["failures"], call["failovers"], call["diverted"]) == (1, 1, 0)
    assert (call["first_provider"], call["first_kind"]) == ("first", "server")
    assert call["first_elapsed"] == pytest.approx(2.0)
    assert call["cost"] == pytest.approx(0.01)
    assert call["first_cost"] == pytest.approx(1200 * 9 / 1e6)
    (move,) = rows(file, "failovers")
    assert (move["provider"], move["moved_to"], move["kind"]) == ("first", "second", "server")
    (spent,) = rows(file, "spending")
    assert (spent["provider"], spent["cost"]) == ("second", pytest.approx(0.01))


async def test_circuits_are_written(tmp_path):
    """An opening is written with its reason and how long it holds."""
    file = tmp_path / "history.db"
    bad = ScriptedProvider("bad", error_rate=1.0)
    async with router(history(file), Provider("bad", bad)) as r:
        for _ in range(3):
            await r.call_outcome("q")
    opened = rows(file, "circuits")[0]
    assert (opened["provider"], opened["old"], opened["new"]) == ("bad", "closed", "open")
    assert (opened["reason"], opened["open_duration"]) == ("failures", 60.0)


async def test_a_call_led_past_its_first_tier_is_marked(tmp_path):
    """While the first tier is held open, calls are `diverted`; given routes never are."""
    file = tmp_path / "history.db"
    providers = [Provider(name, ScriptedProvider(name)) for name in "ab"]
    async with router(history(file), *providers, routes=[Route("default", ["a", "b"])]) as r:
        await r.call("q")
        r.hold("a", "open")
        await r.call("q")
        await r.call("q", route=["b"])
        r.unhold("a")
        r.update("b", weight=2)
    assert [call["diverted"] for call in rows(file, "calls")] == [0, 1, 0]


async def test_a_refused_call_is_written_without_a_first_choice(tmp_path):
    """A call that reached nobody has a row that says so."""
    file = tmp_path / "history.db"
    async with router(history(file), Provider("a", ScriptedProvider("a"))) as r:
        r.hold("a", "open")
        await r.call_outcome("q")
    (call,) = rows(file, "calls")
    assert (call["result"], call["attempts"], call["first_provider"]) == ("refused", 0, None)


async def test_a_stream_is_timed_to_its_first_content(tmp_path):
    """A streamed call has the seconds to its first content beside those to its end."""
    file = tmp_path / "history.db"
    a = ScriptedProvider("a", latency=0.5, chunk_latency=1.0)
    provider = Provider("a", stream=a.stream)
    async with router(history(file), provider) as r, r.stream("one two") as stream:
        assert [chunk async for chunk in stream]
    (call,), (tried,) = rows(file, "calls"), rows(file, "attempts")
    assert call["first_content"] == pytest.approx(0.5) == tried["first_content"]
    assert call["elapsed"] > 1.4
    assert call["first_elapsed"] == tried["first_content"]


async def test_prompts_and_answers_are_never_written(tmp_path):
    """No byte of a request, an answer or an error's message reaches the disk."""
    file = tmp_path / "history.db"
    secret = "sk-attempt-me-not"
    a = ScriptedProvider("a", script=[ValueError(secret), Answer(secret)])
    async with router(history(file), Provider("a", a)) as r:
        await r.call_outcome(secret)
        await r.call_outcome(secret)
        assert r._engine._history.flush()
        tell(r._engine._history, "attempt_ended", attempt(error=ValueError(PROMPT)))
    for kept in tmp_path.iterdir():
        written = kept.read_bytes()
        assert secret.encode() not in written
        assert PROMPT.encode() not in written
    assert [row["kind"] for row in rows(file, "attempts")] == [
        "unknown",
        "success",
        "success",
        "success",
    ]


async def test_what_is_old_goes(tmp_path):
    """Rows older than `keep` are deleted, sums of money a month later at the earliest."""
    file = tmp_path / "history.db"
    a = ScriptedProvider("a", answer=lambda _: USED)
    async with router(history(file, keep=7200.0), Provider("a", a, price=Price(1, 1))) as r:
        for _ in range(4):
            await r.call("q")
            assert r._engine._history.flush()
            await anyio.sleep(3600)
    assert [round(row["at"] - BASE) for row in rows(file, "calls")] == [3600, 7200, 10800]
    assert len(rows(file, "attempts")) == 3
    assert len(rows(file, "spending")) == 4


async def test_a_full_queue_drops_and_counts(tmp_path):
    """What finds no room is lost, is counted in the metrics, and fails no call."""
    registry = CollectorRegistry()
    file = tmp_path / "history.db"
    kept = history(file, waiting=3, gather=30.0)
    async with router(kept, Provider("a", ScriptedProvider("a")), registry=registry) as r:
        lost = "multirouter_history_dropped_total"
        assert registry.get_sample_value(lost, {"router": "default"}) == 0
        for _ in range(5):
            await r.call("q")
        assert registry.get_sample_value(lost, {"router": "default"}) == 7
    assert len(rows(file, "attempts")) + len(rows(file, "calls")) == 3


async def test_a_path_is_enough(tmp_path):
    """`history=` takes a path, closes it with the router, and leaves no thread behind."""
    file = tmp_path / "history.db"
    before = time.time()
    async with router(str(file), Provider("a", ScriptedProvider("a"))) as r:
        await r.call("q")
    (call,) = rows(file, "calls")
    assert before - 1 < call["at"] < time.time() + 1
    assert not [thread for thread in threads() if thread.name == "multirouter-history"]
    assert not list(tmp_path.glob("*-wal"))


@pytest.mark.backends("asyncio")
async def test_a_dropped_router_writes_what_it_knew(tmp_path):
    """A router that is let go of without `aclose` loses nothing, and its thread ends."""
    file = tmp_path / "history.db"
    r = router(history(file, gather=60.0), Provider("a", ScriptedProvider("a")))
    await r.call("q")
    (thread,) = [thread for thread in threads() if thread.name == "multirouter-history"]
    del r
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()
    assert len(rows(file, "calls")) == 1


async def test_news_after_the_end_opens_the_file_again(tmp_path):
    """A closed History that is told more writes it at its next close."""
    file = tmp_path / "history.db"
    kept = history(file)
    async with router(kept, Provider("a", ScriptedProvider("a"))) as r:
        await r.call("q")
    tell(kept, "attempt_ended", attempt())
    kept.close()
    assert len(rows(file, "attempts")) == 2
    kept.close()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (7, "must be a path or a History"),
        ("nowhere/history.db", "there is no directory"),
        (".", "is a directory"),
    ],
)
def test_a_wrong_place_is_refused(given, why, tmp_path, monkeypatch):
    """What cannot be a history file is refused where the router is made, with the reason."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=why):
        router(given)


@pytest.mark.parametrize(
    "settings", [{"keep": 0}, {"waiting": 0}, {"gather": -1}, {"keep": "long"}]
)
def test_wrong_settings_are_refused(settings, tmp_path):
    """Each setting says what it must be."""
    with pytest.raises(ConfigurationError, match=rf"History\.{next(iter(settings))}"):
        History(tmp_path / "h", **settings)


def test_a_history_belongs_to_one_router(tmp_path):
    """A second router, and none, are refused with what to do."""
    kept = History(tmp_path / "history.db")
    assert repr(kept) == f"<History of no router in {tmp_path / 'history.db'}>"
    for use in (kept.flush, kept.close, lambda: kept.attempt_ended(attempt())):
        with pytest.raises(UsageError, match="belongs to a router"):
            use()
    router(kept, name="one")
    with pytest.raises(ConfigurationError, match="router 'one' already: make another"):
        router(kept, name="two")
    assert "of one in" in repr(kept)


def test_no_history_costs_nothing():
    """Without `history=` the router neither writes nor counts what it would have dropped."""
    registry = CollectorRegistry()
    r = MultiProviderRouter(registry=registry)
    assert r._engine._history is None
    with contextlib.suppress(KeyError):
        assert registry.get_sample_value("multirouter_history_dropped_total") is None
