"""The ends of what is read as a time: spans, points in time, and values that are just too long."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from multirouter.core.failures import rate_limit_headers, retry_after
from multirouter.core.failures.general_wordings import kinds_of
from multirouter.core.failures.quotations import may_quote
from multirouter.core.failures.rate_limit_headers import Reading, readings, reports, until_refilled
from multirouter.core.limit_report import LimitReport
from multirouter.model import FailureKind

NOW = 1_700_000_000.0
SENT = {"date": "Tue, 14 Nov 2023 22:13:20 GMT"}
"""The same time in the headers of a response."""


def wall() -> float:
    return NOW


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0.0),
        (0.25, 0.25),
        (1e12 - 1, 1e12 - 1),
        (1e12, None),
        (-0.1, None),
        (True, None),
        ("1m1s" * 16, 976.0),
        ("1m1s" * 16 + "1s", None),
    ],
)
def test_the_ends_of_a_span(value: object, seconds: float | None) -> None:
    """From 0 to what would be a point in time in milliseconds; of 64 characters at most."""
    assert retry_after.span(value) == seconds
    assert retry_after.from_body([None, value]) == seconds


@pytest.mark.parametrize(
    ("value", "at", "seconds"),
    [
        ("999999999", NOW, 999_999_999.0),
        ("1000000000", 999_999_990.0, 10.0),
        ("1000000000000", 999_999_990.0, 10.0),
        ("1700000000", NOW, 0.0),
        ("2023-11-14T22:13:20.500Z", NOW, 0.5),
        ("2023-11-15T00:13:25+02:00", NOW, 5.0),
        ("2023-11-14T22:13:19Z", NOW, None),
    ],
)
def test_the_ends_of_a_point_in_time(value: str, at: float, seconds: float | None) -> None:
    """Numbers from 1e9 on are seconds since 1970, from 1e12 on milliseconds; now is a time."""
    assert retry_after.refill_time(value, {}, lambda: at) == seconds


@pytest.fixture
def local_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine nine hours ahead of UTC."""
    monkeypatch.setenv("TZ", "JST-9")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("local_time")
def test_a_time_without_a_zone_is_utc_wherever_the_machine_is() -> None:
    """Here it is nine hours ahead."""
    assert retry_after.refill_time("2023-11-14T22:13:30", {}, wall) == 10.0
    assert retry_after.refill_time("2023-11-14T22:13:30", SENT, wall) == 10.0


# ── rate-limit headers ────────────────────────────────────────────────────────────────────────────


def test_a_report_has_what_was_sent() -> None:
    """The limit too; a point in time counts from the clock where no `Date` was sent."""
    headers = {
        "x_rate_limit_limit": "60",
        "x_rate_limit_remaining": "7",
        "x_rate_limit_reset": "1700000009",
    }
    assert readings(headers, wall) == [Reading("x-ratelimit", False, 60.0, 7.0, 9.0)]
    assert list(reports(headers, wall)) == [LimitReport("x-ratelimit", False, 7.0, 60.0, 9.0)]


def test_a_name_of_64_characters_is_read() -> None:
    """One more is not."""
    name = "x-ratelimit-reset-".ljust(rate_limit_headers._MAX_LENGTH, "a")
    assert len(name) == 64
    assert [reading.reset for reading in readings({name: "5"}, wall)] == [5.0]
    assert readings({f"{name}a": "5"}, wall) == []


def test_the_last_of_the_used_up_limits_counts() -> None:
    """Also among waits below a second; without a rest the first counts."""
    used_up = {
        "a-ratelimit-remaining": "0",
        "a-ratelimit-reset": "0",
        "b-ratelimit-remaining": "0",
        "b-ratelimit-reset": "500ms",
    }
    assert until_refilled(used_up, wall) == 0.5
    unknown = {"a-ratelimit-reset": "500ms", "b-ratelimit-reset": "0"}
    assert until_refilled(unknown, wall) == 0.0


# ── wordings and quotations ───────────────────────────────────────────────────────────────────────


def own(phrase: str) -> bool:
    return True


def test_too_long_an_answer_is_no_too_long_prompt() -> None:
    """But it may be about money."""
    long = "the prompt exceeds the context window"
    assert kinds_of(long, own) == [FailureKind.CONTEXT_LENGTH]
    assert kinds_of(f"{long} with max_tokens", own) == []
    money = "not enough credits for so many output tokens"
    assert kinds_of(money, own) == [FailureKind.EXHAUSTED]


@pytest.mark.parametrize("parts", [["API key", "expired"], ["API k", "ey expired"]])
def test_a_phrase_in_parts_is_a_quotation(parts: list[str]) -> None:
    """Wherever the request divides it."""
    assert may_quote(parts, "api key expired")
