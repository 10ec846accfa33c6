"""A soak of the gateway: faults upstream, rude clients, and whether anything grows."""

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
from benchmarks.gateway.contestants import Place, with_key
from benchmarks.gateway.load import Target
from benchmarks.gateway.processes import descriptors, free_ports, process, python
from benchmarks.gateway.visitors import Visitors, surprises
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
  circuit: {{window: 2, open_duration: 0.1, max_open_duration: 0.5, cooling: 0.01}}
  stream: {{first_token: 0.3, idle: 0.3}}
keys: {{file: keys.json}}
"""

REST = 0.7
"""Seconds after which whatever a request left behind has ended: longer than an attempt takes."""

MOST_DESCRIPTORS = 40
"""Files and sockets that a flat run may end above where it had settled: connections that are kept
for the next request come and go."""

IN_FLIGHT = re.compile(r"^multirouter_attempts_in_flight{[^}]*} (\S+)$", re.MULTILINE)


def run(options: argparse.Namespace) -> int:
    """Soaks and prints; the exit code is 1 when something was found."""
    requests = options.requests or (600 if options.quick else 100_000)
    result = loops.run(loops.installed()[-1], lambda: soak(requests))
    report.show("gateway", result, lambda: text(result), as_json=options.json)
    return 1 if result["problems"] else 0


async def soak(requests: int) -> dict[str, Any]:
    """Makes so many requests, and looks at the gateway's process between them.

    Returns:
        Among others `ended` (requests by sort and end), `looks` and `problems`: sentences, none
        when all is well.
    """
    async with _serving() as gateway:
        progress = Progress("soak", requests)
        visitors = Visitors(gateway.port, gateway.key, progress)
        watch = _Watch(gateway.pid, gateway.told)
        began = time.perf_counter()
        for part in range(CHECKPOINTS):
            done = sum(visitors.ended.values())
            await visitors.make(requests * (part + 1) // CHECKPOINTS - done)
            await watch.look()
        took = time.perf_counter() - began
        in_flight = await _in_flight(gateway.port)
    never_ended = [f"{in_flight:g} attempts never ended"] if in_flight else []
    return {
        "requests": requests,
        "seconds": took,
        "ended": dict(sorted(visitors.ended.items())),
        "looks": watch.looks,
        "in_flight": in_flight,
        "problems": [*grown(watch.looks), *surprises(visitors.ended), *never_ended],
    }


@dataclass(frozen=True, slots=True)
class _Gateway:
    """A gateway that runs: its process, where it serves, its one key, where it tells footprints."""

    pid: int
    port: int
    key: str
    told: Path


@asynccontextmanager
async def _serving() -> AsyncIterator[_Gateway]:
    """Two upstreams that fail, and the gateway before them."""
    first, second, port = free_ports(3)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        for number, upstream in enumerate((first, second)):
            given = (str(upstream), "8", "1000", str(number))
            made = stack.enter_context(process(python("benchmarks.gateway.upstream", *given)))
            await ready(made, partial(Target, upstream, question(), {}))
        place = Place(first, port, folder)
        config, key = with_key(place, CONFIG.format(first=first, second=second))
        told = folder / "told"
        served = python("benchmarks.gateway.watched", config, str(port), str(told))
        made = stack.enter_context(process(served))
        headers = {"Authorization": f"Bearer {key}"}
        await ready(made, partial(Target, port, question("chain"), headers))
        yield _Gateway(made.pid, port, key, told)


async def _in_flight(port: int) -> float:
    """Attempts that the gateway's metrics say are awaited."""
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
        session.get("/metrics") as answer,
    ):
        return sum(map(float, IN_FLIGHT.findall(await answer.text())))


class _Watch:
    """Looks at a process that tells its footprint when it is signalled."""

    def __init__(self, pid: int, told: Path) -> None:
        self.looks: list[dict[str, int]] = []
        self._pid = pid
        self._told = told

    async def look(self) -> None:
        """Waits for what was left behind, and notes what is held then."""
        await asyncio.sleep(REST)
        os.kill(self._pid, signal.SIGUSR1)
        hold_changed = Footprint(*json.loads(await self._next()))
        self.looks.append({**hold_changed._asdict(), "descriptors": descriptors(self._pid)})

    async def _next(self) -> str:
        """The next line that the process writes."""
        async with asyncio.timeout(10):
            while len(lines := self._lines()) <= len(self.looks):  # noqa: ASYNC110 - of a process
                await asyncio.sleep(0.01)
        return lines[-1]

    def _lines(self) -> list[str]:
        return self._told.read_text().splitlines() if self._told.exists() else []


def grown(looks: Sequence[Mapping[str, int]]) -> list[str]:
    """What grew between the settled part of a soak and its end, in words.

    Args:
        looks: of each checkpoint the `blocks`, `resident` (bytes) and `descriptors`.
    """
    found = growth([Footprint(one["blocks"], one["resident"]) for one in looks])
    opened = [one["descriptors"] for one in looks]
    more = min(opened[-SETTLED:]) - min(opened[SETTLED:-SETTLED])
    if more > MOST_DESCRIPTORS:
        found.append(f"{more} more files and sockets are open at the end")
    return found


def text(result: Mapping[str, Any]) -> str:
    """The result as a story, a table of looks, and what was found."""
    rows = [
        (
            f"{number}/{CHECKPOINTS}",
            f"{look['blocks']:,}",
            f"{look['resident'] / 2**20:,.1f}",
            str(look["descriptors"]),
        )
        for number, look in enumerate(result["looks"], 1)
    ]
    ended = ", ".join(f"{number:,} {how}" for how, number in result["ended"].items())
    story = f"{result['requests']:,} requests in {result['seconds']:.0f} s: {ended}"
    looks = table(("requests made", "blocks", "resident MiB", "descriptors"), rows)
    found = "; ".join(result["problems"]) or "memory and descriptors are flat, and nobody is left"
    return f"{story}\n\n{looks}\n\n{found}"
