"""Strategies of a tier beside the weighted choice: by order, load, latency, price or quality.

A strategy is given to a route, by its name or as an object, and applies within each of its tiers.
Weights decide among equals; a provider of weight 0 stays a reserve under every strategy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from multirouter.core import function_checks as hooks
from multirouter.core import validation as check
from multirouter.core.selection.exploration import BestSoFar, sample_of
from multirouter.core.selection.sticky import Sticky
from multirouter.core.selection.weighted import Choose, SelectionContext, Strategy, WeightedChoice
from multirouter.errors import ConfigurationError
from multirouter.model import Usage

if TYPE_CHECKING:
    from multirouter.core.selection.candidate import Candidate

TYPICAL_USAGE = Usage(input=750, output=250)
"""The call by which prices are compared: a thousand tokens, three of four of them input.

Source: the 3:1 blend in which Artificial Analysis compares the prices of models.
"""

MIN_PRICE_SHARE = 0.01
"""Lowest price as a share of the highest: a free provider is not chosen for its price alone."""


class Ranked:
    """The best candidates by a fixed rank; equals share by weight.

    Args:
        description: the choice in words.
        rank: the rank of a member, from the member and its position in the tier; the lowest is
            the best, infinity is unknown.
        setting: the setting of a provider that the rank comes from, if any.
    """

    def __init__(
        self, description: str, rank: Callable[[Candidate, int], float], setting: str = ""
    ) -> None:
        self.description = description
        self._rank = rank
        self._setting = setting

    def remark(self, members: Sequence[Candidate]) -> str:
        """What the strategy cannot do for lack of settings, as text, or ""."""
        unknown = [m.name for at, m in enumerate(members) if self._rank(m, at) == math.inf]
        if not unknown or len(members) == 1:
            return ""
        if len(unknown) == len(members):
            return f"no provider has {self._setting}, so weights decide"
        return f"without {self._setting}, chosen last: {', '.join(unknown)}"

    def best(self, members: Sequence[Candidate]) -> Sequence[Candidate]:
        """The members that are chosen when all are available."""
        ranks = [self._rank(member, at) for at, member in enumerate(members)]
        lowest = min(ranks)
        return [m for m, rank in zip(members, ranks, strict=True) if rank == lowest]

    def prepare(self, members: Sequence[Candidate]) -> Choose:
        """Ranks the tier's members once."""
        ranks = {member.name: self._rank(member, at) for at, member in enumerate(members)}
        previous: Sequence[Candidate] = ()
        best = WeightedChoice((), 0.0)

        def choose(candidates: Sequence[Candidate], context: SelectionContext) -> Candidate:
            nonlocal previous, best
            if candidates is not previous:
                lowest = min(ranks[member.name] for member in candidates)
                first = [member for member in candidates if ranks[member.name] == lowest]
                best, previous = WeightedChoice(first, context.now), candidates
            return best.pick(context.rng, (), context.now) or candidates[0]

        return choose


def in_order() -> Strategy:
    """The first candidate in the order of the tier."""
    return Ranked("first in order", _position)


def cheapest() -> Strategy:
    """The lowest price of a `TYPICAL_USAGE` call; providers without a price come last.

    Of a provider with prices by model, the price of its default model counts: `Provider(model=)`.
    """
    return Ranked("cheapest", _price, "price=")


def highest_quality() -> Strategy:
    """The highest `Provider(quality=)`; providers without one come last."""
    return Ranked("highest quality", _negative_quality, "quality=")


def _position(_: Candidate, at: int) -> float:
    return at


def _price(member: Candidate, _: int = 0) -> float:
    """Price of a `TYPICAL_USAGE` call of the model that it serves when a request names none."""
    price = member.pricing.default_price
    return math.inf if price is None else price.of(TYPICAL_USAGE)


def _negative_quality(member: Candidate, _: int) -> float:
    quality: float | None = member.provider.quality
    return math.inf if quality is None else -quality


class LeastInFlight:
    """The candidate with the fewest attempts in flight; equals share by weight."""

    description = "least in flight"

    def prepare(self, members: Sequence[Candidate]) -> Choose:
        """Returns the function that chooses; nothing is prepared."""

        def choose(candidates: Sequence[Candidate], context: SelectionContext) -> Candidate:
            sample = sample_of(candidates, context)
            loads = [member.gate.in_flight for member in sample]
            least = min(loads)
            if len(sample) < len(candidates):  # a sample is in random order already
                return sample[loads.index(least)]
            idle = [m for m, load in zip(sample, loads, strict=True) if load == least]
            weights = [member.weight for member in idle]
            return context.rng.choices(idle, weights)[0] if len(idle) > 1 else idle[0]

        return choose


class Fastest:
    """The shortest expected wait; see `LatencyAverage`.

    A provider without an answer so far gets one attempt. A small share of the calls goes to the
    other providers, so that one that has become faster is noticed; see `exploration`.
    """

    description = "fastest"

    def prepare(self, members: Sequence[Candidate]) -> Choose:
        """Starts to track the members' latencies."""
        for member in members:
            member.track_latency()
        remembered = BestSoFar()

        def choose(candidates: Sequence[Candidate], context: SelectionContext) -> Candidate:
            sample = remembered.sample(candidates, context)
            waits = [_wait(member) for member in sample]
            lasts = [_last_wait(member) for member in sample]
            return remembered.choose(sample, waits, lasts, context)

        return choose


def _wait(member: Candidate) -> float:
    average = member.latency_average
    return 0.0 if average is None else average.wait(member.gate.in_flight)


def _last_wait(member: Candidate) -> float:
    average = member.latency_average
    return math.inf if average is None else average.last_wait(member.gate.in_flight)


class Balanced:
    """The lowest expected wait times price over success rate, each to a power of its own.

    The wait is that of `Fastest`, the price that of a `TYPICAL_USAGE` call, the success rate that
    of the health window. An unknown price counts as the tier's highest, an unknown success rate
    as 1; a provider without an answer so far gets one attempt. Of more than `SAMPLE_SIZE`
    candidates that many random ones are compared with the best one so far. As with `Fastest`, a
    small share of the calls goes to the others.

    Args:
        speed: the power of the wait, 0 to 100; 0 leaves it out.
        price: the power of the price, 0 to 100.
        health: the power of the success rate, 0 to 100. At 4 a provider that fails in one of
            five counts as two and a half times as slow.

    Raises:
        ConfigurationError: a power is no number from 0 to 100.
    """

    description = "best balance"

    def __init__(self, *, speed: float = 1.0, price: float = 1.0, health: float = 4.0) -> None:
        self._speed = check.number("Balanced.speed", speed, minimum=0.0, maximum=100.0)
        self._price = check.number("Balanced.price", price, minimum=0.0, maximum=100.0)
        self._health = check.number("Balanced.health", health, minimum=0.0, maximum=100.0)

    def remark(self, members: Sequence[Candidate]) -> str:
        """As `Ranked.remark`."""
        unknown = [member.name for member in members if _price(member) == math.inf]
        if not unknown or not self._price or len(members) == 1:
            return ""
        if len(unknown) == len(members):
            return "no provider has price=, so prices do not count"
        return f"without price=, counted as the most expensive: {', '.join(unknown)}"

    def prepare(self, members: Sequence[Candidate]) -> Choose:
        """Computes the price factors once, and starts to track the members' latencies."""
        for member in members:
            member.track_latency()
        factors = {name: price**self._price for name, price in _relative_prices(members).items()}
        remembered = BestSoFar()

        def choose(candidates: Sequence[Candidate], context: SelectionContext) -> Candidate:
            sample = remembered.sample(candidates, context)
            weights = [factors[member.name] / self._success(member) for member in sample]
            waits = map(_wait, sample)
            scores = [_power(s, self._speed) * w for s, w in zip(waits, weights, strict=True)]
            lasts = [math.inf] * len(sample)
            if self._speed:  # without it no score depends on answers that exploring could bring
                latencies = map(_last_wait, sample)
                lasts = [
                    _power(s, self._speed) * w for s, w in zip(latencies, weights, strict=True)
                ]
            return remembered.choose(sample, scores, lasts, context)

        return choose

    def _success(self, member: Candidate) -> float:
        rate = member.health.success_rate
        factor: float = (1.0 if rate is None else max(rate, 1e-3)) ** self._health
        return factor


def _power(value: float, exponent: float) -> float:
    """A power, infinite where it is beyond the range of a float."""
    try:
        result: float = value**exponent
    except OverflowError:
        return math.inf
    return result


def _relative_prices(members: Sequence[Candidate]) -> Mapping[str, float]:
    """Each price as a share of the tier's highest, from `MIN_PRICE_SHARE` to 1, by name."""
    prices = {member.name: _price(member) for member in members}
    highest = max((price for price in prices.values() if price < math.inf), default=0.0)
    if not highest:
        return dict.fromkeys(prices, 1.0)
    return {n: min(1.0, max(MIN_PRICE_SHARE, price / highest)) for n, price in prices.items()}


STRATEGIES: Mapping[str, Callable[[], Strategy | None]] = {
    "weighted": lambda: None,
    "in_order": in_order,
    "least_in_flight": LeastInFlight,
    "fastest": Fastest,
    "cheapest": cheapest,
    "highest_quality": highest_quality,
    "balanced": Balanced,
    "sticky": Sticky,
}
"""The strategies by name."""


def resolve_strategy(what: str, value: Any) -> Strategy | None:
    """Returns the strategy for a setting's value; None for the weighted choice.

    Args:
        what: the setting's name, for the error.
        value: a name out of `STRATEGIES`, a `Strategy`, or None.

    Raises:
        ConfigurationError: the name is unknown, or the value is no strategy.
    """
    if value is None:
        return None
    if isinstance(value, str):
        make = STRATEGIES.get(value)
        if make is None:
            raise ConfigurationError(
                what, f"unknown strategy {check.suggestion(value, STRATEGIES)}"
            )
        return make()
    if isinstance(value, type) or not callable(getattr(value, "prepare", None)):
        raise ConfigurationError(
            what, f"must be the name of a strategy, or an object with prepare(), got {value!r}"
        )
    hooks.plain_function(f"{what}.prepare", value.prepare, "members")
    strategy: Strategy = value
    return strategy


def with_sticky(what: str, strategy: Any, sticky: Sticky) -> Any:
    """Returns a route's strategy with `sticky` in place of its name.

    Args:
        what: the setting's name, for the error.
        strategy: a name, names of one strategy for each tier, or None for `sticky` itself.
        sticky: the strategy.

    Raises:
        ConfigurationError: the strategy is another one.
    """
    if strategy is None or strategy == "sticky":
        return sticky
    if "sticky" not in strategy:
        raise ConfigurationError(what, f"must be given with `strategy: sticky`, got {strategy!r}")
    return tuple(sticky if one == "sticky" else one for one in strategy)
