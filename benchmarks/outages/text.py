"""The text report: one table per scenario, the aims, and the tail breakdowns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.harness.tables import table

Format = Callable[[float], str]


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _decimals(places: int) -> Format:
    return lambda value: f"{value:,.{places}f}"


ROWS: tuple[tuple[str, str, Format], ...] = (
    ("calls", "calls", _whole),
    ("errors seen by callers", "errors", _whole),
    ("failures recovered by failover", "caught", _whole),
    ("p50, s", "p50", _decimals(2)),
    ("p95, s", "p95", _decimals(2)),
    ("p99, s", "p99", _decimals(2)),
    ("p99.9, s", "p99.9", _decimals(2)),
    ("max, s", "max", _decimals(1)),
    ("p99 over the oracle's", "p99_of_oracle", _decimals(3)),
    ("p99.9 over the oracle's", "p99.9_of_oracle", _decimals(3)),
    ("attempts per call", "attempts_per_call", _decimals(4)),
    ("attempts that met an outage", "wasted", _whole),
    ("  of all, in the background", "background", _whole),
    ("  of all, hedges", "hedges", _whole),
    ("runs of health_check=", "health_checks", _whole),
    ("circuits opened", "openings", _whole),
    ("  of a healthy provider", "opened_by_mistake", _whole),
    ("failed trials of a healthy provider", "reopened_by_mistake", _whole),
    ("recoveries of unavailable providers", "returns", _whole),
    ("  available after, median s", "back_median", _decimals(1)),
    ("  available after, p95 s", "back_p95", _decimals(1)),
    ("  available after, max s", "back_max", _decimals(1)),
    ("  later than 30 s", "back_late", _whole),
    ("  calls without it after 30 s", "passed_over_late", _whole),
    ("serves again after, median s", "serves_median", _decimals(1)),
    ("serves again after, max s", "serves_max", _decimals(1)),
    ("USD per 1,000 calls", "usd_per_1000", _decimals(2)),
    ("real seconds", "took", _decimals(1)),
)


def report(result: Mapping[str, Any]) -> str:
    """The whole result as text."""
    parts = []
    for name, found in result["scenarios"].items():
        parts += [_headline(name, found), _figures(found), _aims(found)]
    parts += [_tail(where) for where in result["tails"]]
    return "\n\n".join(parts)


def _headline(name: str, found: Mapping[str, Any]) -> str:
    hours, outages = found["hours"], found["outages"]
    times = f"{min(outages)}" if len(set(outages)) == 1 else f"{min(outages)} to {max(outages)}"
    seeds = (
        f"seed {found['seeds'][0]}"
        if len(found["seeds"]) == 1
        else (f"{len(found['seeds'])} seeds, median (min..max)")
    )
    return (
        f"{name}: {hours:g} hours at {found['rate']:.3g} calls a second, "
        f"{times} outages of single providers, {seeds}"
    )


def _figures(found: Mapping[str, Any]) -> str:
    policies = found["policies"]
    rows = [
        [label, *(_cell(policy["over_seeds"][key], form) for policy in policies.values())]
        for label, key, form in ROWS
    ]
    for provider in next(iter(policies.values()))["over_seeds"]["shares"]:
        cells = [_cell(p["over_seeds"]["shares"][provider], _share) for p in policies.values()]
        rows.append([f"share of {provider}", *cells])
    return table(["", *policies], rows)


def _share(value: float) -> str:
    return f"{value:.1%}"


def _cell(value: Mapping[str, float], form: Format) -> str:
    minimum, middle, maximum = form(value["min"]), form(value["median"]), form(value["max"])
    return middle if minimum == maximum else f"{middle} ({minimum}..{maximum})"


def _aims(found: Mapping[str, Any]) -> str:
    rows = [
        [
            f"{aim['policy']}: {aim['aim']}",
            f"{aim['at_most']:g}",
            _cell(aim, lambda value: f"{value:.4g}"),
            "yes" if aim["reached_by_all_seeds"] else "by the median" if aim["reached"] else "NO",
        ]
        for aim in found["aims"]
    ]
    return table(["aim", "at most", "found", "reached"], rows)


def _tail(where: Mapping[str, Any]) -> str:
    head = (
        f"{where['scenario']}, {where['policy']}, seed {where['seed']}: "
        f"calls slower than {where['slower_than']:.2f} s (the oracle's p99.9), "
        "by their longest attempt"
    )
    slow = [
        [r["kind"], str(r["calls"]), str(r["of_one_attempt"]), f"{r['median']:.1f}",
         f"{r['slowest']:.1f}"]
        for r in where["slow_calls"]
    ]  # fmt: skip
    extra = [
        [f"{r['why']}, {r['kind']}", str(r["attempts"]), f"{r['per_call']:.5f}"]
        for r in where["extra_attempts"]
    ]
    return "\n\n".join(
        [
            head,
            table(["kind of outage", "calls", "of one attempt", "median s", "max s"], slow),
            *_examples(where["slow_calls"]),
            table(["attempts beyond the first", "attempts", "per call"], extra),
            _openings(where["false_openings"]),
            _recoveries(where["late_returns"]),
            *(f"call {number} failed: {error}" for number, error in where["errors"].items()),
        ]
    )


def _examples(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        "\n".join([f"{row['kind']}, the slowest:", *(f"  {line}" for line in row["examples"])])
        for row in rows
    ]


def _openings(found: Sequence[Mapping[str, Any]]) -> str:
    if not found:
        return "no circuit of a healthy provider opened"
    rows = [[f"{o['provider']}, was {o['from']}: {o['why']}", str(o["times"])] for o in found]
    return table(["circuit of a healthy provider opened", "times"], rows)


def _recoveries(found: Sequence[Mapping[str, Any]]) -> str:
    if not found:
        return "every recovered provider was available in time"
    lines = [
        f"  {late['seconds']:6.1f} s  {late['provider']} after {late['kind']} "
        f"(at {late['recovered']:.0f}): {late['turns']}"
        for late in found
    ]
    return "\n".join(["available later than 30 s after the recovery:", *lines])
