"""State of a router as plain data (`snapshot`) and as text (`explain`)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from multirouter.core.cost.account import Account
from multirouter.core.events import AlarmChanged
from multirouter.core.routes.remarks import remarks_on
from multirouter.core.routes.resolved_route import ResolvedRoute
from multirouter.core.selection.candidate import Candidate
from multirouter.core.selection.tier_tables import Tier


@dataclass(frozen=True, slots=True)
class CandidateStatus:
    """Status of one provider on a route.

    Attributes:
        provider: the provider's name.
        share: its share of the next weighted choice in its tier, 0 to 1; None where a strategy
            chooses.
        answers: its share of the route's answers in the health window, 0 to 1; None when there
            were none.
        state: `closed`, or why the provider is not a candidate and until when, as text.
    """

    provider: str
    share: float | None
    state: str
    answers: float | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Status of all providers of a route, now; `print` shows it as a table.

    Attributes:
        route: the route's name.
        tiers: for each tier, in order, the status of its providers.
        diverted_for: seconds since the route's calls have been answered by other providers than
            its first choice; None when they are not.
        remarks: what is set up so that it cannot work as meant, as text.
        timeout: timeout of a call on the route that names none, seconds.
    """

    route: str
    tiers: tuple[tuple[CandidateStatus, ...], ...]
    diverted_for: float | None = None
    remarks: tuple[str, ...] = ()
    timeout: float = math.inf

    def __str__(self) -> str:
        lines = [f"route {self.route!r}"]
        if self.diverted_for is not None:
            lines[0] += f", not answered by its first choice for {self.diverted_for:.0f} s"
        for number, tier in enumerate(self.tiers, 1):
            lines.append(f"  tier {number}")
            width = max(len(status.provider) for status in tier)
            lines += [f"    {s.provider:<{width}}  {_percents(s)}  {s.state}" for s in tier]
        return "\n".join([*lines, *(f"  note: {remark}" for remark in self.remarks)])


def _percents(status: CandidateStatus) -> str:
    share = "     -" if status.share is None else f"{status.share:>6.1%}"
    return share if status.answers is None else f"{share}  answered {status.answers:>6.1%}"


def explain(route: ResolvedRoute, now: float, request: Any = None) -> Explanation:
    """Returns the status of a route's providers.

    Args:
        route: the route.
        now: loop time, seconds.
        request: the request of a call; None leaves out which providers cannot serve it.
    """
    ineligible: Mapping[str, str] = {}
    if request is not None and route.eligibility is not None:
        ineligible = route.eligibility.reasons(request)
    answers = _answer_shares(route, now)
    return Explanation(
        route.name,
        tuple(
            tuple(_status(tier, m, now, ineligible, answers.get(m.name)) for m in tier.members)
            for tier in route.tiers
        ),
        _diverted_for(route, now),
        remarks_on(route),
        route.timeout,
    )


def _answer_shares(route: ResolvedRoute, now: float) -> Mapping[str, float]:
    """Each provider's share of the route's answers in the health window; empty without answers."""
    counts = {member.name: member.health.answers_at(now) for member in route.members}
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()} if total else {}


def _diverted_for(route: ResolvedRoute, now: float) -> float | None:
    diversion = route.diversion
    return now - diversion.since if diversion is not None and diversion.active else None


def _status(
    tier: Tier,
    member: Candidate,
    now: float,
    ineligible: Mapping[str, str],
    answers: float | None,
) -> CandidateStatus:
    share = tier.view(now, frozenset(ineligible)).share(member)
    if member.key in ineligible:
        return CandidateStatus(member.name, 0.0, ineligible[member.key], answers)
    state, health = member.gate.describe(now), member.health
    if member.degraded_at(now):
        calls, failures = health.counts_at(now)
        state += f", degraded ({1 - failures / calls:.0%} of {calls} calls succeeded)"
    return CandidateStatus(member.name, share, state, answers)


def snapshot(
    router: str,
    routes: Mapping[str, ResolvedRoute],
    now: float,
    alarms: Iterable[AlarmChanged] = (),
) -> dict[str, Any]:
    """Returns the state of a router as plain data that `json.dumps` accepts.

    Args:
        router: the router's name.
        routes: its routes by name.
        now: loop time, seconds.
        alarms: the alarms that are firing.

    Returns:
        A dict with:

        - `router`: the router's name.
        - `at`: loop time, seconds.
        - `providers`: by name, a dict with `state` (`closed`, `open`, `half_open`), `available`
          (whether an attempt could start now), `generation` (rises with every change of state),
          `consecutive_openings` (how many times in a row it opened without a recovery),
          `half_open_in` (seconds, None when not open), `cooldown_remaining` (seconds, 0 without a
          cooldown), `hold`, `models` (state by model, of those whose circuit is not closed),
          `in_flight`, `calls` and `failures` of the circuit's window, `last_failure`, `budgets`
          (for each `per`, `usd`, `spent` and `ends_in`, seconds), and `learned_limits` (for each
          `source`, which is `headers` or `429s`, `model`, `name`, `unit`, `limit`, `remaining` and
          `resets_in`, seconds; None for what is not known).
        - `routes`: by name, a dict with `tiers`, `budgets`, `first_choice` (names of the providers
          that it prefers when all are available) and `diverted_for` (seconds for which others have
          answered its calls; None when they have not). A tier is a list of providers, each with
          `provider`, `weight`, `share` (None where a strategy chooses), `answers` (its share of the
          route's answers in the health window, None without any), `degraded`, `recent_calls` and
          `success_rate` of the health window, and `p50`, `p99` and `timeout` in seconds (None when
          unknown or without limit). `budgets` are as above with their `owner`; each route includes
          the router's own.
        - `alarms`: those that are firing, each with `alarm`, `subject`, `value`, `text` and
          `firing_for` (seconds).
    """
    members = {m.name: m for route in routes.values() for m in route.members}
    return {
        "router": router,
        "at": now,
        "providers": {name: _provider(member, now) for name, member in members.items()},
        "routes": {
            name: {
                "tiers": _tiers(route, now),
                "first_choice": [m.name for m in route.members if m.name in route.first_choice],
                "diverted_for": _diverted_for(route, now),
                "budgets": [
                    {"owner": account.owner} | budget
                    for account in route.limits
                    if isinstance(account, Account)
                    for budget in account.snapshot()
                ],
            }
            for name, route in routes.items()
        },
        "alarms": [
            {
                "alarm": event.alarm,
                "subject": event.subject,
                "value": event.value,
                "text": event.text,
                "firing_for": now - event.since,
            }
            for event in alarms
        ],
    }


def _provider(member: Candidate, now: float) -> dict[str, Any]:
    gate = member.gate
    circuit = gate.circuit
    calls, failures = circuit.window.counts_at(now)
    half_open_in = circuit.half_open_at - now
    return {
        "state": str(circuit.state(now)),
        "available": gate.admits(now),
        "generation": circuit.generation,
        "consecutive_openings": circuit.consecutive_openings,
        "half_open_in": half_open_in if 0 < half_open_in < math.inf else None,
        "cooldown_remaining": max(0.0, gate.cooldown_until - now),
        "hold": gate.hold,
        "models": {} if gate.models is None else gate.models.states(now),
        "in_flight": gate.in_flight,
        "calls": calls,
        "failures": failures,
        "last_failure": gate.last_failure,
        "budgets": [] if gate.account is None else gate.account.snapshot(),
        "learned_limits": [] if gate.learned is None else gate.learned.snapshot(now),
    }


def _tiers(route: ResolvedRoute, now: float) -> list[list[dict[str, Any]]]:
    answers = _answer_shares(route, now)
    return [
        [
            _tier_member(member, now, table.share(member), answers.get(member.name))
            for member in tier.members
        ]
        for tier in route.tiers
        for table in (tier.view(now),)
    ]


def _tier_member(
    member: Candidate, now: float, share: float | None, answers: float | None
) -> dict[str, Any]:
    latencies = member.latency.latencies
    calls, failures = member.health.counts_at(now)
    known = latencies.samples > 0
    timeout = min(member.timeout, member.latency.limit)
    return {
        "provider": member.name,
        "weight": member.weight,
        "share": share,
        "answers": answers,
        "degraded": member.degraded_at(now),
        "recent_calls": calls,
        "success_rate": 1.0 - failures / calls if calls else None,
        "p50": latencies.percentile(0.5) if known else None,
        "p99": latencies.percentile(0.99) if known else None,
        "timeout": timeout if timeout < math.inf else None,
    }
