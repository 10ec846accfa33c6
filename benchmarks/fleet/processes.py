"""Four real processes with a real redis-server: calls wasted, cost of a call, messages a second."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from statistics import median
from typing import Any

from benchmarks.fleet.contestants import CONTESTANTS
from benchmarks.fleet.outage import PROCESSES, WARM_UP, outage
from benchmarks.harness.progress import Progress
from benchmarks.harness.rounds import interleave
from multirouter import MultiProviderRouter, Provider, RedisSharing
from multirouter.errors import UsageError
from multirouter.sharing.transport import Demands, Identity, Report

OUTAGE = 3.0
"""Seconds of the outage: shorter than an open duration, so that there are no trials."""

LONG_OUTAGE = 20.0
"""Seconds of an outage with trials."""

MANY = 1000
"""Processes whose reports the server's load is measured with."""


def compare(url: str | None, *, quick: bool) -> list[dict[str, Any]]:
    """An outage with each contestant that is installed, with its state shared and without.

    Args:
        url: a Redis that runs; None starts redis-server.
        quick: whether to run briefly.
    """
    found = []
    with _server(url) as at:
        progress = Progress("fleet", 2 * len(CONTESTANTS))
        for name in CONTESTANTS:
            for shared in (None, at):
                seconds = (1.0, 0.5) if quick else (LONG_OUTAGE, WARM_UP)
                wasted, calls, known, trials = outage(name, shared, *seconds)
                progress.step()
                found.append(
                    {
                        "contestant": name,
                        "shared": shared is not None,
                        "wasted": wasted,
                        "calls": calls,
                        "known_after": known,
                        "trials": trials,
                    }
                )
    return found


def measure(url: str | None, *, quick: bool) -> dict[str, Any]:
    """Measures all figures.

    Args:
        url: a Redis that runs; None starts redis-server.
        quick: whether to run briefly.
    """
    with _server(url) as at:
        seconds = (0.5, 0.5) if quick else (OUTAGE, WARM_UP)
        alone = outage("multirouter", None, *seconds)
        shared = outage("multirouter", at, *seconds)
        added = asyncio.run(_added(at, 3 if quick else 30))
        facts = asyncio.run(_facts_per_second(at, 0.3 if quick else 3.0))
        commands = asyncio.run(_idle_commands(at, 1.0 if quick else 9.0))
        busy = asyncio.run(_server_load(at, 20 if quick else MANY, 0.5 if quick else 12.0))
    return {
        "outage": {"alone": alone[:3], "shared": shared[:3]},
        "wasted_share": shared[0] / max(1, alone[0]),
        "added_us": added,
        "facts_per_second": facts,
        "commands_per_second": commands,
        "server_load": busy,
    }


# ── the cost of a healthy call ──────────────────────────────────────────────────────────────────


async def _added(url: str, rounds: int) -> float:
    """Microseconds of processor time that sharing adds to a healthy call."""

    async def answer(_: Any) -> str:
        return "answer"

    def make(name: str, sharing: RedisSharing | None) -> Any:
        providers = [Provider("a", answer), Provider("b", answer)]
        return MultiProviderRouter(providers, name=name, sharing=sharing)

    alone, shared = make("alone", None), make("shared", RedisSharing(url, namespace="cost"))
    async with alone, shared:
        progress = Progress("fleet", rounds)
        calls = {"alone": alone.call, "shared": shared.call}
        times = await interleave(calls, rounds=rounds, block=0.02, progress=progress)
    return 1e6 * (median(times["shared"]) - median(times["alone"]))


# ── messages ────────────────────────────────────────────────────────────────────────────────────


async def _facts_per_second(url: str, seconds: float) -> float:
    """Facts that one process publishes and all four receive, in one loop."""

    async def answer(_: Any) -> str:
        return "answer"

    routers: list[Any] = [
        MultiProviderRouter(
            [Provider("a", answer)],
            name="messages",
            sharing=RedisSharing(url, namespace="messages", host=f"h{number}"),
        )
        for number in range(PROCESSES)
    ]
    for router in routers:
        await router.__aenter__()
    received, began = 0, time.perf_counter()
    members = [router.membership for router in routers]
    while time.perf_counter() - began < seconds:
        key = f"key {received}"
        members[0].operators.revoke(key)
        while not all(member.operators.is_revoked(key) for member in members):  # noqa: ASYNC110 - timed
            await asyncio.sleep(0)
        received += 1
    rate = received / (time.perf_counter() - began)
    for router in routers:
        await router.aclose()
    return rate


async def _idle_commands(url: str, seconds: float) -> float:
    """Commands a second that four idle processes send."""
    from redis.asyncio import Redis

    async def answer(_: Any) -> str:
        return "answer"

    client: Any = Redis.from_url(url)
    routers: list[Any] = [
        MultiProviderRouter(
            [Provider("a", answer)], name="idle", sharing=RedisSharing(url, namespace="idle")
        )
        for _ in range(PROCESSES)
    ]
    for router in routers:
        await router.__aenter__()
    before = (await client.info("commandstats")).get("cmdstat_evalsha", {}).get("calls", 0)
    await asyncio.sleep(seconds)
    after = (await client.info("commandstats")).get("cmdstat_evalsha", {}).get("calls", 0)
    for router in routers:
        await router.aclose()
    await client.aclose()
    return (after - before) / seconds


async def _server_load(url: str, processes: int, seconds: float) -> dict[str, float]:
    """Load of Redis by the reports of many processes, each with shares of one limit.

    Returns:
        Their number, the reports a second, and the processor time of the server, as a share of one
        core.
    """
    from redis.asyncio import Redis

    sharing, rng = RedisSharing(url, namespace="many", timeout=10.0), Random(1)
    transports = [
        sharing.transport(Identity(f"p{number}", "many", f"h{number // 4}", {"pid": number}))
        for number in range(processes)
    ]
    answers = {}

    def demands(number: int, demand: float) -> Demands:
        return Demands(f"p{number}", {"provider a": demand}, kept=60.0)

    for number, transport in enumerate(transports):
        await transport.connect()
        report = Report("", -1, {}, 60.0, demands(number, 1.0))
        answers[transport] = await transport.exchange(report)
    loop, sent = asyncio.get_running_loop(), 0
    client: Any = Redis.from_url(url)
    before, began = await client.info("cpu"), loop.time()

    async def process(number: int, transport: Any) -> None:
        nonlocal sent
        interval = sharing.options.interval
        await asyncio.sleep(interval * rng.random())
        while loop.time() < began + seconds:
            known = answers[transport]
            wanted = demands(number, rng.random())
            report = Report(known.epoch, known.version, None, 60.0, wanted)
            answers[transport] = await transport.exchange(report)
            sent += 1
            await asyncio.sleep(interval)

    await asyncio.gather(*map(process, range(processes), transports))
    took, after = loop.time() - began, await client.info("cpu")
    used = sum(after[name] - before[name] for name in ("used_cpu_user", "used_cpu_sys"))
    for transport in transports:
        await transport.close(leave=True)
    await client.aclose()
    return {"processes": processes, "reports_per_second": sent / took, "core": used / took}


@contextmanager
def _server(url: str | None) -> Iterator[str]:
    if url is not None:
        yield url
        return
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        raise UsageError("redis-server is not installed: pass --url")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        options = ["--port", str(port), "--save", "", "--dir", folder]
        command = [program, *options]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 - from the PATH
        try:
            deadline = time.monotonic() + 20.0
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1.0).close()
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)
            yield f"redis://127.0.0.1:{port}"
        finally:
            server.kill()
            server.wait()
