"""How a tier may choose other than by weight: by order, load, speed, price, quality or all of it.

A strategy is given to a route, by its name or as an object, and works within each of its tiers.
Weights decide among equals; a provider of weight 0 stays a reserve under every strategy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from multirouter.core import validation as check
from multirouter.core.cost.price import Price
from multirouter.core.selection.weighted import Choose, SelectionContext, Strategy, WeightedChoice
from multirouter.errors import ConfigurationError
from multirouter.model import Usage

if TYPE_CHECKING:
    from multirouter.core.selection.candidate import Candidate

COMPARED = 8
"""Candidates that are compared when there are more: so many drawn at random find one of the best
eighth in two of three draws, and cost the same among ten and a thousand.

Source: Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 2001, whose gain is
nearly whole at two; the others serve small tiers, which are so compared whole.
"""

TYPICAL = Usage(input=750, output=250)
"""The call by which prices are compared: a thousand tokens, three of four of them read.

Source: the 3:1 blend in which Artificial Analysis compares the prices of models.
"""

CHEAPEST_SHARE = 0.01
"""What is free counts as this share of the dearest price: no product is decided by it alone."""


class Ranked:
    """Asks the best by a fixed rank; those who share it by weight, the next when they are out.

    Args:
        how: the choice in words.
        rank: of a member and its place in the tier, the lowest first.
    """

    def __init__(self, how: str, rank: Callable[[Candidate, int], float]) -> None:
        self.how = how
        self._rank = rank

    def prepare(self, members: Sequence[Candidate]) -> Choose:
        """Ranks the tier's members once."""
        ranks = {member.name: self._rank(member, at) for at, member in enumerate(members)}
        seen: Sequence[Candidate] = ()
        best = WeightedChoice((), 0.0)

        def choose(candidates: Sequence[Candidate], asking: SelectionContext) -> Candidate:
            nonlocal seen, best
            if candidates is not seen:
                lowest = min(ranks[member.name] for member in candidates)
                first = [member for member in candidates if ranks[member.name] == lowest]
                best, seen = WeightedChoice(first, asking.now), candidates
            return best.pick(asking.rng, (), asking.now) or candidates[0]

        return choose


def in_order() -> Strategy:
    """The first of the tier, in the order in which it is written."""
    return Ranked("first in order", _place)


def cheapest() -> Strategy:
    """The lowest price of a `TYPICAL` call; who has no price comes last."""
    return Ranked("cheapest", _price)


def highest_quality() -> Strategy:
    """The highest `Provider(quality=)`; who has none comes last."""
    return Ranked("highest quality", _lack_of_quality)


def _place(_: Candidate, at: int) -> float:
    return at


def _price(member: Candidate, _: int = 0) -> float:
    price: Price | None = member.provider.price
    return math.inf if price is None else price.of(TYPICAL)


def _lack_of_quality(member: Candidate, _: int) -> float:
    quality: float | None = member.provider.quality
    return math.inf if quality is None else -quality


def _some(candidates: Sequence[Candidate], asking: SelectionContext) -> Sequence[Candidate]:
    """All candidates where they are few, else `COMPARED` of them."""
    if len(candidates) <= COMPARED:
        return candidates
    count, chance = len(candidates), asking.rng.random
    return [candidates[int(chance() * count)] for _ in range(COMPARED)]


class LeastInFlight:
    """The one with the fewest attempts under way; of those who share that, one by weight."""

    how = "least in flight"

    def prepare(self, members: Sequence[Candidate]) -> Choose:
        """Needs nothing."""

        def choose(candidates: Sequence[Candidate], asking: SelectionContext) -> Candidate:
            some = _some(candidates, asking)
            loads = [member.gate.in_flight for member in some]
            least = min(loads)
            if len(some) < len(candidates):  # a sample's order is chance already
                return some[loads.index(least)]
            idle = [m for m, load in zip(some, loads, strict=True) if load == least]
            weights = [member.weight for member in idle]
            return asking.rng.choices(idle, weights)[0] if len(idle) > 1 else idle[0]

        return choose


class Fastest:
    """Of two drawn at random the one that has less to wait for: latency times attempts in flight.

    Who has not answered yet is tried once. Source: Finagle, P2C with PeakEwma.
    """

    how = "faster of two"

    def prepare(self, members: Sequence[Candidate]) -> Choose:
        """Lets the members' latencies be followed."""
        for member in members:
            member.watch()

        def choose(candidates: Sequence[Candidate], asking: SelectionContext) -> Candidate:
            one, other = _two(candidates, asking)
            now = asking.now
            return other if _load(other, now) < _load(one, now) else one

        return choose


def _two(candidates: Sequence[Candidate], asking: SelectionContext) -> tuple[Candidate, Candidate]:
    count = len(candidates)
    one = int(asking.rng.random() * count)
    other = int(asking.rng.random() * (count - 1))
    return candidates[one], candidates[other if other < one else other + 1]


def _load(member: Candidate, now: float) -> float:
    return 0.0 if member.speed is None else member.speed.load(member.gate.in_flight, now)


class Balanced:
    """The least of expected wait times price over success rate, each to a power of its own.

    The wait is that of `Fastest`, the price that of a `TYPICAL` call, the success rate that of
    the health window. A price that is unknown counts as the tier's dearest, a success rate that
    is unknown as 1; who has not answered yet is tried once. Among more than `COMPARED`
    candidates that many are drawn and compared.

    Args:
        speed: the power of the wait, at least 0; 0 leaves it out.
        price: the power of the price, at least 0.
        health: the power of the success rate, at least 0. At 4 a provider that fails in one of
            five counts as two and a half times as slow.
    """

    how = "best balance"

    def __init__(self, *, speed: float = 1.0, price: float = 1.0, health: float = 4.0) -> None:
        self._speed = check.number("Balanced.speed", speed, least=0.0, most=100.0)
        self._price = check.number("Balanced.price", price, least=0.0, most=100.0)
        self._health = check.number("Balanced.health", health, least=0.0, most=100.0)

    def prepare(self, members: Sequence[Candidate]) -> Choose:
        """Works out the prices once, and lets the members' latencies be followed."""
        for member in members:
            member.watch()
        thrift = {name: price**self._price for name, price in _relative_prices(members).items()}

        def choose(candidates: Sequence[Candidate], asking: SelectionContext) -> Candidate:
            now, some = asking.now, _some(candidates, asking)
            scores = [self._score(member, now) * thrift[member.name] for member in some]
            return some[scores.index(min(scores))]

        return choose

    def _score(self, member: Candidate, now: float) -> float:
        rate = member.health.success_rate
        success = 1.0 if rate is None else max(rate, 1e-3)
        wait: float = _load(member, now) ** self._speed
        ease: float = success**self._health
        return wait / ease


def _relative_prices(members: Sequence[Candidate]) -> Mapping[str, float]:
    """Each price as a share of the tier's dearest, from `CHEAPEST_SHARE` to 1."""
    prices = {member.name: _price(member) for member in members}
    dearest = max((price for price in prices.values() if price < math.inf), default=0.0)
    if not dearest:
        return dict.fromkeys(prices, 1.0)
    return {n: min(1.0, max(CHEAPEST_SHARE, price / dearest)) for n, price in prices.items()}


NAMES: Mapping[str, Callable[[], Strategy | None]] = {
    "weighted": lambda: None,
    "in_order": in_order,
    "least_in_flight": LeastInFlight,
    "fastest": Fastest,
    "cheapest": cheapest,
    "highest_quality": highest_quality,
    "balanced": Balanced,
}
"""The strategies that have a name; `Sticky` needs a key and is given as an object."""


def strategy_named(what: str, given: Any) -> Strategy | None:
    """The strategy a user named or gave; None for the draw by weight.

    Args:
        what: the setting's name, for the error.
        given: a name out of `NAMES`, a `Strategy`, or None.

    Raises:
        ConfigurationError: for an unknown name, or what is no strategy.
    """
    if given is None:
        return None
    if isinstance(given, str):
        make = NAMES.get(given)
        if make is None:
            raise ConfigurationError(what, f"unknown strategy {check.near(given, NAMES)}")
        return make()
    if isinstance(given, type) or not callable(getattr(given, "prepare", None)):
        raise ConfigurationError(
            what, f"must be the name of a strategy, or an object with prepare(), not {given!r}"
        )
    strategy: Strategy = given
    return strategy
