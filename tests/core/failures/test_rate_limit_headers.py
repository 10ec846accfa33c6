"""Rate-limit headers are recognised by their shape, whichever vendor sends them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.core.failures.rate_limit_headers import Reading, readings, reports
from multirouter.core.limit_report import LimitReport

NOW = 1_700_000_000.0


def wall() -> float:
    return NOW


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        (
            {
                "X-RateLimit-Limit-Requests": "60",
                "X-RateLimit-Remaining-Requests": "7",
                "X-RateLimit-Reset-Requests": "1m30s",
            },
            [Reading("x-ratelimit-requests", False, 60.0, 7.0, 90.0)],
        ),
        (
            {
                "zebra-ratelimit-input-tokens-limit": "1000",
                "zebra-ratelimit-input-tokens-remaining": "0",
                "zebra-ratelimit-input-tokens-reset": "2023-11-14T22:13:50Z",
            },
            [Reading("zebra-ratelimit-input-tokens", True, 1000.0, 0.0, 30.0)],
        ),
        (
            {"quux-rate-limit-remaining": "3", "quux-rate-limit-reset": "12"},
            [Reading("quux-ratelimit", False, None, 3.0, 12.0)],
        ),
        (
            {"ratelimitbysize_remaining_tokens_minute": "8", "ratelimitbysize-reset-day": "x"},
            [
                Reading("ratelimitbysize-tokens-minute", True, None, 8.0, None),
                Reading("ratelimitbysize-day", False, None, None, None),
            ],
        ),
        (
            {
                "date": "Tue, 14 Nov 2023 22:13:00 GMT",
                "acme-ratelimit-reset": "1700000000",
                "acme-ratelimit-remaining": "many",
            },
            [Reading("acme-ratelimit", False, None, None, 20.0)],
        ),
        ({"x-remaining": "1", "rate": "2", "password-reset": "3", "limit-rate-reset": "4"}, []),
        ({"x-ratelimit-policy": "60", "x-limit-ratelimit": "1"}, []),
        ({"x-ratelimit-" + "a" * 60 + "-reset": "1"}, []),
    ],
)
def test_shapes(headers: dict[str, str], found: list[Reading]) -> None:
    """Vendors' prefixes and the order of the words do not matter; names of other shapes do."""
    assert readings(headers, wall) == found


def test_only_whole_readings_are_passed_on() -> None:
    """What does not tell both the rest and the refill time teaches nothing."""
    headers = {
        "a-ratelimit-remaining": "1",
        "b-ratelimit-reset": "2",
        "c-ratelimit-remaining": "3",
        "c-ratelimit-reset": "4",
    }
    assert list(reports(headers, wall)) == [LimitReport("c-ratelimit", False, 3.0, None, 4.0)]


@given(st.dictionaries(st.from_regex(r"[a-z-]{0,9}ratelimit[a-z-]{0,20}"), st.text(max_size=30)))
def test_any_headers_are_read(headers: dict[str, str]) -> None:
    """Whatever they hold, numbers are finite and not negative."""
    for _, _, *numbers in readings(headers, wall):
        assert all(number is None or 0.0 <= number < 1e16 for number in numbers)
