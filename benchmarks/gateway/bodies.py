"""A soak with large bodies: every ending of a request, and whether any body stays in memory."""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.gateway.calls import ready
from benchmarks.gateway.contestants import Place, with_key
from benchmarks.gateway.load import Target
from benchmarks.gateway.processes import MEBIBYTE, PROC, descriptors, free_ports, process, python
from benchmarks.gateway.wire import question
from benchmarks.harness import loops, report
from benchmarks.harness.progress import Progress
from benchmarks.harness.tables import table

CONFIG = """\
providers:
  fake: {{kind: openai, base_url: "http://127.0.0.1:{fake}/v1", api_key: sk-1, models: ["*"]}}
policies:
  timeout: 10
  attempt_timeout: 5
  wait: 0
  circuit: {{window: 2, open_duration: 0.1, max_open_duration: 0.2, cooldown: 0.01}}
  stream: {{first_token: 1, idle: 1}}
keys: {{file: keys.json}}
"""

LIMIT = 512 * MEBIBYTE
"""Bytes of data (RLIMIT_DATA) that the gateway's process may have."""

MAX_GROWTH = 24.0
"""MiB by which the resident size may grow between the second checkpoint and the last: buffers of
connections, and the allocator's fragments. One kept body of a hundred shows."""

CHECKPOINTS = 6
AT_ONCE = 4
CHAT = "/v1/chat/completions"
SPEAK = "/v1/audio/speech"
TRANSCRIBE = "/v1/audio/transcriptions"
FORM = {"Content-Type": "multipart/form-data; boundary=b"}


@dataclass(frozen=True, slots=True)
class Ending:
    """One kind of request.

    Attributes:
        path: the path.
        model: the model, which names the fault.
        more: further fields.
        cut: whether the body is cut off, so that it is no JSON or no form.
        leaves: whether the client disconnects after a moment.
    """

    path: str
    model: str
    more: Mapping[str, Any]
    cut: bool = False
    leaves: bool = False


ENDINGS: Mapping[str, Ending] = {
    "answered": Ending(CHAT, "m", {}),
    "answered stream": Ending(CHAT, "m", {"stream": True}),
    "Anthropic's format": Ending("/v1/messages", "m", {"stream": True}),
    "embeddings": Ending("/v1/embeddings", "m", {}),
    "form": Ending(TRANSCRIBE, "m", {}),
    "invalid JSON": Ending(CHAT, "m", {}, cut=True),
    "invalid form": Ending(TRANSCRIBE, "m", {}, cut=True),
    "invalid field": Ending(CHAT, "m", {"stream": "x"}),
    "unknown route": Ending(CHAT, "m", {"route": "none"}),
    "unknown path": Ending("/v1/none", "m", {}),
    "503": Ending(CHAT, "fail-503", {}),
    "400": Ending(CHAT, "fail-400", {}),
    "web page": Ending(CHAT, "html-200", {}),
    "cut off": Ending(CHAT, "cut-after-1", {}),
    "cut stream": Ending(CHAT, "cut-after-1", {"stream": True}),
    "error in a stream": Ending(CHAT, "event-error-1", {"stream": True}),
    "timeout": Ending(CHAT, "stall", {"timeout": 0.2}),
    "stall": Ending(CHAT, "stall-1", {"stream": True}),
    "503 of a form": Ending(TRANSCRIBE, "fail-503", {}),
    "cut speech": Ending(SPEAK, "cut-after-1", {}),
    "disconnected": Ending(CHAT, "stall", {}, leaves=True),
    "disconnected stream": Ending(CHAT, "stall-1", {"stream": True}, leaves=True),
    "fallback model": Ending(CHAT, "fail-503", {"fallback_models": ["m"]}),
}


def run(options: argparse.Namespace) -> int:
    """Runs the soak and prints; the exit code is 1 when the memory is not flat."""
    requests = options.requests or (len(ENDINGS) * CHECKPOINTS if options.quick else 6_000)
    size = MEBIBYTE // 4 if options.quick else 2 * MEBIBYTE
    settle = 0.3 if options.quick else 1.5
    result = loops.run(loops.installed()[-1], lambda: soak(requests, size, settle))
    report.show("gateway", result, lambda: text(result), as_json=options.json)
    return 1 if result["problems"] else 0


async def soak(requests: int, size: int, settle: float) -> dict[str, Any]:
    """Sends bodies of `size` bytes with every ending in turn, and measures in between.

    Before each measurement nothing is sent for `settle` seconds.

    Returns:
        Among others `ended` (statuses of each ending), `samples` and `problems`.
    """
    async with _serving() as (pid, port, key):
        progress = Progress("bodies", requests)
        ended: Counter[str] = Counter()
        samples: list[dict[str, float]] = []
        began = time.perf_counter()
        kinds = list(ENDINGS)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            for part in range(CHECKPOINTS):
                first, end = (requests * one // CHECKPOINTS for one in (part, part + 1))
                numbers = iter(range(first, end))

                async def client(numbers: Any = numbers) -> None:
                    for number in numbers:
                        name = kinds[number % len(kinds)]
                        status = await _send(http, key, ENDINGS[name], size)
                        ended[f"{name}: {status}"] += 1
                        progress.step()

                await asyncio.gather(*(client() for _ in range(AT_ONCE)))
                await asyncio.sleep(settle)
                samples.append(_sample(pid))
        took = time.perf_counter() - began
    return {
        "requests": requests,
        "mebibytes": size / MEBIBYTE,
        "seconds": took,
        "ended": dict(sorted(ended.items())),
        "samples": samples,
        "problems": problems(samples),
    }


async def _send(http: aiohttp.ClientSession, key: str, ending: Ending, size: int) -> str:
    """Sends one request; its status, or how it broke."""
    headers = {"Authorization": f"Bearer {key}"}
    if ending.path == TRANSCRIBE:
        headers |= FORM
    data = _body(ending, size)
    try:
        async with asyncio.timeout(0.3 if ending.leaves else 30):
            async with http.post(ending.path, data=data, headers=headers) as answer:
                await answer.read()
                return str(answer.status)
    except TimeoutError:
        return "left" if ending.leaves else "no answer"
    except aiohttp.ClientError:
        return "broken"


def _body(ending: Ending, size: int) -> bytes:
    text = "word " * (size // 5)
    if ending.path == TRANSCRIBE:
        head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        field = b'\r\n--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n'
        form = head + text.encode() + field + ending.model.encode() + b"\r\n--b--\r\n"
        return form[:-6] if ending.cut else form
    fields = {"messages": [{"role": "user", "content": text}], "max_tokens": 3}
    if ending.path == SPEAK:
        fields = {"input": text, "voice": "a"}
    elif ending.path == "/v1/embeddings":
        fields = {"input": text}
    data = json.dumps({"model": ending.model, **fields, **ending.more}).encode()
    return data[:-1] if ending.cut else data


@asynccontextmanager
async def _serving() -> AsyncIterator[tuple[int, int, str]]:
    """A fake provider and the gateway before it, limited in memory: process id, port, key."""
    fake, port = free_ports(2)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        command = (sys.executable, "-m", "multirouter", "fake-provider", "--port", str(fake))
        stack.enter_context(process(command))
        config, key = with_key(Place(fake, port, folder), CONFIG.format(fake=fake))
        served = python("benchmarks.gateway.monitored", config, str(port), str(folder / "sizes"))
        made = stack.enter_context(process(served))
        with suppress(AttributeError):  # Linux alone has it
            resource.prlimit(made.pid, resource.RLIMIT_DATA, (LIMIT, LIMIT))
        headers = {"Authorization": f"Bearer {key}"}
        await ready(made, partial(Target, port, question("m"), headers))
        yield made.pid, port, key


def _sample(pid: int) -> dict[str, float]:
    """Resident size now and at its peak, MiB, without a garbage collection; open descriptors."""
    lines = (PROC / str(pid) / "status").read_text().splitlines()
    kilobytes = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    return {
        "resident": int(kilobytes["VmRSS"]) / 1024,
        "peak": int(kilobytes["VmHWM"]) / 1024,
        "descriptors": descriptors(pid),
    }


def problems(samples: Sequence[Mapping[str, float]]) -> list[str]:
    """What is not flat, as sentences."""
    grown = samples[-1]["resident"] - samples[1]["resident"]
    found = [f"the resident size grew by {grown:.0f} MiB"] if grown > MAX_GROWTH else []
    peak = samples[-1]["peak"] * MEBIBYTE
    return [*found, *(["the peak exceeds the limit"] if peak > LIMIT else [])]


def text(result: Mapping[str, Any]) -> str:
    """The result as a summary, a table of samples, and the problems."""
    rows = [
        (
            f"{number}/{CHECKPOINTS}",
            f"{one['resident']:.1f}",
            f"{one['peak']:.1f}",
            f"{one['descriptors']:.0f}",
        )
        for number, one in enumerate(result["samples"], 1)
    ]
    ended = ", ".join(f"{number:,} {how}" for how, number in result["ended"].items())
    story = (
        f"{result['requests']:,} requests with bodies of {result['mebibytes']:g} MiB in "
        f"{result['seconds']:.0f} s: {ended}"
    )
    samples = table(("requests made", "resident MiB", "peak MiB", "descriptors"), rows)
    found = "; ".join(result["problems"]) or "memory is flat: no body outlives its request"
    return f"{story}\n\n{samples}\n\n{found}"
