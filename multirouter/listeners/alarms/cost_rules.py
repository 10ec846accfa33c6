"""Alarm rules about money: the cost of the last hour against a limit or the usual hourly cost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from typing_extensions import override

from multirouter.core import function_checks as hooks
from multirouter.core import validation as check
from multirouter.core.listener import Listener
from multirouter.listeners.alarms.alarms import AlarmReading, threshold_state
from multirouter.listeners.metrics.gauges import RouterView
from multirouter.model import CallOutcome

HOUR = 3600.0
SLICES = 60
"""Slices of an hour: a cost leaves the sum of the last hour together with its minute."""

Cost = Callable[[CallOutcome[Any]], float | None]
"""Returns what a call cost, USD; None if unknown."""


def cost_of(outcome: CallOutcome[Any]) -> float | None:
    """The router's own figure for the cost of a call, USD."""
    return outcome.cost


class LastHour:
    """Cost of the last hour, and of each complete hour before.

    Attributes:
        spent: USD in the last hour, as of the last `add` or `settle`.
        hours: USD of each past hour, the latest last; hours are counted from the first call.

    Args:
        max_hours: how many past hours are kept, at least 1.
    """

    def __init__(self, max_hours: int) -> None:
        self.spent: float = 0.0
        self.hours: deque[float] = deque(maxlen=max_hours)
        self._slices: deque[float] = deque([0.0] * SLICES, maxlen=SLICES)
        self._slice_end: float | None = None
        self._closed_slices = 0

    def add(self, now: float, cost: float) -> None:
        """Adds `cost` USD at `now` (loop time, seconds)."""
        if self._slice_end is None:
            self._slice_end = now + HOUR / SLICES
        self.settle(now)
        self._slices[-1] += cost
        self.spent += cost

    def settle(self, now: float) -> None:
        """Closes the slices and hours that have ended at `now` (loop time, seconds)."""
        if self._slice_end is None or now < self._slice_end:
            return
        while now >= self._slice_end:
            self._slice_end += HOUR / SLICES
            self._closed_slices += 1
            if self._closed_slices % SLICES == 0:
                self.hours.append(sum(self._slices))
            self._slices.append(0.0)
        self.spent = sum(self._slices)

    def shift(self, by: float) -> None:
        """Adds `by` seconds to the stored instant, to move to the clock of another loop."""
        if self._slice_end is not None:
            self._slice_end += by


class _CostRule(Listener):
    """Base of both rules: adds up the cost of each call as it ends."""

    def __init__(self, name: str, clear: float, cost: Cost, max_hours: int) -> None:
        rule = type(self).__name__
        self.name: str = check.name(f"{rule}.name", name)
        self._clear = check.share(f"{rule}.clear", clear)
        self._cost: Cost = hooks.plain_function(f"{rule}.cost", cost, "outcome")
        self._last_hour = LastHour(max_hours)

    @override
    def call_ended(self, outcome: CallOutcome[Any]) -> None:
        cost = self._cost(outcome)
        if cost:
            self._last_hour.add(outcome.started + outcome.elapsed, cost)

    def shift(self, by: float) -> None:
        """Adds `by` seconds to each stored instant; see `AlarmRule`."""
        self._last_hour.shift(by)


class CostPerHour(_CostRule):
    """The calls of the last hour cost more than a limit.

    Args:
        over: USD above which it fires, > 0.
        clear: share of `over`, 0 to 1, at or below which it clears.
        cost: returns the cost of a call, USD; default: the router's own figure.
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

    def evaluate(self, now: float, view: RouterView) -> Iterable[AlarmReading]:
        """Reads the cost of the last hour; see `AlarmRule`."""
        self._last_hour.settle(now)
        spent, over = self._last_hour.spent, self._over
        text = f"the last hour cost {spent:.2f} USD (alarm above {over:.2f} USD)"
        yield AlarmReading("", threshold_state(spent, over, over * self._clear), spent, text)


class CostUnusual(_CostRule):
    """The calls of the last hour cost far more than in a usual hour.

    The usual cost is the median of the past hours, so a single expensive hour does not raise it.

    Args:
        factor: multiple of the usual cost above which it fires, > 1.
        min_cost: USD of the last hour below which it never fires, >= 0.
        min_hours: past hours that are needed before it fires, at least 1.
        max_hours: past hours that the median is taken over; a week is 168.
        clear: share of the firing threshold, 0 to 1, at or below which it clears.
        cost: as for `CostPerHour`.
        name: the alarm's name.
    """

    def __init__(
        self,
        *,
        factor: float = 3.0,
        min_cost: float = 1.0,
        min_hours: int = 6,
        max_hours: int = 168,
        clear: float = 0.8,
        cost: Cost = cost_of,
        name: str = "cost_unusual",
    ) -> None:
        self._min_hours = check.count("CostUnusual.min_hours", min_hours)
        super().__init__(
            name, clear, cost, check.count("CostUnusual.max_hours", max_hours, minimum=min_hours)
        )
        self._factor = check.number("CostUnusual.factor", factor, above=1.0)
        self._min_cost = check.number("CostUnusual.min_cost", min_cost, minimum=0.0)

    def evaluate(self, now: float, view: RouterView) -> Iterable[AlarmReading]:
        """Compares the cost of the last hour with the usual cost; see `AlarmRule`."""
        self._last_hour.settle(now)
        spent, hours = self._last_hour.spent, self._last_hour.hours
        if len(hours) < self._min_hours:
            text = f"{len(hours)} of {self._min_hours} hours known, too few for a usual cost"
            yield AlarmReading("", "unchanged", spent, text)
            return
        usual = _median(hours)
        threshold = max(self._factor * usual, self._min_cost)
        text = (
            f"the last hour cost {spent:.2f} USD, the usual cost is {usual:.2f} USD "
            f"(alarm above {threshold:.2f} USD)"
        )
        state = threshold_state(spent, threshold, threshold * self._clear)
        yield AlarmReading("", state, spent, text)


def _median(values: Iterable[float]) -> float:
    """The median; without `statistics`, whose import would delay the calls in flight."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return (ordered[half] + ordered[~half]) / 2.0
