"""How long circuits were not closed, told from their changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

from multirouter.report.model import Opening


class Change(NamedTuple):
    """What is read of a circuit's change; see `history_schema.CIRCUITS`."""

    at: float
    run: str
    router: str
    provider: str
    old: str
    new: str
    reason: str


def trips_in(changes: Iterable[Change], since: float, until: float) -> int:
    """How many times closed circuits opened."""
    return sum(
        since <= change.at < until and (change.old, change.new) == ("closed", "open")
        for change in changes
    )


def openings_in(
    changes: Iterable[Change], since: float, until: float, name: Callable[[str, str], str]
) -> list[Opening]:
    """The openings that lie in a span, wholly or in part, one for each process that saw it.

    Args:
        changes: all up to `until`, in order of time.
        since: begin of the span.
        until: its end.
        name: makes a provider's name from the router's and its own.
    """
    under_way: dict[tuple[str, str, str], Opening] = {}
    found: list[Opening] = []
    for change in changes:
        key = (change.router, change.provider, change.run)
        if change.new == "closed":
            opening = _ended(under_way, key)
            if opening is not None:
                found.append(replace(opening, ended=change.at))
        elif key in under_way:
            again = change.new == "open"
            opening = under_way[key]
            under_way[key] = replace(opening, reopened=opening.reopened + again)
        elif change.new == "open":
            provider = name(change.router, change.provider)
            under_way[key] = Opening(provider, change.reason, change.at, None, 0)
    found += under_way.values()
    inside = [o for o in found if o.began < until and (o.ended is None or o.ended > since)]
    return sorted(inside, key=lambda opening: (opening.began, opening.provider))


def _ended(
    under_way: dict[tuple[str, str, str], Opening], key: tuple[str, str, str]
) -> Opening | None:
    """What a closing ends: the process's own opening, or the one it took over from another."""
    if key in under_way:
        return under_way.pop(key)
    inherited = [other for other in under_way if other[:2] == key[:2]]
    return under_way.pop(inherited[0]) if inherited else None
