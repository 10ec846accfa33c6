"""Whole answers: latency at one connection, throughput at many, start-up time and memory."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from subprocess import Popen
from typing import Any

from benchmarks.gateway import contestants, nginx
from benchmarks.gateway.contestants import Contestant, Place
from benchmarks.gateway.load import Load, Target, python_client, wrk
from benchmarks.gateway.processes import (
    free_ports,
    process,
    processor_seconds,
    python,
    resident,
)
from benchmarks.harness.progress import Progress
from benchmarks.harness.rounds import ratio
from benchmarks.harness.tables import table

MANY = 32
"""Connections at a time, for throughput."""

START_TIMEOUT = 180.0
"""Seconds that a gateway may take to start: some compile themselves first."""

P50, THROUGHPUT, PROCESSOR = "p50, s", "requests/s", "processor s/request"


@dataclass(frozen=True, slots=True)
class Shape:
    """How much is measured.

    Attributes:
        rounds: number of rounds, after one to warm up.
        seconds: of each load of each contestant in each round.
        workers: workers of the second gateway; 1 leaves it out.
        tools: whether wrk and nginx are used where they are installed.
        turns: turns of the conversation in each request; 0 for a question alone.
    """

    rounds: int
    seconds: float
    workers: int
    tools: bool
    turns: int = 0


async def measure(shape: Shape, found: dict[str, str]) -> dict[str, Any]:
    """Starts all contestants, lets them take turns, and returns all figures.

    Args:
        shape: how much to measure.
        found: programs of peers by name.

    Raises:
        RuntimeError: a contestant failed to answer a request.
    """
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        load, tools = _client(folder, tools=shape.tools)
        port, upstream = _upstream(folder, tools=shape.tools)
        serving = stack.enter_context(process(upstream))
        await ready(serving, lambda: Target(port, b"{}", {}))
        running: list[_Running] = []
        for contestant in contestants.all_of(_places(port, folder), found, shape.workers):
            one = contestant.with_turns(shape.turns)
            began = time.perf_counter()
            made = stack.enter_context(process(one.command, one.environment))
            target = await ready(made, one.target)
            running.append(_Running(one, made.pid, target, time.perf_counter() - began))
        progress = Progress("gateway", shape.rounds + 1)
        for turn in range(shape.rounds + 1):
            for each in running if turn % 2 else reversed(running):
                await each.turn(load, shape.seconds, counts=turn > 0)
            progress.step()
        figures = {each.contestant.name: each.figures() for each in running}
    return {"client": tools, "upstream": upstream[0].rpartition("/")[2], "contestants": figures}


async def ready(made: Popen[bytes], target: Callable[[], Target | None]) -> Target:
    """Waits until a process has answered a whole request with 200, and returns its target.

    Raises:
        RuntimeError: the process ended.
        TimeoutError: it did not answer in time.
    """
    until = time.perf_counter() + START_TIMEOUT
    while time.perf_counter() < until:
        if made.poll() is not None:
            raise RuntimeError(f"exited with {made.returncode}: {made.args!r}")
        request_bytes = target()
        if request_bytes is not None:
            try:
                answered = await python_client(request_bytes, 1, 0)
            except OSError:
                answered = None
            if answered is not None and answered.answered and not answered.failed:
                return request_bytes
        await asyncio.sleep(0.01)
    raise TimeoutError(f"no answer in {START_TIMEOUT} s from {target()}")


class _Running:
    """A contestant's process, and its figures so far."""

    def __init__(self, contestant: Contestant, pid: int, target: Target, started: float) -> None:
        self.contestant = contestant
        self._pid = pid
        self._target = target
        self._started = started
        self._seen: dict[str, list[float]] = {P50: [], THROUGHPUT: [], PROCESSOR: []}

    async def turn(self, load: Load, seconds: float, *, counts: bool) -> None:
        """One round: one connection, then many."""
        alone = await load(self._target, 1, seconds)
        before = processor_seconds(self._pid)
        many = await load(self._target, MANY, seconds)
        used = processor_seconds(self._pid) - before
        if alone.failed or many.failed:
            raise RuntimeError(f"{self.contestant.name} failed: {alone}, {many}")
        if counts:
            self._seen[P50].append(alone.p50)
            self._seen[THROUGHPUT].append(many.per_second)
            self._seen[PROCESSOR].append(used / many.answered)

    def figures(self) -> dict[str, Any]:
        """All figures."""
        return {**self._seen, "ready_s": self._started, "resident_mib": resident(self._pid)}


def _places(upstream: int, folder: Path) -> Iterator[Place]:
    for number, port in enumerate(free_ports(8)):
        mine = folder / str(number)
        mine.mkdir()
        yield Place(upstream, port, mine)


def _client(folder: Path, *, tools: bool) -> tuple[Load, str]:
    if tools and shutil.which("wrk"):
        return partial(wrk, folder=folder), "wrk"
    return python_client, "own"


def _upstream(folder: Path, *, tools: bool) -> tuple[int, tuple[str, ...]]:
    (port,) = free_ports(1)
    if tools and shutil.which("nginx"):
        return port, nginx.command(port, folder / "nginx")
    return port, python("benchmarks.gateway.upstream", str(port))


# -- output -------------------------------------------------------------------------------------


def summary(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """The medians of each contestant, and its ratios to the first within the rounds."""
    base = next(iter(figures.values()))
    return {name: _summed(seen, base) for name, seen in figures.items()}


def _summed(seen: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, float]:
    return {
        "p50_ms": median(seen[P50]) * 1000,
        "times_floor_p50": ratio(seen[P50], base[P50])["median"],
        "per_second": median(seen[THROUGHPUT]),
        "share_of_floor": ratio(seen[THROUGHPUT], base[THROUGHPUT])["median"],
        "processor_us": median(seen[PROCESSOR]) * 1e6,
        "ready_s": seen["ready_s"],
        "resident_mib": seen["resident_mib"],
    }


def text(result: Mapping[str, Any]) -> str:
    """The result as a table, and our throughput as multiples of each peer's."""
    found = summary(result["contestants"])
    rows = [
        (
            name,
            f"{one['p50_ms']:.2f}",
            f"{one['times_floor_p50']:.2f}",
            f"{one['per_second']:,.0f}",
            f"{one['share_of_floor']:.3f}",
            f"{one['processor_us']:,.0f}",
            f"{one['ready_s']:.2f}",
            f"{one['resident_mib']:.0f}",
        )
        for name, one in found.items()
    ]
    head = ("", "p50 ms", "x floor", "req/s", "x floor", "µs cpu", "ready s", "MiB")
    our_gateway = found["gateway"]["per_second"]
    peers = [
        f"{our_gateway / one['per_second']:.1f} times {name}'s"
        for name, one in found.items()
        if not name.startswith(("bare", "gateway"))
    ]
    comparison = (
        f"throughput of the gateway: {', '.join(peers)}" if peers else "no peer is installed"
    )
    load = f"load by {result['client']}, upstream {result['upstream']}"
    return (
        f"{load}; p50 at 1 connection, requests/s at {MANY}\n\n{table(head, rows)}\n\n{comparison}"
    )
