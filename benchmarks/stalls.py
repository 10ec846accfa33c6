"""What does a stall of the own event loop cost: calls lost, healthy circuits opened?

Three healthy providers in virtual time. The loop stalls every `SPACING` seconds: time passes and no
callback runs, as with a blocking call, a long garbage collection or a suspended machine. In the
second table a provider hangs, with and without a stall. Seeded: on asyncio and uvloop the figures
are the same in every run; trio runs ready tasks in random order.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast, get_args

import anyio
from prometheus_client import CollectorRegistry
from typing_extensions import override

from benchmarks.harness import loops, report
from benchmarks.harness.progress import Progress
from benchmarks.harness.tables import table
from benchmarks.outages.measures import percentile
from multirouter import AttemptRecord, FailureKind, Listener, MultiProviderRouter, Provider
from multirouter.core.events import CircuitChanged, LoopStalled
from multirouter.testing import LogNormal, VirtualClock
from multirouter.testing.virtual_time.runner import Backend

_SILENT = logging.getLogger("benchmarks.stalls")
_SILENT.setLevel(logging.CRITICAL + 1)
_SILENT.propagate = False

SECONDS = (0.5, 2.0, 5.0)
RATES = (20, 200)
"""Calls a second."""

MEDIANS = {"a": 0.6, "b": 0.9, "c": 1.4}
"""Median latencies of the three providers, seconds."""

WARM_UP = 20.0
"""Seconds before the first stall: enough answers for adaptive timeouts."""

SPACING = 15.0
"""Seconds from the end of one stall to the next."""

HANGS_AT = WARM_UP + 1.25
"""When the first provider begins to hang, in the second table; seconds."""


@dataclass
class Seen(Listener):
    """What one run showed.

    Attributes:
        calls: calls by result.
        elapsed: their durations, seconds.
        excused: attempts that timed out or lost their connection while the loop stalled.
        opened: the loop times at which circuits opened, by provider.
        stalls: noticed stalls.
    """

    calls: Counter[str] = field(default_factory=Counter[str])
    elapsed: list[float] = field(default_factory=list[float])
    excused: int = 0
    opened: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    stalls: int = 0

    @override
    def attempt_ended(self, record: AttemptRecord) -> None:
        self.excused += record.stalled and record.verdict.kind is FailureKind.TIMEOUT

    @override
    def circuit_changed(self, event: CircuitChanged) -> None:
        if event.old == "closed":
            self.opened.setdefault(event.provider, []).append(event.at)

    @override
    def loop_stalled(self, event: LoopStalled) -> None:
        self.stalls += 1


class Workload:
    """Calls at a constant rate, open loop, while the event loop stalls now and then.

    Args:
        rate: calls a second.
        stall: seconds of each stall; 0 for none.
        stalls: how many.
        hangs: whether the first provider hangs from `HANGS_AT` on.
    """

    def __init__(self, rate: int, stall: float, stalls: int, *, hangs: bool) -> None:
        self._rate = rate
        self._stall = stall
        self._stalls = stalls
        self._hangs = hangs
        self._rng = Random(f"stalls {rate}")
        self._began = 0.0
        self.seen = Seen()

    def _provider(self, name: str) -> Provider[str, str]:
        latency = LogNormal(MEDIANS[name], 0.5)

        async def call(_: str) -> str:
            if self._hangs and name == "a" and anyio.current_time() - self._began >= HANGS_AT:
                await anyio.sleep_forever()
            await anyio.sleep(latency.sample(self._rng))
            return name

        return Provider(name, call)

    async def run(self) -> Seen:
        """Runs it in the running loop, in virtual time."""
        self._began = anyio.current_time()
        async with (
            MultiProviderRouter(
                [self._provider(name) for name in MEDIANS],
                registry=CollectorRegistry(),
                logger=_SILENT,
                listeners=[self.seen],
                rng=self._rng,
            ) as router,
            anyio.create_task_group() as group,
        ):
            group.start_soon(self._stall_now_and_then)
            for _ in range(round(self._rate * (WARM_UP + SPACING * self._stalls))):
                group.start_soon(self._call, router)
                await anyio.sleep(1.0 / self._rate)
        self.seen.opened = {
            name: [at - self._began for at in times] for name, times in self.seen.opened.items()
        }
        return self.seen

    async def _call(self, router: MultiProviderRouter[str, str]) -> None:
        outcome = await router.call_outcome("a request")
        self.seen.calls[outcome.result] += 1
        self.seen.elapsed.append(outcome.elapsed)

    async def _stall_now_and_then(self) -> None:
        await anyio.sleep(WARM_UP + 2.0)
        for _ in range(self._stalls):
            VirtualClock.stall(self._stall)
            await anyio.sleep(SPACING)


def healthy(backend: Backend, rate: int, stall: float, stalls: int) -> dict[str, Any]:
    """Calls lost and circuits opened, with three healthy providers."""
    work = Workload(rate, stall, stalls, hangs=False)
    seen: Seen = VirtualClock(backend=backend).run(work.run)
    return {
        "loop": backend,
        "stall": stall,
        "rate": rate,
        "stalls": seen.stalls,
        "calls": seen.calls.total(),
        "lost": seen.calls.total() - seen.calls["success"],
        "opened": sum(map(len, seen.opened.values())),
        "excused": seen.excused,
        "p99": percentile(sorted(seen.elapsed), 0.99),
        "max": max(seen.elapsed),
    }


def hanging(backend: Backend, rate: int, stall: float, stalls: int) -> dict[str, Any]:
    """When the circuit of a provider opens that begins to hang shortly before a stall."""
    work = Workload(rate, stall, stalls, hangs=True)
    seen: Seen = VirtualClock(backend=backend).run(work.run)
    return {
        "loop": backend,
        "stall": stall,
        "rate": rate,
        "opened_after": seen.opened["a"][0] - HANGS_AT if "a" in seen.opened else None,
        "others_opened": sum(len(times) for name, times in seen.opened.items() if name != "a"),
        "lost": seen.calls.total() - seen.calls["success"],
    }


def measured(backends: list[Backend], rates: tuple[int, ...], stalls: int) -> dict[str, Any]:
    """Both tables."""
    spans = (0.0, *SECONDS)
    progress = Progress("stalls", 2 * len(backends) * len(rates) * len(spans) - len(backends))
    result: dict[str, list[dict[str, Any]]] = {"healthy": [], "hanging": []}
    for backend in backends:
        for rate in rates:
            for stall in spans:
                if stall:
                    result["healthy"].append(healthy(backend, rate, stall, stalls))
                    progress.step()
                result["hanging"].append(hanging(backend, rate, stall, 1))
                progress.step()
    return result


def _text(result: dict[str, list[dict[str, Any]]]) -> str:
    healthy_rows = [
        [
            f"{row['loop']}, {row['rate']} calls/s, {row['stall']:g} s",
            f"{row['stalls']}",
            f"{row['calls']:,}",
            f"{row['lost']}",
            f"{row['opened']}",
            f"{row['excused']}",
            f"{row['p99']:.2f}",
            f"{row['max']:.2f}",
        ]
        for row in result["healthy"]
    ]
    hanging_rows = [
        [
            f"{row['loop']}, {row['rate']} calls/s, {row['stall']:g} s",
            "never" if row["opened_after"] is None else f"{row['opened_after']:.2f}",
            f"{row['others_opened']}",
            f"{row['lost']}",
        ]
        for row in result["hanging"]
    ]
    headings = ["stalls", "calls", "lost", "opened", "excused", "p99, s", "max, s"]
    return "\n\n".join(
        [
            table(["healthy providers", *headings], healthy_rows),
            table(["one hangs", "opened after, s", "others opened", "lost"], hanging_rows),
            "aims: no call lost and no circuit opened beside healthy providers",
        ]
    )


def main(argv: list[str]) -> int:
    """Runs the simulation; see `--help`."""
    parser = report.parser("stalls", __doc__ or "")
    known = [loop for loop in get_args(Backend) if loop == "trio" or loop in loops.installed()]
    parser.add_argument("--loop", choices=known, action="append", help="this one only")
    options = parser.parse_args(argv)
    backends = cast("list[Backend]", options.loop or known)
    result = measured(backends, (20,) if options.quick else RATES, 1 if options.quick else 5)
    report.show("stalls", result, lambda: _text(result), as_json=options.json)
    return int(any(row["lost"] or row["opened"] for row in result["healthy"]))
