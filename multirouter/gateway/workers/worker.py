"""One worker process: serves like a single one, but its supervisor reloads, counts and stops."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any

from multirouter.config import Settings
from multirouter.errors import ConfigurationError, MultirouterError, UsageError
from multirouter.gateway.app import Gateway
from multirouter.gateway.auth.key_limits import KeyUse, Rejection
from multirouter.gateway.auth.key_protocol import Key
from multirouter.gateway.http.http_error import HTTPError
from multirouter.gateway.process import ServeOptions, Stop, serve
from multirouter.gateway.signals import Signals
from multirouter.gateway.workers.channel import Channel
from multirouter.gateway.workers.messages import (
    Acquire,
    Answer,
    ApplyGrants,
    Done,
    FromSupervisor,
    Operation,
    ReadDemands,
    ReadUsage,
    Ready,
    Release,
    Reload,
    RenewShares,
    Run,
    RunEverywhere,
    StopWorker,
)
from multirouter.gateway.workers.shared_metrics import share_metrics
from multirouter.gateway.workers.worker_limits import WorkerLimits
from multirouter.sharing.transport import Demands, Grants

FAILED = 2
"""Exit status of a worker that cannot serve."""

INTERRUPTED = 130
"""Exit status of a worker that was stopped at once."""


def work(
    options: ServeOptions,
    settings: Settings,
    channel: Channel,
    changes: Iterable[Operation],
    metrics: str,
) -> None:
    """Serves in this process, which has just been forked, until its supervisor stops or ends.

    Args:
        options: the options of all workers.
        settings: the settings in force.
        channel: leads to the supervisor.
        changes: what the admin API has changed since the settings were read.
        metrics: the folder of the metrics that workers share.
    """
    # A terminal sends these to all processes; the supervisor acts on them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    link = SupervisorLink(channel, changes, Signals([signal.SIGTERM]))
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    share_metrics(metrics)
    try:
        serve(options, settings, link.control, link.report_ready)
    except (MultirouterError, OSError) as error:
        sys.stderr.write(f"multirouter serve: error: {error}\n")
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


class SupervisorLink:
    """The supervisor, as its worker sees it.

    When the supervisor has gone, the worker stops: another gateway may be started on its port.

    Args:
        channel: leads to the supervisor.
        changes: see `work`.
        signals: records SIGTERM, which ends this worker only.
    """

    def __init__(self, channel: Channel, changes: Iterable[Operation], signals: Signals) -> None:
        self._channel = channel
        self._changes = changes
        self._signals = signals
        self._ids = count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    @asynccontextmanager
    async def control(self, gateway: Gateway, stop: Stop) -> AsyncGenerator[None]:
        """Reloads and stops the gateway as the supervisor says; see `process.Control`."""
        for change in self._changes:
            with suppress(UsageError, ConfigurationError):  # of a provider that a reload removed
                change(gateway)
        gateway.admin.everywhere = self.run_everywhere
        gateway.admin.reload = self.reload
        gateway.access.count_with(WorkerLimits(self))

        def stop_by_signal() -> None:
            self._signals.take()
            stop.request(graceful=True)

        loop = asyncio.get_running_loop()
        loop.add_reader(self._channel.fileno(), self._receive, gateway, stop)
        loop.add_reader(self._signals.fileno(), stop_by_signal)
        try:
            yield
        finally:
            for fd in (self._channel.fileno(), self._signals.fileno()):
                loop.remove_reader(fd)
            loop.remove_writer(self._channel.fileno())

    def report_ready(self, url: str) -> None:
        """Reports that the worker listens."""
        self._send(Ready(url))

    async def run_everywhere(self, operation: Operation) -> list[Any]:
        """See `operations.Everywhere`."""
        results: list[Any] = await self._ask(RunEverywhere(next(self._ids), operation))
        return results

    async def reload(self, reason: str) -> str:
        """See `admin.Reload`."""
        problem: str = await self._ask(Reload(next(self._ids), reason))
        return problem

    def acquire(self, key: Key) -> asyncio.Future[Rejection | None]:
        """Counts a request that starts, over all workers."""
        return self._ask(Acquire(next(self._ids), key))

    def release(self, key: Key, tokens: int, usd: float) -> None:
        """Counts a request that has ended."""
        self._send(Release(key, tokens, usd))

    async def usage(self) -> Mapping[str, KeyUse]:
        """What each key uses, over all workers."""
        usage: Mapping[str, KeyUse] = await self._ask(ReadUsage(next(self._ids)))
        return usage

    async def demands(self, interval: float) -> Demands | None:
        """The demands on the limits of keys, over all workers; None when they are not due."""
        try:
            demands: Demands | None = await self._ask(ReadDemands(next(self._ids), interval))
        except HTTPError:  # the supervisor has gone
            return None
        return demands

    def granted(self, grants: Grants, hosts: int) -> None:
        """Applies what the gateway was granted."""
        self._send(ApplyGrants(grants, hosts))

    def _ask(
        self, question: Acquire | ReadUsage | ReadDemands | Reload | RunEverywhere
    ) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._channel.closed:
            future.set_exception(_stopping())
        else:
            self._waiting[question.id] = future
            self._send(question)
        return future

    def _send(self, message: object) -> None:
        self._channel.send(message)
        if self._channel.unsent:
            asyncio.get_running_loop().add_writer(self._channel.fileno(), self._flush)

    def _flush(self) -> None:
        self._channel.flush()
        if not self._channel.unsent:
            asyncio.get_running_loop().remove_writer(self._channel.fileno())

    def _receive(self, gateway: Gateway, stop: Stop) -> None:
        for message in self._channel.receive():
            self._handle(message, gateway, stop)
        if self._channel.closed:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(_stopping())
            self._waiting.clear()
            stop.request(graceful=False)

    def _handle(self, message: FromSupervisor, gateway: Gateway, stop: Stop) -> None:
        match message:
            case Answer():
                future = self._waiting.pop(message.id)
                if future.done():  # the client has gone
                    return
                if message.error is None:
                    future.set_result(message.value)
                else:
                    future.set_exception(message.error)
            case Run():
                self._send(_done(message, gateway))
            case RenewShares():
                gateway.access.report_soon()
            case StopWorker():
                stop.request(graceful=message.graceful)


def _done(run: Run, gateway: Gateway) -> Done:
    """Runs an operation."""
    try:
        return Done(run.id, run.operation(gateway), None)
    except (UsageError, ConfigurationError) as error:
        return Done(run.id, None, error)
    except Exception as error:  # noqa: BLE001 - no operation may end a worker
        return Done(run.id, None, RuntimeError(repr(error)))  # whatever it is, it can be pickled


def _stopping() -> HTTPError:
    return HTTPError(503, "the gateway is stopping", code="no_provider_available", retry_after=1.0)
