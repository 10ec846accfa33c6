"""Section E: the event loop's clock is the only clock."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from multirouter import (
    CircuitPolicy,
    ConfigurationError,
    HedgePolicy,
    LatencyPolicy,
    MultiProviderRouter,
    Provider,
    RetryPolicy,
    Route,
    UsageError,
)
from multirouter.testing import Fault, VirtualClock
from tests.scenarios.harness import TRIPS_AT_ONCE, harness, scripted

HOUR = 3600.0
DAY = 86400.0


@pytest.mark.parametrize("jump", [-HOUR, DAY])
async def test_wall_clock_jump_changes_nothing(
    jump: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 39: after an hour back or a day forth, the rest of the open time is the same."""
    async with harness("a", circuit=TRIPS_AT_ONCE) as env:
        await env.fail("a")
        await anyio.sleep(3)
        wall = time.time
        monkeypatch.setattr(time, "time", lambda: wall() + jump)
        assert env.provider_snapshot("a")["half_open_in"] == pytest.approx(7)
        await anyio.sleep(6.9)
        assert env.state("a") == "open"
        await anyio.sleep(0.1)
        assert env.state("a") == "half_open"


async def test_everything_uses_the_loop_clock() -> None:
    """Case 40: latencies, timeouts, backoffs, timers and histograms are in virtual seconds."""
    retry = RetryPolicy(attempts=2, base=0, max_retry_after=1000)
    started = time.monotonic()
    async with harness(
        scripted("a", latency=40.0), retry=retry, timeout=HOUR, attempt_timeout=50
    ) as env:
        start = anyio.current_time()
        env["a"].then("hang")
        timed_out = await env.outcome()
        assert timed_out.elapsed == pytest.approx(50, abs=0.01)
        env["a"].then(Fault("rate_limit", after=10.0, headers={"retry-after": "500"}))
        backed_off = await env.outcome()
        assert backed_off.elapsed == pytest.approx(10 + 500 + 40, abs=0.01)
        assert anyio.current_time() - start == pytest.approx(600, abs=0.1)
        seconds = env.total("attempt_duration_seconds_sum", outcome="success")
        assert seconds == pytest.approx(40, abs=0.01)
        assert env.total("call_duration_seconds_sum") == pytest.approx(600, abs=0.1)
    assert time.monotonic() - started < 5


async def test_suspension_of_an_hour() -> None:
    """Case 41: after a suspension each circuit half-opens once, and windows are empty."""
    rate = CircuitPolicy(failures=1, failure_rate=0.5, open_duration=10.0, growth=1.0)
    async with harness("a", "b", "c", circuit=rate) as env:
        await env.fail("a")
        await env.fail("b")
        await env.call("c")
        assert env.provider_snapshot("c")["calls"] == 1
        VirtualClock.stall(HOUR)
        await anyio.sleep(0.01)
        for name in "ab":
            assert env.recorder.transitions(name) == ["closed > open", "open > half_open"]
        snapshot = env.provider_snapshot("c")
        assert (snapshot["calls"], snapshot["failures"]) == (0, 0)
        await env.call("c")
        assert env.provider_snapshot("c")["calls"] == 1


DURATIONS: list[tuple[str, Callable[[Any], object]]] = [
    ("timeout", lambda x: MultiProviderRouter(timeout=x)),
    ("attempt_timeout", lambda x: MultiProviderRouter(attempt_timeout=x)),
    ("Provider('a').attempt_timeout", lambda x: Provider("a", print, attempt_timeout=x)),
    ("Route('r').timeout", lambda x: Route("r", ["a"], timeout=x)),
    ("Route('r').attempt_timeout", lambda x: Route("r", ["a"], attempt_timeout=x)),
    ("CircuitPolicy.open_duration", lambda x: CircuitPolicy(open_duration=x)),
    ("CircuitPolicy.max_open_duration", lambda x: CircuitPolicy(max_open_duration=x)),
    ("CircuitPolicy.window", lambda x: CircuitPolicy(window=x)),
    ("CircuitPolicy.cooldown", lambda x: CircuitPolicy(cooldown=x)),
    ("CircuitPolicy.max_cooldown", lambda x: CircuitPolicy(max_cooldown=x)),
    ("CircuitPolicy.exhausted_duration", lambda x: CircuitPolicy(exhausted_duration=x)),
    ("CircuitPolicy.slow_after", lambda x: CircuitPolicy(slow_after=x)),
    ("RetryPolicy.budget_window", lambda x: RetryPolicy(budget_window=x)),
]
FROM_ZERO: list[tuple[str, Callable[[Any], object]]] = [
    ("CircuitPolicy.ramp", lambda x: CircuitPolicy(ramp=x)),
    ("RetryPolicy.base", lambda x: RetryPolicy(base=x)),
    ("RetryPolicy.cap", lambda x: RetryPolicy(cap=x)),
    ("RetryPolicy.max_retry_after", lambda x: RetryPolicy(max_retry_after=x)),
    ("HedgePolicy.after", lambda x: HedgePolicy(after=x)),
    ("LatencyPolicy.floor", lambda x: LatencyPolicy(floor=x)),
]


@pytest.mark.parametrize("invalid", [0, -1.0, math.nan, -math.inf, 1e12, True, "10"])
@pytest.mark.parametrize(("what", "make"), DURATIONS, ids=[what for what, _ in DURATIONS])
def test_invalid_durations(what: str, make: Callable[[Any], object], invalid: Any) -> None:
    """Case 42: a duration is > 0, finite or `inf` where that has a meaning, and named."""
    with pytest.raises(ConfigurationError) as caught:
        make(invalid)
    assert caught.value.what == what


@pytest.mark.parametrize("invalid", [-1.0, math.nan, math.inf, 1e12, False, None, "1"])
@pytest.mark.parametrize(("what", "make"), FROM_ZERO, ids=[what for what, _ in FROM_ZERO])
def test_invalid_durations_from_zero(
    what: str, make: Callable[[Any], object], invalid: Any
) -> None:
    """Case 42: a duration that may be 0 must not be negative, infinite or no number."""
    if what == "HedgePolicy.after" and invalid is None:
        pytest.skip("None is valid: the percentile decides")
    with pytest.raises(ConfigurationError) as caught:
        make(invalid)
    assert caught.value.what == what


@pytest.mark.parametrize("invalid", [0, -1.0, math.nan, -math.inf])
async def test_invalid_timeout_of_a_call(invalid: float) -> None:
    """Case 42: an invalid `timeout=` or `wait=` of a call is a UsageError before any attempt."""
    async with harness("a") as env:
        with pytest.raises(UsageError, match="timeout"):
            await env.call(timeout=invalid)
        with pytest.raises(UsageError, match="wait"):
            await env.call(wait=invalid or -1)
        assert env["a"].count == 0


@pytest.mark.parametrize("duration", [1e-6, 1e9])
async def test_tiny_and_huge_durations(duration: float) -> None:
    """Case 42: a microsecond and thirty years neither overflow nor hang."""
    policy = CircuitPolicy(
        failures=1,
        open_duration=duration,
        max_open_duration=1e9,
        cooldown=duration,
        window=duration,
    )
    retry = RetryPolicy(base=duration, cap=duration, budget_window=duration)
    async with harness("a", circuit=policy, retry=retry, timeout=1.0) as env:
        for fault in ("error", "rate_limit", "error"):
            env["a"].then(fault)
            assert not (await env.outcome()).ok
            await anyio.sleep(4e9)
        assert await env.call() == "a: q"


async def test_infinite_timeouts() -> None:
    """Case 42: `inf` means none, for the call and for the attempt."""
    async with harness(
        scripted("a", latency=1e7), timeout=math.inf, attempt_timeout=math.inf
    ) as env:
        assert (await env.outcome()).elapsed == pytest.approx(1e7)
        assert await env.call(timeout=math.inf) == "a: q"
