"""The router in plain data and in words: what `snapshot()` and `explain()` show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from multirouter.core.roster import CompiledRoute
from multirouter.core.selection import Member


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one provider stands on a route.

    Attributes:
        provider: its name.
        share: its share of the next draw in its tier, 0 to 1.
        state: `closed`, or why it is not drawn and until when, in words.
    """

    provider: str
    share: float
    state: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why calls go where they go, now; `print` it.

    Attributes:
        route: the route's name.
        tiers: for each tier, in order, where its providers stand.
    """

    route: str
    tiers: tuple[tuple[Standing, ...], ...]

    def __str__(self) -> str:
        lines = [f"route {self.route!r}"]
        for number, tier in enumerate(self.tiers, 1):
            lines.append(f"  tier {number}")
            width = max(len(standing.provider) for standing in tier)
            lines += [f"    {s.provider:<{width}}  {s.share:>6.1%}  {s.state}" for s in tier]
        return "\n".join(lines)


def explain(route: CompiledRoute, now: float) -> Explanation:
    """Where the providers of a route stand at `now` (loop time, seconds)."""
    return Explanation(
        route.name,
        tuple(
            tuple(
                Standing(m.name, tier.table(now).share(m), m.gate.describe(now))
                for m in tier.members
            )
            for tier in route.tiers
        ),
    )


def snapshot(router: str, routes: Mapping[str, CompiledRoute], now: float) -> dict[str, Any]:
    """The whole router as plain data that `json.dumps` takes.

    Returns:
        `router`, `at` (loop time, s), `providers` (by name: state, era, opened, reset_in,
        cooling_for, hold, in_flight, calls, failures, last_failure, budgets: for each per, usd,
        spent and ends_in, s) and `routes` (by name: tiers
        of providers with weight, share, p50, p99 and limit in seconds, None when unknown).
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
                ]
            }
            for name, route in routes.items()
        },
    }


def _provider(member: Member, now: float) -> dict[str, Any]:
    gate = member.gate
    circuit = gate.circuit
    circuit.window.settle(now)
    left = circuit.reset_at - now
    return {
        "state": str(circuit.state(now)),
        "available": gate.admits(now),
        "era": circuit.era,
        "opened": circuit.opened,
        "reset_in": left if 0 < left < float("inf") else None,
        "cooling_for": max(0.0, gate.cooling_until - now),
        "hold": gate.hold,
        "in_flight": gate.in_flight,
        "calls": circuit.window.calls,
        "failures": circuit.window.failures,
        "last_failure": gate.last_failure,
        "budgets": [] if gate.account is None else gate.account.standing(),
    }


def _seat(member: Member, share: float) -> dict[str, Any]:
    latencies = member.pace.latencies
    known = latencies.samples > 0
    limit = min(member.timeout, member.pace.limit)
    return {
        "provider": member.name,
        "weight": member.weight,
        "share": share,
        "p50": latencies.percentile(0.5) if known else None,
        "p99": latencies.percentile(0.99) if known else None,
        "limit": limit if limit < float("inf") else None,
    }
