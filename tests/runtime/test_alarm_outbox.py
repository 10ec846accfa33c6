"""Alarms to async targets: retries, order, bounded queue, close of the router."""

from __future__ import annotations

import anyio
import pytest

from multirouter import (
    Alarms,
    UsageError,
)
from multirouter.runtime.alarm_task import FLUSH_TIMEOUT, MAX_ATTEMPTS, MAX_QUEUED
from tests.runtime.test_alarm_task import ManualRule, RecordingTarget
from tests.scenarios.harness import harness


async def test_a_hanging_target_delays_no_call() -> None:
    """Calls are answered at once; the attempt to send times out and is repeated."""
    rule, target = ManualRule(), RecordingTarget("hang")
    async with harness("a", alarms=Alarms([rule], to=[target])) as env:
        rule.states["x"] = "firing"
        await anyio.sleep(2)
        assert len(target.called_at) == 1
        before = anyio.current_time()
        assert (await env.outcome()).ok
        assert anyio.current_time() == before
        await anyio.sleep(60)
        assert target.lines == ["manual x firing"]


async def test_failed_alarms_are_retried_in_order() -> None:
    """Retries back off, and the next alarm waits for the one before it."""
    rule, target = ManualRule(), RecordingTarget(*[OSError("down")] * 3)
    async with harness("a", alarms=Alarms([rule], to=[target])) as env:
        for state in ("firing", "cleared"):
            rule.states["x"] = state
            await anyio.sleep(1.5)
        await anyio.sleep(120)
        assert target.lines == ["manual x firing", "manual x cleared"]
        delays = [b - a for a, b in zip(target.called_at[:4], target.called_at[1:4], strict=False)]
        assert all(0 <= delay <= 2 * 2**number for number, delay in enumerate(delays))
        assert env.logger.of("background task failed") == []


@pytest.mark.parametrize(
    ("error", "attempts"), [(OSError("down"), MAX_ATTEMPTS), (UsageError("wrong URL"), 1)]
)
async def test_an_alarm_is_dropped_after_too_many_attempts(error, attempts) -> None:
    """It is dropped and reported, at once after a UsageError; the next alarm is sent."""
    rule, target = ManualRule(), RecordingTarget(*[error] * attempts)
    async with harness("a", alarms=Alarms([rule], to=[target])) as env:
        rule.states["x"] = "firing"
        await anyio.sleep(300)
        assert (len(target.called_at), target.lines) == (attempts, [])
        (report,) = env.logger.of("background task failed")
        assert report["error"] == type(error).__name__
        rule.states["x"] = "cleared"
        await anyio.sleep(2)
        assert target.lines == ["manual x cleared"]


async def test_a_full_queue_drops_the_oldest_alarms() -> None:
    """While a target hangs the oldest alarms are dropped and reported."""
    rule, target = ManualRule(), RecordingTarget("hang")
    async with harness("a", alarms=Alarms([rule], to=[target])) as env:
        rule.states["first"] = "firing"
        await anyio.sleep(1.5)
        rule.states |= {str(number): "firing" for number in range(MAX_QUEUED + 7)}
        await anyio.sleep(40)
        subjects = [event.subject for event in target.events]
        assert subjects == ["first", *(str(n) for n in range(7, MAX_QUEUED + 7))]
        assert len(env.logger.of("background task failed")) == 7


async def test_queued_alarms_are_sent_when_the_router_closes() -> None:
    """They are sent before the tasks end; a hanging target delays the close by `FLUSH_TIMEOUT`."""
    rule, target = ManualRule(), RecordingTarget(OSError("down"))
    async with harness("a", alarms=Alarms([rule], to=[target])):
        rule.states["x"] = "firing"
        await anyio.sleep(0.1)
        assert (len(target.called_at), target.events) == (1, [])
    assert target.lines == ["manual x firing"]
    rule, target = ManualRule(), RecordingTarget("hang")
    async with harness("a", alarms=Alarms([rule], to=[target])):
        rule.states["x"] = "firing"
        await anyio.sleep(1.5)
        before = anyio.current_time()
    assert anyio.current_time() - before == pytest.approx(FLUSH_TIMEOUT)
    assert target.events == []
