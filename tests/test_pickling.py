"""Pickle, copy and deepcopy of exceptions, records, outcomes and events."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, get_args

import anyio
import pytest

import multirouter
from multirouter import (
    AllProvidersFailed,
    AttemptRecord,
    AttemptTimeout,
    CallOutcome,
    CallTimeout,
    ConfigurationError,
    FailureKind,
    LatencyPolicy,
    MultirouterError,
    NoProviderAvailable,
    OperationMissing,
    Provider,
    ProviderError,
    RequestUnsupported,
    StreamInterrupted,
    UnpicklableError,
    Usage,
    UsageError,
    Verdict,
)
from multirouter.core import events
from multirouter.core.chat.chunk_reader import StreamHookError
from multirouter.runtime.streams.continuation import StreamRestarted
from tests.scenarios.harness import harness, scripted

PICKLE = "pickle"
COPIES: dict[str, Callable[[Any], Any]] = {
    PICKLE: lambda value: pickle.loads(pickle.dumps(value)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


class TwoArguments(Exception):
    """Cannot be unpickled: pickle calls it with the one argument it passed on."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status} {text}")
        self.status = status


class Changed(Exception):
    """Is unpickled as something else: the message grows by another prefix."""

    def __init__(self, status: object) -> None:
        super().__init__(f"status {status}")


class Speechless(Exception):
    """Cannot be pickled, and not even be printed."""

    def __init__(self) -> None:
        super().__init__(lambda: None)

    def __str__(self) -> str:
        raise RuntimeError("no")


class OwnError(ProviderError):
    """A user's subclass with arguments and attributes of its own."""

    __slots__ = ("slot",)

    def __init__(self, region: str) -> None:
        super().__init__(f"in {region}", provider="a", kind=FailureKind.SERVER)
        self.region = region
        self.slot = [region]


def attributes(thing: Any) -> dict[str, Any]:
    """What a copy must have: the attributes in slots and dictionary."""
    slots = [name for cls in type(thing).__mro__ for name in getattr(cls, "__slots__", ())]
    filled = {name: getattr(thing, name) for name in slots if hasattr(thing, name)}
    return filled | getattr(thing, "__dict__", {})


def text(thing: Any) -> str:
    """Attributes as text: equality of records and exceptions is identity."""
    names = attributes(thing).keys() - {"_value"}  # of an outcome; a placeholder without an answer
    shown = {name: repr(getattr(thing, name)) for name in sorted(names)}
    return f"{thing!r} {shown}"


RECORD = AttemptRecord(
    "a", "r", "call", Verdict(FailureKind.SERVER, 2.0, status=503), OSError("x"), 1.0, 2.0, "why"
)
RECORD.set_target(2)
ERRORS = [
    MultirouterError("base"),
    NoProviderAvailable("none", states={"a": "open"}, elapsed=1.0, retry_after=2.0),
    RequestUnsupported("none", states={"a": "cannot express n"}, elapsed=1.0),
    AllProvidersFailed("all", attempts=(RECORD,), elapsed=1.0),
    CallTimeout("late", attempts=(RECORD,), elapsed=1.0),
    StreamInterrupted("broke", provider="a", chunks=3, attempts=(RECORD,), elapsed=1.0),
    AttemptTimeout("a", "idle", 3.0),
    ProviderError(
        "no", provider="a", kind=FailureKind.SERVER, status=500, code="x", request_id="y"
    ),
    UsageError("wrong"),
    OperationMissing("no provider has it"),
    StreamHookError("hook"),
    ConfigurationError("retry", "must be a RetryPolicy"),
    UnpicklableError("app.Error", "message"),
    OwnError("us-east"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("how", COPIES)
def test_exceptions_survive(how: str, error: Exception) -> None:
    """Class, message, arguments, attributes and cause are the same."""
    error.__cause__ = OSError("the reason")
    twin = COPIES[how](error)
    assert twin is not error
    assert (type(twin), str(twin), twin.args) == (type(error), str(error), error.args)
    assert text(twin) == text(error)
    if not isinstance(error, UnpicklableError):  # like all exceptions of Python's own
        assert repr(twin.__cause__) == repr(error.__cause__)


def test_every_exception_of_the_package_is_covered() -> None:
    """A new public exception joins the list above."""
    public = [getattr(multirouter, name) for name in multirouter.__all__]
    exceptions = {cls for cls in public if isinstance(cls, type) and issubclass(cls, Exception)}
    covered = {type(error) for error in ERRORS}
    assert exceptions - covered == {multirouter.CallFailed}  # never raised itself


@pytest.mark.parametrize("how", COPIES)
async def test_outcomes_survive(how: str) -> None:
    """An outcome keeps its answer or its error, and all of its trail."""
    async with harness(scripted("a", "error", "error"), "b") as env:
        for outcome in (await env.outcome("a", "b"), await env.outcome("a")):
            twin: CallOutcome[Any] = COPIES[how](outcome)
            assert text(twin) == text(outcome)
            assert [text(record) for record in twin.attempts] == [
                text(record) for record in outcome.attempts
            ]
            if outcome.ok:
                assert twin.value == outcome.value
            else:
                with pytest.raises(AllProvidersFailed):
                    _ = twin.value


VALUES = [
    Usage(1, 2, estimated=True),
    Verdict(FailureKind.RATE_LIMIT, 1.0, reason="status 429", status=429),
    RECORD,
    StreamRestarted("a", 3),
    *(event._make(map(str, range(len(event._fields)))) for event in get_args(events.Event)),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("how", COPIES)
def test_values_survive(how: str, value: Any) -> None:
    """Events, verdicts, usages and records are the same after it."""
    assert text(COPIES[how](value)) == text(value)


FOREIGN = [TwoArguments(429, "slow down"), Changed(500), Speechless()]


@pytest.mark.parametrize("foreign", FOREIGN, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("how", ["copy", "deepcopy"])
async def test_copies_share_the_exceptions_of_others(how: str, foreign: Exception) -> None:
    """They are not ours to copy, and some cannot be."""

    async def failing(request: object) -> str:
        raise foreign

    async with harness(Provider("a", failing)) as env:
        outcome = await env.outcome()
        twin = COPIES[how](outcome)
        assert twin.attempts[0].error is foreign
        assert twin.error.__cause__ is foreign
        assert COPIES[how](outcome.error).__cause__ is foreign


@pytest.mark.parametrize("foreign", FOREIGN, ids=lambda error: type(error).__name__)
async def test_pickling_replaces_what_would_be_lost(foreign: Exception) -> None:
    """The stand-in names the class and the message; an exception that survives is kept."""

    async def failing(request: object) -> str:
        raise foreign

    async with harness(Provider("a", failing)) as env:
        outcome = await env.outcome()
        twin = COPIES[PICKLE](outcome)
        for error in (twin.attempts[0].error, twin.error.__cause__):
            assert type(error) is UnpicklableError
            assert error.original == f"{__name__}.{type(foreign).__name__}"
        message = "" if isinstance(foreign, Speechless) else str(foreign)
        assert str(error) == f"{error.original}: {message}"


def test_an_exception_that_is_its_own_cause_survives() -> None:
    """A cycle of causes is pickled and copied as one."""
    error = UsageError("round")
    error.__cause__ = error
    for how in COPIES.values():
        twin = how(error)
        assert twin.__cause__ in {twin, error}


def raise_in_worker(which: int) -> None:
    """Raises one of the exceptions; the second attribute cannot be pickled."""
    error = ERRORS[which]
    error.__cause__ = TwoArguments(429, "slow down")
    raise error


def test_a_process_pool_passes_them_on() -> None:
    """The pool is not broken by any of them, as it is by an exception that cannot be restored."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        for which, error in enumerate(ERRORS):
            with pytest.raises(type(error)) as caught:
                pool.submit(raise_in_worker, which).result(30)
            assert str(caught.value) == str(error)


async def test_errors_of_a_real_router_survive() -> None:
    """One of each that a router makes: from timeouts, streams, holds and fallbacks."""

    async def broken(request: object) -> AsyncIterator[str]:
        yield "one"
        raise TwoArguments(500, "gone")

    def fallback(request: object, error: Exception) -> str:
        raise TwoArguments(500, "no cache")

    async with harness(
        scripted("a", "hang", stream=broken),
        fallback=fallback,
        attempt_timeout=1.0,
        latency=LatencyPolicy(adaptive=False),
    ) as env:
        timed_out = (await env.outcome()).error
        env.router.hold("a", "open")
        rejected = (await env.outcome()).error
        env.router.unhold("a")
        with pytest.raises(StreamInterrupted) as interrupted:
            async for _ in env.router.stream("q"):
                await anyio.sleep(0)
        for error in (timed_out, rejected, interrupted.value):
            twin = COPIES[PICKLE](error)
            assert (type(twin), str(twin)) == (type(error), str(error))
            assert repr(twin.attempts) == repr(error.attempts)
            if error is not interrupted.value:
                assert type(twin.fallback_error) is UnpicklableError


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
async def test_routers_and_streams_are_not_copied(copied: Callable[[Any], Any]) -> None:
    """They say so; a copy of a stream would close the stream when the copy is dropped."""

    async def words(_: str) -> AsyncIterator[str]:
        yield "a"
        yield "b"

    async with harness(Provider("a", stream=words)) as env, env.router.stream("q") as stream:
        for one in (env.router, stream):
            with pytest.raises(TypeError, match="cannot be copied or pickled"):
                copied(one)
        assert [chunk async for chunk in stream] == ["a", "b"]
