"""Bad settings are refused in words that name the setting, the value and the range."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.core import validation as check
from multirouter.errors import ConfigurationError


def refusal(function, *args, **kwargs) -> str:
    """The words in which a value is refused."""
    with pytest.raises(ConfigurationError) as caught:
        function("it", *args, **kwargs)
    assert caught.value.what == "it"
    assert str(caught.value) == f"it: {caught.value.why}"
    return caught.value.why


@pytest.mark.parametrize("value", [True, False, "1", None, 1j, Decimal(1), [1]])
def test_what_is_no_number_is_refused(value) -> None:
    """Neither truth values nor strings pass for numbers."""
    assert refusal(check.number, value) == f"must be a number, not {value!r}"


@pytest.mark.parametrize("value", [1, 1.5, Fraction(3, 2), -2])
def test_every_real_number_passes_as_a_float(value) -> None:
    """Whole numbers and fractions are numbers, and come back as floats."""
    given_back = check.number("it", value)
    assert isinstance(given_back, float)
    assert given_back == value


def test_what_is_not_finite_is_refused() -> None:
    """NaN never passes, infinity only where it means no limit, and never below."""
    assert refusal(check.number, math.nan) == "must be a number, not NaN"
    assert refusal(check.number, math.inf) == "must be finite, not inf"
    assert refusal(check.number, -math.inf, endless=True) == "must be finite, not -inf"
    assert refusal(check.number, 10**400).startswith("must be finite")
    assert check.number("it", math.inf, most=5.0, endless=True) == math.inf


def test_bounds_are_what_they_say() -> None:
    """`above` excludes its bound, `least` and `most` include theirs."""
    assert refusal(check.number, 1.0, above=1.0) == "must be greater than 1, not 1"
    assert check.number("it", 1.0001, above=1.0) == 1.0001
    assert refusal(check.number, 0.9999, least=1.0) == "must be at least 1, not 0.9999"
    assert check.number("it", 1.0, least=1.0) == 1.0
    assert refusal(check.number, 1.0001, most=1.0) == "must be at most 1, not 1.0001"
    assert check.number("it", 1.0, most=1.0) == 1.0
    assert refusal(check.number, 6.0, most=5.0, endless=True) == "must be at most 5, not 6"
    assert check.number("it", 0.0, least=0.0) == check.number("it", -0.0, least=0.0)


@given(st.floats(), st.floats(-10, 10), st.floats(-10, 10))
def test_whatever_passes_is_in_range(value: float, least: float, most: float) -> None:
    """No float gets through outside of its bounds, and none inside is refused."""
    inside = least <= value <= most
    try:
        assert check.number("it", value, least=least, most=most) == value
        assert inside
    except ConfigurationError:
        assert not inside


@pytest.mark.parametrize("seconds", [0.0, -1.0, 5e-324, 9.9e-7, 1.1e9, math.inf, math.nan])
def test_what_is_no_span_is_refused(seconds: float) -> None:
    """Case 42: 0, tiny, huge, endless, NaN and negative spans are refused."""
    refusal(check.span, seconds)


def test_spans_reach_from_a_microsecond_to_thirty_years() -> None:
    """Both bounds are spans; endless is one only where that is allowed."""
    assert check.span("it", 1e-6) == 1e-6
    assert check.span("it", 1e9) == 1e9
    assert check.span("it", math.inf, endless=True) == math.inf


def test_shares_reach_from_0_to_1() -> None:
    """Both bounds are shares, and nothing beyond them."""
    assert (check.share("it", 0), check.share("it", 1)) == (0.0, 1.0)
    refusal(check.share, -1e-9)
    refusal(check.share, 1.000001)


def test_rates_are_bounded_on_both_sides() -> None:
    """Case 42: no rate is so small or so large that its arithmetic would overflow."""
    assert (check.rate("it", 1e-6), check.rate("it", 1e12)) == (1e-6, 1e12)
    for value in (0, 9e-7, 1.1e12, math.inf, math.nan):
        refusal(check.rate, value)


def test_weights_are_0_or_far_from_it() -> None:
    """Case 54 (a weight's half): what could vanish in a sum, or overflow it, is no weight."""
    assert [check.weight("it", value) for value in (0, 1e-9, 1e9)] == [0.0, 1e-9, 1e9]
    for value in (9.9e-10, 5e-324, 1.1e9, -1, math.inf, math.nan):
        refusal(check.weight, value)


@pytest.mark.parametrize("value", [True, 1.0, "1", None])
def test_counts_are_whole_numbers(value) -> None:
    """A float that happens to be whole is no count."""
    assert refusal(check.count, value) == f"must be a whole number, not {value!r}"


def test_counts_have_a_least() -> None:
    """At least 1 unless it says otherwise."""
    assert check.count("it", 1) == 1
    assert refusal(check.count, 0) == "must be at least 1, not 0"
    assert check.count("it", 0, least=0) == 0
    assert refusal(check.count, 1, least=2) == "must be at least 2, not 1"


@pytest.mark.parametrize("value", ["", " a", "a ", "a\nb", "\x00", None, 3])
def test_what_is_no_name_is_refused(value) -> None:
    """Names are printable strings that begin and end with something."""
    assert "string" in refusal(check.name, value)


@pytest.mark.parametrize("value", ["a", "gpt-4 turbo", "größe", "a/b"])
def test_names_pass_as_they_are(value: str) -> None:
    """Inner blanks, signs and letters of any language are part of a name."""
    assert check.name("it", value) == value


def test_a_wrong_name_is_told_with_the_nearest() -> None:
    """One that is close is offered, else the list of at most ten, or that there is none."""
    assert check.near("opnai", ["anthropic", "openai"]) == "'opnai'; did you mean 'openai'?"
    assert check.near("zzz", ["b", "a"]) == "'zzz'; there are 'a', 'b'"
    assert check.near("zzz", []) == "'zzz'; there are none"
    assert check.near("zzz", [f"a{i:02}" for i in range(20)]).endswith("'a08', 'a09'")
