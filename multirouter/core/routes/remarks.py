"""Remarks on resolved routes: what is set up so that it cannot work as meant."""

from __future__ import annotations

from collections.abc import Mapping

from multirouter.core.routes.resolved_route import ResolvedRoute


def remarks_on(route: ResolvedRoute) -> tuple[str, ...]:
    """Returns remarks on one route, as text.

    They say where a strategy lacks the settings that it compares, and when all providers share a
    failure domain.
    """
    several = len(route.tiers) > 1
    found = [
        f"{f'tier {number}, ' if several else ''}{tier.policy.how}: {tier.policy.remark}"
        for number, tier in enumerate(route.tiers, 1)
        if tier.policy.remark
    ]
    return (*found, *(f"all providers share the domain {d!r}" for d in _shared_domains(route)))


def warnings_of(routes: Mapping[str, ResolvedRoute]) -> tuple[str, ...]:
    """Returns the remarks on all routes, each with the names of its routes."""
    routes_by_remark: dict[str, list[str]] = {}
    for name, route in routes.items():
        for remark in remarks_on(route):
            routes_by_remark.setdefault(remark, []).append(name)
    return tuple(
        f"{'route' if len(names) == 1 else 'routes'} {', '.join(names)}: {remark}"
        for remark, names in routes_by_remark.items()
    )


def _shared_domains(route: ResolvedRoute) -> list[str]:
    """The failure domains that all providers of a route share; none for a single provider."""
    first, *others = (member.provider for member in route.members)
    if not others:
        return []
    return [domain for domain in first.domains if all(domain in other.domains for other in others)]
