"""Many streams at once: the time of a chunk from the upstream's write to the client's read."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.gateway import contestants
from benchmarks.gateway.calls import ready
from benchmarks.gateway.contestants import Place
from benchmarks.gateway.load import Target
from benchmarks.gateway.processes import free_ports, process, processor_seconds, python
from benchmarks.gateway.wire import DONE, STAMP, question, request
from benchmarks.harness.percentiles import percentiles
from benchmarks.harness.progress import Progress
from benchmarks.harness.tables import table

AIM = "aim: a chunk takes at most 2 ms at the median"


@dataclass(frozen=True, slots=True)
class Shape:
    """How much is streamed.

    Attributes:
        rounds: number of rounds.
        streams: number of concurrent streams.
        rate: chunks per second of each stream.
        seconds: that a stream takes.
        warm_up: the first of them, whose chunks do not count. The streams begin evenly over the
            first half of it.
    """

    rounds: int
    streams: int
    rate: float
    seconds: float
    warm_up: float = 1.0

    @property
    def chunks(self) -> int:
        """Chunks of a stream."""
        return round(self.rate * self.seconds)


async def measure(shape: Shape) -> dict[str, Any]:
    """Streams from the upstream directly, through the bare proxy and through the gateway, in turns.

    Raises:
        RuntimeError: a stream ended early or lost a chunk.
    """
    upstream, floor_port, our_port = free_ports(3)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        arguments = (str(upstream), str(shape.chunks), str(shape.rate))
        made = stack.enter_context(process(python("benchmarks.gateway.upstream", *arguments)))
        itself = await ready(made, lambda: Target(upstream, question(), {}))
        through: dict[str, tuple[Target, int | None]] = {"no proxy": (itself, None)}
        for one in (
            contestants.floor(Place(upstream, floor_port, Path(folder))),
            contestants.our_gateway(Place(upstream, our_port, Path(folder))),
        ):
            made = stack.enter_context(process(one.command))
            through[one.name] = (await ready(made, one.target), made.pid)
        progress = Progress("streams", shape.rounds)
        seen: dict[str, list[dict[str, float]]] = {name: [] for name in through}
        for turn in range(shape.rounds):
            for name in list(through) if turn % 2 else reversed(list(through)):
                seen[name].append(await _round(shape, *through[name]))
            progress.step()
    medians = {
        name: {figure: median(one[figure] for one in rounds) for figure in rounds[0]}
        for name, rounds in seen.items()
    }
    return {
        "streams": shape.streams,
        "rate": shape.rate,
        "chunks": shape.chunks,
        "ms": medians,
    }


async def _round(shape: Shape, target: Target, pid: int | None) -> dict[str, float]:
    """Percentiles of the chunks' milliseconds in one round, and processor µs per chunk."""
    request_bytes = request(target.port, question(stream=True), target.headers, target.path)
    before = 0.0 if pid is None else processor_seconds(pid)
    loop = asyncio.get_running_loop()

    async def begin(number: int) -> tuple[Any, _StreamReader]:
        await asyncio.sleep(shape.warm_up / 2 * number / shape.streams)
        return await loop.create_connection(
            lambda: _StreamReader(request_bytes), "127.0.0.1", target.port
        )

    made = await asyncio.gather(*map(begin, range(shape.streams)))
    await asyncio.gather(*(reading.ended for _, reading in made))
    used = 0.0 if pid is None else processor_seconds(pid) - before
    whole = [len(reading.took) == shape.chunks for _, reading in made]
    if not all(whole):
        raise RuntimeError(f"{whole.count(False)} of {len(whole)} streams are incomplete")
    skipped = round(shape.rate * shape.warm_up)
    took = [each / 1e6 for _, reading in made for each in reading.took[skipped:]]
    return {**percentiles(took), "processor_us": used / (shape.chunks * shape.streams) * 1e6}


class _StreamReader(asyncio.Protocol):
    """One stream: compares the timestamp in each chunk with the clock on arrival."""

    def __init__(self, request_bytes: bytes) -> None:
        self.ended = asyncio.get_running_loop().create_future()
        self.took: list[int] = []
        self._asked = request_bytes
        self._rest = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.write(self._asked)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        lines, _, self._rest = (self._rest + data).rpartition(b"\n")
        self.took += [now - int(stamp) for stamp in STAMP.findall(lines)]
        if DONE.strip() in lines:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


def text(result: Mapping[str, Any]) -> str:
    """The result as a table."""
    found = result["ms"]
    shares = [name for name in next(iter(found.values())) if name != "processor_us"]
    rows = [
        (name, *(f"{one[share]:.2f}" for share in shares), f"{one['processor_us']:.0f}")
        for name, one in found.items()
    ]
    heading = f"{result['streams']} streams of {result['rate']:g} chunks a second each"
    head = ("", *(f"{share} ms" for share in shares), "µs cpu a chunk")
    return f"{heading}\n{AIM}\n\n{table(head, rows)}"
