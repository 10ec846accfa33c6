"""What the page shows: the states of all processes of one router, merged into sections."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from multirouter.console.call_list import merged
from multirouter.console.traffic import MINUTES, percentile

CALLS = 100
"""Calls of each process that the page lists, whatever their outcome."""

Report = Mapping[str, Any]
"""The state of one process, see `report_of`."""


def report_of(router: Any, calls: Sequence[Mapping[str, Any]], traffic: Any) -> dict[str, Any]:
    """The state of one process, as plain data.

    Args:
        router: its router.
        calls: its last calls.
        traffic: its calls by the minute, see `Traffic.read`.
    """
    snapshot = router.snapshot()
    explanations = {name: router.explain(name) for name in snapshot["routes"]}
    return {
        "snapshot": snapshot,
        "states": {
            name: [[status.state for status in tier] for tier in explanation.tiers]
            for name, explanation in explanations.items()
        },
        "remarks": {name: list(found.remarks) for name, found in explanations.items()},
        "weights": {provider.name: provider.weight for provider in router.providers},
        "waiting": router.waiting,
        "calls": calls,
        "traffic": traffic,
    }


def providers_of(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """All providers: counts are sums over the processes, times the worst of them."""
    return [
        _provider(name, [r for r in reports if name in r["snapshot"]["providers"]])
        for name in _names(report["snapshot"]["providers"] for report in reports)
    ]


def routes_of(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """All routes with their tiers, and where their calls really go."""
    return [
        _route(name, [r for r in reports if name in r["snapshot"]["routes"]])
        for name in _names(report["snapshot"]["routes"] for report in reports)
    ]


def calls_of(reports: Iterable[Report]) -> list[Mapping[str, Any]]:
    """The last calls of all processes, newest first; see `CallList.shown`."""
    return merged(report["calls"] for report in reports)


def traffic_of(reports: Iterable[Report], at: float) -> dict[str, Any]:
    """The last hour by the minute, summed over the processes.

    Args:
        reports: the states.
        at: now, seconds since 1970.
    """
    newest = int(at // 60)
    first = newest - MINUTES + 1
    counts: list[Counter[str]] = [Counter() for _ in range(MINUTES)]
    latencies: list[Counter[int]] = [Counter() for _ in range(MINUTES)]
    providers: list[Counter[str]] = [Counter() for _ in range(MINUTES)]
    tokens, cost = [0] * MINUTES, [0.0] * MINUTES
    for report in reports:
        for minute in report["traffic"]:
            place = min(max(minute["minute"] - first, 0), MINUTES - 1)
            counts[place].update(minute["counts"])
            latencies[place].update(minute["latencies"])
            providers[place].update(minute["providers"])
            tokens[place] += minute["tokens"]
            cost[place] += minute["cost"]
    hour = sum(latencies, Counter())
    return {
        "end": newest * 60,
        "counts": counts,
        "providers": providers,
        "p50": [percentile(minute, 0.5) for minute in latencies],
        "p95": [percentile(minute, 0.95) for minute in latencies],
        "tokens": tokens,
        "cost": cost,
        "hour": {
            "counts": sum(counts, Counter()),
            "providers": sum(providers, Counter()),
            "p50": percentile(hour, 0.5),
            "p95": percentile(hour, 0.95),
            "tokens": sum(tokens),
            "cost": sum(cost),
        },
    }


def alarms_of(reports: Iterable[Report]) -> list[dict[str, Any]]:
    """The alarms that fire in any process, the oldest first; one that fires in several once."""
    oldest: dict[tuple[str, str], dict[str, Any]] = {}
    for report in reports:
        for alarm in report["snapshot"]["alarms"]:
            known = oldest.get((alarm["alarm"], alarm["subject"]))
            if known is None or known["firing_for"] < alarm["firing_for"]:
                oldest[alarm["alarm"], alarm["subject"]] = alarm
    return sorted(oldest.values(), key=itemgetter("firing_for"), reverse=True)


# -- one provider, one route ---------------------------------------------------------------------

_OWN_LIMITS = ("requests_per_minute", "in_flight")
"""Names of the limits that each process learns for itself."""

_SEVERITY = ("closed", "half_open", "open")


def _provider(name: str, reports: Sequence[Report]) -> dict[str, Any]:
    own = [report["snapshot"]["providers"][name] for report in reports]
    members = [
        member
        for report in reports
        for route in report["snapshot"]["routes"].values()
        for tier in route["tiers"]
        for member in tier
        if member["provider"] == name
    ]
    calls = sum(one["calls"] for one in own)
    failures = sum(one["failures"] for one in own)
    return {
        "provider": name,
        "state": max((one["state"] for one in own), key=_SEVERITY.index),
        "states": Counter(one["state"] for one in own),
        "available": sum(one["available"] for one in own),
        "processes": len(own),
        "text": _worst_text(name, reports),
        "weight": reports[0]["weights"].get(name),
        "in_flight": sum(one["in_flight"] for one in own),
        "calls": calls,
        "failures": failures,
        "p50": _most(members, "p50"),
        "p99": _most(members, "p99"),
        "timeout": _most(members, "timeout"),
        "degraded": any(member["degraded"] for member in members),
        "half_open_in": _most(own, "half_open_in"),
        "cooldown_remaining": _most(own, "cooldown_remaining") or 0.0,
        "consecutive_openings": max(one["consecutive_openings"] for one in own),
        "hold": next((one["hold"] for one in own if one["hold"]), None),
        "models": {model: state for one in own for model, state in one["models"].items()},
        "last_failure": next((one["last_failure"] for one in own if one["last_failure"]), None),
        "budgets": merged_budgets(one["budgets"] for one in own),
        "learned_limits": merged_limits(one["learned_limits"] for one in own),
    }


def _worst_text(name: str, reports: Sequence[Report]) -> str:
    """Why the provider is not available, in the words of `explain`; "" when it is everywhere."""
    for report in reports:
        if report["snapshot"]["providers"][name]["available"]:
            continue
        for route, found in report["snapshot"]["routes"].items():
            for tier, states in zip(found["tiers"], report["states"].get(route, ()), strict=False):
                for member, state in zip(tier, states, strict=False):
                    if member["provider"] == name:
                        return str(state)
    return ""


def _route(name: str, reports: Sequence[Report]) -> dict[str, Any]:
    routes = [report["snapshot"]["routes"][name] for report in reports]
    shape = routes[0]["tiers"]
    diverted = [route["diverted_for"] for route in routes if route["diverted_for"] is not None]
    return {
        "route": name,
        "first_choice": routes[0]["first_choice"],
        "diverted_for": max(diverted) if diverted else None,
        "remarks": reports[0]["remarks"].get(name, []),
        "budgets": merged_budgets(route["budgets"] for route in routes),
        "tiers": [[_member(member["provider"], routes) for member in tier] for tier in shape],
    }


def _found(route: Mapping[str, Any], provider: str) -> Mapping[str, Any]:
    """A provider's part of a route; empty where a process has not got it, during a reload."""
    members = (member for tier in route["tiers"] for member in tier)
    return next((member for member in members if member["provider"] == provider), {})


def _member(provider: str, routes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found = [_found(route, provider) for route in routes]
    return {
        "provider": provider,
        "weight": found[0].get("weight"),
        "share": _mean((member.get("share"), 1) for member in found),
        "answers": _mean(
            (member.get("answers"), _calls_of(route))
            for member, route in zip(found, routes, strict=True)
        ),
        "success_rate": _mean(
            (member.get("success_rate"), member.get("recent_calls", 0)) for member in found
        ),
        "recent_calls": sum(member.get("recent_calls", 0) for member in found),
        "degraded": any(member.get("degraded") for member in found),
        "p50": _most(found, "p50"),
        "p99": _most(found, "p99"),
        "timeout": _most(found, "timeout"),
    }


def _calls_of(route: Mapping[str, Any]) -> int:
    return sum(member["recent_calls"] for tier in route["tiers"] for member in tier)


def merged_budgets(groups: Iterable[Iterable[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Budgets by owner and period: each process has the whole budget, and spends of its own.

    Those that a fleet shares are one budget; the newest that any process knows is shown.
    """
    merged: dict[tuple[str, str], dict[str, Any]] = {}
    for group in groups:
        for budget in group:
            key = (str(budget.get("owner", "")), str(budget["per"]))
            known = merged.setdefault(key, {**budget, "spent": 0.0, "usd": 0.0})
            if budget.get("shared"):
                known["spent"] = max(known["spent"], budget["spent"])
                known["usd"] = budget["usd"]
                continue
            known["spent"] += budget["spent"]
            known["usd"] += budget["usd"]
    return list(merged.values())


def merged_limits(groups: Iterable[Iterable[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Learned limits by source, name and model.

    Of what headers report, the reading with the least left is shown; a rate and a concurrency that
    each process has learned for itself are added up.
    """
    merged: dict[tuple[str, str, str | None], dict[str, Any]] = {}
    for one in (one for group in groups for one in group):
        place = (one["source"], one["name"], one["model"])
        known = merged.get(place)
        if known is None or _left(one) < _left(known):
            merged[place] = {**one}
        elif one["name"] in _OWN_LIMITS:
            known["limit"] += one["limit"]
    return list(merged.values())


def _left(limit: Mapping[str, Any]) -> float:
    return math.inf if limit["remaining"] is None else float(limit["remaining"])


def _names(groups: Iterable[Iterable[str]]) -> Iterable[str]:
    """All names, in the order of their first appearance."""
    return dict.fromkeys(name for group in groups for name in group)


def _most(found: Iterable[Mapping[str, Any]], name: str) -> float | None:
    return max((one[name] for one in found if one.get(name) is not None), default=None)


def _mean(values: Iterable[tuple[float | None, int]]) -> float | None:
    """The mean of the known values by their numbers of calls; None without any."""
    known = [(value, calls) for value, calls in values if value is not None]
    total = sum(calls for _, calls in known)
    return sum(value * calls for value, calls in known) / total if total else None
