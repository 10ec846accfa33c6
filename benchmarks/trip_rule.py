"""How often is a healthy provider's circuit tripped, and how soon a dead one's?

Drives real circuits in simulated time with calls at random times (a Poisson process). Seeded: the
figures are the same in every run. The figures of docs/explanation/circuits.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import floor, log2
from random import Random
from statistics import mean, median, quantiles
from typing import Any

from benchmarks.harness import report
from benchmarks.harness.progress import Progress
from benchmarks.harness.tables import table
from multirouter.core.circuit.breaker import CircuitBreaker
from multirouter.core.circuit.states import CircuitState
from multirouter.core.circuit.trip_rules import DEFAULT_FAILURES
from multirouter.core.settings.policies import CircuitPolicy

LOADS = (0.1, 1.0, 10.0, 100.0)
"""Calls a second."""

ERROR_RATES = (0.01, 0.05)
"""Shares of independent errors of a healthy provider."""

RULES = {"failures=3": CircuitPolicy(failures=3), "default": CircuitPolicy()}

OUTAGES = (30.0, 3600.0)
"""Seconds: a short outage and a long one."""

DAY = 86_400.0
LEASE = 30.0


class SimulatedCircuit:
    """A circuit under random calls that counts its openings."""

    def __init__(self, policy: CircuitPolicy, load: float, seed: str) -> None:
        self.rng = Random(seed)
        self.circuit = CircuitBreaker(policy, Random(f"jitter {seed}"), self._changed)
        self.load = load
        self.now = 0.0
        self.openings = 0
        self.trials = 0

    def _changed(
        self, old: CircuitState, new: CircuitState, reason: str, open_duration: float, now: float
    ) -> None:
        self.openings += new is CircuitState.OPEN

    def call(self, error_rate: float) -> bool:
        """The next call, answered at once; whether it reached the provider and failed."""
        self.now += self.rng.expovariate(self.load)
        permit = self.circuit.acquire(self.now, LEASE)
        if permit is None:
            return False
        self.trials += permit.trial
        if self.rng.random() >= error_rate:
            self.circuit.record_success(permit, self.now, 0.0)
            return False
        self.circuit.record_failure(permit, self.now)
        return True


def false_trips(rule: str, load: float, error_rate: float, calls: int) -> dict[str, Any]:
    """Trips of a healthy provider per day, as simulated, and as computed for that run length."""
    simulated = SimulatedCircuit(RULES[rule], load, f"{rule} {load} {error_rate}")
    for _ in range(calls):
        simulated.call(error_rate)
    run = DEFAULT_FAILURES
    if rule == "default":
        # A window holds 90 to 100 % of its span.
        run = max(run, floor(log2(max(1.0, 0.95 * load * RULES[rule].window))))
    return {
        "rule": rule,
        "load": load,
        "errors": error_rate,
        "seen": simulated.openings,
        "seen_in_days": simulated.now / DAY,
        "a_day": simulated.openings * DAY / simulated.now,
        "run": run,
        "run_a_day": load * DAY * (1 - error_rate) * error_rate**run,
    }


def time_to_trip(rule: str, load: float, repeats: int) -> dict[str, Any]:
    """How long a provider that dies at a random time is still attempted."""
    spans, failed = [], []
    for seed in range(repeats):
        simulated = SimulatedCircuit(RULES[rule], load, f"dies {seed}")
        while simulated.now < max(20.0, 3 / load):
            simulated.call(0.0)
        died, calls = simulated.now, 0
        while not simulated.openings:
            calls += simulated.call(1.0)
        spans.append(simulated.now - died)
        failed.append(calls)
    return {
        "rule": rule,
        "load": load,
        "median": median(spans),
        "p99": quantiles(spans, n=100)[98],
        "calls": mean(failed),
    }


def recovery(rule: str, load: float, outage: float, repeats: int) -> dict[str, Any]:
    """How soon after an outage the provider is used again, and how many trials it took."""
    late, trials = [], 0
    for seed in range(repeats):
        simulated = SimulatedCircuit(RULES[rule], load, f"recovers {seed}")
        while simulated.now < outage:
            simulated.call(1.0)
        trials += simulated.trials
        while simulated.circuit.state(simulated.now) is not CircuitState.CLOSED:
            simulated.call(0.0)
        late.append(simulated.now - outage)
    return {
        "rule": rule,
        "load": load,
        "outage": outage,
        "mean": mean(late),
        "longest": max(late),
        "trials_an_hour": trials / repeats * 3600.0 / outage,
    }


def measured(calls: int, repeats: int) -> dict[str, list[dict[str, Any]]]:
    """All three questions, over every rule and load."""
    progress = Progress("trip_rule", len(RULES) * len(LOADS) * (len(ERROR_RATES) + 1) + 2)

    def stepping(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for row in rows:
            progress.step()
            yield row

    return {
        "false_trips": list(
            stepping(
                false_trips(rule, load, errors, calls)
                for errors in ERROR_RATES
                for load in LOADS
                for rule in RULES
            )
        ),
        "time_to_trip": list(
            stepping(time_to_trip(rule, load, repeats) for load in LOADS for rule in RULES)
        ),
        "recovery": list(
            stepping(recovery("default", 10.0, outage, repeats) for outage in OUTAGES)
        ),
    }


def _text(result: dict[str, list[dict[str, Any]]]) -> str:
    trips = [
        [
            f"{row['errors']:.0%} errors, {row['load']:g}/s, {row['rule']}",
            f"{row['seen']} in {row['seen_in_days']:.3g} days",
            f"{row['a_day']:.3g}",
            f"{row['run']}",
            f"{row['run_a_day']:.2g}",
        ]
        for row in result["false_trips"]
    ]
    dead = [
        [
            f"{row['load']:g}/s, {row['rule']}",
            f"{row['median']:.2f}",
            f"{row['p99']:.2f}",
            f"{row['calls']:.1f}",
        ]
        for row in result["time_to_trip"]
    ]
    back = [
        [
            f"{row['outage']:g} s, {row['load']:g}/s",
            f"{row['mean']:.1f}",
            f"{row['longest']:.1f}",
            f"{row['trials_an_hour']:.0f}",
        ]
        for row in result["recovery"]
    ]
    return "\n\n".join(
        [
            table(["a healthy provider", "trips seen", "a day", "run", "a day by p^run"], trips),
            table(["a dead provider", "s to trip, median", "p99", "calls failed"], dead),
            table(["after an outage", "s until used, mean", "longest", "trials an hour"], back),
        ]
    )


def main(argv: list[str]) -> int:
    """Runs the simulation; see `--help`."""
    options = report.parser("trip_rule", __doc__ or "").parse_args(argv)
    result = measured(20_000, 50) if options.quick else measured(1_000_000, 300)
    report.show("trip_rule", result, lambda: _text(result), as_json=options.json)
    return 0
