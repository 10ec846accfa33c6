"""Several worker processes on one port: forked when ready, signalled together, replaced if lost."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import connection, get_context
from typing import TYPE_CHECKING

from multirouter.config import Settings
from multirouter.errors import ConfigurationError, MultirouterError
from multirouter.gateway.access_log import AccessLog
from multirouter.gateway.log_setup import configure_logs
from multirouter.gateway.process import ServeOptions, serve
from multirouter.gateway.server import bind
from multirouter.gateway.startup_message import startup_message

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

MIN_UPTIME = 2.0
"""Seconds. A worker that fails sooner never could serve, and another one would fail as well."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def run_workers(options: ServeOptions, workers: int) -> int:
    """Serves in several processes until SIGTERM or Ctrl-C.

    Args:
        options: the options of all processes.
        workers: the number of processes, >= 1.

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
        options = replace(options, host=host, port=port, worker=True)
        return _Workers(options, settings, folder).run(workers)


@dataclass(frozen=True, slots=True)
class _Worker:
    """One process.

    Attributes:
        process: the process.
        started: when it was started, seconds of the monotonic clock.
    """

    process: BaseProcess
    started: float


class _Workers:
    """The worker processes of one gateway.

    They are forked from a process that has loaded all modules and validated the settings, so each
    starts within milliseconds and shares that memory.

    Args:
        options: the options of each.
        settings: the settings to start with.
        folder: where they keep their shared metrics.
    """

    def __init__(self, options: ServeOptions, settings: Settings, folder: str) -> None:
        self._options = options
        self._settings = settings
        self._folder = folder
        self._context = get_context("fork")
        self._ready, self._report_ready = self._context.Pipe(duplex=False)
        self._workers: dict[int, _Worker] = {}
        self._log = AccessLog()
        self._stopping = False
        self._status = 0

    def run(self, workers: int) -> int:
        """Keeps that many processes running until a signal; returns the exit status."""
        for number in _SIGNALS:
            signal.signal(number, self._forward_signal)
        for _ in range(workers):
            self._start()
        unready = workers
        while self._workers:
            for ended in connection.wait([self._ready, *self._workers]):
                if ended is self._ready:
                    self._print_message(self._ready.recv(), first=unready == workers)
                    unready -= 1
                else:
                    self._replace(self._workers.pop(ended))  # type: ignore[arg-type] # sentinels
        return self._status

    def _print_message(self, url: str, *, first: bool) -> None:
        if first:
            sys.stdout.write(startup_message(self._settings, url))
            sys.stdout.flush()

    def _start(self) -> None:
        with _signals_blocked():
            if self._stopping:  # stopped while the last one was removed
                return
            process = self._context.Process(target=self._work)
            process.start()
            self._workers[process.sentinel] = _Worker(process, time.monotonic())

    def _work(self) -> None:
        """Serves, in the new process."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        share_metrics(self._folder)
        try:
            serve(self._options, self._settings, self._report_ready.send)
        except (MultirouterError, OSError) as error:
            sys.stderr.write(f"multirouter serve: error: {error}\n")
            sys.exit(2)

    def _replace(self, lost: _Worker) -> None:
        """Replaces a process that has ended; stops all if it failed before `MIN_UPTIME`."""
        process = lost.process
        process.join()
        self._remove_metrics(process.pid)
        if self._stopping:
            return
        uptime = time.monotonic() - lost.started
        if process.exitcode and process.exitcode > 0 and uptime < MIN_UPTIME:
            self._status = process.exitcode
            self._forward_signal(signal.SIGTERM)
            return
        self._reload_settings()
        self._start()

    def _reload_settings(self) -> None:
        """Reads the settings of new workers; invalid ones leave the old ones in force."""
        try:
            self._settings = self._options.reload_settings(str(self._options.host))
        except (MultirouterError, OSError) as error:
            event = "configuration reload rejected for new workers"
            self._log.change_rejected(event, error=str(error))

    def _remove_metrics(self, pid: int | None) -> None:
        """Removes the gauges of an ended process; its counters stay in the sum."""
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid, self._folder)  # type: ignore[no-untyped-call] # it has no annotations

    def _forward_signal(self, number: int, _frame: object = None) -> None:
        """Sends a signal to all workers; all signals but SIGHUP end them."""
        if number == signal.SIGHUP:
            self._reload_settings()
        else:
            self._stopping = True
        for worker in list(self._workers.values()):
            if worker.process.exitcode is None:
                os.kill(worker.process.pid or 0, number)


def share_metrics(folder: str) -> None:
    """Makes prometheus-client write this process' metrics to files, which `/metrics` sums.

    It chooses that at its import, by an environment variable, and looks up the process id with
    every value; here the process id is fixed.

    Args:
        folder: one folder for all processes, empty when the first of them starts.

    Source: https://prometheus.github.io/client_python/multiprocess/
    """
    from prometheus_client import values

    pid = os.getpid()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    values.ValueClass = values.MultiProcessValue(lambda: pid)  # type: ignore[no-untyped-call]


@contextmanager
def _signals_blocked() -> Generator[None]:
    """Blocks signals, since a new process would handle them as its parent does."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
