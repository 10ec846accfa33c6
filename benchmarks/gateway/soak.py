"""A soak of the gateway: faulty upstreams, misbehaving clients, and whether anything grows."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.gateway.calls import ready
from benchmarks.gateway.clients import Clients, unexpected
from benchmarks.gateway.contestants import Place, with_key
from benchmarks.gateway.load import Target
from benchmarks.gateway.processes import descriptors, free_ports, process, python
from benchmarks.gateway.wire import question
from benchmarks.harness import loops, report
from benchmarks.harness.memory import CHECKPOINTS, SETTLED, Footprint, growth
from benchmarks.harness.progress import Progress
from benchmarks.harness.tables import table

CONFIG = """\
providers:
  first: {{kind: openai, base_url: "http://127.0.0.1:{first}/v1", api_key: sk-1, model: faulty}}
  second: {{kind: openai, base_url: "http://127.0.0.1:{second}/v1", api_key: sk-2, model: faulty}}
routes:
  chain: {{tiers: [first, second]}}
  even: {{tiers: [[first, second]]}}
policies:
  timeout: 10
  attempt_timeout: 0.5
  retry: {{base: 0.02, cap: 0.2}}
  circuit: {{window: 2, open_duration: 0.1, max_open_duration: 0.5, cooldown: 0.01}}
  stream: {{first_token: 0.3, idle: 0.3}}
keys: {{file: keys.json}}
"""

SETTLE_TIME = 0.7
"""Seconds after which everything that a request started has ended: longer than an attempt takes."""

MAX_DESCRIPTOR_GROWTH = 40
"""Files and sockets by which a flat run may grow after it settled: idle connections vary."""

IN_FLIGHT = re.compile(r"^multirouter_attempts_in_flight{[^}]*} (\S+)$", re.MULTILINE)


def run(options: argparse.Namespace) -> int:
    """Runs the soak and prints; the exit code is 1 when it found a problem."""
    requests = options.requests or (600 if options.quick else 100_000)
    result = loops.run(loops.installed()[-1], lambda: soak(requests))
    report.show("gateway", result, lambda: text(result), as_json=options.json)
    return 1 if result["problems"] else 0


async def soak(requests: int) -> dict[str, Any]:
    """Makes the given number of requests, and measures the gateway's process in between.

    Returns:
        Among others `ended` (requests by kind and end), `samples` and `problems`: sentences, none
        when everything is well.
    """
    async with _serving() as gateway:
        progress = Progress("soak", requests)
        clients = Clients(gateway.port, gateway.key, progress)
        monitor = _Monitor(gateway.pid, gateway.footprints)
        began = time.perf_counter()
        for part in range(CHECKPOINTS):
            done = sum(clients.ended.values())
            await clients.make(requests * (part + 1) // CHECKPOINTS - done)
            await monitor.sample()
        took = time.perf_counter() - began
        in_flight = await _in_flight(gateway.port)
    never_ended = [f"{in_flight:g} attempts never ended"] if in_flight else []
    return {
        "requests": requests,
        "seconds": took,
        "ended": dict(sorted(clients.ended.items())),
        "samples": monitor.samples,
        "in_flight": in_flight,
        "problems": [*grown(monitor.samples), *unexpected(clients.ended), *never_ended],
    }


@dataclass(frozen=True, slots=True)
class _Gateway:
    """A running gateway: its process, its port, its key, its file of footprints."""

    pid: int
    port: int
    key: str
    footprints: Path


@asynccontextmanager
async def _serving() -> AsyncIterator[_Gateway]:
    """Two faulty upstreams, and the gateway before them."""
    first, second, port = free_ports(3)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        for number, upstream in enumerate((first, second)):
            arguments = (str(upstream), "8", "1000", str(number))
            made = stack.enter_context(process(python("benchmarks.gateway.upstream", *arguments)))
            await ready(made, partial(Target, upstream, question(), {}))
        place = Place(first, port, folder)
        config, key = with_key(place, CONFIG.format(first=first, second=second))
        footprints = folder / "footprints"
        served = python("benchmarks.gateway.monitored", config, str(port), str(footprints))
        made = stack.enter_context(process(served))
        headers = {"Authorization": f"Bearer {key}"}
        await ready(made, partial(Target, port, question("chain"), headers))
        yield _Gateway(made.pid, port, key, footprints)


async def _in_flight(port: int) -> float:
    """Attempts in flight according to the gateway's metrics."""
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
        session.get("/metrics") as answer,
    ):
        return sum(map(float, IN_FLIGHT.findall(await answer.text())))


class _Monitor:
    """Measures a process that writes its footprint when it is signalled."""

    def __init__(self, pid: int, footprints: Path) -> None:
        self.samples: list[dict[str, int]] = []
        self._pid = pid
        self._footprints = footprints

    async def sample(self) -> None:
        """Waits until all requests have ended, and records the process's footprint."""
        await asyncio.sleep(SETTLE_TIME)
        os.kill(self._pid, signal.SIGUSR1)
        footprint = Footprint(*json.loads(await self._next()))
        self.samples.append({**footprint._asdict(), "descriptors": descriptors(self._pid)})

    async def _next(self) -> str:
        """The next line that the process writes."""
        async with asyncio.timeout(10):
            while len(lines := self._lines()) <= len(self.samples):  # noqa: ASYNC110 - of a process
                await asyncio.sleep(0.01)
        return lines[-1]

    def _lines(self) -> list[str]:
        return self._footprints.read_text().splitlines() if self._footprints.exists() else []


def grown(samples: Sequence[Mapping[str, int]]) -> list[str]:
    """What grew between the settled part of a soak and its end, as sentences.

    Args:
        samples: `blocks`, `resident` (bytes) and `descriptors` of each checkpoint.
    """
    found = growth([Footprint(one["blocks"], one["resident"]) for one in samples])
    opened = [one["descriptors"] for one in samples]
    more = min(opened[-SETTLED:]) - min(opened[SETTLED:-SETTLED])
    if more > MAX_DESCRIPTOR_GROWTH:
        found.append(f"{more} more files and sockets are open at the end")
    return found


def text(result: Mapping[str, Any]) -> str:
    """The result as a summary, a table of samples, and the problems."""
    rows = [
        (
            f"{number}/{CHECKPOINTS}",
            f"{sample['blocks']:,}",
            f"{sample['resident'] / 2**20:,.1f}",
            str(sample["descriptors"]),
        )
        for number, sample in enumerate(result["samples"], 1)
    ]
    ended = ", ".join(f"{number:,} {how}" for how, number in result["ended"].items())
    story = f"{result['requests']:,} requests in {result['seconds']:.0f} s: {ended}"
    samples = table(("requests made", "blocks", "resident MiB", "descriptors"), rows)
    found = "; ".join(result["problems"]) or "memory and descriptors are flat, no attempt is left"
    return f"{story}\n\n{samples}\n\n{found}"
