"""The limits of a stream that flows, by hand: which one passes, when, and whose fault it is."""

from __future__ import annotations

import math

import pytest

from multirouter.core.planning.stream_limits import StreamLimits
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.model import FailureKind
from tests.core.kit import World, provider


def flow(idle: float | None = None, **settings: float) -> StreamLimits:
    """A flow that begins at 100 s, with a provider's own idle limit."""
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
        ({"idle": 5.0, "min_rate": 1.0, "rate_window": 2.0, "total": 1.0}, 101.0, "total"),
    ],
)
def test_the_nearest_limit_is_the_deadline(
    settings: dict[str, float], at: float, limit: str
) -> None:
    """The next chunk must come before the first of the limits passes, and that one is named."""
    watched = flow(**settings)
    assert watched.deadline(100.0) == at
    error = watched.expired()
    assert (error.limit, error.provider) == (limit, "a")
    assert watched.error is error
    assert watched.verdict.kind is FailureKind.TIMEOUT
    assert watched.verdict.reason.startswith(limit)


def test_without_limits_there_is_no_deadline() -> None:
    """`math.inf` is none."""
    assert flow(idle=math.inf).deadline(100.0) == math.inf


def test_enough_text_lifts_the_floor_for_its_window() -> None:
    """Who has brought a window's worth may rest to its end; the next window counts anew."""
    watched = flow(idle=50.0, min_rate=2.0, rate_window=10.0)
    watched.deadline(100.0)
    assert watched.came(20, 104.0) is None
    assert watched.deadline(104.0) == 154.0
    assert watched.came(0, 110.0) is None  # 20 characters in 10 s: the floor itself is enough
    watched.deadline(110.0)
    error = watched.came(19, 120.0)
    assert error is not None
    assert (error.limit, error.seconds) == ("min_rate", 2.0)


def test_only_waiting_counts_for_the_rate() -> None:
    """What the consumer takes between two chunks is not the provider's time."""
    watched = flow(idle=50.0, min_rate=2.0, rate_window=10.0)
    for number in range(20):
        asked = 100.0 + 100.0 * number
        watched.deadline(asked)
        assert watched.came(2, asked + 1.0) is None


def test_somebody_else_begins_anew_but_for_the_total() -> None:
    """After a splice the rate is the new one's own; the total goes on."""
    watched = flow(idle=50.0, min_rate=1.0, rate_window=10.0, total=60.0)
    watched.deadline(100.0)
    watched.came(1, 109.0)
    watched.serves(World([provider("b", idle=1.0)]).member("b"))
    assert watched.deadline(109.0) == 110.0
    assert watched.expired().provider == "b"
    assert watched.ends_at == 160.0


def test_an_overdue_total_is_neutral() -> None:
    """A total that passed in the consumer's hands says nothing about the provider."""
    watched = flow(total=5.0)
    assert watched.overdue().limit == "total"
    assert watched.verdict.kind is FailureKind.CANCELLED
