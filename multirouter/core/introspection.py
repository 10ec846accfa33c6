"""The router in plain data and in words: what `snapshot()` and `explain()` show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from multirouter.core.cost.budgets import Account
from multirouter.core.routes.resolved_route import ResolvedRoute
from multirouter.core.selection.candidate import Candidate
from multirouter.core.selection.tier_tables import Tier


@dataclass(frozen=True, slots=True)
class CandidateStatus:
    """Where one provider stands on a route.

    Attributes:
        provider: its name.
        share: its share of the next draw in its tier, 0 to 1; None where a strategy chooses.
        state: `closed`, or why it is not drawn and until when, in words.
    """

    provider: str
    share: float | None
    state: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why calls go where they go, now; `print` it.

    Attributes:
        route: the route's name.
        tiers: for each tier, in order, where its providers stand.
    """

    route: str
    tiers: tuple[tuple[CandidateStatus, ...], ...]

    def __str__(self) -> str:
        lines = [f"route {self.route!r}"]
        for number, tier in enumerate(self.tiers, 1):
            lines.append(f"  tier {number}")
            width = max(len(standing.provider) for standing in tier)
            lines += [f"    {s.provider:<{width}}  {_percent(s)}  {s.state}" for s in tier]
        return "\n".join(lines)


def _percent(standing: CandidateStatus) -> str:
    return "     -" if standing.share is None else f"{standing.share:>6.1%}"


def explain(route: ResolvedRoute, now: float, request: Any = None) -> Explanation:
    """Where the providers of a route stand.

    Args:
        route: the route.
        now: loop time, seconds.
        request: what would be asked; None leaves out who fits it.
    """
    misfits: Mapping[str, str] = {}
    if request is not None and route.fit is not None:
        misfits = route.fit.why(request)
    return Explanation(
        route.name,
        tuple(
            tuple(_standing(tier, m, now, misfits) for m in tier.members) for tier in route.tiers
        ),
    )


def _standing(
    tier: Tier, member: Candidate, now: float, misfits: Mapping[str, str]
) -> CandidateStatus:
    share = tier.table(now, frozenset(misfits)).share(member)
    if member.name in misfits:
        return CandidateStatus(member.name, 0.0, misfits[member.name])
    state, health = member.gate.describe(now), member.health
    if member.degraded:
        state += f", degraded ({health.success_rate:.0%} of {health.calls} succeeded)"
    return CandidateStatus(member.name, share, state)


def snapshot(router: str, routes: Mapping[str, ResolvedRoute], now: float) -> dict[str, Any]:
    """The whole router as plain data that `json.dumps` takes.

    Returns:
        `router`, `at` (loop time, s), `providers` (by name: state, era, opened, reset_in,
        cooldown_for, hold, in_flight, calls, failures, last_failure, budgets: for each per, usd,
        spent and ends_in, s) and `routes` (by name: tiers of providers with weight, share,
        degraded, recent_calls and success_rate of the health window, p50, p99 and limit in
        seconds, None when unknown, a share too where a strategy chooses; and budgets, as above
        with their owner, the router's own on each route).
    """
    members = {m.name: m for route in routes.values() for m in route.members}
    return {
        "router": router,
        "at": now,
        "providers": {name: _provider(member, now) for name, member in members.items()},
        "routes": {
            name: {
                "tiers": [
                    [_seat(m, tier.table(now).share(m)) for m in tier.members]
                    for tier in route.tiers
                ],
                "budgets": [
                    {"owner": account.owner} | standing
                    for account in route.limits
                    if isinstance(account, Account)
                    for standing in account.standing()
                ],
            }
            for name, route in routes.items()
        },
    }


def _provider(member: Candidate, now: float) -> dict[str, Any]:
    gate = member.gate
    circuit = gate.circuit
    circuit.window.settle(now)
    left = circuit.half_open_at - now
    return {
        "state": str(circuit.state(now)),
        "available": gate.admits(now),
        "era": circuit.generation,
        "opened": circuit.opened,
        "reset_in": left if 0 < left < float("inf") else None,
        "cooldown_for": max(0.0, gate.cooldown_until - now),
        "hold": gate.hold,
        "in_flight": gate.in_flight,
        "calls": circuit.window.calls,
        "failures": circuit.window.failures,
        "last_failure": gate.last_failure,
        "budgets": [] if gate.account is None else gate.account.standing(),
    }


def _seat(member: Candidate, share: float | None) -> dict[str, Any]:
    latencies = member.latency.latencies
    known = latencies.samples > 0
    limit = min(member.timeout, member.latency.limit)
    return {
        "provider": member.name,
        "weight": member.weight,
        "share": share,
        "degraded": member.degraded,
        "recent_calls": member.health.calls,
        "success_rate": member.health.success_rate,
        "p50": latencies.percentile(0.5) if known else None,
        "p99": latencies.percentile(0.99) if known else None,
        "limit": limit if limit < float("inf") else None,
    }
