"""Facts: subjects of models, and readings of limits."""

from __future__ import annotations

import math

from multirouter.core.sharing.facts import (
    fact_from_data,
    fact_value,
    model_of_subject,
    model_subject,
)


def test_subjects_of_models() -> None:
    """A provider and a model are one text, whatever their names; any other text is none."""
    for provider, model in (("a", "m"), ('["x', 'y"]'), ("é\n", "")):
        assert model_of_subject(model_subject(provider, model)) == (provider, model)
    for text in ("a", "[1, 2]", '["a"]', '["a", 1]', "7", "[" * 100_000):
        assert model_of_subject(text) == ("", "")


def test_readings_of_limits() -> None:
    """They are validated like every value, and shown with the names of their fields."""
    reading = ["r", False, 3.0, None, 0.0]
    fact = fact_from_data(["limit", "a", 1, "o", [reading], 5.0])
    assert fact is not None
    named = {"name": "r", "tokens": False, "remaining": 3.0, "limit": None, "sooner": 0.0}
    assert fact_value(fact) == [named]
    assert fact_from_data(["limit", "a", 1, "o", [reading] * 16, 5.0]) is not None
    wrong: list[object] = [
        None,
        [None],
        [reading] * 17,
        [reading[:4]],
        [["", *reading[1:]]],
        [["r", 0, *reading[2:]]],
        [["r", False, -1.0, None, 0.0]],
        [["r", False, 1.0, "x", 0.0]],
        [["r", False, 1.0, None, math.inf]],
    ]
    for value in wrong:
        assert fact_from_data(["limit", "a", 1, "o", value, 5.0]) is None


def test_numbers_beyond_a_float_are_none() -> None:
    """JSON knows integers of any length; arithmetic with floats would raise."""
    huge = 10**400
    for kind, value, left in (
        ("limit", [["r", False, huge, None, 0]], 5),
        ("cooldown", True, huge),
        ("weight", huge, None),
        ("failing", huge, 5),
        ("open", ["failures", huge, 3, True, "h"], 5),
    ):
        assert fact_from_data([kind, "a", 1, "o", value, left]) is None
    assert fact_from_data(["cooldown", "a", 2**52, "o", True, 5]) is not None
    assert fact_from_data(["cooldown", "a", 2**52 + 1, "o", True, 5]) is None


def test_values_for_people() -> None:
    """An opening has the names of its fields; other values are shown as they are."""
    opened = fact_from_data(["open", "a", 1, "o", ["failures", 1, 3, True, "h"], 5.0])
    cooled = fact_from_data(["cooldown", "a", 1, "o", True, 5.0])
    assert opened is not None
    assert cooled is not None
    assert fact_value(opened)["failures"] == 3
    assert fact_value(cooled) is True
