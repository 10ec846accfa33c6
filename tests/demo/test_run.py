"""The demo over real sockets and in virtual time: events, counters, summary."""

from __future__ import annotations

import asyncio
import json
import socket

import aiohttp
import pytest

from multirouter import ConfigurationError
from multirouter.demo.plain_view import NullView
from multirouter.demo.run import run_demo
from multirouter.demo.scenario import Scenario

pytestmark = pytest.mark.backends("asyncio")


class ActingView:
    """A view that calls a function at its n-th update."""

    def __init__(self, at: int = 0, act=lambda demo: None) -> None:
        self.every = 0.1
        self.updates = 0
        self._at = at
        self._act = act

    def show(self, demo) -> None:
        self.updates += 1
        if self.updates == self._at:
            self._act(demo)


def alpha_events(summary) -> list[tuple[str, ...]]:
    """The events of the provider with the outage, without their times."""
    return [
        tuple(filter(None, (event.event, event.old, event.new, event.reason)))
        for event in summary.counters.events
        if event.provider == "alpha"
    ]


async def test_outage_and_recovery():
    """The circuit opens, a trial fails, a later one succeeds; no caller sees an error."""
    summary = await run_demo(Scenario(calls=450, concurrency=2), ActingView())
    assert alpha_events(summary) == [
        ("down",),
        ("circuit", "closed", "open", "failures"),
        ("circuit", "open", "half_open", "timer"),
        ("circuit", "half_open", "open", "trial_failed"),
        ("up",),
        ("circuit", "open", "half_open", "timer"),
        ("circuit", "half_open", "closed", "recovered"),
    ]
    assert summary.errors == 0
    assert summary.counters.calls == 450 == sum(row.answered for row in summary.provider_rows)
    assert not summary.interrupted
    assert [row.state for row in summary.provider_rows] == ["closed"] * 3
    # It has its full share of the traffic again.
    assert summary.provider_rows[0].share == 0.5
    assert summary.counters.failures.total() >= 4
    assert len(summary.counters.failover_durations) >= 3


async def test_summary_and_metrics_agree():
    """The metrics at the end equal the counts of calls and attempts."""
    summary = await run_demo(Scenario(calls=120, concurrency=10, outage=2.0), ActingView())
    counters = summary.counters
    assert (
        summary.scrape.answered == counters.calls == sum(r.answered for r in summary.provider_rows)
    )
    assert summary.scrape.failed_attempts == counters.failures.total() > 0
    assert summary.scrape.samples > 100


async def test_the_same_seed_gives_the_same_choices():
    """The first choices of two runs with one seed are equal; those of another seed differ."""

    async def answered(seed: int) -> list[int]:
        scenario = Scenario(calls=30, concurrency=1, seed=seed, outage=0, error_rate=0)
        summary = await run_demo(scenario, ActingView())
        return [row.answered for row in summary.provider_rows]

    assert await answered(1) == await answered(1) != await answered(5)


async def test_no_events_without_outage():
    """Without outage and errors there are no failed attempts and no events."""
    summary = await run_demo(Scenario(calls=60, outage=0, error_rate=0), ActingView())
    assert summary.counters.events == []
    assert summary.counters.failures.total() == 0
    assert "Events" not in summary.as_text()


async def test_closed_port_is_a_failure():
    """When a provider's port is closed its circuit opens; no caller sees an error."""
    closing = []

    def close(demo) -> None:
        closing.append(asyncio.ensure_future(demo.providers["beta"].aclose()))

    scenario = Scenario(calls=120, concurrency=4, outage=0, error_rate=0)
    summary = await run_demo(scenario, ActingView(3, close))
    await asyncio.gather(*closing)
    assert summary.errors == 0
    assert {provider for provider, _ in summary.counters.failures} == {"beta"}
    assert summary.provider_rows[1].state == "open"


async def test_errors_of_callers_are_in_the_summary():
    """If all providers fail, callers see errors, and the summary shows them."""
    summary = await run_demo(
        Scenario(calls=12, concurrency=3, outage=0, error_rate=1.0), ActingView()
    )
    assert summary.errors == summary.counters.calls == 12
    assert summary.scrape.answered == 0
    assert "errors seen by callers  12" in summary.as_text()
    assert "error seen by callers, " in summary.as_text()
    assert sum(summary.as_data()["error_messages"].values()) == 12


async def test_cancellation_returns_the_summary_so_far():
    """A cancelled run returns its summary; cancelled calls are not errors."""
    task = asyncio.current_task()
    summary = await run_demo(Scenario(calls=4000), ActingView(5, lambda _: task.cancel()))
    assert summary.interrupted
    assert 0 < summary.counters.calls < 200
    assert summary.errors == 0
    assert summary.scrape.answered == summary.counters.calls
    assert f"Stopped after {summary.counters.calls} of 4000 calls" in summary.as_text()
    assert task.cancelling() == 0


async def test_error_in_the_view_ends_the_run():
    """An error of the view propagates after calls, servers and router are stopped."""

    def fail(demo) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await run_demo(Scenario(calls=4000), ActingView(3, fail))
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_taken_metrics_port_raises():
    """If the metrics port is taken, the error names the port and the remedy."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = rf"metrics-port: cannot open port {port} .*in use.*; 0 takes"
        with pytest.raises(ConfigurationError, match=message):
            await run_demo(Scenario(metrics_port=port), ActingView())


async def test_summary_notes_open_circuits():
    """If the last call ends before the circuit has closed, the summary says so."""
    summary = await run_demo(Scenario(calls=100, concurrency=10), ActingView())
    assert summary.provider_rows[0].state == "open"
    assert "before the circuit of alpha closed; use more --calls" in summary.as_text()


async def test_summary_as_data():
    """`as_data` can be dumped as JSON, and one call has no percentiles."""
    summary = await run_demo(Scenario(calls=1, concurrency=1, outage=0, error_rate=0), ActingView())
    data = json.loads(json.dumps(summary.as_data()))
    assert data["calls"] == data["metrics"]["answered"] == 1
    assert data["latency"] == {"p50": None, "p95": None, "p99": None}
    assert data["providers"].keys() == {"alpha", "beta", "gamma"}


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
def test_settings_out_of_range_raise(setting, value):
    """A setting out of range raises an error with its name."""
    with pytest.raises(ConfigurationError) as caught:
        Scenario(**{setting: value})
    assert caught.value.what == setting.replace("_", "-")


async def test_huge_number_of_calls_starts_at_once():
    """Prompts are generated lazily: 10**20 calls take no memory and no time at the start."""
    task = asyncio.current_task()
    view = ActingView(3, lambda demo: task.cancel())
    summary = await run_demo(Scenario(calls=10**20, outage=0), view)
    assert summary.interrupted
    assert summary.counters.calls > 0


def test_the_console_of_the_demo():
    """The console shows the demo's calls, and stays open after the last one, in real time."""
    asyncio.run(watched_demo())


async def watched_demo():
    """Runs a demo with a console, and reads the console's data."""
    found = []

    async def read(url):
        async with aiohttp.ClientSession() as http:
            while True:
                async with http.get(f"{url}/admin/snapshot") as response:
                    found.append((await response.json())["router"])
                async with http.get(f"{url}/admin/calls?limit=200") as response:
                    if len(await response.json()) == 20:
                        return

    urls = []
    scenario = Scenario(calls=20, outage=0)
    running = asyncio.create_task(run_demo(scenario, NullView(), open_page=urls.append))
    while not urls:
        await asyncio.sleep(0.01)
    await asyncio.wait_for(read(urls[0]), 30)
    await asyncio.sleep(0.2)
    assert not running.done()
    running.cancel()
    summary = await running
    assert set(found) == {"demo"}
    assert (summary.interrupted, summary.counters.calls) == (False, 20)
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientConnectionError):
            await http.get(urls[0])
