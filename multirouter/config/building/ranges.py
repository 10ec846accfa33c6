"""Ranges of settings, found by asking the constructors that check them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from multirouter.config.echo import Echo
from multirouter.core.cost.budget import Budget
from multirouter.core.cost.price import Price
from multirouter.core.routes.route import Route
from multirouter.core.selection.sticky import Sticky
from multirouter.core.settings import policies
from multirouter.core.settings.provider import Provider
from multirouter.core.settings.shadow import Shadow
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.errors import ConfigurationError
from multirouter.listeners.alarms import cost_rules, rules

MAXIMA = (1, 1e6, 1e9)
"""Upper limits that settings of the package have."""

_CLASSES: tuple[Callable[..., object], ...] = (
    policies.RetryPolicy,
    policies.CircuitPolicy,
    policies.LatencyPolicy,
    policies.HealthPolicy,
    policies.HedgePolicy,
    policies.LimitPolicy,
    StreamPolicy,
    Sticky,
    rules.ProviderFailing,
    rules.FailoverShare,
    rules.FallbackShare,
    rules.CircuitOpen,
    rules.AllOpen,
    cost_rules.CostUnusual,
)

MAKERS: Mapping[str, Callable[..., object]] = {
    **{make.__name__: make for make in _CLASSES},
    "ProviderSection": partial(Provider, "a", Echo().call),
    "RouteSection": partial(Route, "r", ["a"]),
    "Shadow": partial(Shadow, ["a"]),
    "Budget": partial(Budget, usd=1.0, per="day"),
    "Price": partial(Price, input=1.0, output=1.0),
    "LongRequestPrice": partial(Price, input=1.0, output=1.0),
}
"""Makes an object of each section of the schema with one setting, by the section's name."""


def add_ranges(definitions: Mapping[str, Any]) -> None:
    """Adds minimum and maximum to the numbers of a JSON Schema.

    Args:
        definitions: its sections, by name; they are changed.
    """
    for section, make in MAKERS.items():
        for name, shape in definitions.get(section, {}).get("properties", {}).items():
            for number in _numbers(shape):
                number.update(range_of(make, name, whole=number["type"] == "integer"))


def range_of(make: Callable[..., object], name: str, *, whole: bool) -> dict[str, float]:
    """Returns the limits of a setting, in terms of JSON Schema; empty for none that are simple.

    A setting that may be infinite has no maximum, as JSON Schema knows no infinity.
    """

    def accepts(value: float) -> bool:
        try:
            make(**{name: value})
        except (ConfigurationError, TypeError):
            return False
        return True

    found: dict[str, float] = {}
    if accepts(0) and not accepts(-1):
        found["minimum"] = 0
    elif accepts(1) and not accepts(0):
        found |= {"minimum": 1} if whole or not accepts(0.5) else {"exclusiveMinimum": 0}
    for limit in () if accepts(math.inf) else MAXIMA:
        if accepts(limit) and not accepts(limit * 2):
            found["maximum"] = limit
            break
    return found


def _numbers(shape: dict[str, Any]) -> list[dict[str, Any]]:
    choices = shape.get("anyOf", [shape])
    return [choice for choice in choices if choice.get("type") in {"integer", "number"}]
