"""Runs `multirouter serve` as a process, and asks it over HTTP.

Processes use the real clock. A test here waits for what it expects as long as it takes, up to
`WAIT_LIMIT`, which is far more than a slow machine under full load needs; nothing is asserted about
how soon it happens.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

WAIT_LIMIT = 100.0
"""Seconds within which something must happen."""

TIMEOUT = 3 * WAIT_LIMIT
"""Seconds that a whole test may take: `pytest.mark.timeout`."""

CONFIG = "providers:\n  echo: {kind: echo}\nroutes:\n  %s: {tiers: [echo]}\n"

CHAT: Mapping[str, Any] = {"model": "one", "messages": [{"role": "user", "content": "Hello"}]}


def get(url: str, body: Any = None, token: str = "") -> tuple[int, str]:
    """Status and text of an answer, over a connection of its own, so that any worker may answer."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=WAIT_LIMIT) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether a condition becomes true in time; errors of a connection count as false."""
    end = time.monotonic() + WAIT_LIMIT
    while time.monotonic() < end:
        with suppress(OSError, http.client.HTTPException):
            if condition():
                return True
        time.sleep(0.02)
    return False


def command(*arguments: str) -> list[str]:
    """The command line of a gateway on a free port."""
    return [sys.executable, "-m", "multirouter", "serve", "--port", "0", *arguments]


def environment() -> dict[str, str]:
    """The environment without provider keys."""
    return {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}


@contextmanager
def started(*arguments: str, stderr: int = subprocess.PIPE) -> Generator[subprocess.Popen[str]]:
    """Starts the command in a process group of its own, as a shell does."""
    process = subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env=environment(),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@contextmanager
def serving(*arguments: str) -> Generator[tuple[subprocess.Popen[str], str]]:
    """Runs the command; yields its process and URL once it serves."""
    with started(*arguments) as process:
        yield process, url_of(process)


def url_of(process: subprocess.Popen[str]) -> str:
    """The URL in the startup message, once the gateway serves."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise AssertionError(process.communicate()[1])
    return line.split()[2].removesuffix("/v1")


def end(process: subprocess.Popen[str], number: int = signal.SIGINT) -> tuple[int, list[str]]:
    """Exit status and lines of stderr, after a signal; SIGTERM has it go on for a second."""
    process.send_signal(number)
    _, errors = process.communicate(timeout=WAIT_LIMIT)
    return process.returncode, errors.splitlines()


def workers_of(pid: int) -> list[int]:
    """The process ids of a process' children."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def runs(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def models(url: str) -> list[str]:
    """The models that a gateway lists."""
    return [model["id"] for model in json.loads(get(f"{url}/v1/models")[1])["data"]]
