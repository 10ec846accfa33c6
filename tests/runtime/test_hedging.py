"""Hedge races: whose cancellation it was, the cleanup of losers, attempts that end themselves."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from multirouter import AllProvidersFailed, HedgePolicy, LimitPolicy, Provider, RetryPolicy
from tests.scenarios.harness import TRIPS_AT_ONCE, harness, scripted

LATE = HedgePolicy(after=30.0)
SOON = HedgePolicy(after=1.0)
asyncio_only = pytest.mark.backends("asyncio", "uvloop")


async def hangs_cleaning_up(log: list[str], seconds: float) -> str:
    """Hangs, and takes so many seconds to clean up; logs whether it could."""
    try:
        await anyio.sleep(60)
    finally:
        try:
            await asyncio.sleep(seconds)
            log.append("cleaned up")
        except asyncio.CancelledError:
            log.append("cut")
            raise
    return "late"


async def cancelled(task: asyncio.Task[Any], count: int = 1) -> bool:
    """Whether a task ends as cancelled, by so many cancellations."""
    await asyncio.wait([task])
    return task.cancelled() and task.cancelling() == count


# ── the caller's cancellation ───────────────────────────────────────────────────────────────────


async def by_task(call: Awaitable[object]) -> None:
    task = asyncio.ensure_future(call)
    await asyncio.sleep(2)
    task.cancel()
    assert await cancelled(task)


async def by_timeout(call: Awaitable[object]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await call


async def by_scope(call: Awaitable[object]) -> None:
    with pytest.raises(TimeoutError), anyio.fail_after(2):
        await call


@asyncio_only
@pytest.mark.parametrize("cancel", [by_task, by_timeout, by_scope])
@pytest.mark.parametrize("layer", ["provider", "fallback", "hedged provider"])
async def test_a_router_around_a_hedged_one_ends_with_its_caller(
    cancel: Callable[[Awaitable[object]], Awaitable[None]], layer: str
) -> None:
    """Case 75: it neither fails over nor answers, and blames no provider."""
    async with harness(scripted("x", "hang"), scripted("y", "hang"), hedge=LATE) as inner:
        outer_provider = scripted("a", "error")
        settings: dict[str, Any] = {"fallback": lambda request, error: inner.call("x", "y")}
        if layer != "fallback":
            outer_provider = Provider("a", lambda request: inner.call("x", "y"))
            settings = {} if layer == "provider" else {"hedge": LATE}
        async with harness("b", circuit=TRIPS_AT_ONCE, **settings) as outer:
            outer.router.add(outer_provider)
            route = ("a",) if layer == "fallback" else ("a", "b")
            before = anyio.current_time()
            await cancel(outer.call(*route))
            assert anyio.current_time() == pytest.approx(before + 2)
            assert outer.records("b") == []
            assert layer == "fallback" or outer.state("a") == "closed"
            assert inner.recorder.calls[-1].result == "cancelled"


@asyncio_only
async def test_a_cancellation_while_a_timeout_unwinds_is_not_lost() -> None:
    """Both reach the caller: the cancellation wins over the TimeoutError."""

    async def cleans_up(request: object) -> str:
        try:
            await anyio.sleep(60)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(2)
        return "late"

    async with harness("b", hedge=LATE) as env:
        env.router.add(Provider("a", cleans_up))
        task = asyncio.create_task(by_timeout(env.call("a", "b")))
        await asyncio.sleep(3)
        task.cancel()
        assert await cancelled(task)


@asyncio_only
async def test_the_cleanup_of_a_cancelled_call_may_await() -> None:
    """The call is cancelled once its attempts have cleaned up."""
    log: list[str] = []
    async with harness(hedge=SOON, retry=RetryPolicy()) as env:
        for name in ("a", "b"):
            env.router.add(Provider(name, lambda request: hangs_cleaning_up(log, 0.5)))
        task = asyncio.create_task(env.call("a", "b"))
        await asyncio.sleep(3)
        task.cancel()
        assert await cancelled(task)
        assert log == ["cleaned up", "cleaned up"]


@asyncio_only
@pytest.mark.parametrize(("seconds", "ends"), [(0.9, "cleaned up"), (30.0, "cut")])
async def test_the_cleanup_of_a_loser_has_a_second(seconds: float, ends: str) -> None:
    """It may await; after a second it is cancelled again, and the answer is delayed no longer."""
    log: list[str] = []
    async with harness(scripted("b", latency=1.0), hedge=SOON, retry=RetryPolicy()) as env:
        env.router.add(Provider("a", lambda request: hangs_cleaning_up(log, seconds)))
        outcome = await env.outcome("a", "b")
        assert (outcome.provider, log) == ("b", [ends])
        assert outcome.elapsed == pytest.approx(2 + min(seconds, 1.0))
        assert [record.outcome for record in outcome.attempts] == ["success", "cancelled"]


@asyncio_only
async def test_a_call_that_is_dropped_cancels_its_attempts() -> None:
    """Closing its coroutine ends them, and frees their providers."""
    async with harness(scripted("a", "hang"), "b", hedge=LATE) as env:
        call = env.call("a", "b")
        call.send(None)
        await anyio.sleep(1)
        assert env.router.in_flight("a") == 1
        call.close()
        await anyio.sleep(0)
        await anyio.sleep(0)
        assert env.router.in_flight("a") == 0


# ── an attempt that is cancelled on its own ─────────────────────────────────────────────────────


async def cancels_itself(request: object) -> str:
    """As by a library that limits its time by `cancel` and does not say so."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_later(1, task.cancel)
    await asyncio.sleep(60)
    return "late"


async def times_out_by_itself(request: object) -> str:
    """As async-timeout before 4.0.3 does, and aiohttp with it: without `uncancel`."""
    try:
        return await cancels_itself(request)
    except asyncio.CancelledError:
        raise TimeoutError("of its own") from None


async def streams_and_cancels_itself(request: object) -> Any:
    yield await cancels_itself(request)


@asyncio_only
@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize("function", [cancels_itself, times_out_by_itself])
async def test_an_attempt_that_cancels_itself_is_a_failure(
    function: Callable[[object], Awaitable[str]], idempotent: bool
) -> None:
    """It fails over like any other, and the limits of attempts hold."""
    async with harness(hedge=LATE, circuit=TRIPS_AT_ONCE) as env:
        env.router.add(Provider("a", function))
        env.router.add(Provider("b", function))
        outcome = await env.outcome("a", "b", idempotent=idempotent)
        assert isinstance(outcome.error, AllProvidersFailed)
        attempted = ["a", "b"] if idempotent else ["a"]
        assert [record.provider for record in outcome.attempts] == attempted
        assert [record.outcome for record in outcome.attempts] == ["failure"] * len(attempted)
        text = "raised CancelledError" if function is cancels_itself else "of its own"
        assert text in str(outcome.attempts[0].error)
        assert env.state("a") == "open"


@asyncio_only
async def test_a_stream_that_cancels_its_opening_is_a_failure() -> None:
    """The same until the first content of a stream."""

    async def words(request: object) -> Any:
        yield "word"

    async with harness(hedge=LATE, circuit=TRIPS_AT_ONCE) as env:
        env.router.add(Provider("a", stream=streams_and_cancels_itself))
        env.router.add(Provider("b", stream=words))
        async with env.router.stream("q", route=["a", "b"]) as stream:
            assert [chunk async for chunk in stream] == ["word"]
        assert env.state("a") == "open"


@asyncio_only
@pytest.mark.parametrize("begun", [False, True], ids=["before they begin", "in flight"])
async def test_all_tasks_cancelled_by_a_supervisor_are_no_failure(begun: bool) -> None:
    """They are neutral, also before their first step, and no permit is kept."""
    provider = scripted("a", "hang", limits=LimitPolicy(in_flight=1))
    async with harness(provider, "b", hedge=LATE, circuit=TRIPS_AT_ONCE) as env:
        others = asyncio.all_tasks()
        task = asyncio.create_task(env.call("a", "b"))
        await asyncio.sleep(1 if begun else 0)
        for each in asyncio.all_tasks() - others:
            each.cancel()
        assert await cancelled(task)
        assert (env.router.in_flight("a"), env.router.available("a")) == (0, True)
        assert env.state("a") == "closed"


@asyncio_only
async def test_an_attempt_cancelled_before_it_begins_is_made_again() -> None:
    """A cancellation of that task alone is no cancellation of the call."""
    provider = scripted("a", limits=LimitPolicy(in_flight=1))
    async with harness(provider, "b", hedge=LATE, circuit=TRIPS_AT_ONCE) as env:
        others = asyncio.all_tasks()
        task = asyncio.create_task(env.call("a", "b"))
        await asyncio.sleep(0)
        attempts = asyncio.all_tasks() - others - {task}
        assert len(attempts) == 1
        attempts.pop().cancel()
        assert await task == "a: q"


@pytest.mark.backends("asyncio")  # uvloop 0.23 supports no eager tasks on Python 3.13
@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in Python 3.12")
async def test_a_hedged_call_with_eager_tasks() -> None:
    """The attempts are no eager tasks, and a cancellation still reaches the call alone."""
    loop = asyncio.get_running_loop()
    loop.set_task_factory(getattr(asyncio, "eager_task_factory", None))
    try:
        async with harness(scripted("a", latency=3.0), "b", hedge=SOON) as env:
            assert await env.call("a", "b") == "a: q"
            task = asyncio.create_task(env.call("a", "b"))
            await asyncio.sleep(0.5)
            task.cancel()
            assert await cancelled(task)
    finally:
        loop.set_task_factory(None)


async def test_a_race_in_a_cancelled_scope_ends_the_call() -> None:
    """On each backend: nothing is left in flight, and no provider is blamed."""
    async with harness(
        scripted("a", "hang"), scripted("b", "hang"), hedge=SOON, circuit=TRIPS_AT_ONCE
    ) as env:
        caller = await env.start("a", "b")
        await anyio.sleep(2)
        await caller.cancel()
        assert caller.outcome is None
        assert [env.router.in_flight(name) for name in ("a", "b")] == [0, 0]
        assert [env.state(name) for name in ("a", "b")] == ["closed", "closed"]
