"""Supervisor of several worker processes on one port: starts, replaces, reloads and stops them."""

from __future__ import annotations

import gc
import selectors
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

from multirouter.config import Settings
from multirouter.errors import ConfigurationError
from multirouter.gateway.access_log import AccessLog
from multirouter.gateway.endpoints.admin_operations import SetHold, SetWeight
from multirouter.gateway.log_setup import configure_logs
from multirouter.gateway.process import STOP_SIGNALS, ServeOptions
from multirouter.gateway.reload import (
    POLL_INTERVAL,
    ApplySettings,
    FileWatch,
    reload_applied,
    reload_rejected,
)
from multirouter.gateway.server import READINESS_LEAD, bind
from multirouter.gateway.signals import Signals, blocked
from multirouter.gateway.startup_message import report_start
from multirouter.gateway.workers.channel import Channel
from multirouter.gateway.workers.key_counter import KeyCounter
from multirouter.gateway.workers.messages import (
    Answer,
    Done,
    FromWorker,
    Operation,
    Ready,
    Reload,
    Run,
    RunEverywhere,
    StopWorker,
)
from multirouter.gateway.workers.operations_under_way import OperationsUnderWay
from multirouter.gateway.workers.shared_metrics import remove_gauges
from multirouter.gateway.workers.worker import INTERRUPTED, work
from multirouter.gateway.workers.worker_handle import WorkerHandle

MIN_UPTIME = 2.0
"""Seconds. A worker that ends sooner is replaced after `RESTART_DELAY` only."""

RESTART_DELAY = 0.5

STOP_MARGIN = 10.0
"""Seconds beyond the drain in which workers must have ended; then they are killed."""

_MAX_WAIT = 86_400.0
"""Seconds of one wait for messages and signals; epoll takes no time beyond 24 days."""

_ALL_SIGNALS = (signal.SIGHUP, *STOP_SIGNALS)


def run_workers(options: ServeOptions, workers: int, signals: Signals) -> int:
    """Serves in several processes until SIGTERM or Ctrl-C.

    Args:
        options: the options of all processes.
        workers: the number of processes, >= 1.
        signals: records SIGHUP already.

    Returns:
        The exit status.

    Raises:
        ConfigurationError: see `ServeOptions`; or this system lacks SO_REUSEPORT.
        OSError: when the port is in use.
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ConfigurationError(
            "--workers", "requires SO_REUSEPORT, which this system does not have"
        )
    settings = options.load_settings()
    host, port = options.address(settings)
    temporary = tempfile.TemporaryDirectory(prefix="multirouter-")
    # Bound, but not listening: it reserves the port for the workers, and gets no connection.
    with temporary as folder, bind(host, port, reuse_port=True) as reserved:
        host, port = reserved.getsockname()[:2]
        configure_logs()
        gc.freeze()  # shared pages stay shared: a collection would write to them
        gc.enable()  # see `command.run`
        options = replace(options, host=host, port=port, worker=True, folder=folder)
        return Supervisor(options, settings, folder, signals).run(workers)


class Supervisor:
    """Keeps a number of worker processes running, which together are one gateway.

    They are forked from this process, which has loaded all modules and validated the settings, so
    each starts within milliseconds and shares that memory. This process serves no requests. It
    reads the settings, so that all workers have the same; it sends every change to all workers; and
    it counts what keys use, so that counts are exact and outlive a worker.

    Args:
        options: the options of each worker.
        settings: the settings to start with.
        folder: where the workers keep their shared metrics.
        signals: its signals.
    """

    def __init__(
        self, options: ServeOptions, settings: Settings, folder: str, signals: Signals
    ) -> None:
        self._options = options
        self._settings = settings
        self._files = settings.files
        self._folder = folder
        self._signals = signals
        self._context = get_context("fork")
        self._selector = selectors.DefaultSelector()
        self._workers: set[WorkerHandle] = set()
        self._starts: list[float] = []  # times at which workers are to be started
        self._changes: dict[tuple[type, str], Operation] = {}
        self._operations = OperationsUnderWay()
        self._keys = KeyCounter(shared=settings.document.sharing is not None)
        self._log = AccessLog()
        self._watch = FileWatch(self._files)
        self._next_watch = time.monotonic() + POLL_INTERVAL
        self._ready = False
        self._stop_by: float | None = None
        self._status = 0

    def run(self, workers: int) -> int:
        """Keeps that many workers running until a signal; returns the exit status."""
        self._signals.record(STOP_SIGNALS)
        self._selector.register(self._signals, selectors.EVENT_READ, self._take_signals)
        for _ in range(workers):
            self._start()
        while self._workers or self._starts:
            for key, _ in self._selector.select(self._seconds_to_next_task()):
                key.data()
            self._run_due_tasks(time.monotonic())
        self._selector.close()
        return self._status

    # -- time and signals -------------------------------------------------------------------

    def _seconds_to_next_task(self) -> float | None:
        times = [*self._starts, *self._operations.deadlines()]
        if self._options.reload:
            times.append(self._next_watch)
        if self._stop_by is not None:
            times.append(self._stop_by)
        return min(max(0.0, min(times) - time.monotonic()), _MAX_WAIT) if times else None

    def _run_due_tasks(self, now: float) -> None:
        for worker in self._operations.overdue(now):
            self._log.change_rejected("worker does not answer and is killed", pid=worker.pid)
            worker.kill()
        due = [at for at in self._starts if at <= now]
        self._starts = [at for at in self._starts if at > now]
        for _ in due:
            self._start()
        if self._options.reload and now >= self._next_watch:
            self._next_watch = now + POLL_INTERVAL
            reason = self._watch.changes(self._files)
            if reason:
                self._reload(reason, _ignore)
        if self._stop_by is not None and now >= self._stop_by:
            self._stop_by = now + STOP_MARGIN
            for worker in self._workers:
                worker.kill()

    def _take_signals(self) -> None:
        for number in self._signals.take():
            if number == signal.SIGHUP:
                self._reload("SIGHUP", _ignore)
            else:
                self._stop(graceful=number == signal.SIGTERM)

    def _stop(self, *, graceful: bool) -> None:
        """Stops all workers; the second request that is not graceful stops them at once."""
        now = time.monotonic()
        if self._stop_by is None:
            drain = max((worker.drain for worker in self._workers), default=0.0)
            self._stop_by = now + drain + READINESS_LEAD + STOP_MARGIN
            self._starts.clear()
        elif graceful:
            return
        else:
            self._status = INTERRUPTED
            self._stop_by = now + STOP_MARGIN
        for worker in self._workers:
            self._send(worker, StopWorker(graceful))

    # -- workers ----------------------------------------------------------------------------

    def _start(self) -> None:
        ours, theirs = Channel.pair()
        with blocked(_ALL_SIGNALS):  # until the new process has handlers of its own
            process = self._context.Process(target=self._work, args=(ours, theirs))
            process.start()
        theirs.close()
        worker = WorkerHandle(process, ours, self._settings.server.drain_timeout)
        self._workers.add(worker)
        read = selectors.EVENT_READ
        self._selector.register(ours, read, lambda: self._exchange(worker))
        self._selector.register(process.sentinel, read, lambda: self._ended(worker))

    def _work(self, ours: Channel, theirs: Channel) -> None:
        """Serves, in the new process, which must not keep what belongs to the supervisor."""
        self._signals.close()
        self._selector.close()
        for channel in (ours, *(worker.channel for worker in self._workers)):
            channel.close()
        work(self._options, self._settings, theirs, self._changes.values(), self._folder)

    def _ended(self, worker: WorkerHandle) -> None:
        """Replaces a worker that has ended; stops all if none could ever serve."""
        self._exchange(worker)
        self._selector.unregister(worker.sentinel)
        self._selector.unregister(worker.channel)
        worker.close()
        self._workers.discard(worker)
        remove_gauges(worker.pid, self._folder)
        self._keys.worker_ended(worker)
        self._operations.worker_ended(worker)
        if self._stop_by is not None:
            return
        status = worker.exit_status
        if status > 0 and not self._ready:
            self._status = status
            self._stop(graceful=False)
            return
        now = time.monotonic()
        self._log.change_rejected("worker ended and is replaced", pid=worker.pid, status=status)
        self._starts.append(now if now - worker.started >= MIN_UPTIME else now + RESTART_DELAY)

    # -- messages ---------------------------------------------------------------------------

    def _send(self, worker: WorkerHandle, message: object) -> None:
        worker.channel.send(message)
        self._select_writable(worker)

    def _select_writable(self, worker: WorkerHandle) -> None:
        write = selectors.EVENT_WRITE if worker.channel.unsent else 0
        key = self._selector.get_key(worker.channel)
        self._selector.modify(worker.channel, selectors.EVENT_READ | write, key.data)

    def _exchange(self, worker: WorkerHandle) -> None:
        """Sends what is left to send, and handles what has arrived."""
        if worker.channel.unsent:
            worker.channel.flush()
            self._select_writable(worker)
        for message in worker.channel.receive():
            self._handle(worker, message)
        if worker.channel.closed:
            worker.kill()  # it ends anyway, or can no longer be reached

    def _handle(self, worker: WorkerHandle, message: FromWorker) -> None:
        match message:
            case Done():
                self._operations.done(worker, message)
            case RunEverywhere():
                self._change(worker, message)
            case Reload():
                self._reload(
                    message.reason, lambda problem: self._answer(worker, message.id, problem)
                )
            case Ready():
                if not self._ready:
                    self._ready = True
                    report_start(self._settings, message.url)
            case _:
                for answer in self._keys.handle(worker, message):
                    self._send(worker, answer)

    def _answer(
        self, worker: WorkerHandle, id_: int, value: Any, error: Exception | None = None
    ) -> None:
        if worker in self._workers:
            self._send(worker, Answer(id_, value, error))

    def _change(self, worker: WorkerHandle, message: RunEverywhere) -> None:
        """Runs an operation everywhere; workers that start later get it from `_changes`."""
        operation = message.operation
        change = (type(operation), getattr(operation, "provider", ""))
        lasting = isinstance(operation, SetHold | SetWeight)
        before = self._changes.get(change)
        if lasting:
            self._changes[change] = operation

        def done(results: list[Any], error: Exception | None) -> None:
            if lasting and error is not None and self._changes.get(change) is operation:
                del self._changes[change]
                if before is not None:
                    self._changes[change] = before
            self._answer(worker, message.id, results, error)

        self._run_everywhere(operation, done)

    def _run_everywhere(
        self, operation: Operation, then: Callable[[list[Any], Exception | None], None]
    ) -> None:
        id_ = self._operations.start(self._workers, time.monotonic(), then)
        for worker in self._workers:
            self._send(worker, Run(id_, operation))

    def _reload(self, reason: str, then: Callable[[str], None]) -> None:
        """Reads the settings once and applies them everywhere.

        Args:
            reason: what caused it, for the log.
            then: called with what is wrong, or "", when every worker has them.
        """
        try:
            keyed = self._settings.keys is not None
            settings = self._options.reload_settings(str(self._options.host), keyed=keyed)
        except Exception as error:  # noqa: BLE001 - no failure of a reload may end the gateway
            then(reload_rejected(self._log, reason, error))
            return
        before, self._settings, self._files = self._settings, settings, settings.files

        def done(_: list[Any], error: Exception | None) -> None:
            if error is None:
                self._changes = {c: o for c, o in self._changes.items() if c[0] is not SetWeight}
                reload_applied(self._log, reason, settings)
                then("")
                return
            if self._settings is settings:
                self._settings = before
                self._run_everywhere(ApplySettings(before), _ignore)
            then(reload_rejected(self._log, reason, error))

        self._run_everywhere(ApplySettings(settings), done)


def _ignore(*_: object) -> None:
    """The outcome is in the log."""
