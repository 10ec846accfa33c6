"""Several processes on one port: started, told what the parent is told, and replaced when lost."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
import tempfile
from dataclasses import replace

from multirouter.core import validation as check
from multirouter.errors import ConfigurationError
from multirouter.gateway import greeting
from multirouter.gateway.server import listen
from multirouter.gateway.serving import Wish

TOO_SOON = 2.0
"""Seconds; one that gives up sooner was never fit to serve, and another would not be either."""

_TOGETHER = "PROMETHEUS_MULTIPROC_DIR"


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
    # Bound, but not listening: it keeps the port for the workers, and is given no connection.
    with listen(host, port, shared=True) as reserved:
        host, port = reserved.getsockname()[:2]
        wish = replace(wish, host=host, port=port)
        shown = f"[{host}]" if ":" in host else host
        sys.stdout.write(greeting.text(settings, f"http://{shown}:{port}"))
        sys.stdout.flush()
        gc.enable()  # see `command.run`
        with tempfile.TemporaryDirectory(prefix="multirouter-") as folder:
            return asyncio.run(_Workers(wish, folder).run(workers))


class _Workers:
    """The processes of one gateway.

    Args:
        wish: what each is told.
        folder: where they keep their metrics together.
    """

    def __init__(self, wish: Wish, folder: str) -> None:
        self._wish = wish
        self._folder = folder
        self._processes: set[asyncio.subprocess.Process] = set()
        self._stopping = asyncio.Event()

    async def run(self, workers: int) -> int:
        """Keeps that many running until told to stop; returns the exit status."""
        loop = asyncio.get_running_loop()
        for told in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(told, self._stop, told)
        loop.add_signal_handler(signal.SIGHUP, self._tell, signal.SIGHUP)
        async with asyncio.TaskGroup() as group:
            kept = [group.create_task(self._keep()) for _ in range(workers)]
        return max(task.result() for task in kept)

    async def _keep(self) -> int:
        """Keeps one running; returns the status of one that was never fit to serve."""
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            began = loop.time()
            process = await asyncio.create_subprocess_exec(
                *arguments(self._wish), env={**os.environ, _TOGETHER: self._folder}
            )
            self._processes.add(process)
            status = await process.wait()
            self._processes.discard(process)
            self._bury(process.pid)
            if status > 0 and not self._stopping.is_set() and loop.time() - began < TOO_SOON:
                self._stop(signal.SIGTERM)
                return status
        return 0

    def _bury(self, pid: int) -> None:
        """Gauges of a process that is gone have no say any more; what it counted stays."""
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid, self._folder)  # type: ignore[no-untyped-call] # it has no annotations

    def _stop(self, how: signal.Signals) -> None:
        self._stopping.set()
        self._tell(how)

    def _tell(self, what: signal.Signals) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.send_signal(what)


def arguments(wish: Wish) -> list[str]:
    """The command line of one of them."""
    line = [sys.executable, "-m", "multirouter", "serve", "--worker"]
    line += ["--host", str(wish.host), "--port", str(wish.port)]
    for option, asked in (
        ("--reload", wish.reload),
        ("--quiet", wish.quiet),
        ("--allow-anyone", wish.anyone),
    ):
        if asked:
            line.append(option)
    return line if wish.config is None else [*line, "--", wish.config]
