"""Several processes on one port: forked when ready to serve, told what the parent is, replaced."""

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
from multirouter.core import validation as check
from multirouter.errors import ConfigurationError, MultirouterError
from multirouter.gateway import startup_message as greeting
from multirouter.gateway.access_log import AccessLog
from multirouter.gateway.log_setup import configure_logs
from multirouter.gateway.process import Wish, serve
from multirouter.gateway.server import listen

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

TOO_SOON = 2.0
"""Seconds; one that gives up sooner was never fit to serve, and another would not be either."""

_TOLD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def run_many(wish: Wish, workers: int) -> int:
    """Serves in several processes until SIGTERM or Ctrl-C.

    Raises:
        ConfigurationError: see `Wish`; or this system cannot share a port.
        OSError: when the port is taken.
    """
    check.count("--workers", workers)
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ConfigurationError("--workers", "needs SO_REUSEPORT, which this system has not")
    settings = wish.settings()
    host, port = wish.place(settings)
    folder = tempfile.TemporaryDirectory(prefix="multirouter-")
    # Bound, but not listening: it keeps the port for the workers, and is given no connection.
    with folder as together, listen(host, port, shared=True) as reserved:
        host, port = reserved.getsockname()[:2]
        configure_logs()
        gc.freeze()  # what all share stays shared: a collection would write to it
        gc.enable()  # see `command.run`
        wish = replace(wish, host=host, port=port, worker=True)
        return _Workers(wish, settings, together).run(workers)


@dataclass(frozen=True, slots=True)
class _Worker:
    """A process, and when it was started, seconds of the monotonic clock."""

    process: BaseProcess
    began: float


class _Workers:
    """The processes of one gateway.

    They are forked from one that has loaded everything and found the settings valid, so a
    second one costs a few milliseconds of start, and shares that memory.

    Args:
        wish: what each is told.
        settings: what they serve.
        folder: where they keep their metrics together.
    """

    def __init__(self, wish: Wish, settings: Settings, folder: str) -> None:
        self._wish = wish
        self._settings = settings
        self._folder = folder
        self._context = get_context("fork")
        self._ready, self._tell_ready = self._context.Pipe(duplex=False)
        self._workers: dict[int, _Worker] = {}
        self._log = AccessLog()
        self._stopping = False
        self._status = 0

    def run(self, workers: int) -> int:
        """Keeps that many running until told to stop; returns the exit status."""
        for told in _TOLD:
            signal.signal(told, self._told)
        for _ in range(workers):
            self._start()
        unready = workers
        while self._workers:
            for ended in connection.wait([self._ready, *self._workers]):
                if ended is self._ready:
                    self._greet(self._ready.recv(), first=unready == workers)
                    unready -= 1
                else:
                    self._replace(self._workers.pop(ended))  # type: ignore[arg-type] # sentinels
        return self._status

    def _greet(self, url: str, *, first: bool) -> None:
        if first:
            sys.stdout.write(greeting.text(self._settings, url))
            sys.stdout.flush()

    def _start(self) -> None:
        with _undisturbed():
            if self._stopping:  # told so while the last one was buried
                return
            process = self._context.Process(target=self._work)
            process.start()
            self._workers[process.sentinel] = _Worker(process, time.monotonic())

    def _work(self) -> None:
        """Serves, in the new process."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _TOLD)
        share_metrics(self._folder)
        try:
            serve(self._wish, self._settings, self._tell_ready.send)
        except (MultirouterError, OSError) as error:
            sys.stderr.write(f"multirouter serve: error: {error}\n")
            sys.exit(2)

    def _replace(self, lost: _Worker) -> None:
        """Another one for one that is gone, unless none was fit to serve."""
        process = lost.process
        process.join()
        self._bury(process.pid)
        if self._stopping:
            return
        if process.exitcode and process.exitcode > 0 and time.monotonic() - lost.began < TOO_SOON:
            self._status = process.exitcode
            self._told(signal.SIGTERM)
            return
        self._renew()
        self._start()

    def _renew(self) -> None:
        """The settings of new workers: as they are now, or as they were where those are refused."""
        try:
            self._settings = self._wish.renewed(str(self._wish.host))
        except (MultirouterError, OSError) as error:
            self._log.refused("new workers serve as before", error=str(error))

    def _bury(self, pid: int | None) -> None:
        """Gauges of a process that is gone have no say any more; what it counted stays."""
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid, self._folder)  # type: ignore[no-untyped-call] # it has no annotations

    def _told(self, what: int, _frame: object = None) -> None:
        """Tells the workers; all but SIGHUP ends them."""
        if what == signal.SIGHUP:
            self._renew()
        else:
            self._stopping = True
        for worker in list(self._workers.values()):
            if worker.process.exitcode is None:
                os.kill(worker.process.pid or 0, what)


def share_metrics(folder: str) -> None:
    """Lets prometheus-client write what this process counts where `/metrics` sums all of them.

    It decides so at its import, by an environment variable, and asks for the process id with
    every number; here it is known from the start that this does not change.

    Args:
        folder: one for all processes, empty when the first of them starts.

    Source: https://prometheus.github.io/client_python/multiprocess/
    """
    from prometheus_client import values

    pid = os.getpid()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    values.ValueClass = values.MultiProcessValue(lambda: pid)  # type: ignore[no-untyped-call]


@contextmanager
def _undisturbed() -> Generator[None]:
    """Signals wait: a new process would take them for its parent's."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _TOLD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
