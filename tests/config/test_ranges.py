"""The JSON Schema has the ranges that the constructors check."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.config.building.ranges import MAKERS, range_of
from multirouter.config.schema import make_schema
from multirouter.errors import ConfigurationError


def numbers_of(section: str, name: str) -> dict[str, Any]:
    """The number among the choices of a setting."""
    shape = make_schema()["$defs"][section]["properties"][name]
    choices = [inner for one in shape.get("anyOf", [shape]) for inner in one.get("anyOf", [one])]
    return next(one for one in choices if one.get("type") in {"integer", "number"})


@pytest.mark.parametrize(
    ("section", "name", "limits"),
    [
        ("ProviderSection", "weight", {"minimum": 0, "maximum": 1e9}),
        ("ProviderSection", "context_window", {"minimum": 1}),
        ("ProviderSection", "attempt_timeout", {"exclusiveMinimum": 0}),
        ("CircuitPolicy", "failures", {"minimum": 1}),
        ("RetryPolicy", "attempts", {"minimum": 1}),
        ("RetryPolicy", "budget", {"minimum": 0, "maximum": 1}),
        ("FailoverShare", "over", {"minimum": 0, "maximum": 1}),
        ("Shadow", "share", {"maximum": 1}),
    ],
)
def test_limits(section: str, name: str, limits: dict[str, float]) -> None:
    """Known limits are in the schema, in the terms of JSON Schema."""
    found = numbers_of(section, name)
    assert {key: found.get(key) for key in limits} == limits


def test_what_the_schema_refuses_the_constructors_refuse() -> None:
    """No limit of the schema is tighter than the check itself."""
    definitions = make_schema()["$defs"]
    checked = 0
    for section, make in MAKERS.items():
        for name in definitions[section]["properties"]:
            for limit, beyond in (("minimum", -1), ("maximum", 1)):
                edge = range_of(make, name, whole=True).get(limit)
                if edge is None:
                    continue
                make(**{name: edge})
                with pytest.raises((ConfigurationError, TypeError)):
                    make(**{name: edge + beyond * max(1, abs(edge))})
                checked += 1
    assert checked > 60
