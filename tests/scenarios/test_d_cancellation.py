"""Section D: cancellation, exceptions that are no failures, and informative errors."""

from __future__ import annotations

import asyncio
import gc
import sys
import traceback
from typing import Any

import anyio
import pytest

from multirouter import (
    AllProvidersFailed,
    CircuitPolicy,
    HedgePolicy,
    Listener,
    NoProviderAvailable,
    Provider,
    RetryPolicy,
    UsageError,
)
from multirouter.core.events import CircuitChanged
from multirouter.testing import Fault, StatusError
from tests.scenarios.harness import TRIPS_AT_ONCE, Harness, harness, scripted

TRIPS_AFTER_2 = CircuitPolicy(failures=2, open_duration=10.0, growth=1.0)
asyncio_only = pytest.mark.backends("asyncio", "uvloop")


async def cancel_call(env: Harness, name: str) -> None:
    """Cancels a call in the middle of an attempt."""
    env[name].then("hang")
    await (await env.start(name)).cancel()


async def test_cancelled_attempts_are_no_failures() -> None:
    """Case 29: with a threshold of two, two cancelled attempts count for nothing."""
    async with harness("a", circuit=TRIPS_AFTER_2) as env:
        await cancel_call(env, "a")
        await cancel_call(env, "a")
        assert (env.state("a"), env.provider_snapshot("a")["calls"]) == ("closed", 0)
        assert env.total("attempts_total", outcome="cancelled") == 2


async def test_cancelled_attempts_are_no_successes() -> None:
    """Case 30: failure, cancel, failure is a run of two."""
    async with harness("a", circuit=TRIPS_AFTER_2) as env:
        await env.fail("a")
        await cancel_call(env, "a")
        await env.fail("a")
        assert env.state("a") == "open"


async def test_backoff_ends_with_its_caller() -> None:
    """Case 31: a call cancelled during its backoff ends at once, without another attempt."""
    retry = RetryPolicy(base=1000.0, cap=1000.0)
    async with harness("a", retry=retry, timeout=1e6) as env:
        env["a"].then("error", "error")
        caller = await env.start()
        before = anyio.current_time()
        await caller.cancel()
        assert anyio.current_time() == before
        assert caller.outcome is None
        assert env["a"].count == 1
        assert env.recorder.calls[0].result == "cancelled"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
async def test_interrupts_pass_through(kind: type[BaseException]) -> None:
    """Case 32: no retry, no failover, neutral, and nothing is left in flight."""
    async with harness(
        scripted("a", kind()), "b", retry=RetryPolicy(), circuit=TRIPS_AT_ONCE
    ) as env:
        with pytest.raises(kind):
            await env.call("a", "b")
        assert (env["a"].count, env["b"].count) == (1, 0)
        assert (env.state("a"), env.provider_snapshot("a")["calls"]) == ("closed", 0)
        assert env.router.in_flight("a") == 0
        assert env.total("attempts_in_flight") == 0


@pytest.mark.backends("trio")
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
async def test_interrupts_pass_through_a_hedge_race(kind: type[BaseException]) -> None:
    """Case 32: the same from an attempt that may be hedged, without an exception group."""
    async with harness(scripted("a", kind()), "b", hedge=HedgePolicy(after=1)) as env:
        with pytest.raises(kind):
            await env.call("a", "b")
        assert env.router.in_flight("a") == 0


@asyncio_only
async def test_providers_own_cancelled_error_is_a_failure() -> None:
    """Case 33: a provider's own CancelledError fails its attempt, and the call fails over."""
    async with harness(scripted("a", asyncio.CancelledError()), "b", circuit=TRIPS_AT_ONCE) as env:
        outcome = await env.outcome("a", "b")
        assert (outcome.value, env.state("a")) == ("b: q", "open")
        assert "raised CancelledError" in str(outcome.attempts[0].error)


async def test_provider_that_swallows_its_cancellation_is_cancelled_again() -> None:
    """Case 34: the call ends within a second after the attempt's timeout."""

    async def swallows_cancellation(request: object) -> str:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            await anyio.sleep_forever()
        raise AssertionError

    async with harness("b", attempt_timeout=2) as env:
        env.router.add(Provider("a", swallows_cancellation))
        outcome = await env.outcome("a", "b")
        assert outcome.provider == "b"
        assert str(outcome.attempts[0].verdict.kind) == "timeout"
        assert outcome.elapsed <= 2 + 1 + 0.01


async def test_exception_group_is_classified_by_its_leaves() -> None:
    """Case 35: one failure among neutral leaves is a failure, and without one it is neutral."""
    neutral = StatusError("bad", status=400, headers={})
    mixed = ExceptionGroup("both", [neutral, ExceptionGroup("inner", [ConnectionResetError()])])
    async with harness("a", "b", circuit=TRIPS_AT_ONCE) as env:
        env["a"].then(ExceptionGroup("all", [neutral]))
        with pytest.raises(ExceptionGroup, match="all"):
            await env.call("a", "b")
        assert env.state("a") == "closed"
        env["a"].then(mixed)
        assert await env.call("a", "b") == "b: q"
        assert env.state("a") == "open"


@asyncio_only
async def test_cancellation_within_a_group_passes_through() -> None:
    """Case 35: a group with a cancellation in it is raised, without failover."""
    group = BaseExceptionGroup("left", [ConnectionResetError(), asyncio.CancelledError()])
    async with harness(scripted("a", group), "b", circuit=TRIPS_AT_ONCE) as env:
        with pytest.raises(BaseExceptionGroup, match="left"):
            await env.call("a", "b")
        assert (env.state("a"), env["b"].count) == ("closed", 0)


@pytest.mark.backends("asyncio")
async def test_rejections_leak_nothing() -> None:
    """Case 36: 100,000 rejections: memory flat, each a new error with a short traceback."""
    async with harness("a", listeners=()) as env:
        env.router.hold("a", "open")
        env.recorder.events = type(env.recorder.events)(maxlen=0)
        env.logger.entries = type("Discarding", (list,), {"append": lambda *_: None})()
        lengths, seen, errors = set(), [], 0
        for number in range(100_000):
            try:
                await env.router.call("q")
            except NoProviderAvailable as error:
                errors += 1
                if number % 10_000 == 0:
                    lengths.add(len(traceback.extract_tb(error.__traceback__)))
                    seen.append(error)
            if number == 10_000:
                gc.collect()
                before = sys.getallocatedblocks()
        gc.collect()
        assert errors == 100_000
        assert sys.getallocatedblocks() - before < 1000
        assert len({id(error) for error in seen}) == len(seen) == 10
        assert lengths == {min(lengths)}
        assert min(lengths) < 10
        env.recorder.events = type(env.recorder.events)()
        env.check_metrics = lambda: None  # type: ignore[method-assign]  # the recorder was switched off


async def test_rejection_lists_states_and_retry_after() -> None:
    """Case 37: providers, their states, their last failures, and the earliest return in seconds."""
    async with harness("a", "b", circuit=TRIPS_AT_ONCE) as env:
        await env.fail("a")
        await anyio.sleep(4)
        await env.fail("b", fault=Fault("error", status=503))
        await anyio.sleep(1)
        with pytest.raises(NoProviderAvailable) as caught:
            await env.call()
        assert caught.value.retry_after == pytest.approx(5)
        assert caught.value.states == {
            "a": "open (failures; last failure: status 500), half-open in 5.0 s",
            "b": "open (failures; last failure: status 503), half-open in 9.0 s",
        }
        assert "status 503" in str(caught.value)


class RaisingListener(Listener):
    """Listener whose methods raise."""

    def attempt_ended(self, record: Any) -> None:
        raise RuntimeError("no")

    def call_ended(self, outcome: Any) -> None:
        raise RuntimeError("no")

    def circuit_changed(self, event: Any) -> None:
        raise RuntimeError("no")


async def test_failing_listener_has_no_effect() -> None:
    """Case 38: results, states and other listeners are unaffected; each method is logged once."""
    async with harness("a", circuit=TRIPS_AT_ONCE, listeners=[RaisingListener()]) as env:
        assert [await env.call() for _ in range(3)] == ["a: q"] * 3
        assert isinstance((await env.fail("a")).error, AllProvidersFailed)
        assert env.state("a") == "open"
        logged = [fields["listener"] for fields in env.logger.of("listener failed")]
        assert sorted(logged) == [
            "RaisingListener.attempt_ended",
            "RaisingListener.call_ended",
            "RaisingListener.circuit_changed",
        ]


async def test_listener_may_call_the_router() -> None:
    """Case 38: it takes effect at once, and the events it causes come after the current one."""
    states: list[str] = []

    class HoldingListener(Listener):
        def circuit_changed(self, event: CircuitChanged) -> None:
            if event.new == "open" and event.reason == "failures":
                env.router.hold("b", "open")
                states.append(env.state("b"))

    async with harness("a", "b", circuit=TRIPS_AT_ONCE, listeners=[HoldingListener()]) as env:
        await env.fail("a")
        assert states == ["open"]
        changes = env.recorder.of("circuit_changed")
        assert [(c.provider, c.reason) for c in changes] == [
            ("a", "failures"),
            ("b", "held"),
        ]
        with pytest.raises(NoProviderAvailable):
            await env.call()


async def test_failing_logger_has_no_effect() -> None:
    """Case 38: a logger may raise as well."""

    class FailingLogger:
        def info(self, event: str, **fields: Any) -> None:
            raise OSError("disk full")

        debug = warning = error = info

    async with harness("a", "b", circuit=TRIPS_AT_ONCE, logger=FailingLogger()) as env:
        env["a"].then("error")
        assert await env.call("a", "b") == "b: q"
        assert env.state("a") == "open"


async def test_usage_error_makes_no_attempt() -> None:
    """Wrong use raises at once, and no attempt is made."""
    async with harness("a") as env:
        with pytest.raises(UsageError, match="unknown route 'b'"):
            await env.router.call("q", route="b")
        assert env.recorder.attempts == []
