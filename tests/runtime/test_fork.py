"""A process forked from one that uses a router uses it in an event loop of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SCRIPT = """
import asyncio, json, os, sys
from random import Random
from prometheus_client import CollectorRegistry
from multirouter import CircuitPolicy, LimitPolicy, MultiProviderRouter, Provider

async def call(request):
    if request == "hangs":
        await asyncio.sleep(60)
    if request == "fails":
        raise ConnectionResetError
    return request

router = MultiProviderRouter(
    [
        Provider("a", call, limits=LimitPolicy(in_flight=1)),
        Provider("b", call, circuit=CircuitPolicy(failures=1, open_duration=60)),
    ],
    limits=LimitPolicy(in_flight=2),
    registry=CollectorRegistry(),
    logger=__import__("logging").getLogger(),
)
seeded = MultiProviderRouter(
    [Provider("a", call)], name="seeded", rng=Random(7), registry=CollectorRegistry()
)

async def in_child():
    found = {
        "in flight": router.in_flight("a"),
        "state": router.circuit_state("b"),
        "answer": await router.call("from the child", route=["a"]),
        "random": router._engine.context.rng.random(),
        "seeded": seeded._engine.context.rng.random(),
    }
    await seeded.call("q")
    async with router:  # waits for calls in flight at its end, which would be those of the parent
        pass
    return found

def fork(write):
    child = os.fork()
    if not child:
        try:
            os.write(write, (json.dumps(asyncio.run(in_child())) + "\\n").encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)

async def main(write):
    await router.call_outcome("fails", route=["b"])
    hanging = asyncio.create_task(router.call("hangs", route=["a"]))
    waiting = asyncio.create_task(router.call("waits", route=["a"], wait=60))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    fork(write)
    assert router.in_flight("a") == 1
    hanging.cancel()
    assert await waiting == "waits"
    print(json.dumps({
        "random": router._engine.context.rng.random(),
        "seeded": seeded._engine.context.rng.random(),
    }))
    await router.aclose()

read, write = os.pipe()
asyncio.run(main(write))
os.close(write)
print(os.fdopen(read).read())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="requires os.fork")
def test_a_process_forked_in_a_running_loop_uses_the_router() -> None:
    """The child keeps what was learned, and counts none of the parent's calls as in flight.

    Its random numbers are others, so that the workers of a server do not send their trials at the
    same moments; those of a generator of the user's are his own.
    """
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=50, text=True)
    parent, child = map(json.loads, done.stdout.split("\n")[:2])
    assert child["in flight"] == 1, "before its first call the child has the parent's figures"
    assert (child["state"], child["answer"]) == ("open", "from the child")
    assert child["random"] != parent["random"]
    assert child["seeded"] == parent["seeded"]
