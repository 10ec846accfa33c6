"""A wall clock that jumps an hour: what clients hold, and what limits them, stays as it was."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from multirouter import Budget
from multirouter.config.client_keys.hashed_keys import KeyRecord
from multirouter.console.traffic import Traffic
from multirouter.gateway.auth.key_limits import KeyLimits
from multirouter.gateway.response_store import ResponseStore, StoredResponse

pytestmark = [pytest.mark.backends("asyncio")]

HOUR = 3600.0
NOON = 1_800_057_600.0
"""Some day at 12:00 UTC."""

each_jump = pytest.mark.parametrize("jump", [-HOUR, HOUR])


def key_of(**limits: Any) -> KeyRecord:
    return KeyRecord(name="a", id="0" * 8, digest="0" * 64, **limits)


@each_jump
async def test_kept_responses_stay(tmp_path: Path, jump: float) -> None:
    """Those of before are found, and a new one deletes none of them."""
    wall = NOON
    with closing(ResponseStore(tmp_path / "kept", 10, 24 * HOUR, lambda: wall)) as store:
        await store.put("", StoredResponse([], {"id": "before"}))
        wall += jump
        await store.put("", StoredResponse([], {"id": "after"}))
        for id_ in ("before", "after"):
            assert await store.get("", id_) is not None


@each_jump
def test_rates_of_a_key(monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    """They are counted by the loop's clock."""
    wall = NOON
    monkeypatch.setattr(time, "time", lambda: wall)
    limits, key = KeyLimits(), key_of(requests_per_minute=2)
    assert [limits.admit(key, 0.0) is None for _ in range(3)] == [True, True, False]
    wall += jump
    assert limits.admit(key, 1.0) is not None
    assert limits.admit(key, 60.0) is None


@pytest.mark.parametrize(("jump", "admits"), [(-HOUR, False), (HOUR, True)])
def test_budget_of_a_key(monkeypatch: pytest.MonkeyPatch, jump: float, *, admits: bool) -> None:
    """A clock that is set back frees no spent budget; an hour that has passed does."""
    wall = NOON
    monkeypatch.setattr(time, "time", lambda: wall)
    limits, key = KeyLimits(), key_of(budget=Budget(1.0, per="hour"))
    assert limits.admit(key, 0.0) is None
    limits.release(key, 0, 2.0, 0.0)
    assert limits.admit(key, 0.0) is not None
    wall += jump
    assert (limits.admit(key, 0.0) is None) == admits


@each_jump
def test_the_console_counts_on(jump: float) -> None:
    """Each call is shown, in a minute of the last hour."""
    traffic = Traffic()
    traffic.add(NOON, "answered", 1.0, "a", 0, 0.0)
    traffic.add(NOON + jump, "answered", 1.0, "a", 0, 0.0)
    shown = traffic.read(NOON + jump)
    assert sum(minute["counts"]["answered"] for minute in shown) == (2 if jump < 0 else 1)
