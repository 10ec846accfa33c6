"""Requests that nobody can take right now: who waits, for how long, and who is told at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import anyio
import pytest

from multirouter import ConfigurationError, LimitPolicy, NoProviderAvailable
from multirouter.config import load
from multirouter.gateway.short_wait import MOST, WAIT, Patience
from tests.gateway.kit import SAID, standing

pytestmark = [pytest.mark.backends("asyncio")]

SOON = {"first": {"limits": LimitPolicy(requests_per_minute=120, burst=1 / 120)}}
LATE = {"first": {"limits": LimitPolicy(requests_per_minute=20, burst=1 / 20)}}


@pytest.mark.parametrize("stream", [False, True])
async def test_room_that_comes_soon_is_waited_for(stream: bool) -> None:
    """A limit that refills in half a second costs half a second, and nobody is refused."""
    async with standing(providers=SOON) as place:
        began = anyio.current_time()
        answers = [await place.ask(stream=stream) for _ in range(3)]
        took = anyio.current_time() - began
    assert [(answer.status, answer.text) for answer in answers] == [(200, SAID)] * 3
    assert 0.9 < took < 1.2
    assert place.gateway.patience.waiting == 0
    assert [len(answer.trail) for answer in answers] == [1, 1, 1]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("patience", [None, Patience(5.0, {"main": 0.0})])
async def test_who_would_wait_in_vain_is_told_at_once(
    patience: Patience | None, stream: bool
) -> None:
    """Room that comes later than a request may wait is a refusal at once, which says when."""
    async with standing(providers=LATE, patience=patience) as place:
        began = anyio.current_time()
        answer = await place.ask(stream=stream)
        refused = await place.ask(stream=stream)
        took = anyio.current_time() - began
    assert (answer.status, refused.status) == (200, 503)
    assert refused.headers["Retry-After"] == "3"
    assert took < 0.1


async def test_an_outage_holds_nobody() -> None:
    """Where only a hand can help, nobody waits."""
    async with standing() as place:
        place.router.hold("first", "open")
        began = anyio.current_time()
        assert (await place.ask()).status == 503
        assert anyio.current_time() - began < 0.1


async def test_a_client_that_leaves_the_line() -> None:
    """Who hangs up while waiting is counted no longer."""
    async with standing(providers=LATE, patience=Patience(60.0)) as place:
        await place.ask()
        asking = asyncio.create_task(place.ask())
        await anyio.sleep(0.5)
        assert place.gateway.patience.waiting == 1
        asking.cancel()
        await anyio.sleep(0.5)
        assert place.gateway.patience.waiting == 0
    assert len(place.fakes[0].requests) == 1


def test_the_line_is_bounded() -> None:
    """Beyond a bound nobody waits; nor after another error, or without a time."""
    patience = Patience(2.0)
    soon = NoProviderAvailable("none", states={}, elapsed=0.0, retry_after=2.0)
    assert patience.worth(soon, "main") == 2.0
    assert patience.worth(None, "main") == 0.0
    unknown = NoProviderAvailable("none", states={}, elapsed=0.0, retry_after=None)
    assert patience.worth(unknown, "main") == 0.0
    patience.waiting = MOST
    assert patience.worth(soon, "main") == 0.0


def test_waits_in_the_file(tmp_path: Path) -> None:
    """`wait:` of the policies holds where a route has none; a second where nothing is said."""
    file = tmp_path / "gateway.yaml"
    routes = "providers: {echo: {}}\nroutes: {slow: {tiers: [echo], wait: 5}, a: {tiers: [echo]}}\n"
    file.write_text(routes)
    assert (load(file).wait, load(file).waits) == (WAIT, {"slow": 5.0})
    file.write_text(routes + "policies: {wait: 0}\n")
    assert load(file).wait == 0.0
    file.write_text(routes + "policies: {wait: -1}\n")
    with pytest.raises(ConfigurationError, match="wait"):
        load(file)
    with pytest.raises(ConfigurationError, match=r"routes\.a\.wait"):
        Patience(1.0, {"a": -1.0})
