"""How often is a healthy provider taken for slow, and how soon is a slow one found out?

Drives real paces and circuits of three providers on one route. Latencies are those of AI: they
follow the length of the answer, which nobody knows beforehand. Seeded: the same figures every time.
The evidence of docs/hedging.md.
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
from multirouter.core.health.adaptive_timeout import Group, LatencyTracker
from multirouter.core.settings.policies import CircuitPolicy, LatencyPolicy

MEDIANS = (0.6, 0.9, 1.4)
"""Seconds that the three providers' usual answers take."""

EVERY = {"0.3 answers/s": 10.0, "30 answers/s": 0.1}
"""Seconds between two answers of one provider, by the traffic of all three together."""

FACTORS = (4.0, 6.0, 10.0, 15.0)
"""How many times slower the first provider becomes."""

KNOWN = 600
"""Answers of each provider before the first grows slower: its past is old enough to be trusted."""

MOST = 400
"""Answers after which one that has not been found out is given up."""

HOUR = 3600.0
LEASE = 30.0

Length = Callable[[Random, float], float]
"""How many times the usual an answer takes at an instant (seconds), for every provider alike."""


def _spread(sigma: float) -> Length:
    return lambda rng, _: math.exp(sigma * rng.gauss(0.0, 1.0))


def _two_sorts(rng: Random, now: float) -> float:
    """Chat, and one report in ten that takes twenty times as long."""
    return (20.0 if rng.random() < 0.1 else 1.0) * _spread(0.4)(rng, now)


def _reports(rng: Random, now: float) -> float:
    """In the last ten minutes of each hour all answers are six times as long."""
    return (6.0 if now % HOUR > HOUR - 600.0 else 1.0) * _spread(0.5)(rng, now)


LENGTHS: dict[str, Length] = {
    "spread by sigma 0.5": _spread(0.5),
    "by sigma 0.7": _spread(0.7),
    "by sigma 1": _spread(1.0),
    "one answer in ten 20 times as long": _two_sorts,
    "all 6 times as long for 10 min an hour": _reports,
}


class Watched:
    """One provider: its pace and its circuit, and what opened that.

    Attributes:
        openings: times the closed circuit opened, by reason.
        cut: attempts that were cut off by the provider's own past.
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
        """One attempt that would take so many times the usual, if its circuit lets it in."""
        permit = self._circuit.acquire(now, LEASE)
        if permit is None:
            return
        took = times_usual * self._usual
        if took > self.latency.limit:
            self.cut += 1
            self.latency.timed_out(self.latency.limit, trial=permit.trial)
            self._circuit.failed(permit, now)
        else:
            slow = self.latency.answered(took, now, trial=permit.trial)
            self._circuit.succeeded(permit, now, took, slow=slow)


class Peers:
    """Three providers of one route, asked in turn."""

    def __init__(self, length: Length, every: float, seed: str) -> None:
        self.all = [Watched(usual, f"{seed} {usual}") for usual in MEDIANS]
        self._group = Group([watched.latency for watched in self.all])
        self._rng = Random(seed)
        self._length = length
        self._every = every
        self._now = 0.0

    def round(self, first_slower: float = 1.0) -> None:
        """One answer of each; the first provider's takes so many times as long."""
        self._now += self._every
        for watched in self.all:
            factor = first_slower if watched is self.all[0] else 1.0
            watched.answer(factor * self._length(self._rng, self._now), self._now)


def mistakes(length: str, traffic: str, rounds: int) -> dict[str, Any]:
    """Openings of healthy circuits, and attempts that their own past cut off, by a million."""
    peers = Peers(LENGTHS[length], EVERY[traffic], f"{length} {traffic}")
    for _ in range(rounds):
        peers.round()
    openings = sum((watched.openings for watched in peers.all), Counter[str]())
    answers = rounds * len(peers.all)
    return {
        "length": length,
        "traffic": traffic,
        "answers": answers,
        "opened_slow": openings["slow"],
        "opened_cut": openings.total() - openings["slow"],
        "cut": sum(watched.cut for watched in peers.all) / answers,
    }


def found(factor: float, length: str, repeats: int) -> dict[str, Any]:
    """After how many of its answers a provider that grew slower is out, and by what."""
    counts: list[int] = []
    by: Counter[str] = Counter()
    for seed in range(repeats):
        peers = Peers(LENGTHS[length], 10.0, f"grows slower {seed}")
        for _ in range(KNOWN):
            peers.round()
        ill = peers.all[0]
        ill.openings.clear()
        answers = 0
        while not ill.openings.total() and answers < MOST:
            peers.round(factor)
            answers += 1
        by.update(ill.openings if ill.openings.total() else ["not found"])
        counts.append(answers)
    return {
        "factor": factor,
        "length": length,
        "median": median(counts),
        "p95": percentile(sorted(counts), 0.95),
        "by": dict(by),
    }


def measured(rounds: int, repeats: int) -> dict[str, list[dict[str, Any]]]:
    """Both questions, over every sort of length, traffic and factor."""
    sorts = list(LENGTHS)[:3]
    progress = Progress("slowness", len(LENGTHS) * len(EVERY) + len(FACTORS) * len(sorts))
    result: dict[str, list[dict[str, Any]]] = {"mistakes": [], "found": []}
    for length in LENGTHS:
        for traffic in EVERY:
            result["mistakes"].append(mistakes(length, traffic, rounds))
            progress.step()
    for length in sorts:
        for factor in FACTORS:
            result["found"].append(found(factor, length, repeats))
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
        for row in result["mistakes"]
    ]
    slower = [
        [
            f"{row['factor']:g} times slower, {row['length']}",
            _count(row["median"]),
            _count(row["p95"]),
            ", ".join(f"{name} {times}" for name, times in sorted(row["by"].items())),
        ]
        for row in result["found"]
    ]
    return "\n\n".join(
        [
            table(["healthy", "answers", "opened as slow", "by cut-offs", "cut off"], healthy),
            table(["one grew", "its answers until out, median", "p95", "by"], slower),
        ]
    )


def _count(answers: float) -> str:
    return f"{answers:g}" if answers < MOST else f"over {MOST}"


def main(argv: list[str]) -> int:
    """Runs the simulation; see `--help`."""
    options = report.parser("slowness", __doc__ or "").parse_args(argv)
    result = measured(2_000, 5) if options.quick else measured(100_000, 100)
    report.show("slowness", result, lambda: _text(result), as_json=options.json)
    return 0
