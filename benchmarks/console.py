"""What do open pages of the console cost the gateway?

A gateway with ten providers, five routes and a full list of calls gets ten requests a second. Its
processor time is read from outside, and its requests are timed, with no page open, with one, and
with ten. They take turns, round by round, so that a change of the machine's load meets all alike.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import aiohttp

from benchmarks.gateway.processes import free_ports, process, processor_seconds, python
from benchmarks.harness import report
from benchmarks.harness.progress import Progress
from benchmarks.harness.tables import table

PAGES = (0, 1, 10)
CALLS = 220
REQUEST_INTERVAL = 0.1
START_TIMEOUT = 60.0
"""Seconds in which the gateway must answer."""

SERVE = "serve"
"""First argument of the process of the gateway."""

CONFIG = "providers:\n{}routes:\n{}"


def main(argv: list[str] | str, *serving: str) -> int:
    """Measures; see `--help`. In the process of the gateway, serves a file on a port."""
    if serving:
        from multirouter.cli import main as command

        file, port = serving
        return command(["serve", file, "--port", port, "--quiet"])
    options = report.parser("console", __doc__ or "").parse_args(list(argv))
    rounds, seconds = (1, 1.5) if options.quick else (5, 5.0)
    found = asyncio.run(_measured(rounds, seconds))
    report.show("console", {"pages": found}, lambda: _text(found), as_json=options.json)
    return 0


@dataclass
class Cost:
    """What a number of open pages costs.

    Attributes:
        shares: of a core, one each round.
        received: bytes that each page received in a second, one each round.
        latencies: seconds of the requests of all rounds.
    """

    shares: list[float] = field(default_factory=list[float])
    received: list[float] = field(default_factory=list[float])
    latencies: list[float] = field(default_factory=list[float])

    def figures(self) -> dict[str, float]:
        """Medians of the rounds, and percentiles of the requests."""
        ordered = sorted(self.latencies)
        return {
            "percent_of_a_core": 100 * median(self.shares),
            "kilobytes_a_second_each": median(self.received) / 1000,
            "p50_ms": 1000 * median(ordered),
            "p99_ms": 1000 * ordered[int(0.99 * len(ordered))],
        }


async def _measured(rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    names = [f"p{number}" for number in range(10)]
    providers = "".join(f"  {name}: {{kind: echo}}\n" for name in names)
    routes = "".join(f"  r{n}: {{tiers: [[{', '.join(names)}]]}}\n" for n in range(5))
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    with TemporaryDirectory() as folder:
        file = Path(folder) / "gateway.yaml"
        file.write_text(CONFIG.format(providers, routes), encoding="utf-8")
        with process(python("benchmarks.console", SERVE, str(file), str(port))) as gateway:
            async with aiohttp.ClientSession() as http:
                await _started(http, url)
                for _ in range(CALLS):
                    await _call(http, url)
                progress = Progress("console", rounds * len(PAGES))
                found = {pages: Cost() for pages in PAGES}
                for _ in range(rounds):
                    for pages, cost in found.items():
                        await _with_pages(http, url, gateway.pid, pages, seconds, cost)
                        progress.step()
                return {str(pages): cost.figures() for pages, cost in found.items()}


async def _with_pages(
    http: aiohttp.ClientSession, url: str, pid: int, pages: int, seconds: float, cost: Cost
) -> None:
    received = [0]

    async def page() -> None:
        async with http.get(f"{url}/admin/events") as events:
            async for part in events.content.iter_any():
                received[0] += len(part)

    async def requests() -> None:
        while True:
            sent = time.monotonic()
            await _call(http, url)
            cost.latencies.append(time.monotonic() - sent)
            await asyncio.sleep(REQUEST_INTERVAL)

    tasks = [asyncio.create_task(page()) for _ in range(pages)]
    tasks.append(asyncio.create_task(requests()))
    await asyncio.sleep(min(2.0, seconds))
    used, began, bytes_before = processor_seconds(pid), time.monotonic(), received[0]
    await asyncio.sleep(seconds)
    passed = time.monotonic() - began
    cost.shares.append((processor_seconds(pid) - used) / passed)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    cost.received.append((received[0] - bytes_before) / passed / max(pages, 1))


async def _started(http: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(START_TIMEOUT):
        while True:
            try:
                return await _call(http, url)
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)


async def _call(http: aiohttp.ClientSession, url: str) -> None:
    body = {"model": "auto", "route": "r0", "messages": [{"role": "user", "content": "Hello?"}]}
    async with http.post(f"{url}/v1/chat/completions", json=body) as answer:
        await answer.read()


def _text(found: dict[str, dict[str, float]]) -> str:
    rows = [
        [
            pages,
            f"{cost['percent_of_a_core']:.1f}",
            f"{cost['kilobytes_a_second_each']:.1f}",
            f"{cost['p50_ms']:.2f}",
            f"{cost['p99_ms']:.2f}",
        ]
        for pages, cost in found.items()
    ]
    return table(["open pages", "% of a core", "kB/s each", "p50 ms", "p99 ms"], rows)
