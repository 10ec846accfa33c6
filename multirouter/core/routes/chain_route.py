"""Resolved chain: the routes of its targets as the tiers of one route."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from multirouter.core.cost.billing import Billing
from multirouter.core.cost.target_billing import ChainBilling, TargetPricing
from multirouter.core.limits.rate_limits import AdmissionLimit
from multirouter.core.routes.chain import Chain, Target
from multirouter.core.routes.configuration_use import ConfigurationUse
from multirouter.core.routes.diversion import Diversion
from multirouter.core.routes.model_watch import ModelWatch, watch_of
from multirouter.core.routes.resolved_route import ResolvedRoute, sticky_of
from multirouter.core.selection.attempt_rules import Accept, AttemptRules
from multirouter.core.selection.candidate import Candidate
from multirouter.core.selection.eligibility import NONE_EXCLUDED, Eligibility
from multirouter.core.selection.lacks import lack_check_of
from multirouter.core.selection.shadow_targets import ShadowTargets
from multirouter.core.selection.sticky import Sticky
from multirouter.core.selection.tier_tables import Tier
from multirouter.core.settings.failure_rules import Rule
from multirouter.core.settings.policies import HedgePolicy, RetryPolicy
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.model import FailureKind


class Link(NamedTuple):
    """One target of a resolved chain.

    Attributes:
        route: its resolved route.
        tiers: its tiers, without candidates that occur in an earlier link.
        attempt_timeout: the target's, seconds; infinite without one.
        members: its candidates.
        limits: the limits and accounts that not all targets share.
    """

    route: ResolvedRoute
    tiers: tuple[Tier, ...]
    attempt_timeout: float
    members: tuple[Candidate, ...]
    limits: tuple[AdmissionLimit, ...]


class ChainRoute(ResolvedRoute):
    """A chain with all settings filled in; see `Chain` for what comes from which target.

    Args:
        chain: the chain.
        routes: those of its targets that can serve the call, each with its resolved route.

    Attributes:
        chain: the chain.
        links: its targets, in order; those whose candidates all occur before are left out.
    """

    __slots__ = ("_positions", "chain", "links")

    is_chain: ClassVar[bool] = True

    def __init__(self, chain: Chain, routes: Sequence[tuple[Target, ResolvedRoute]]) -> None:
        # No super().__init__: its settings are those of the targets' routes, resolved already.
        first, bases = routes[0][1], [route for _, route in routes]
        self.chain: Chain = chain
        self.name: str = first.name
        self.use: ConfigurationUse = first.use
        self.diversion: Diversion | None = first.diversion
        self.first_choice: frozenset[str] = first.first_choice
        if chain.only is not None:  # the caller's choice diverts no route
            self.diversion, self.first_choice = None, chain.only
        self.limits: tuple[AdmissionLimit, ...] = tuple(
            one for one in first.limits if all(one in b.limits for b in bases)
        )
        self.links: tuple[Link, ...] = tuple(_links(routes, self.limits, chain.only))
        self.tiers: tuple[Tier, ...] = tuple(tier for link in self.links for tier in link.tiers)
        self.sticky: Sticky | None = first.sticky and sticky_of(self.tiers)
        self.members: tuple[Candidate, ...] = tuple(
            member for link in self.links for member in link.members
        )
        self._positions = {m.key: at for at, link in enumerate(self.links) for m in link.members}
        self.models: ModelWatch | None = watch_of(self.members)
        self.eligibility: Eligibility | None = _eligibility(self.links, self.members)
        self.attempt_rules: AttemptRules = first.attempt_rules
        self.rules: Mapping[FailureKind, Rule] = first.rules
        self.accept: Accept | None = first.accept
        self.retry: RetryPolicy = first.retry
        self.hedge: HedgePolicy | None = first.hedge
        self.stream: StreamPolicy = first.stream
        self.shadow: ShadowTargets | None = first.shadow
        self.timeout: float = max(base.timeout for base in bases)
        self.fallback: Any = next((b.fallback for b in bases if b.fallback is not None), None)
        self.sizes: tuple[Callable[[Any], int], ...] = tuple(
            {size for base in bases for size in base.sizes}
        )
        pricings = {member.name: member.pricing for member in self.links[0].members}
        self.billing: Billing = ChainBilling([link.route.billing for link in self.links], pricings)

    def position(self, member: Candidate) -> int:
        """Position of a member's target in `links`."""
        return self._positions[member.key]


class ChainEligibility(Eligibility):
    """Eligibility on a chain whose targets have different functions for it.

    Args:
        parts: the eligibility of the candidates that have the same functions.
    """

    __slots__ = ("_parts",)

    def __init__(self, parts: Iterable[Eligibility]) -> None:
        self._parts = tuple(parts)

    def ineligible(self, request: Any) -> frozenset[str]:
        """See `Eligibility.ineligible`."""
        return NONE_EXCLUDED.union(*(part.ineligible(request) for part in self._parts))

    def reasons(self, request: Any) -> Mapping[str, str]:
        """See `Eligibility.reasons`."""
        return {key: why for part in self._parts for key, why in part.reasons(request).items()}


def _links(
    routes: Sequence[tuple[Target, ResolvedRoute]],
    shared: Collection[AdmissionLimit],
    only: Collection[str] | None,
) -> Iterable[Link]:
    keys: dict[tuple[str, str], str] = {}
    position = 0
    for target, route in routes:
        timeout = math.inf if target.attempt_timeout is None else target.attempt_timeout
        tiers = []
        for tier in route.tiers:
            members = []
            for member in tier.members:
                place = member.name, target.model
                if place not in keys and (only is None or member.name in only):
                    keys[place] = _new_key(*place, keys.values())
                    members.append(_candidate(member, keys[place], target.model, timeout, position))
            if members:
                tiers.append(tier.with_members(members))
        if tiers:
            all_members = tuple(member for tier in tiers for member in tier.members)
            own = tuple(limit for limit in route.limits if limit not in shared)
            yield Link(route, tuple(tiers), timeout, all_members, own)
            position += 1


def _candidate(member: Candidate, key: str, model: str, timeout: float, position: int) -> Candidate:
    pricing = TargetPricing(member.pricing, model, position)
    transforms = (_naming(model),) if model else ()
    return member.for_target(key, pricing, transforms, timeout)


def _naming(model: str) -> Callable[[Any], Any]:
    """The transform that names a model in a request."""
    return lambda request: {**request, "model": model}


def _new_key(name: str, model: str, keys: Collection[str]) -> str:
    """A candidate's key: the provider's name; where that is taken, the name and the model."""
    key = name
    while key in keys:
        key = f"{key} ({model or 'its own model'})"
    return key


def _eligibility(links: Iterable[Link], all_members: Sequence[Candidate]) -> Eligibility | None:
    """One eligibility for all candidates with the same functions: sizes exclude never all."""
    members: dict[tuple[Any, Any], list[Candidate]] = {}
    limited = set()
    for link in links:
        own = link.route.eligibility
        hooks = (None, None) if own is None else own.hooks
        members.setdefault(hooks, []).extend(link.members)
        if own is not None:
            limited.add(hooks)
    parts = [Eligibility(members[hooks], *hooks) for hooks in members if hooks in limited]
    lacks = lack_check_of(all_members)
    if lacks is not None:
        parts.append(Eligibility((), None, None, lacks))
    return ChainEligibility(parts) if len(parts) > 1 else next(iter(parts), None)
