"""Validation of settings: messages name the setting, the value and the allowed range."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.core import validation as check
from multirouter.errors import ConfigurationError


def reason(function, *args, **kwargs) -> str:
    """The reason why a value is invalid."""
    with pytest.raises(ConfigurationError) as caught:
        function("it", *args, **kwargs)
    assert caught.value.what == "it"
    assert str(caught.value) == f"it: {caught.value.why}"
    return caught.value.why


@pytest.mark.parametrize("value", [True, False, "1", None, 1j, Decimal(1), [1]])
def test_only_real_numbers_are_numbers(value) -> None:
    """Neither booleans nor strings are numbers."""
    assert reason(check.number, value) == f"must be a finite number, got {value!r}"


@pytest.mark.parametrize("value", [1, 1.5, Fraction(3, 2), -2])
def test_real_numbers_are_returned_as_floats(value) -> None:
    """Integers and fractions are numbers, and are returned as floats."""
    result = check.number("it", value)
    assert isinstance(result, float)
    assert result == value


def test_numbers_must_be_finite() -> None:
    """NaN is never valid, infinity only with `allow_inf`, and never below 0."""
    assert reason(check.number, math.nan) == "must be a finite number, got nan"
    assert reason(check.number, math.inf) == "must be a finite number, got inf"
    assert reason(check.number, -math.inf, allow_inf=True) == (
        "must be a finite number, or math.inf, got -inf"
    )
    assert reason(check.number, 10**400) == (
        "must be a finite number, got a number beyond the range of a float"
    )
    assert check.number("it", math.inf, maximum=5.0, allow_inf=True) == math.inf


def test_above_is_exclusive_and_the_other_bounds_are_inclusive() -> None:
    """`above` excludes its bound, `minimum` and `maximum` include theirs."""
    assert reason(check.number, 1.0, above=1.0) == "must be a finite number > 1, got 1.0"
    assert check.number("it", 1.0001, above=1.0) == 1.0001
    assert reason(check.number, 0.9999, minimum=1.0) == "must be a finite number >= 1, got 0.9999"
    assert check.number("it", 1.0, minimum=1.0) == 1.0
    assert reason(check.number, 1.0001, maximum=1.0) == "must be a finite number <= 1, got 1.0001"
    assert check.number("it", 1.0, maximum=1.0) == 1.0
    assert reason(check.number, 6.0, maximum=5.0, allow_inf=True) == (
        "must be a finite number <= 5, or math.inf, got 6.0"
    )
    assert check.number("it", 0.0, minimum=0.0) == check.number("it", -0.0, minimum=0.0)


@given(st.floats(), st.floats(-10, 10), st.floats(-10, 10))
def test_a_number_is_valid_exactly_within_its_bounds(
    value: float, minimum: float, maximum: float
) -> None:
    """No float outside its bounds is valid, and every float inside is."""
    inside = minimum <= value <= maximum
    try:
        assert check.number("it", value, minimum=minimum, maximum=maximum) == value
        assert inside
    except ConfigurationError:
        assert not inside


@pytest.mark.parametrize("seconds", [0.0, -1.0, 5e-324, 9.9e-7, 1.1e9, math.inf, math.nan])
def test_invalid_durations(seconds: float) -> None:
    """Case 42: 0, tiny, huge, infinite, NaN and negative durations are invalid."""
    assert reason(check.duration, seconds) == (
        f"must be a finite number of seconds >= 1e-6 and <= 1e9, got {seconds!r}"
    )


def test_durations_are_from_a_microsecond_to_thirty_years() -> None:
    """Both bounds are valid; infinity only with `allow_inf`."""
    assert check.duration("it", 1e-6) == 1e-6
    assert check.duration("it", 1e9) == 1e9
    assert check.duration("it", math.inf, allow_inf=True) == math.inf


def test_shares_are_from_0_to_1() -> None:
    """Both bounds are valid, and nothing beyond them."""
    assert (check.share("it", 0), check.share("it", 1)) == (0.0, 1.0)
    reason(check.share, -1e-9)
    reason(check.share, 1.000001)


def test_rates_are_bounded_on_both_sides() -> None:
    """Case 42: no rate is so small or so large that its arithmetic would overflow."""
    assert (check.rate("it", 1e-6), check.rate("it", 1e12)) == (1e-6, 1e12)
    for value in (0, 9e-7, 1.1e12, math.inf, math.nan):
        reason(check.rate, value)


def test_weights_are_0_or_from_1e_9_to_1e9() -> None:
    """Case 54 (weights): a weight neither vanishes in a sum nor overflows it."""
    assert [check.weight("it", value) for value in (0, 1e-9, 1e9)] == [0.0, 1e-9, 1e9]
    for value in (9.9e-10, 5e-324, 1.1e9, -1, math.inf, math.nan):
        reason(check.weight, value)


@pytest.mark.parametrize("value", [True, 1.0, "1", None])
def test_counts_are_integers(value) -> None:
    """A float is no count, even when it is integral."""
    assert reason(check.count, value) == f"must be an integer >= 1, got {value!r}"


def test_counts_have_a_minimum() -> None:
    """The minimum is 1 unless another is set."""
    assert check.count("it", 1) == 1
    assert reason(check.count, 0) == "must be an integer >= 1, got 0"
    assert check.count("it", 0, minimum=0) == 0
    assert reason(check.count, 1, minimum=2) == "must be an integer >= 2, got 1"


@pytest.mark.parametrize("value", ["", " a", "a ", "a\nb", "\x00", None, 3])
def test_invalid_names(value) -> None:
    """Names are non-empty printable strings without surrounding whitespace."""
    assert "string" in reason(check.name, value)


@pytest.mark.parametrize("value", ["a", "gpt-4 turbo", "größe", "a/b"])
def test_valid_names(value: str) -> None:
    """Inner spaces, punctuation and letters of any language are valid in a name."""
    assert check.name("it", value) == value


def test_suggestions_for_an_unknown_name() -> None:
    """A close name is suggested; otherwise up to ten known names are listed."""
    assert check.suggestion("opnai", ["anthropic", "openai"]) == ("'opnai'; did you mean 'openai'?")
    assert check.suggestion("zzz", ["b", "a"]) == "'zzz'; known: 'a', 'b'"
    assert check.suggestion("zzz", []) == "'zzz'; known: none"
    assert check.suggestion("zzz", [f"a{i:02}" for i in range(20)]).endswith(
        "'a08', 'a09' and 10 more"
    )


def test_a_long_unknown_name_is_cut() -> None:
    """A name longer than any other is cut, and costs no comparison with the known ones."""
    text = check.suggestion("x" * 10**6, ["first", "second"])
    assert text.endswith("which is cut here; it has 1000000 characters")
    assert len(text) < 1000
