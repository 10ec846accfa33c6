"""Retry-After, reset headers, RetryInfo and messages, as seconds."""

from __future__ import annotations

import math
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.core.failures import rate_limit_headers, retry_after

NOW = 1_700_000_000.0


def wall() -> float:
    return NOW


def no_wall() -> float:
    raise AssertionError("the wall clock must not be read")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "36000"}, 36000.0),
        ({"retry-after-ms": "1250"}, 1.25),
        ({"retry-after-ms": "1250", "retry-after": "9"}, 1.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e3"}, None),
        ({"retry-after": "1_0"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "tomorrow"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_numbers(headers: dict[str, str], seconds: float | None) -> None:
    """Case 61: seconds are kept, ten hours not clamped, anything else is ignored."""
    assert retry_after.from_headers(headers, no_wall) == seconds


def test_date_counts_from_the_responses_own_date() -> None:
    """Case 61: an HTTP date counts from the response's Date, without the local clock."""
    headers = {"retry-after": formatdate(NOW + 90, usegmt=True), "date": formatdate(NOW)}
    assert retry_after.from_headers(headers, no_wall) == 90.0


@pytest.mark.parametrize("date", [{}, {"date": "garbage"}])
def test_date_without_date_header_uses_the_wall_clock(date: dict[str, str]) -> None:
    """Case 61: without a usable Date the local wall clock is used."""
    headers = {"retry-after": formatdate(NOW + 90, usegmt=True)} | date
    assert retry_after.from_headers(headers, wall) == 90.0


@pytest.mark.parametrize(
    "value",
    [formatdate(NOW - 5, usegmt=True), "Fri, 99 Foo 2023 99:99:99 GMT", "Mon, 01 Jan 0000 0:0 GMT"],
)
def test_unusable_dates(value: str) -> None:
    """Case 61: a date in the past and an invalid one count as absent."""
    assert retry_after.from_headers({"retry-after": value}, wall) is None


def test_date_without_zone_is_utc() -> None:
    """A date with the unknown zone -0000 is read as UTC."""
    headers = {"retry-after": "Tue, 14 Nov 2023 22:14:20 -0000"}
    assert retry_after.from_headers(headers, wall) == 60.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "12ms",
                "x-ratelimit-remaining-tokens": "500",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            0.012,
        ),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            360.0,
        ),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "6m0s"}, 1.0),
        ({"x-ratelimit-remaining-tokens": "7", "x-ratelimit-reset-tokens": "6m0s"}, None),
        ({"x-ratelimit-reset-requests": "2m59.56s"}, 179.56),
        ({"x-ratelimit-reset-tokens-minute": "33.5"}, 33.5),
        ({"x-ratelimit-reset": "1700000030"}, 30.0),
        ({"x-ratelimit-reset": "1700000030500"}, 30.5),
        ({"ratelimit-reset": "12"}, 12.0),
        ({"anthropic-ratelimit-input-tokens-reset": "2023-11-14T22:13:50Z"}, 30.0),
        ({"anthropic-ratelimit-input-tokens-reset": "2023-11-14T22:13:50"}, 30.0),
        ({"anthropic-ratelimit-requests-reset": "2023-11-14T22:00:00Z"}, None),
        ({"x-ratelimit-reset-requests": "whenever"}, None),
        ({"x-ratelimit-reset-requests": "-3s"}, None),
        ({"x-ratelimit-reset" + "-reset" * 20: "3s"}, None),
        ({"x-ratelimit-limit-requests": "60", "x-password-reset": "5"}, None),
    ],
)
def test_reset_headers(headers: dict[str, str], seconds: float | None) -> None:
    """Only a limit that is used up counts, in each of the spellings providers use."""
    assert rate_limit_headers.until_refilled(headers, wall) == (
        seconds if seconds is None else pytest.approx(seconds)
    )


@pytest.mark.parametrize(
    ("delays", "seconds"),
    [
        (["58s"], 58.0),
        (["34.07s"], 34.07),
        ([None, {}, "12"], 12.0),
        ([7], 7.0),
        ([True, math.nan, math.inf, -1, 10**400, "-5s", ""], None),
        ([], None),
    ],
)
def test_body_delays(delays: list[object], seconds: float | None) -> None:
    """RetryInfo's delay in a body is read; what is no duration is skipped."""
    assert retry_after.from_body(delays) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("quota exceeded. please retry in 58.2s.", 58.2),
        ("please retry in 45.578569677s.", 45.578569677),
        ("please try again in 20s. visit https://x", 20.0),
        ("please try again in 6m0s.", 360.0),
        ("try again in 1h12m30.5s", 4350.5),
        ("please try again in 6ms. contact us", 0.006),
        ("please retry after 26 seconds.", 26.0),
        ("try again in 2 minutes", 120.0),
        ("try again in 1 day 2 hours", 93600.0),
        ("try again in 250 milliseconds", 0.25),
        ("please try again later", None),
        ("try again in " + "1m1s" * 100, None),
        ("try again in -3s", None),
        ("limit 30000, used 28770", None),
    ],
)
def test_message(text: str, seconds: float | None) -> None:
    """The message counts only where it says when to retry."""
    assert retry_after.from_text(text) == (seconds if seconds is None else pytest.approx(seconds))


HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "retry-after",
            "retry-after-ms",
            "date",
            "x-ratelimit-reset-tokens",
            "x-ratelimit-remaining-tokens",
            "anthropic-ratelimit-tokens-reset",
            "ratelimit-reset",
        ]
    ),
    st.text(max_size=40)
    | st.integers().map(str)
    | st.floats().map(str)
    | st.datetimes().map(lambda moment: moment.isoformat())
    | st.from_regex(r"[0-9]{1,4}(ms|m|s|h)([0-9]{1,3}s)?", fullmatch=True),
)


@given(HEADERS)
def test_any_headers_give_none_or_a_finite_duration(headers: dict[str, str]) -> None:
    """Case 61: whatever the headers hold."""
    for read in (retry_after.from_headers, rate_limit_headers.until_refilled):
        seconds = read(headers, wall)
        assert seconds is None or (math.isfinite(seconds) and seconds >= 0)


@given(st.text() | st.from_regex(r"try again in [0-9msh. ]{0,60}"))
def test_any_message_gives_none_or_a_finite_duration(text: str) -> None:
    """Whatever the message says."""
    seconds = retry_after.from_text(text)
    assert seconds is None or (math.isfinite(seconds) and seconds >= 0)


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.none()))
def test_any_value_gives_none_or_a_finite_duration(value: object) -> None:
    """Whatever a body holds."""
    seconds = retry_after.span(value)
    assert seconds is None or (math.isfinite(seconds) and seconds >= 0)
