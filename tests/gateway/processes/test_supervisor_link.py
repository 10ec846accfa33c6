"""The worker's side of the connection to its supervisor, in one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from multirouter.config import KeyBook
from multirouter.errors import UsageError
from multirouter.gateway.auth.authentication import AccessControl
from multirouter.gateway.auth.key_limits import Rejection
from multirouter.gateway.http.http_error import HTTPError
from multirouter.gateway.process import Stop
from multirouter.gateway.signals import Signals
from multirouter.gateway.workers.channel import Channel
from multirouter.gateway.workers.messages import Acquire, Answer, Done, Release, Run, StopWorker
from multirouter.gateway.workers.worker import SupervisorLink

pytestmark = [pytest.mark.real_io, pytest.mark.backends("asyncio", "uvloop")]

KEY = replace(KeyBook().new("alice")[0].records[0], concurrent=1)


@dataclass
class Linked:
    """A link with the gateway it controls, and the supervisor's end of its channel."""

    link: SupervisorLink
    gateway: Any
    stop: Stop
    supervisor: Channel

    async def received(self) -> Any:
        """The next message to the supervisor."""
        while not (messages := self.supervisor.receive()):
            await anyio.lowlevel.checkpoint()
        (message,) = messages
        return message


@asynccontextmanager
async def linked(changes: Any = ()) -> AsyncGenerator[Linked]:
    ours, theirs = Channel.pair()
    signals = Signals()
    link = SupervisorLink(theirs, changes, signals)
    gateway: Any = SimpleNamespace(admin=SimpleNamespace(), access=AccessControl(None), seen=[])
    stop = Stop()
    async with link.control(gateway, stop):
        yield Linked(link, gateway, stop, ours)
    for one in (ours, theirs, signals):
        one.close()


async def test_limits_are_the_supervisors() -> None:
    """A request starts when the supervisor admits it; a rejection is the same 429 as elsewhere."""
    async with linked() as worker:
        limits = worker.gateway.access.limits
        async with asyncio.TaskGroup() as group:
            first = group.create_task(limits.acquire(KEY, 0.0))
            question = await worker.received()
            assert isinstance(question, Acquire)
            assert question.key == KEY
            worker.supervisor.send(Answer(question.id, None))
        assert first.result() is None
        limits.release(KEY, 7, 0.5, 0.0)
        assert await worker.received() == Release(KEY, 7, 0.5)
        second = asyncio.ensure_future(limits.acquire(KEY, 0.0))
        rejection = Rejection("the limit of this key is reached: x", retry_after=2.0)
        worker.supervisor.send(Answer((await worker.received()).id, rejection))
        with pytest.raises(HTTPError, match="limit of this key") as caught:
            await second
        assert (caught.value.status, caught.value.retry_after) == (429, 2.0)


async def test_key_without_limits_costs_no_question() -> None:
    """Nothing is sent for it."""
    async with linked() as worker:
        limits, key = worker.gateway.access.limits, replace(KEY, concurrent=None)
        await limits.acquire(key, 0.0)
        limits.release(key, 1, 1.0, 0.0)
        assert worker.supervisor.receive() == []


@pytest.mark.parametrize("admitted", [True, False])
async def test_client_that_leaves_before_the_answer(admitted: bool) -> None:
    """What the supervisor admitted for it is released."""
    async with linked() as worker:
        task = asyncio.ensure_future(worker.gateway.access.limits.acquire(KEY, 0.0))
        question = await worker.received()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        worker.supervisor.send(Answer(question.id, None if admitted else Rejection("no")))
        worker.supervisor.send(Run(1, _mark))
        messages: list[Any] = []
        while not any(isinstance(message, Done) for message in messages):
            messages += worker.supervisor.receive()
            await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        messages += worker.supervisor.receive()
        assert [m for m in messages if isinstance(m, Release)] == [Release(KEY, 0, 0.0)] * admitted


async def test_operations_run_and_report_errors() -> None:
    """An unknown error is reported as text, since it may be impossible to pickle."""
    async with linked(changes=[_mark, _reject]) as worker:
        assert worker.gateway.seen == ["mark"]  # what a reload has made invalid is left out
        results: list[Any] = []
        for id_, operation in enumerate((_mark, _reject, _fail)):
            worker.supervisor.send(Run(id_, operation))
            results.append(await worker.received())
        assert results[0] == Done(0, "marked", None)
        assert isinstance(results[1].error, UsageError)
        assert repr(results[2].error) == "RuntimeError(\"ZeroDivisionError('a bug')\")"


async def test_end_of_the_supervisor_stops_the_worker() -> None:
    """Requests that wait for its answer fail with a 503, and so do later ones."""
    async with linked() as worker:
        limits = worker.gateway.access.limits
        waiting = asyncio.ensure_future(limits.acquire(KEY, 0.0))
        await worker.received()
        worker.supervisor.close()
        await worker.stop.wait()
        assert not worker.stop.graceful
        for late in (waiting, limits.acquire(KEY, 0.0)):
            with pytest.raises(HTTPError, match="stopping") as caught:
                await late
            assert caught.value.status == 503
        limits.release(KEY, 1, 1.0, 0.0)


async def test_stop_by_the_supervisor() -> None:
    """The worker stops as the supervisor says."""
    async with linked() as worker:
        worker.supervisor.send(StopWorker(graceful=True))
        await worker.stop.wait()
        assert worker.stop.graceful


def _mark(gateway: Any) -> str:
    gateway.seen.append("mark")
    return "marked"


def _reject(_: Any) -> None:
    raise UsageError("unknown provider")


def _fail(_: Any) -> None:
    raise ZeroDivisionError("a bug")
