"""Limits of a running stream: which one is exceeded, when, and with which verdict."""

from __future__ import annotations

import math

import pytest

from multirouter.core.planning.stream_limits import StreamLimits
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.model import FailureKind
from tests.core.kit import World, provider


def limits_of(idle: float | None = None, **settings: float) -> StreamLimits:
    """Limits of a stream that begins at 100 s, with a provider's own idle limit."""
    world = World([provider("a", idle=idle)])
    return StreamLimits(StreamPolicy(**settings), world.member("a"), 100.0)


@pytest.mark.parametrize(
    ("settings", "at", "limit"),
    [
        ({"idle": 5.0}, 105.0, "idle"),
        ({"idle": 5.0, "total": 3.0}, 103.0, "total"),
        ({"idle": 5.0, "total": 4.5}, 104.5, "total"),
        ({"idle": 5.0, "min_rate": 1.0, "rate_window": 2.0}, 102.0, "min_rate"),
        ({"idle": 1.0, "min_rate": 1.0, "rate_window": 2.0}, 101.0, "idle"),
        ({"idle": 2.0, "min_rate": 1.0, "rate_window": 2.0}, 102.0, "idle"),
        ({"idle": 5.0, "min_rate": 1.0, "rate_window": 2.0, "total": 1.0}, 101.0, "total"),
    ],
)
def test_nearest_limit_is_the_deadline(settings: dict[str, float], at: float, limit: str) -> None:
    """The next chunk must arrive before the first of the limits, which the error names."""
    limits = limits_of(**settings)
    assert limits.deadline(100.0) == at
    error = limits.expired()
    assert (error.limit, error.provider) == (limit, "a")
    assert limits.verdict_on(OSError()) is None
    verdict = limits.verdict_on(error)
    assert verdict is not None
    assert verdict.kind is FailureKind.TIMEOUT
    assert verdict.reason.startswith(limit)
    assert limits.verdict_on(error) is None, "the error is forgotten"


def test_a_stall_of_the_event_loop_is_given_back() -> None:
    """`total` ends later, and `min_rate` does not count the time of a stall."""
    limits = limits_of(idle=50.0, total=30.0, min_rate=1.0, rate_window=10.0)
    limits.deadline(100.0)
    assert limits.chunk_arrived(8, 112.0, lost=4.0) is None, "8 characters in 8 s of 10"
    limits.give_back(4.0)
    assert (limits.ends_at, limits.lost) == (134.0, 4.0)
    limits.give_back(4.0)
    assert limits.ends_at == 134.0, "once"
    limits.deadline(112.0)
    assert limits.chunk_arrived(1, 114.0) is not None, "9 characters in 10 s"


def test_no_deadline_without_limits() -> None:
    """`math.inf` is no deadline."""
    assert limits_of(idle=math.inf).deadline(100.0) == math.inf


def test_min_rate_is_measured_by_window() -> None:
    """Enough characters for a window suspend the floor to its end; the next starts at 0."""
    limits = limits_of(idle=50.0, min_rate=2.0, rate_window=10.0)
    limits.deadline(100.0)
    assert limits.chunk_arrived(20, 104.0) is None
    assert limits.deadline(104.0) == 154.0
    assert (
        limits.chunk_arrived(0, 110.0) is None
    )  # 20 characters in 10 s: the floor itself is enough
    limits.deadline(110.0)
    error = limits.chunk_arrived(19, 120.0)
    assert error is not None
    assert (error.limit, error.seconds) == ("min_rate", 2.0)


def test_consumer_time_does_not_count_for_the_rate() -> None:
    """The time between two chunks that the consumer takes is not the provider's."""
    limits = limits_of(idle=50.0, min_rate=2.0, rate_window=10.0)
    for number in range(20):
        requested = 100.0 + 100.0 * number
        limits.deadline(requested)
        assert limits.chunk_arrived(2, requested + 1.0) is None


def test_switch_resets_the_rate_but_not_the_total() -> None:
    """After a continuation the rate is the new provider's; the total goes on."""
    limits = limits_of(idle=50.0, min_rate=1.0, rate_window=10.0, total=60.0)
    limits.deadline(100.0)
    limits.chunk_arrived(1, 109.0)
    limits.switch_to(World([provider("b", idle=1.0)]).member("b"))
    assert limits.deadline(109.0) == 110.0
    assert limits.expired().provider == "b"
    assert limits.ends_at == 160.0


def test_total_expired_at_the_consumer_is_neutral() -> None:
    """A total that passed while the consumer held the stream is neutral."""
    limits = limits_of(total=5.0)
    error = limits.total_expired()
    assert error.limit == "total"
    verdict = limits.verdict_on(error)
    assert verdict is not None
    assert verdict.kind is FailureKind.CANCELLED
    assert verdict.reason == "total elapsed while the consumer held the stream"


def test_the_window_of_the_rate_is_time_spent_waiting() -> None:
    """What was waited before counts, the time between does not, and short waits are short."""
    limits = limits_of(idle=50.0, min_rate=2.0, rate_window=10.0)
    limits.deadline(100.0)
    assert limits.chunk_arrived(1, 104.0) is None
    assert limits.deadline(110.0) == 116.0
    limits = limits_of(idle=50.0, min_rate=2.0, rate_window=10.0)
    for number in range(30):
        limits.deadline(100.0 + number)
        assert limits.chunk_arrived(0, 100.1 + number) is None


def test_without_a_rate_no_stream_is_slow() -> None:
    """However few characters come."""
    limits = limits_of(idle=50.0)
    limits.deadline(100.0)
    assert limits.chunk_arrived(0, 140.0) is None
