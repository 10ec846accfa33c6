"""The fleet as plain data, for the admin API and its console."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from multirouter.core.sharing.facts import Fact, fact_value
from multirouter.sharing.transport import FleetMember, Identity


def overview(
    identity: Identity,
    members: Sequence[FleetMember],
    facts: Iterable[Fact],
    *,
    to: str,
    namespace: str,
    lag: float,
    connected: bool,
) -> dict[str, Any]:
    """Returns the fleet as plain data.

    Args:
        identity: this process.
        members: the connected processes, this one first.
        facts: what is known.
        to: where the state is, without a password.
        namespace: the prefix of its keys.
        lag: seconds that the last message was under way, or NaN.
        connected: whether this process is connected.

    Returns:
        `connected`, `to`, `namespace`; `fleet`: the name of the routers; `id` of this process;
        `processes` and `hosts`: how many are connected; `lag`: seconds, or None; `members`: a list
        of `id`, `host`, `pid` and `providers` (the `state`, `hold` and `cooling_down` of those that
        are not simply closed); `facts`: a list of `kind`, `subject`, `value`, `by` (the id of a
        process) and `left` (seconds, or None for what lasts).
    """
    return {
        "connected": connected,
        "to": to,
        "namespace": namespace,
        "fleet": identity.fleet,
        "id": identity.origin,
        "processes": len(members),
        "hosts": len({member.host for member in members}),
        "lag": None if math.isnan(lag) else lag,
        "members": [_member(member) for member in members],
        "facts": [_fact(fact) for fact in facts],
    }


def _member(member: FleetMember) -> dict[str, Any]:
    return {
        "id": member.origin,
        "host": member.host,
        "pid": member.info.get("pid"),
        "providers": dict(member.beliefs),
    }


def _fact(fact: Fact) -> dict[str, Any]:
    return {
        "kind": fact.kind,
        "subject": fact.subject,
        "value": fact_value(fact),
        "by": fact.stamp.origin,
        "left": None if math.isinf(fact.left) else fact.left,
    }
