"""One limit as headers report it: when little is left, and when enough is left again."""

from __future__ import annotations

import pytest

from multirouter.core.limits.header_window import LONGEST, HeaderWindow


def steady(ratio: float, reset: float, readings: int, begin: float = 0.0) -> HeaderWindow:
    """A window after readings a reset apart, each with 5 units left and this use per second."""
    window = HeaderWindow()
    for number in range(readings):
        window.observe(5.0, 5.0 + ratio * reset, reset, begin + number * reset, 0.0)
    return window


def test_two_readings_show_no_steady_refill() -> None:
    """Two in a row must repeat the ratio of the first; until then the end of the window counts."""
    assert steady(1.0, 60.0, 2).ready_in(6, 60.0) == 60.0
    assert steady(1.0, 60.0, 3).ready_in(6, 120.0) == pytest.approx(1.0)


@pytest.mark.parametrize("reset", [0.5, 2.0, 60.0])
@pytest.mark.parametrize("ratio", [0.2, 10.0])
def test_the_rate_of_a_steady_refill_is_the_ratio(ratio: float, reset: float) -> None:
    """Units that are missing come at the rate, those that are left are there at once."""
    window = steady(ratio, reset, 3)
    now = 2 * reset
    assert window.ready_in(5, now) == 0.0
    assert window.ready_in(6, now) == pytest.approx(min(reset, 1.0 / ratio))


@pytest.mark.parametrize(("ratio", "other", "alike"), [(10.0, 11.0, True), (0.1, 0.2, False)])
def test_ratios_are_compared_relatively(ratio: float, other: float, *, alike: bool) -> None:
    """Ratios a tenth apart are one rate, whatever their size; twice the ratio is another one."""
    window = HeaderWindow()
    for number in range(3):
        now_ratio = other if number == 2 else ratio
        window.observe(5.0, 5.0 + now_ratio * 60.0, 60.0, 60.0 * number, 0.0)
    assert (window.ready_in(6, 120.0) < 60.0) is alike


def test_a_changed_ratio_begins_anew() -> None:
    """Two readings of the new one are not enough, as at first."""
    window = HeaderWindow()
    for number, ratio in enumerate((1.0, 4.0, 4.0)):
        window.observe(5.0, 5.0 + ratio * 60.0, 60.0, 60.0 * number, 0.0)
    assert window.ready_in(6, 120.0) == 60.0
    window.observe(5.0, 5.0 + 4.0 * 60.0, 60.0, 180.0, 0.0)
    assert window.ready_in(6, 180.0) == pytest.approx(0.25)


def test_without_use_nothing_is_low() -> None:
    """A single reading shows no use, and neither do equal ones."""
    window = HeaderWindow()
    assert not window.observe(3.0, None, 600.0, 0.0, 0.0)
    assert not window.observe(3.0, None, 600.0, 60.0, 0.0)
    assert not window.observe(9.0, None, 600.0, 120.0, 0.0)


def test_the_use_is_per_second() -> None:
    """Ten units a second: five seconds of it are enough."""
    window = HeaderWindow()
    low = [
        window.observe(remaining, None, 600.0, now, 0.0)
        for remaining, now in ((160.0, 0.0), (60.0, 10.0), (40.0, 12.0))
    ]
    assert low == [False, False, True]


def test_a_short_burst_is_no_lasting_use() -> None:
    """Ten units within a tenth of a second are not a hundred per second."""
    window = HeaderWindow()
    window.observe(100.0, None, 600.0, 0.0, 0.0)
    assert not window.observe(90.0, None, 600.0, 0.1, 0.0)


def test_a_tenth_of_the_limit_is_little_at_most() -> None:
    """However fast it is used."""
    window = HeaderWindow()
    low = [
        window.observe(remaining, 1000.0, 60.0, now, 0.0)
        for remaining, now in ((1000.0, 0.0), (300.0, 7.0), (99.0, 9.0))
    ]
    assert low == [False, False, True]


def test_two_readings_at_one_instant() -> None:
    """The second one counts; no use can be read from them."""
    window = HeaderWindow()
    window.observe(50.0, None, 600.0, 1.0, 0.0)
    assert not window.observe(2.0, None, 600.0, 1.0, 0.0)
    assert window.reading(1.0) == (2.0, None, LONGEST)
    assert window.reading(700.0) == (2.0, None, 0.0)


@pytest.mark.parametrize("by", [0.0, 3600.0])
def test_readings_close_together_are_not_compared(by: float) -> None:
    """Two within a short part of the time to the refill repeat one ratio by themselves."""
    window = steady(1.0, 60.0, 2, begin=10.0)
    window.shift(by)
    window.observe(5.0, 65.0, 60.0, by + 75.0, 0.0)
    assert window.ready_in(6, by + 75.0) == 60.0
    window.observe(5.0, 65.0, 60.0, by + 90.0, 0.0)
    assert window.ready_in(6, by + 90.0) == pytest.approx(1.0)


def test_a_window_moves_to_another_clock() -> None:
    """Refill, use and the comparison of ratios go on as if the clock had not changed."""
    seen = []
    for by in (0.0, 3600.0):
        window = steady(2.0, 60.0, 2, begin=10.0)
        window.shift(by)
        window.observe(5.0, 125.0, 60.0, by + 130.0, 0.0)
        window.shift(by)
        now = 2 * by + 130.0
        waits = [window.ready_in(units, now + 1.0) for units in (7, 8, 10_000)]
        low = window.observe(1.0, 125.0, 60.0, now + 2.0, 0.0)
        seen.append((waits, low, window.reading(now + 2.0)))
    assert seen[0] == seen[1] == ([0.0, pytest.approx(0.5), 59.0], True, (1.0, 125.0, 60.0))
