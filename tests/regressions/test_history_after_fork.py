"""A forked process writes its own history, also when the parent's history had begun.

A server that loads the application, makes a warm-up call and forks its workers does that.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.listeners.history.helpers import ROOT, rows

PARENT = """
import asyncio, os, sys
from prometheus_client import CollectorRegistry
from multirouter import CircuitPolicy, History, MultiProviderRouter, Provider

async def answer(request):
    if request == "bad":
        raise ConnectionResetError
    return request

router = MultiProviderRouter(
    [Provider("a", answer)],
    history=History(sys.argv[1], batch_interval=0.01),
    circuit=CircuitPolicy(failures=1),
    registry=CollectorRegistry(),
)

async def calls(*requests):
    for request in requests:
        await router.call_outcome(request)

async def last(*requests):
    async with router:
        await calls(*requests)

asyncio.run(calls("warm", "up"))
child = os.fork()
asyncio.run(last("bad") if child else last("1", "2", "bad"))
if child:
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="requires os.fork")
def test_parent_and_child_each_write_their_own(tmp_path: Path) -> None:
    """Every call is in the file once, and each process has its own run."""
    file = tmp_path / "h.db"
    command = [sys.executable, "-W", "ignore", "-c", PARENT, str(file)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=50)
    assert len(rows(file, "calls")) == 2 + 1 + 3
    assert len(rows(file, "attempts")) == 2 + 1 + 3
    openings = [change["run"] for change in rows(file, "circuits")]
    assert len(set(openings)) == len(openings) == 2
