"""History: the rows of calls, attempts, failovers and circuits, and what is never written."""

from __future__ import annotations

import contextlib
import gc
import time
from threading import enumerate as threads

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import (
    ConfigurationError,
    MultiProviderRouter,
    Provider,
    Route,
    UsageError,
    client_key,
)
from multirouter.core.cost.price import Price
from multirouter.listeners.history.history import History
from multirouter.testing import Answer, ScriptedProvider
from tests.listeners.helpers import PROMPT, attempt, dispatch
from tests.listeners.history.helpers import BASE, history, router, rows

USAGE = {"usage": {"prompt_tokens": 1000, "completion_tokens": 200}}


async def test_each_attempt_and_call_is_written(tmp_path):
    """A call that fails over writes two attempts, a failover and a call, with times and costs."""
    file = tmp_path / "history.db"
    first = ScriptedProvider("first", latency=2.0, script=["error"])
    second = ScriptedProvider("second", latency=1.0, answer=lambda _: USAGE)
    providers = [
        Provider("first", first, price=Price(9, 9)),
        Provider("second", second, price=Price(5, 25)),
    ]
    chain = Route("chain", ["first", "second"])
    async with router(history(file), *providers, routes=[chain]) as r:
        with client_key("shop"):
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
    assert (call["failures"], call["failovers"], call["first_choice_unavailable"]) == (1, 1, 0)
    assert (call["first_provider"], call["first_kind"]) == ("first", "server")
    assert call["first_elapsed"] == pytest.approx(2.0)
    assert call["cost"] == pytest.approx(0.01)
    assert call["first_cost"] == pytest.approx(1200 * 9 / 1e6)
    assert (call["client_key"], call["input_tokens"], call["output_tokens"]) == ("shop", 1000, 200)
    (failover,) = rows(file, "failovers")
    assert (failover["provider"], failover["to_provider"], failover["kind"]) == (
        "first",
        "second",
        "server",
    )
    (spending,) = rows(file, "spending")
    assert (spending["provider"], spending["cost"]) == ("second", pytest.approx(0.01))


async def test_circuit_changes_are_written(tmp_path):
    """An opening is written with its reason and its open duration."""
    file = tmp_path / "history.db"
    bad = ScriptedProvider("bad", error_rate=1.0)
    async with router(history(file), Provider("bad", bad)) as r:
        for _ in range(3):
            await r.call_outcome("q")
    opened = rows(file, "circuits")[0]
    assert (opened["provider"], opened["old"], opened["new"]) == ("bad", "closed", "open")
    assert (opened["reason"], opened["open_duration"]) == ("failures", pytest.approx(60.0))


async def test_a_call_with_an_unavailable_first_choice_is_marked(tmp_path):
    """`first_choice_unavailable` is 1 while the first provider of the call's route is held open."""
    file = tmp_path / "history.db"
    providers = [Provider(name, ScriptedProvider(name)) for name in "ab"]
    async with router(history(file), *providers, routes=[Route("default", ["a", "b"])]) as r:
        await r.call("q")
        r.hold("a", "open")
        await r.call("q")
        await r.call("q", route=["b"])
        await r.call("q", route=["a", "b"])
        r.unhold("a")
        r.update("b", weight=2)
    assert [call["first_choice_unavailable"] for call in rows(file, "calls")] == [0, 1, 0, 1]


async def test_a_rejected_call_is_written_without_a_first_choice(tmp_path):
    """A call without attempts has a row with the result `rejected`."""
    file = tmp_path / "history.db"
    async with router(history(file), Provider("a", ScriptedProvider("a"))) as r:
        r.hold("a", "open")
        await r.call_outcome("q")
    (call,) = rows(file, "calls")
    assert (call["result"], call["attempts"], call["first_provider"]) == ("rejected", 0, None)


async def test_a_stream_is_timed_to_its_first_content(tmp_path):
    """A streamed call has the time to its first content as well as its duration."""
    file = tmp_path / "history.db"
    a = ScriptedProvider("a", latency=0.5, chunk_latency=1.0)
    provider = Provider("a", stream=a.stream)
    async with router(history(file), provider) as r, r.stream("one two") as stream:
        assert [chunk async for chunk in stream]
    (call,), (attempt_row,) = rows(file, "calls"), rows(file, "attempts")
    assert call["first_content"] == pytest.approx(0.5) == attempt_row["first_content"]
    assert call["elapsed"] > 1.4
    assert call["first_elapsed"] == attempt_row["first_content"]


async def test_prompts_and_answers_are_never_written(tmp_path):
    """No byte of a request, an answer or an error's message reaches the disk."""
    file = tmp_path / "history.db"
    secret = "sk-not-in-the-file"
    a = ScriptedProvider("a", script=[ValueError(secret), Answer(secret)])
    async with router(history(file), Provider("a", a)) as r:
        await r.call_outcome(secret)
        await r.call_outcome(secret)
        assert r._engine._history.flush()
        dispatch(r._engine._history, "attempt_ended", attempt(error=ValueError(PROMPT)))
    for path in tmp_path.iterdir():
        written = path.read_bytes()
        assert secret.encode() not in written
        assert PROMPT.encode() not in written
    assert [row["kind"] for row in rows(file, "attempts")] == [
        "unknown",
        "success",
        "success",
        "success",
    ]


async def test_old_rows_are_deleted(tmp_path):
    """Rows older than `retention` are deleted; `spending` is kept for at least 32 days."""
    file = tmp_path / "history.db"
    a = ScriptedProvider("a", answer=lambda _: USAGE)
    async with router(history(file, retention=7200.0), Provider("a", a, price=Price(1, 1))) as r:
        for _ in range(4):
            await r.call("q")
            assert r._engine._history.flush()
            await anyio.sleep(3600)
    assert [round(row["at"] - BASE) for row in rows(file, "calls")] == [3600, 7200, 10800]
    assert len(rows(file, "attempts")) == 3
    assert len(rows(file, "spending")) == 4


async def test_a_full_queue_drops_and_counts_rows(tmp_path):
    """Rows beyond the queue limit are dropped and counted in the metrics; no call fails."""
    registry = CollectorRegistry()
    file = tmp_path / "history.db"
    small = history(file, max_queued_rows=3, batch_interval=30.0)
    async with router(small, Provider("a", ScriptedProvider("a")), registry=registry) as r:
        dropped = "multirouter_history_dropped_total"
        assert registry.get_sample_value(dropped, {"router": "default"}) == 0
        for _ in range(5):
            await r.call("q")
        assert registry.get_sample_value(dropped, {"router": "default"}) == 7
    assert len(rows(file, "attempts")) + len(rows(file, "calls")) == 3


async def test_history_may_be_a_path(tmp_path):
    """`history=` accepts a path; the router closes the file and leaves no thread running."""
    file = tmp_path / "history.db"
    before = time.time()
    async with router(str(file), Provider("a", ScriptedProvider("a"))) as r:
        await r.call("q")
    (call,) = rows(file, "calls")
    assert before - 1 < call["at"] < time.time() + 1
    assert not [thread for thread in threads() if thread.name == "multirouter-history"]
    assert not list(tmp_path.glob("*-wal"))


@pytest.mark.backends("asyncio")
async def test_a_dropped_router_writes_its_queue(tmp_path):
    """A router that is dropped without `aclose` loses no rows, and its thread ends."""
    file = tmp_path / "history.db"
    r = router(history(file, batch_interval=60.0), Provider("a", ScriptedProvider("a")))
    await r.call("q")
    (thread,) = [thread for thread in threads() if thread.name == "multirouter-history"]
    del r
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()
    assert len(rows(file, "calls")) == 1


async def test_an_event_after_close_reopens_the_file(tmp_path):
    """A closed History that gets an event writes it at its next close."""
    file = tmp_path / "history.db"
    recorded = history(file)
    async with router(recorded, Provider("a", ScriptedProvider("a"))) as r:
        await r.call("q")
    dispatch(recorded, "attempt_ended", attempt())
    recorded.close()
    assert len(rows(file, "attempts")) == 2
    recorded.close()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (7, "must be a path or a History"),
        ("missing/history.db", "does not exist"),
        (".", "got the directory"),
    ],
)
def test_an_invalid_path_raises(path, message, tmp_path, monkeypatch):
    """A path that cannot be a history file raises when the router is created."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=message):
        router(path)


@pytest.mark.parametrize(
    "settings",
    [{"retention": 0}, {"max_queued_rows": 0}, {"batch_interval": -1}, {"retention": "long"}],
)
def test_invalid_settings_raise(settings, tmp_path):
    """The error names the setting."""
    with pytest.raises(ConfigurationError, match=rf"History\.{next(iter(settings))}"):
        History(tmp_path / "h", **settings)


def test_a_history_belongs_to_one_router(tmp_path):
    """Use without a router, and by a second router, raise with the way to fix it."""
    recorded = History(tmp_path / "history.db")
    assert repr(recorded) == f"<History of no router in {tmp_path / 'history.db'}>"
    for use in (recorded.flush, recorded.close, lambda: recorded.attempt_ended(attempt())):
        with pytest.raises(UsageError, match="has no router"):
            use()
    router(recorded, name="one")
    with pytest.raises(ConfigurationError, match="router 'one'; create another"):
        router(recorded, name="two")
    assert "of one in" in repr(recorded)


def test_without_history_nothing_is_recorded():
    """Without `history=` the router has no history and no counter of dropped rows."""
    registry = CollectorRegistry()
    r = MultiProviderRouter(registry=registry)
    assert r._engine._history is None
    with contextlib.suppress(KeyError):
        assert registry.get_sample_value("multirouter_history_dropped_total") is None
