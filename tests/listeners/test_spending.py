"""Money, tokens and streams in the metrics."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from multirouter.core.events import BudgetReached
from multirouter.listeners.metrics.metrics import Metrics, make_metrics
from multirouter.model import AttemptRecord, FailureKind, Usage
from tests.listeners.doubles import Sight, attempt, call, tell, tell_call, total, value


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry) -> Metrics:
    return make_metrics("default", Sight("openai"), registry)


def paid(cost: float, usage: Usage, **how) -> AttemptRecord:
    """An attempt that was billed."""
    record = attempt(**how)
    record.cost, record.usage = cost, usage
    return record


def test_each_token_is_counted_once(metrics, registry) -> None:
    """The kinds of tokens add up to input and output, and the money to what it cost."""
    usage = Usage(100, 50, cached=40, written=5, reasoning=30)
    tell(metrics, "attempt_ended", paid(0.5, usage))
    tell(
        metrics, "attempt_ended", paid(0.25, Usage(10, 1, estimated=True), kind=FailureKind.TIMEOUT)
    )
    kinds = {
        kind: value(registry, "tokens_total", provider="openai", kind=kind)
        for kind in ("input", "cached", "output", "reasoning")
    }
    assert kinds == {"input": 70, "cached": 40, "output": 21, "reasoning": 30}
    assert value(registry, "cost_usd_total", route="default", provider="openai") == 0.75
    assert value(registry, "estimated_cost_usd_total", provider="openai") == 0.25


def test_what_nobody_pays_is_not_counted(metrics, registry) -> None:
    """Attempts without usage, and copies for comparison, add neither money nor tokens."""
    tell(metrics, "attempt_ended", attempt())
    tell(metrics, "attempt_ended", paid(0.5, Usage(1, 1), role="shadow"))
    assert total(registry, "cost_usd_total") == 0
    assert total(registry, "tokens_total") == 0


def test_what_failover_cost_and_saved(metrics, registry) -> None:
    """Money above the first choice and money below it are counted apart, since counters rise."""
    for extra in (0.5, -0.25, 0.0, None):
        outcome = call("success", attempt())
        outcome.failover_cost = extra
        tell_call(metrics, outcome)
    assert value(registry, "failover_extra_cost_usd_total", route="default") == 0.5
    assert value(registry, "failover_saved_cost_usd_total", route="default") == 0.25


def test_budgets_are_counted_by_their_marks(metrics, registry) -> None:
    """A warning and an end are told apart."""
    for used_up in (False, True):
        news = BudgetReached("default", "route hard", 1.0, "day", 0.8, used_up=used_up)
        tell(metrics, "budget_reached", news)
    for mark in ("warning", "used_up"):
        assert value(registry, "budgets_reached_total", owner="route hard", mark=mark) == 1


def test_streams_are_timed(metrics, registry) -> None:
    """First content of every stream; duration and rate of whole ones; no rate from a guess."""
    whole = paid(0.1, Usage(5, 60), seconds=4.0)
    guessed = paid(0.1, Usage(5, 60, estimated=True), seconds=4.0)
    free = attempt(seconds=4.0)
    sudden = paid(0.1, Usage(5, 60), seconds=1.0)
    cut = paid(0.1, Usage(5, 60), seconds=4.0, kind=FailureKind.INTERRUPTED)
    for record in (whole, guessed, free, sudden, cut):
        record.first_content = 1.0
        tell(metrics, "attempt_ended", record)
    tell(metrics, "attempt_ended", attempt())
    assert value(registry, "first_content_seconds_count", provider="openai") == 5
    assert value(registry, "first_content_seconds_sum", provider="openai") == 5.0
    assert value(registry, "stream_duration_seconds_count", provider="openai") == 4
    assert value(registry, "stream_tokens_per_second_count", provider="openai") == 1
    assert value(registry, "stream_tokens_per_second_sum", provider="openai") == 20.0
