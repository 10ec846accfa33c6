"""The demo's play, over real sockets and in virtual time: the story it tells is true."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from multirouter import ConfigurationError
from multirouter.demo.run import play
from multirouter.demo.scenario import Scenario

pytestmark = pytest.mark.backends("asyncio")


class Watcher:
    """A view that does something at its n-th look, as somebody in front of it might."""

    def __init__(self, at: int = 0, act=lambda stage: None) -> None:
        self.every = 0.1
        self.looks = 0
        self._at = at
        self._act = act

    def show(self, stage) -> None:
        self.looks += 1
        if self.looks == self._at:
            self._act(stage)


def story(summary) -> list[tuple[str, ...]]:
    """What befell the heaviest provider, without the times."""
    return [
        tuple(filter(None, (m.event, m.old, m.new, m.reason)))
        for m in summary.tally.history
        if m.provider == "alpha"
    ]


async def test_the_story_is_told_to_its_end():
    """The heaviest trips, is probed in vain, recovers and serves again; no caller sees an error."""
    summary = await play(Scenario(calls=450, concurrency=2), Watcher())
    assert story(summary) == [
        ("down",),
        ("circuit", "closed", "open", "failures"),
        ("circuit", "open", "half_open", "reset"),
        ("circuit", "half_open", "open", "trial_failed"),
        ("up",),
        ("circuit", "open", "half_open", "reset"),
        ("circuit", "half_open", "closed", "recovered"),
    ]
    assert summary.errors == 0
    assert summary.tally.calls == 450 == sum(row.answered for row in summary.standings)
    assert not summary.interrupted
    assert [row.state for row in summary.standings] == ["closed"] * 3
    # It serves again: in the draw with its whole share, and answers came after its return.
    assert summary.standings[0].share == 0.5
    assert summary.tally.caught.total() >= 4
    assert len(summary.tally.moved_on) >= 3


async def test_the_summary_and_the_metrics_agree():
    """What the endpoint says at the end is what the callers and the trail have counted."""
    summary = await play(Scenario(calls=120, concurrency=10, outage=2.0), Watcher())
    tally = summary.tally
    assert summary.scrape.answered == tally.calls == sum(r.answered for r in summary.standings)
    assert summary.scrape.failed_attempts == tally.caught.total() > 0
    assert summary.scrape.samples > 100


async def test_a_seed_gives_the_same_choices():
    """The first choices of two runs with one seed are the same; those of another seed differ."""

    async def answered(seed: int) -> list[int]:
        scenario = Scenario(calls=30, concurrency=1, seed=seed, outage=0, hiccups=0)
        summary = await play(scenario, Watcher())
        return [row.answered for row in summary.standings]

    assert await answered(1) == await answered(1) != await answered(5)


async def test_without_an_outage_nothing_happens():
    """No outage and no hiccups: nothing is caught, and the history is empty."""
    summary = await play(Scenario(calls=60, outage=0, hiccups=0), Watcher())
    assert summary.tally.history == []
    assert summary.tally.caught.total() == 0
    assert "What happened" not in summary.as_text()


async def test_a_closed_port_is_a_failure_like_any_other():
    """A provider whose port is closed while calls run is left; no caller sees an error."""
    closing = []

    def close(stage) -> None:
        closing.append(asyncio.ensure_future(stage.upstreams["beta"].aclose()))

    scenario = Scenario(calls=120, concurrency=4, outage=0, hiccups=0)
    summary = await play(scenario, Watcher(3, close))
    await asyncio.gather(*closing)
    assert summary.errors == 0
    assert {provider for provider, _ in summary.tally.caught} == {"beta"}
    assert summary.standings[1].state == "open"


async def test_errors_of_callers_are_counted_and_told():
    """Where nobody can answer, callers see errors, and the summary does not hide them."""
    summary = await play(Scenario(calls=12, concurrency=3, outage=0, hiccups=1.0), Watcher())
    assert summary.errors == summary.tally.calls == 12
    assert summary.scrape.answered == 0
    assert "errors seen by the caller  12" in summary.as_text()
    assert "caller's error" in summary.as_text()
    assert sum(summary.as_data()["error_messages"].values()) == 12


async def test_a_cancellation_ends_it_with_the_summary_so_far():
    """Stopped in the middle it tells what was done, and nobody counts as failed for it."""
    task = asyncio.current_task()
    summary = await play(Scenario(calls=4000), Watcher(5, lambda _: task.cancel()))
    assert summary.interrupted
    assert 0 < summary.tally.calls < 200
    assert summary.errors == 0
    assert summary.scrape.answered == summary.tally.calls
    assert f"Stopped after {summary.tally.calls} of 4000 calls" in summary.as_text()
    assert task.cancelling() == 0


async def test_a_view_that_breaks_ends_the_play():
    """What a view raises comes out, and calls, servers and router are ended before."""

    def breaks(stage) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await play(Scenario(calls=4000), Watcher(3, breaks))
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_taken_metrics_port_is_said_plainly():
    """A port that somebody else has is refused in words that say what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"metrics port: {port} .*in use.*; 0 takes"):
            await play(Scenario(metrics_port=port), Watcher())


async def test_an_early_end_is_said_to_be_one():
    """When the calls are through before the circuit closed, the summary says so."""
    summary = await play(Scenario(calls=100, concurrency=10), Watcher())
    assert summary.standings[0].state == "open"
    assert "before alpha was back in use: more --calls" in summary.as_text()


async def test_the_summary_is_data_for_machines():
    """`as_data` survives JSON, and one call has no percentiles rather than made-up ones."""
    summary = await play(Scenario(calls=1, concurrency=1, outage=0, hiccups=0), Watcher())
    told = json.loads(json.dumps(summary.as_data()))
    assert told["calls"] == told["metrics"]["answered"] == 1
    assert told["latency"] == {"p50": None, "p95": None, "p99": None}
    assert told["providers"].keys() == {"alpha", "beta", "gamma"}


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("calls", 0),
        ("concurrency", 0),
        ("concurrency", 201),
        ("outage", -1.0),
        ("outage", float("nan")),
        ("outage", 3601.0),
        ("metrics_port", -1),
        ("metrics_port", 65536),
    ],
)
def test_settings_out_of_range_are_refused(setting, value):
    """Each setting is refused by its name when it is out of its range."""
    with pytest.raises(ConfigurationError) as caught:
        Scenario(**{setting: value})
    assert caught.value.what == setting.replace("_", " ")


async def test_any_number_of_calls_begins_at_once():
    """Questions are made as they are asked: ten to the twenty take no memory and no time ahead."""
    me = asyncio.current_task()
    watcher = Watcher(3, lambda stage: me.cancel())
    summary = await play(Scenario(calls=10**20, outage=0), watcher)
    assert summary.interrupted
    assert summary.tally.calls > 0
