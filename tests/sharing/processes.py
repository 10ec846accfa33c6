"""Real processes of a fleet, and hosts that are network namespaces."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from multiprocessing import get_context
from typing import Any

import pytest

from tests.sharing.child import serve

GIVE_UP = 40.0
"""Seconds after which a test gives up; what it waits for takes one or two on an idle machine."""

_NUMBERS = count()
_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.sharing.child", "redis.asyncio"])


class Process:
    """One child process; see `child.py`. It is forked from a server that has loaded all modules."""

    def __init__(self, url: str, host: str, open_duration: float, namespace: str = "") -> None:
        self._pipe, theirs = _FORKS.Pipe()
        arguments = (theirs, namespace, url, host, open_duration)
        self._process = _FORKS.Process(target=serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def do(self, what: str, **arguments: Any) -> Any:
        """Runs a command in it, and returns the answer."""
        self._pipe.send({"do": what, **arguments})
        assert self._pipe.poll(GIVE_UP), "the process does not answer"
        return self._pipe.recv()

    @property
    def state(self) -> Any:
        """What it believes now."""
        return self.do("state")

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def end(self) -> None:
        """Kills it, also when it is paused."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


@contextmanager
def processes(url: str, *hosts: str, open_duration: float = 60.0) -> Iterator[list[Process]]:
    """Processes on these hosts, which all know of each other."""
    children = [Process(url, host, open_duration) for host in hosts]
    try:
        for child in children:
            until(lambda child=child: child.state["processes"] == len(hosts))
        yield children
    finally:
        for child in children:
            child.end()


def until(condition: Callable[[], bool]) -> float:
    """Waits until a condition holds; returns the seconds that it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < GIVE_UP, "it did not happen in time"
        time.sleep(0.02)
    return time.monotonic() - began


class NetworkHost:
    """A network namespace with one link to this one, which can be cut.

    Attributes:
        name: its name.
        address: the address of this end of the link.
    """

    def __init__(self) -> None:
        number = next(_NUMBERS)
        self.name = f"mr{os.getpid()}n{number}"
        self._link = f"mr{os.getpid() % 100000}v{number}"
        net = f"10.{64 + os.getpid() % 128}.{os.getpid() // 128 % 256}"
        self.address = f"{net}.{4 * number % 252 + 1}"
        inner = f"{net}.{4 * number % 252 + 2}"
        _ip("netns", "add", self.name)
        peer = ("type", "veth", "peer", "name", "inner", "netns", self.name)
        _ip("link", "add", self._link, *peer)
        _ip("address", "add", f"{self.address}/30", "dev", self._link)
        _ip("link", "set", self._link, "up")
        _ip("-n", self.name, "address", "add", f"{inner}/30", "dev", "inner")
        _ip("-n", self.name, "link", "set", "inner", "up")

    def cut(self) -> None:
        """Cuts the link: packets are lost, and no connection is reset."""
        _ip("-n", self.name, "link", "set", "inner", "down")

    def mend(self) -> None:
        """Ends the cut."""
        _ip("-n", self.name, "link", "set", "inner", "up")

    def remove(self) -> None:
        """Removes it."""
        _ip("netns", "delete", self.name)


@contextmanager
def network_host() -> Iterator[NetworkHost]:
    """A host for the duration of a test; in CI it must be possible."""
    try:
        host = NetworkHost()
    except (OSError, subprocess.CalledProcessError) as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"network namespaces need root: {error}")
    try:
        yield host
    finally:
        host.remove()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


PAUSE, CONTINUE = signal.SIGSTOP, signal.SIGCONT
