"""Short wait: which requests wait for a provider, how long, and which fail at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import anyio
import pytest

from multirouter import ConfigurationError, LimitPolicy
from multirouter.config import load
from multirouter.gateway.short_wait import DEFAULT_WAIT, ShortWait
from tests.gateway.harness import REPLY, calls_of, running_gateway

pytestmark = [pytest.mark.backends("asyncio")]

SOON = {"first": {"limits": LimitPolicy(requests_per_minute=120, burst=1 / 120)}}
LATE = {"first": {"limits": LimitPolicy(requests_per_minute=20, burst=1 / 20)}}


@pytest.mark.parametrize("stream", [False, True])
async def test_request_waits_for_capacity_within_its_wait(stream: bool) -> None:
    """A rate limit that refills in half a second delays a request by half a second."""
    async with running_gateway(providers=SOON) as harness:
        started = anyio.current_time()
        answers = [await harness.send(stream=stream) for _ in range(3)]
        elapsed = anyio.current_time() - started
    assert [(answer.status, answer.text) for answer in answers] == [(200, REPLY)] * 3
    assert 0.9 < elapsed < 1.2
    assert [len(answer.trail) for answer in answers] == [1, 1, 1]
    # One call each: what waited and was answered is counted as nothing else.
    assert calls_of(harness) == {"success": 3.0}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("short_wait", [None, ShortWait(5.0, {"main": 0.0})])
async def test_request_fails_at_once_when_capacity_comes_too_late(
    short_wait: ShortWait | None, stream: bool
) -> None:
    """Capacity that comes later than a request may wait is a 503 at once, with Retry-After."""
    async with running_gateway(providers=LATE, short_wait=short_wait) as harness:
        started = anyio.current_time()
        answer = await harness.send(stream=stream)
        rejected = await harness.send(stream=stream)
        elapsed = anyio.current_time() - started
    assert (answer.status, rejected.status) == (200, 503)
    assert rejected.headers["Retry-After"] == "3"
    assert elapsed < 0.1


async def test_request_fails_at_once_without_retry_after() -> None:
    """A request does not wait for a provider that is held open."""
    async with running_gateway() as harness:
        harness.router.hold("first", "open")
        started = anyio.current_time()
        assert (await harness.send()).status == 503
        assert anyio.current_time() - started < 0.1


async def test_disconnected_client_stops_waiting() -> None:
    """A request whose client disconnects no longer counts as waiting."""
    async with running_gateway(providers=LATE, short_wait=ShortWait(60.0)) as harness:
        await harness.send()
        request = asyncio.create_task(harness.send())
        await anyio.sleep(0.5)
        assert harness.router.waiting == 1
        request.cancel()
        await anyio.sleep(0.5)
        assert harness.router.waiting == 0
    assert len(harness.fakes[0].requests) == 1


async def test_number_of_waiting_requests_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than `MAX_WAITING` requests wait; the others fail at once."""
    monkeypatch.setattr("multirouter.gateway.short_wait.MAX_WAITING", 2)
    async with running_gateway(providers=LATE, short_wait=ShortWait(60.0)) as harness:
        await harness.send()
        async with anyio.create_task_group() as group:
            statuses: list[int] = []

            async def send() -> None:
                statuses.append((await harness.send()).status)

            for _ in range(5):
                group.start_soon(send)
            await anyio.sleep(0.5)
            assert (harness.router.waiting, statuses) == (2, [503] * 3)
    assert statuses[3:] == [200, 200]


async def test_request_with_fallback_models_waits_for_any_of_them() -> None:
    """The short wait of a request with fallback models ends when one of them is available."""
    providers = {"first": LATE["first"], "second": SOON["first"]}
    models = {"a": "first", "b": "second"}
    async with running_gateway([], [], providers=providers, models=models) as harness:
        await harness.send(model="a")
        await harness.send(model="b")
        started = anyio.current_time()
        answer = await harness.send(model="a", fallback_models=["b"])
        assert 0.4 < anyio.current_time() - started < 0.6
    assert (answer.status, answer.headers["X-Provider"]) == (200, "second")


def test_wait_settings_of_the_configuration_file(tmp_path: Path) -> None:
    """`policies.wait` applies to routes without their own `wait`; the default is one second."""
    file = tmp_path / "gateway.yaml"
    routes = "providers: {echo: {}}\nroutes: {slow: {tiers: [echo], wait: 5}, a: {tiers: [echo]}}\n"
    file.write_text(routes)
    assert (load(file).wait, load(file).waits) == (DEFAULT_WAIT, {"slow": 5.0})
    file.write_text(routes + "policies: {wait: 0}\n")
    assert load(file).wait == 0.0
    file.write_text(routes + "policies: {wait: -1}\n")
    with pytest.raises(ConfigurationError, match="wait"):
        load(file)
    with pytest.raises(ConfigurationError, match=r"routes\.a\.wait"):
        ShortWait(1.0, {"a": -1.0})
