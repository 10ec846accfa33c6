"""What does a call through router and adapter cost over a real socket, beside bare aiohttp?

The upstream is a separate process on loopback. Contestants take turns, and make their calls in
sequence. Wall time is what a caller waits; processor time is the work of this process in all its
threads, which other work on the machine affects least.
"""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from statistics import median
from time import perf_counter, process_time
from typing import Any

from benchmarks.adapter.clients import Client, present
from benchmarks.adapter.upstream import upstream
from benchmarks.harness import loops, report
from benchmarks.harness.progress import Progress
from benchmarks.harness.tables import table

AIMS = (
    "aims: a call at most 0.12 ms over bare aiohttp; a streamed chunk at most 25 µs of processor "
    "passed through (OpenAI) and 60 µs translated (Anthropic, Gemini)"
)

CALLS = 20
"""Calls that one contestant makes in one round."""

Times = dict[str, list[tuple[float, float]]]
"""Seconds of wall and of processor time, by contestant, one pair a round."""


def main(argv: list[str]) -> int:
    """Runs the benchmark; see `--help`."""
    parser = report.parser("adapter", (__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, help="rounds per loop (40; quick: 2)")
    parser.add_argument("--chunks", type=int, help="chunks a stream, about (1,000; quick: 50)")
    parser.add_argument("--loop", choices=loops.installed(), action="append", help="this one only")
    options = parser.parse_args(argv)
    rounds = options.rounds or (2 if options.quick else 40)
    chunks = options.chunks or (50 if options.quick else 1_000)
    with upstream() as url:
        found = [_measured(loop, url, rounds, chunks) for loop in options.loop or loops.installed()]
    result = {"rounds": rounds, "chunks": chunks, "aims": AIMS, "loops": found}
    report.show("adapter", result, lambda: _text(result), as_json=options.json)
    return 0


def _measured(loop: loops.Loop, url: str, rounds: int, chunks: int) -> dict[str, Any]:
    """Calls and streams of all clients on one event loop."""

    async def run() -> dict[str, Any]:
        async with AsyncExitStack() as alive:
            clients = {name: await make(url, alive) for name, make in present().items()}
            progress = Progress(f"adapter on {loop}", 2 * rounds)
            calls = await _interleaved(_callers(clients), rounds, progress)
            streams = await _interleaved(_readers(clients, chunks), rounds, progress)
        return {"loop": loop, "calls": _costs(calls), "chunks": _costs(streams)}

    return loops.run(loop, run)


Turn = Callable[[], Awaitable[int]]
"""One contestant's turn in a round; returns its number of calls, or chunks."""


def _callers(clients: dict[str, Client]) -> dict[str, Turn]:
    def caller(call: Callable[[str], Awaitable[object]]) -> Turn:
        async def turn() -> int:
            for _ in range(CALLS):
                await call("hello")
            return CALLS

        return turn

    return {name: caller(c.call) for name, c in clients.items() if c.call is not None}


def _readers(clients: dict[str, Client], chunks: int) -> dict[str, Turn]:
    # No word twice: litellm treats repetition as an error.
    prompt = " ".join(f"word{number}" for number in range(chunks))

    def reader(client: Client) -> Turn:
        async def turn() -> int:
            seen = 0
            async for _ in client.stream(prompt):
                seen += 1
            assert seen >= chunks, f"{seen} of {chunks} chunks came"
            return seen

        return turn

    return {name: reader(client) for name, client in clients.items()}


async def _interleaved(turns: dict[str, Turn], rounds: int, progress: Progress) -> Times:
    for turn in turns.values():
        await turn()
    gc.collect()
    times: Times = {name: [] for name in turns}
    for number in range(rounds):
        for name in list(turns) if number % 2 else reversed(list(turns)):
            wall, processor = perf_counter(), process_time()
            done = await turns[name]()
            spent = (perf_counter() - wall) / done, (process_time() - processor) / done
            times[name].append(spent)
        progress.step()
    return times


def _costs(times: Times) -> dict[str, dict[str, float]]:
    """Medians in microseconds, and beyond the bare client within the same round."""
    bare = times["bare aiohttp"]
    costs = {}
    for name, mine in times.items():
        over = [(a[0] - b[0], a[1] - b[1]) for a, b in zip(mine, bare, strict=True)]
        costs[name] = {
            "us_wall": median(wall for wall, _ in mine) * 1e6,
            "us_processor": median(processor for _, processor in mine) * 1e6,
            "us_wall_over_bare": median(wall for wall, _ in over) * 1e6,
            "us_processor_over_bare": median(processor for _, processor in over) * 1e6,
        }
    return costs


def _text(result: dict[str, Any]) -> str:
    parts = [f"medians of {result['rounds']} interleaved rounds", result["aims"]]
    for found in result["loops"]:
        parts.append(f"one call, on {found['loop']}\n\n{_table(found['calls'], 'call')}")
        parts.append(
            f"one chunk of a stream of {result['chunks']:,}, on {found['loop']}\n\n"
            f"{_table(found['chunks'], 'chunk')}"
        )
    return "\n\n".join(parts)


def _table(costs: dict[str, dict[str, float]], what: str) -> str:
    head = ("", f"wall µs a {what}", "over bare", f"processor µs a {what}", "over bare")
    keys = ("us_wall", "us_wall_over_bare", "us_processor", "us_processor_over_bare")
    rows = [(name, *(f"{cost[key]:.1f}" for key in keys)) for name, cost in costs.items()]
    return table(head, rows)
