"""How often is a healthy provider taken for slow, and how soon is a slow one detected?

Drives real latency trackers and circuits of three providers on one route. Latencies are those of AI
providers: they follow the unknown length of the answer. Seeded: the figures are the same in every
run. The figures of docs/reference/hedging.md.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from random import Random
from statistics import median
from typing import Any

from benchmarks.harness import report
from benchmarks.harness.progress import Progress
from benchmarks.harness.tables import table
from benchmarks.outages.measures import percentile
from multirouter.core.circuit.breaker import CircuitBreaker
from multirouter.core.circuit.states import CircuitState
from multirouter.core.health.latency_tracker import LatencyGroup, LatencyTracker
from multirouter.core.settings.policies import CircuitPolicy, LatencyPolicy

MEDIANS = (0.6, 0.9, 1.4)
"""Median latencies of the three providers, seconds."""

INTERVALS = {"0.3 answers/s": 10.0, "30 answers/s": 0.1}
"""Seconds between two answers of one provider, by the traffic of all three together."""

FACTORS = (4.0, 6.0, 10.0, 15.0)
"""How many times slower the first provider becomes."""

WARM_UP_ANSWERS = 600
"""Answers of each provider before the first one becomes slower: enough samples for detection."""

MAX_ANSWERS = 400
"""Answers after which the search ends without a detection."""

HOUR = 3600.0
LEASE = 30.0

Length = Callable[[Random, float], float]
"""Latency as a multiple of the median at a time (seconds), the same for every provider."""


def _spread(sigma: float) -> Length:
    return lambda rng, _: math.exp(sigma * rng.gauss(0.0, 1.0))


def _two_kinds(rng: Random, now: float) -> float:
    """Chat, and one report in ten that takes twenty times as long."""
    return (20.0 if rng.random() < 0.1 else 1.0) * _spread(0.4)(rng, now)


def _reports(rng: Random, now: float) -> float:
    """In the last ten minutes of each hour all answers take six times as long."""
    return (6.0 if now % HOUR > HOUR - 600.0 else 1.0) * _spread(0.5)(rng, now)


LENGTHS: dict[str, Length] = {
    "spread by sigma 0.5": _spread(0.5),
    "by sigma 0.7": _spread(0.7),
    "by sigma 1": _spread(1.0),
    "one answer in ten 20 times as long": _two_kinds,
    "all 6 times as long for 10 min an hour": _reports,
}


class SimulatedProvider:
    """One provider: its latency tracker and its circuit, and why that opened.

    Attributes:
        openings: how often the closed circuit opened, by reason.
        cut: attempts that the adaptive timeout ended.
    """

    def __init__(self, usual: float, seed: str) -> None:
        self.latency = LatencyTracker(LatencyPolicy())
        self.openings: Counter[str] = Counter()
        self.cut = 0
        self._usual = usual
        self._circuit = CircuitBreaker(CircuitPolicy(), Random(f"jitter {seed}"), self._changed)

    def _changed(
        self, old: CircuitState, new: CircuitState, reason: str, open_duration: float, now: float
    ) -> None:
        self.openings[reason] += (old, new) == (CircuitState.CLOSED, CircuitState.OPEN)

    def answer(self, times_usual: float, now: float) -> None:
        """One attempt that would take a multiple of the usual latency, if its circuit admits it."""
        permit = self._circuit.acquire(now, LEASE)
        if permit is None:
            return
        took = times_usual * self._usual
        if took > self.latency.limit:
            self.cut += 1
            self.latency.record_timeout(self.latency.limit, trial=permit.trial)
            self._circuit.record_failure(permit, now)
        else:
            slow = self.latency.record(took, now, trial=permit.trial)
            self._circuit.record_success(permit, now, took, slow=slow)


class Peers:
    """Three providers of one route, called in turn."""

    def __init__(self, length: Length, interval: float, seed: str) -> None:
        self.all = [SimulatedProvider(usual, f"{seed} {usual}") for usual in MEDIANS]
        LatencyGroup([provider.latency for provider in self.all]).join()
        self._rng = Random(seed)
        self._length = length
        self._interval = interval
        self._now = 0.0

    def round(self, first_slower: float = 1.0) -> None:
        """One answer of each; the first provider's takes a multiple of its latency."""
        self._now += self._interval
        for provider in self.all:
            factor = first_slower if provider is self.all[0] else 1.0
            provider.answer(factor * self._length(self._rng, self._now), self._now)


def false_detections(length: str, traffic: str, rounds: int) -> dict[str, Any]:
    """Openings of healthy circuits, and attempts ended by the adaptive timeout."""
    peers = Peers(LENGTHS[length], INTERVALS[traffic], f"{length} {traffic}")
    for _ in range(rounds):
        peers.round()
    openings = sum((provider.openings for provider in peers.all), Counter[str]())
    answers = rounds * len(peers.all)
    return {
        "length": length,
        "traffic": traffic,
        "answers": answers,
        "opened_slow": openings["slow"],
        "opened_cut": openings.total() - openings["slow"],
        "cut": sum(provider.cut for provider in peers.all) / answers,
    }


def detection(factor: float, length: str, repeats: int) -> dict[str, Any]:
    """After how many of its answers a provider that became slower is detected, and by what."""
    counts: list[int] = []
    by: Counter[str] = Counter()
    for seed in range(repeats):
        peers = Peers(LENGTHS[length], 10.0, f"grows slower {seed}")
        for _ in range(WARM_UP_ANSWERS):
            peers.round()
        slow_provider = peers.all[0]
        slow_provider.openings.clear()
        answers = 0
        while not slow_provider.openings.total() and answers < MAX_ANSWERS:
            peers.round(factor)
            answers += 1
        by.update(slow_provider.openings if slow_provider.openings.total() else ["not detected"])
        counts.append(answers)
    return {
        "factor": factor,
        "length": length,
        "median": median(counts),
        "p95": percentile(sorted(counts), 0.95),
        "by": dict(by),
    }


def measured(rounds: int, repeats: int) -> dict[str, list[dict[str, Any]]]:
    """Both questions, over every kind of length, traffic and factor."""
    kinds = list(LENGTHS)[:3]
    progress = Progress("slowness", len(LENGTHS) * len(INTERVALS) + len(FACTORS) * len(kinds))
    result: dict[str, list[dict[str, Any]]] = {"false_detections": [], "detections": []}
    for length in LENGTHS:
        for traffic in INTERVALS:
            result["false_detections"].append(false_detections(length, traffic, rounds))
            progress.step()
    for length in kinds:
        for factor in FACTORS:
            result["detections"].append(detection(factor, length, repeats))
            progress.step()
    return result


def _text(result: dict[str, list[dict[str, Any]]]) -> str:
    healthy = [
        [
            f"{row['length']}, {row['traffic']}",
            f"{row['answers']:,}",
            f"{row['opened_slow']}",
            f"{row['opened_cut']}",
            f"{row['cut']:.2%}",
        ]
        for row in result["false_detections"]
    ]
    slower = [
        [
            f"{row['factor']:g} times slower, {row['length']}",
            _count(row["median"]),
            _count(row["p95"]),
            ", ".join(f"{name} {times}" for name, times in sorted(row["by"].items())),
        ]
        for row in result["detections"]
    ]
    return "\n\n".join(
        [
            table(["healthy", "answers", "opened as slow", "by timeouts", "timed out"], healthy),
            table(["one became slower", "its answers until detected, median", "p95", "by"], slower),
        ]
    )


def _count(answers: float) -> str:
    return f"{answers:g}" if answers < MAX_ANSWERS else f"over {MAX_ANSWERS}"


def main(argv: list[str]) -> int:
    """Runs the simulation; see `--help`."""
    options = report.parser("slowness", __doc__ or "").parse_args(argv)
    result = measured(2_000, 5) if options.quick else measured(100_000, 100)
    report.show("slowness", result, lambda: _text(result), as_json=options.json)
    return 0
