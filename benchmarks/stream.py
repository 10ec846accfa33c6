"""What does a streamed chunk cost through the router, beside a bare `async for`?

Each contestant passes on the same chunks of a provider that never waits. The measure is processor
time from the first chunk to the last, without opening and closing.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.util import find_spec
from statistics import median
from time import process_time
from typing import Any

from prometheus_client import CollectorRegistry

from benchmarks.harness import loops, report
from benchmarks.harness.progress import Progress
from benchmarks.harness.tables import table
from multirouter import MultiProviderRouter, Provider, StreamPolicy

AIM = "aim: less than 5 µs a chunk beyond the bare `async for`"

WORD = "word "
CHUNK: dict[str, Any] = {
    "id": "c",
    "object": "chat.completion.chunk",
    "created": 0,
    "model": "m",
    "choices": [{"index": 0, "delta": {"content": WORD}, "finish_reason": None}],
}
LAST: dict[str, Any] = {
    **CHUNK,
    "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
}

Contestant = Callable[[int], Awaitable[float]]
"""Streams this number of chunks; returns processor seconds per chunk."""


def main(argv: list[str]) -> int:
    """Runs the benchmark; see `--help`."""
    parser = report.parser("stream", __doc__ or "")
    parser.add_argument("--rounds", type=int, help="rounds per loop (40; quick: 3)")
    parser.add_argument("--chunks", type=int, help="chunks a stream (2,000; quick: 50)")
    parser.add_argument("--loop", choices=loops.installed(), action="append", help="this one only")
    options = parser.parse_args(argv)
    rounds = options.rounds or (3 if options.quick else 40)
    chunks = options.chunks or (50 if options.quick else 2_000)
    found = [_measured(loop, rounds, chunks) for loop in options.loop or loops.installed()]
    result = {"rounds": rounds, "chunks": chunks, "aims": AIM, "loops": found}
    report.show("stream", result, lambda: _text(result), as_json=options.json)
    return 0


async def words(request: int) -> AsyncIterator[str]:
    """A provider of plain strings."""
    for _ in range(request):
        yield WORD


async def chat_chunks(request: int) -> AsyncIterator[dict[str, Any]]:
    """A provider of chat chunks, the last with a finish reason."""
    for _ in range(request - 1):
        yield CHUNK
    yield LAST


def bare(provider: Callable[[int], AsyncIterator[Any]]) -> Contestant:
    """The provider itself."""

    async def run(chunks: int) -> float:
        return await _timed(provider(chunks), chunks)

    return run


def routed(provider: Callable[[int], AsyncIterator[Any]], policy: StreamPolicy) -> Contestant:
    """The provider behind a router."""
    made = Provider("a", stream=provider)
    router: Any = MultiProviderRouter([made], stream=policy, registry=CollectorRegistry())

    async def run(chunks: int) -> float:
        async with router.stream(chunks) as stream:
            return await _timed(stream, chunks)

    return run


def litellm() -> Contestant:
    """`litellm.Router` over a custom provider."""
    import litellm as peer

    base: Any = peer.CustomLLM

    class Instant(base):  # type: ignore[misc] # untyped
        async def astreaming(self, *_: Any, **given: Any) -> AsyncIterator[Any]:
            chunks = given["optional_params"]["max_tokens"]
            for number in range(chunks):
                last = number == chunks - 1
                yield {
                    "finish_reason": "stop" if last else "",
                    "index": 0,
                    "is_finished": last,
                    "text": f"{WORD}{number} ",  # litellm treats repetition as an error
                    "tool_use": None,
                    "usage": None,
                }

    peer.custom_provider_map = [{"provider": "instant", "custom_handler": Instant()}]
    models = [{"model_name": "any", "litellm_params": {"model": "instant/a"}}]
    router = peer.Router(model_list=models)

    async def run(chunks: int) -> float:
        messages = [{"role": "user", "content": "question"}]
        stream = await router.acompletion(
            model="any", messages=messages, stream=True, max_tokens=chunks
        )
        return await _timed(stream, chunks)

    return run


def contestants() -> dict[str, Contestant]:
    """The contestants, by name; the first is the base of the comparison."""
    found = {
        "bare": bare(words),
        "bare, chat chunks": bare(chat_chunks),
        "router, strings": routed(words, StreamPolicy()),
        "router, chat chunks": routed(chat_chunks, StreamPolicy()),
        "router, all limits": routed(chat_chunks, StreamPolicy(total=600, min_rate=0.1)),
        "router, continue": routed(chat_chunks, StreamPolicy(on_interrupt="continue")),
    }
    if find_spec("litellm") is not None:
        found["litellm"] = litellm()
    return found


async def _timed(stream: AsyncIterator[Any], chunks: int) -> float:
    """Processor seconds per chunk, from the first to the last."""
    start, seen = 0.0, 0
    async for _ in stream:
        if not seen:
            start = process_time()
        seen += 1
    elapsed = process_time() - start
    assert seen >= chunks, f"{seen} of {chunks} chunks came"
    return elapsed / max(1, seen - 1)


def _measured(loop: loops.Loop, rounds: int, chunks: int) -> dict[str, Any]:
    """Every contestant's cost per chunk on one event loop."""

    async def run() -> dict[str, Any]:
        timed = contestants()
        progress = Progress(f"stream on {loop}", rounds)
        for contestant in timed.values():
            await contestant(min(chunks, 50))
        gc.collect()
        times: dict[str, list[float]] = {name: [] for name in timed}
        for number in range(rounds):
            for name in list(timed) if number % 2 else reversed(list(timed)):
                times[name].append(await timed[name](chunks))
            progress.step()
        return {"loop": loop, "chunks": _costs(times)}

    return loops.run(loop, run)


def _costs(times: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Microseconds a chunk, and beyond the bare one within the same round."""
    costs = {}
    for name, mine in times.items():
        over = [a - b for a, b in zip(mine, times["bare"], strict=True)]
        costs[name] = {"us_per_chunk": median(mine) * 1e6, "us_over_bare": median(over) * 1e6}
    return costs


def _text(result: dict[str, Any]) -> str:
    parts = [
        f"processor time, medians of {result['rounds']} rounds of {result['chunks']:,} chunks",
        result["aims"],
    ]
    for found in result["loops"]:
        rows = [
            (name, f"{cost['us_per_chunk']:.2f}", f"{cost['us_over_bare']:.2f}")
            for name, cost in found["chunks"].items()
        ]
        parts.append(f"on {found['loop']}\n\n{table(('', 'µs a chunk', 'over bare'), rows)}")
    return "\n\n".join(parts)
