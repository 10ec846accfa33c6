"""Real redis-server and valkey-server processes on free ports."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.asyncio import RedisCluster
from redis.exceptions import RedisError

KINDS = ("redis", "valkey")
CLUSTERS = pytest.mark.skipif(not hasattr(RedisCluster, "pubsub"), reason="redis-py before 8.0")
"""Marks tests with a cluster."""

START = 20.0
"""Seconds in which a server must answer."""


class Server:
    """One server process.

    Attributes:
        kind: `redis` or `valkey`.
        port: its port.
        url: for `RedisSharing`.
    """

    def __init__(
        self,
        kind: str,
        folder: Path,
        *options: str,
        host: str = "127.0.0.1",
        config: Path | None = None,
    ) -> None:
        self.kind = kind
        self.host = host
        self.port = free_port()
        self.url = f"redis://{host}:{self.port}"
        self._folder = folder
        self._options = options
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Starts it, without data, and waits until it answers."""
        command = [program(self.kind), *([str(self._config)] if self._config else [])]
        command += ["--port", str(self.port), "--bind", self.host, "--dir", str(self._folder)]
        if self._config is None:
            command += ["--save", "", "--appendonly", "no"]
        else:
            command += ["--sentinel"]
        log = (self._folder / f"{self.port}.log").open("ab")
        self._process = subprocess.Popen([*command, *self._options], stdout=log, stderr=log)
        log.close()
        deadline = time.monotonic() + START
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return
            except RedisError:
                assert time.monotonic() < deadline, f"{self.kind}-server does not answer"
                time.sleep(0.02)

    def client(self) -> Redis:
        """A client for the test itself."""
        return Redis(host=self.host, port=self.port, decode_responses=True, socket_timeout=5)

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        assert self._process is not None
        os.kill(self._process.pid, number)

    def stop(self) -> None:
        """Kills it; its data is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Restarts it empty."""
        self.stop()
        self.start()


def program(kind: str) -> str:
    """The server's program; in CI it must be there."""
    found = shutil.which(f"{kind}-server")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{kind}-server is not installed: .ci/run installs it")
        pytest.skip(f"{kind}-server is not installed")
    return found


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    kind: str, folder: Path, *options: str, host: str = "127.0.0.1", config: Path | None = None
) -> Iterator[Server]:
    """A server for the duration of a test; with `config`, a sentinel."""
    server = Server(kind, folder, *options, host=host, config=config)
    try:
        yield server
    finally:
        server.stop()
