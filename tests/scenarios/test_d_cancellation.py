"""Section D: cancellation, exceptions that are no errors, and errors that say enough."""

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
from tests.scenarios.kit import BRITTLE, House, house, play

TWO = CircuitPolicy(failures=2, open_duration=10.0, growth=1.0)
asyncio_only = pytest.mark.backends("asyncio", "uvloop")


async def leave(home: House, name: str) -> None:
    """Has a caller leave in the middle of an attempt."""
    home[name].then("hang")
    await (await home.begun(name)).cancel()


async def test_callers_who_leave_are_no_failures() -> None:
    """Case 29: with a threshold of two, two cancelled attempts count for nothing."""
    async with house("a", circuit=TWO) as home:
        await leave(home, "a")
        await leave(home, "a")
        assert (home.state("a"), home.seen("a")["calls"]) == ("closed", 0)
        assert home.total("attempts_total", outcome="cancelled") == 2


async def test_callers_who_leave_are_no_successes() -> None:
    """Case 30: failure, cancel, failure is a run of two."""
    async with house("a", circuit=TWO) as home:
        await home.fail("a")
        await leave(home, "a")
        await home.fail("a")
        assert home.state("a") == "open"


async def test_a_rest_ends_with_its_caller() -> None:
    """Case 31: a call that rests before its next try is gone at once, and asks nobody again."""
    retry = RetryPolicy(base=1000.0, cap=1000.0)
    async with house("a", retry=retry, timeout=1e6) as home:
        home["a"].then("error", "error")
        caller = await home.begun()
        before = anyio.current_time()
        await caller.cancel()
        assert anyio.current_time() == before
        assert caller.outcome is None
        assert home["a"].count == 1
        assert home.news.calls[0].result == "cancelled"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
async def test_interrupts_pass_through(kind: type[BaseException]) -> None:
    """Case 32: no retry, no failover, neutral, and nothing is left in flight."""
    async with house(play("a", kind()), "b", retry=RetryPolicy(), circuit=BRITTLE) as home:
        with pytest.raises(kind):
            await home.call("a", "b")
        assert (home["a"].count, home["b"].count) == (1, 0)
        assert (home.state("a"), home.seen("a")["calls"]) == ("closed", 0)
        assert home.router.in_flight("a") == 0
        assert home.total("attempts_in_flight") == 0


@pytest.mark.backends("trio")
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
async def test_interrupts_pass_through_a_race(kind: type[BaseException]) -> None:
    """Case 32: the same from an attempt that may be hedged, and not wrapped into a group."""
    async with house(play("a", kind()), "b", hedge=HedgePolicy(after=1)) as home:
        with pytest.raises(kind):
            await home.call("a", "b")
        assert home.router.in_flight("a") == 0


@asyncio_only
async def test_a_cancellation_nobody_asked_for_is_a_failure() -> None:
    """Case 33: a provider's own CancelledError fails its attempt, and another one is asked."""
    async with house(play("a", asyncio.CancelledError()), "b", circuit=BRITTLE) as home:
        outcome = await home.outcome("a", "b")
        assert (outcome.value, home.state("a")) == ("b: q", "open")
        assert "nobody had asked for" in str(outcome.attempts[0].error)


async def test_a_provider_that_swallows_its_cancellation_is_cancelled_again() -> None:
    """Case 34: the call ends within a second after the attempt's timeout."""

    async def stubborn(request: object) -> str:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            await anyio.sleep_forever()
        raise AssertionError

    async with house("b", attempt_timeout=2) as home:
        home.router.add(Provider("a", stubborn))
        outcome = await home.outcome("a", "b")
        assert outcome.provider == "b"
        assert str(outcome.attempts[0].verdict.kind) == "timeout"
        assert outcome.elapsed <= 2 + 1 + 0.01


async def test_a_group_is_judged_by_its_leaves() -> None:
    """Case 35: one failure among neutral leaves is a failure, and without one it is neutral."""
    neutral = StatusError("bad", status=400, headers={})
    mixed = ExceptionGroup("both", [neutral, ExceptionGroup("inner", [ConnectionResetError()])])
    async with house("a", "b", circuit=BRITTLE) as home:
        home["a"].then(ExceptionGroup("all", [neutral]))
        with pytest.raises(ExceptionGroup, match="all"):
            await home.call("a", "b")
        assert home.state("a") == "closed"
        home["a"].then(mixed)
        assert await home.call("a", "b") == "b: q"
        assert home.state("a") == "open"


@asyncio_only
async def test_a_cancellation_within_a_group_passes() -> None:
    """Case 35: a group with a cancellation in it goes on its way, and nobody else is asked."""
    group = BaseExceptionGroup("left", [ConnectionResetError(), asyncio.CancelledError()])
    async with house(play("a", group), "b", circuit=BRITTLE) as home:
        with pytest.raises(BaseExceptionGroup, match="left"):
            await home.call("a", "b")
        assert (home.state("a"), home["b"].count) == ("closed", 0)


@pytest.mark.backends("asyncio")
async def test_refusals_leave_nothing_behind() -> None:
    """Case 36: 100,000 refusals: memory flat, each a fresh error with a short traceback."""
    async with house("a", listeners=()) as home:
        home.router.hold("a", "open")
        home.news.news = type(home.news.news)(maxlen=0)
        home.logger.told = type("Forgetful", (list,), {"append": lambda *_: None})()
        lengths, seen, errors = set(), [], 0
        for number in range(100_000):
            try:
                await home.router.call("q")
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
        home.news.news = type(home.news.news)()
        home.check_books = lambda: None  # type: ignore[method-assign]  # the recorder was off


async def test_a_refusal_says_who_why_and_when() -> None:
    """Case 37: providers, their states, their last failures, and the soonest return in seconds."""
    async with house("a", "b", circuit=BRITTLE) as home:
        await home.fail("a")
        await anyio.sleep(4)
        await home.fail("b", fault=Fault("error", status=503))
        await anyio.sleep(1)
        with pytest.raises(NoProviderAvailable) as caught:
            await home.call()
        assert caught.value.retry_after == pytest.approx(5)
        assert caught.value.states == {
            "a": "open (failures, last status 500), resets in 5.0 s",
            "b": "open (failures, last status 503), resets in 9.0 s",
        }
        assert "status 503" in str(caught.value)


class Rude(Listener):
    """Raises whatever it hears."""

    def attempt_ended(self, record: Any) -> None:
        raise RuntimeError("no")

    def call_ended(self, outcome: Any) -> None:
        raise RuntimeError("no")

    def circuit_changed(self, news: Any) -> None:
        raise RuntimeError("no")


async def test_a_listener_that_raises_harms_nothing() -> None:
    """Case 38: results, states and other listeners are as without it; each method is told once."""
    async with house("a", circuit=BRITTLE, listeners=[Rude()]) as home:
        assert [await home.call() for _ in range(3)] == ["a: q"] * 3
        assert isinstance((await home.fail("a")).error, AllProvidersFailed)
        assert home.state("a") == "open"
        told = [fields["listener"] for fields in home.logger.of("listener broken")]
        assert sorted(told) == [
            "Rude.attempt_ended",
            "Rude.call_ended",
            "Rude.circuit_changed",
        ]


async def test_a_listener_may_call_back() -> None:
    """Case 38: it is obeyed at once, and the news it causes come after what is being told."""
    states: list[str] = []

    class Guard(Listener):
        def circuit_changed(self, news: CircuitChanged) -> None:
            if news.new == "open" and news.reason == "failures":
                home.router.hold("b", "open")
                states.append(home.state("b"))

    async with house("a", "b", circuit=BRITTLE, listeners=[Guard()]) as home:
        await home.fail("a")
        assert states == ["open"]
        changes = home.news.of("circuit_changed")
        assert [(c.provider, c.reason) for c in changes] == [
            ("a", "failures"),
            ("b", "hold_changed"),
        ]
        with pytest.raises(NoProviderAvailable):
            await home.call()


async def test_a_broken_logger_harms_nothing() -> None:
    """Case 38: what logs or counts may raise as well."""

    class Torn:
        def info(self, event: str, **fields: Any) -> None:
            raise OSError("disk full")

        debug = warning = error = info

    async with house("a", "b", circuit=BRITTLE, logger=Torn()) as home:
        home["a"].then("error")
        assert await home.call("a", "b") == "b: q"
        assert home.state("a") == "open"


async def test_no_loop_is_told_of_a_wrong_use() -> None:
    """A wrong use is an error at once, and no attempt is counted against anybody."""
    async with house("a") as home:
        with pytest.raises(UsageError, match="unknown route 'b'"):
            await home.router.call("q", route="b")
        assert home.news.attempts == []
