"""Learned limits of one provider, by model."""

from __future__ import annotations

from multirouter.core.limit_report import LimitReport
from multirouter.core.limits.model_limits import MAX_MODELS, ModelLimits

EMPTY = LimitReport("requests", False, 0.0, 60.0, 30.0)


def test_each_model_has_its_own_limits() -> None:
    """What is left of one says nothing about another one, nor about one that is new."""
    limits = ModelLimits()
    limits.of("a").observe(EMPTY, 0.0)
    limits.of("b").observe(EMPTY._replace(remaining=9.0), 0.0)
    assert limits.rejection(0, 1.0, "a") == "at the limit that its headers report for model a"
    assert limits.ready_in(0, 1.0, "a") == 29.0
    for model in ("b", "new"):
        assert limits.rejection(0, 1.0, model) == ""
        assert limits.ready_in(0, 1.0, model) == 0.0


def test_one_model_is_not_named() -> None:
    """Its limits are those of the provider, for people too."""
    limits = ModelLimits()
    limits.of("a").observe(EMPTY, 0.0)
    assert limits.rejection(0, 1.0, "a") == "at the limit that its headers report"


def test_without_a_model_the_first_that_can_start_counts() -> None:
    """For people who look at the provider; nothing is known before the first answer."""
    limits = ModelLimits()
    assert (limits.rejection(0, 0.0, ""), limits.ready_in(0, 0.0, "")) == ("", 0.0)
    limits.of("a").observe(EMPTY, 0.0)
    assert limits.rejection(0, 0.0, "") == "at the limit that its headers report"
    limits.of("b").observe(EMPTY._replace(reset=20.0), 0.0)
    assert limits.ready_in(0, 0.0, "") == 20.0
    assert limits.rejection(0, 20.0, "") == ""
    assert limits.rejection(0, 20.0, "a") != ""


def test_a_model_that_waits_for_an_end_has_no_time() -> None:
    """It does not hide the time of another one."""
    limits = ModelLimits()
    learned = limits.of("a")
    learned.acquire(0, 0.0)
    learned.rejected(0.0, 0.0)
    assert limits.ready_in(0, 60.0, "a") is limits.ready_in(0, 60.0, "") is None
    limits.of("b").observe(EMPTY, 60.0)
    assert limits.ready_in(0, 60.0, "") == 30.0


def test_attempts_end_where_they_started() -> None:
    """One of before its model was known ends without harm."""
    limits = ModelLimits()
    limits.release("a")
    limits.of("a").acquire(0, 0.0)
    limits.of("b").acquire(0, 0.0)
    for left in (0, 0):
        limits.release("a")
        assert limits.of("a").in_flight == left
    assert limits.of("b").in_flight == 1
    limits.forget_attempts()
    assert limits.of("b").in_flight == 0


def test_the_number_of_models_is_bounded() -> None:
    """Clients name them: those of an idle one are dropped."""
    limits = ModelLimits()
    for number in range(2 * MAX_MODELS):
        learned = limits.of(f"m{number}")
        if number == 0:
            learned.acquire(0, 0.0)
    assert len(limits._by_model) == MAX_MODELS
    assert limits.of("m0").in_flight == 1


def test_a_snapshot_names_the_model() -> None:
    """None where calls name none; every limit is that of one model."""
    limits = ModelLimits()
    limits.of("b").observe(EMPTY, 0.0)
    limits.of("").observe(EMPTY, 0.0)
    limits.shift(3600.0)
    found = limits.snapshot(3610.0)
    assert [(one["model"], one["resets_in"]) for one in found] == [(None, 20.0), ("b", 20.0)]
