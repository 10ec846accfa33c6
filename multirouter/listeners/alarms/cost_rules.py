"""Rules about money: the last hour's cost against a sum, and against the hours before it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from typing_extensions import override

from multirouter.core import validation as check
from multirouter.core.events import Listener
from multirouter.errors import ConfigurationError
from multirouter.listeners.alarms.alarms import AlarmReading, standing
from multirouter.listeners.metrics.gauges import View
from multirouter.model import CallOutcome

HOUR = 3600.0
SLICES = 60
"""Slices of an hour: what was spent drops out of the sum with its minute."""

Cost = Callable[[CallOutcome[Any]], float | None]
"""What a call cost, USD; None when unknown."""


def cost_of(outcome: CallOutcome[Any]) -> float | None:
    """What the router knows of a call's cost, USD."""
    return outcome.cost


class LastHour:
    """What was spent in the last hour, and in each whole hour before.

    Attributes:
        spent: USD, as of the last `add` or `settle`.
        hours: USD of each past hour, the latest last; hours go from the first call on.
    """

    def __init__(self, remember: int) -> None:
        self.spent: float = 0.0
        self.hours: deque[float] = deque(maxlen=remember)
        self._slices: deque[float] = deque([0.0] * SLICES, maxlen=SLICES)
        self._edge: float | None = None
        self._filled = 0

    def add(self, now: float, cost: float) -> None:
        """Books `cost` USD at `now` (loop time, seconds)."""
        if self._edge is None:
            self._edge = now + HOUR / SLICES
        self.settle(now)
        self._slices[-1] += cost
        self.spent += cost

    def settle(self, now: float) -> None:
        """Closes the slices, and the hours, that have passed at `now`."""
        if self._edge is None or now < self._edge:
            return
        while now >= self._edge:
            self._edge += HOUR / SLICES
            self._filled += 1
            if self._filled % SLICES == 0:
                self.hours.append(sum(self._slices))
            self._slices.append(0.0)
        self.spent = sum(self._slices)

    def shift(self, by: float) -> None:
        """Moves to the clock of another loop."""
        if self._edge is not None:
            self._edge += by


class _Spending(Listener):
    """What both rules share: they book each call's cost as it ends."""

    def __init__(self, name: str, clear: float, cost: Cost, remember: int) -> None:
        me = type(self).__name__
        self.name: str = check.name(f"{me}.name", name)
        self._clear = check.share(f"{me}.clear", clear)
        if not callable(cost):
            raise ConfigurationError(
                f"{me}.cost", f"must be a function of an outcome, not {cost!r}"
            )
        self._cost = cost
        self._books = LastHour(remember)

    @override
    def call_ended(self, outcome: CallOutcome[Any]) -> None:
        cost = self._cost(outcome)
        if cost:
            self._books.add(outcome.started + outcome.elapsed, cost)

    def shift(self, by: float) -> None:
        """Moves to the clock of another loop."""
        self._books.shift(by)


class CostPerHour(_Spending):
    """The last hour cost more than a sum.

    Args:
        over: USD above which it fires.
        clear: the share of `over`, 0 to 1, at which it clears.
        cost: reads a call's cost, USD; left out, what the router itself knows of it.
        name: the alarm's name.
    """

    def __init__(
        self,
        over: float,
        *,
        clear: float = 0.8,
        cost: Cost = cost_of,
        name: str = "cost_per_hour",
    ) -> None:
        super().__init__(name, clear, cost, 1)
        self._over = check.number("CostPerHour.over", over, above=0.0)

    def judge(self, now: float, view: View) -> Iterable[AlarmReading]:
        """How much the last hour cost; see `AlarmRule`."""
        self._books.settle(now)
        spent, over = self._books.spent, self._over
        text = f"the last hour cost {spent:.2f} USD (alarm above {over:.2f} USD)"
        yield AlarmReading("", standing(spent, over, over * self._clear), spent, text)


class CostUnusual(_Spending):
    """The last hour cost far more than its hours usually do.

    Usual is the median of the past hours, so that one wild hour does not become the measure.

    Args:
        factor: how many times the usual cost it fires above, more than 1.
        at_least: USD in the last hour under which nothing is worth an alarm.
        known: past hours without which nothing is usual.
        remember: how many past hours are looked at; a week is 168.
        clear: the share of the mark, 0 to 1, at which it clears.
        cost: as for `CostPerHour`.
        name: the alarm's name.
    """

    def __init__(
        self,
        *,
        factor: float = 3.0,
        at_least: float = 1.0,
        known: int = 6,
        remember: int = 168,
        clear: float = 0.8,
        cost: Cost = cost_of,
        name: str = "cost_unusual",
    ) -> None:
        self._known = check.count("CostUnusual.known", known)
        super().__init__(
            name, clear, cost, check.count("CostUnusual.remember", remember, least=known)
        )
        self._factor = check.number("CostUnusual.factor", factor, above=1.0)
        self._at_least = check.number("CostUnusual.at_least", at_least, least=0.0)

    def judge(self, now: float, view: View) -> Iterable[AlarmReading]:
        """How far the last hour is above its usual cost; see `AlarmRule`."""
        self._books.settle(now)
        spent, hours = self._books.spent, self._books.hours
        if len(hours) < self._known:
            yield AlarmReading(
                "", "between", spent, f"{len(hours)} hours known, too few to be usual"
            )
            return
        # Not at the top: decimals and fractions come with it, too much for each import.
        from statistics import median

        usual = median(hours)
        mark = max(self._factor * usual, self._at_least)
        text = f"the last hour cost {spent:.2f} USD, usual are {usual:.2f} (alarm above {mark:.2f})"
        yield AlarmReading("", standing(spent, mark, mark * self._clear), spent, text)
