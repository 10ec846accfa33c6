"""Metrics of cost, tokens and streams."""

from __future__ import annotations

from itertools import pairwise

import pytest
from prometheus_client import CollectorRegistry

from multirouter.core.events import BudgetReached, Configured, ModelCircuitChanged
from multirouter.listeners.metrics.bounded_labels import MAX_KEYS, MAX_MODELS, OTHER
from multirouter.listeners.metrics.families import TRIP_REASONS
from multirouter.listeners.metrics.metrics import Metrics, make_metrics
from multirouter.model import AttemptRecord, FailureKind, Usage
from tests.listeners.helpers import FakeView, attempt, call, dispatch, dispatch_call, total, value


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def view() -> FakeView:
    return FakeView("openai", "local")


@pytest.fixture
def metrics(registry, view) -> Metrics:
    return make_metrics("default", view, registry)


def priced(cost: float, usage: Usage, **how) -> AttemptRecord:
    """An attempt with usage and cost."""
    record = attempt(**how)
    record.cost, record.usage, record.priced, record.model = cost, usage, True, "gpt-5"
    return record


def of_model(model: str | None, **how) -> AttemptRecord:
    """An attempt of a model."""
    record = attempt(**how)
    record.model = model
    return record


def test_attempts_are_counted_by_model(metrics, registry) -> None:
    """By outcome, and the answered ones are timed; attempts without a known model are not."""
    dispatch(metrics, "attempt_ended", of_model("gpt-5", seconds=2.0))
    dispatch(metrics, "attempt_ended", of_model("gpt-5", kind=FailureKind.SERVER))
    dispatch(metrics, "attempt_ended", of_model(None))
    dispatch(metrics, "attempt_ended", of_model("gpt-5", role="shadow"))
    labels = {"provider": "openai", "model": "gpt-5"}
    outcomes = ("success", "failure", "cancelled")
    counts = [value(registry, "model_attempts_total", **labels, outcome=o) for o in outcomes]
    assert counts == [1, 1, 0]
    assert total(registry, "model_attempts_total") == 2
    assert value(registry, "model_attempt_duration_seconds_sum", **labels) == 2.0
    assert value(registry, "model_attempt_duration_seconds_count", **labels) == 1


def circuit_changes(metrics, view, model: str, *states: str, provider: str = "openai") -> None:
    """Sends the events of a model's circuit that takes these states after `closed`."""
    for old, new in pairwise(("closed", *states)):
        view.model_states[provider][model] = new
        reason = {"open": "failures", "half_open": "timer"}.get(new, "recovered")
        event = ModelCircuitChanged("default", provider, model, old, new, reason, 5.0, 1.0)
        dispatch(metrics, "model_circuit_changed", event)


def test_model_circuits_are_counted_and_shown(metrics, view, registry) -> None:
    """By model: its openings, and its state at each scrape; a removed provider shows none."""
    circuit_changes(metrics, view, "gpt-5", "open", "half_open", "closed", "open")
    circuit_changes(metrics, view, "gpt-5", "open", "half_open", provider="local")
    labels = {"provider": "openai", "model": "gpt-5"}
    opened = {"to": "open", "reason": "failures"}
    assert value(registry, "model_circuit_transitions_total", **labels, **opened) == 2
    assert value(registry, "model_circuit_state", **labels) == 2
    view.model_states["openai"]["gpt-5"] = "half_open"  # by time alone
    assert value(registry, "model_circuit_state", **labels) == 1
    view.model_states["openai"].clear()  # closed, or forgotten by a hold
    assert value(registry, "model_circuit_state", **labels) == 0
    dispatch(metrics, "configured", Configured("default", removed=("openai",)))
    assert value(registry, "model_circuit_state", **labels) is None
    assert value(registry, "model_circuit_state", provider="local", model="gpt-5") == 1
    metrics.close()
    assert value(registry, "model_circuit_state", provider="local", model="gpt-5") is None


def test_model_circuits_of_a_provider_are_bounded(metrics, view, registry) -> None:
    """Beyond `MAX_MODELS`, one series shows the worst state of all further models."""
    for number in range(MAX_MODELS):
        circuit_changes(metrics, view, f"model-{number}", "open", "half_open", "closed")
    circuit_changes(metrics, view, "a", "open", "half_open")
    circuit_changes(metrics, view, "b", "open")
    other = {"provider": "openai", "model": OTHER}
    opened = {"to": "open", "reason": "failures"}
    assert value(registry, "model_circuit_transitions_total", **other, **opened) == 2
    assert value(registry, "model_circuit_state", **other) == 2
    del view.model_states["openai"]["b"]
    assert value(registry, "model_circuit_state", **other) == 1
    circuit_changes(metrics, view, "model-0", "open")
    assert value(registry, "model_circuit_state", **other) == 1


def test_routers_of_one_name_show_the_worse_model_circuit(metrics, view, registry) -> None:
    """Their circuits are merged like those of providers."""
    second = FakeView("openai")
    others = make_metrics("default", second, registry)
    circuit_changes(metrics, view, "gpt-5", "open")
    circuit_changes(others, second, "gpt-5", "open", "half_open")
    labels = {"provider": "openai", "model": "gpt-5"}
    assert value(registry, "model_circuit_state", **labels) == 2
    metrics.close()
    assert value(registry, "model_circuit_state", **labels) == 1


def test_openings_of_model_circuits_start_at_zero(metrics, registry) -> None:
    """From a provider's second model on, which is when models have circuits."""
    dispatch(metrics, "attempt_ended", of_model("gpt-5"))
    assert total(registry, "model_circuit_transitions_total") == 0
    labels = {"provider": "openai", "to": "open"}
    name = "model_circuit_transitions_total"
    assert value(registry, name, **labels, model="gpt-5", reason="failures") is None
    dispatch(metrics, "attempt_ended", of_model("gpt-6"))
    dispatch(metrics, "attempt_ended", of_model("gpt-7"))
    for model in ("gpt-5", "gpt-6", "gpt-7"):
        for reason in TRIP_REASONS:
            assert value(registry, name, **labels, model=model, reason=reason) == 0


def test_tokens_without_a_price_are_counted(metrics, registry) -> None:
    """They have no cost: no series says 0 USD."""
    record = of_model("gpt-5")
    record.usage = Usage(7, 3, estimated=True)
    dispatch(metrics, "attempt_ended", record)
    labels = {"provider": "openai", "model": "gpt-5", "kind": "input"}
    assert value(registry, "tokens_total", **labels) == 7
    assert value(registry, "cost_usd_total", **labels) is None
    assert total(registry, "estimated_cost_usd_total") == 0


def test_models_of_one_provider_are_bounded(metrics, registry) -> None:
    """Names come from clients: an unknown one takes no series, and there are `MAX_MODELS`."""
    for number in range(MAX_MODELS + 5):
        dispatch(metrics, "attempt_ended", of_model(f"typo-{number}", kind=FailureKind.NOT_FOUND))
    for number in range(MAX_MODELS + 5):
        dispatch(metrics, "attempt_ended", of_model(f"model-{number}"))
    dispatch(metrics, "attempt_ended", of_model("model-0", kind=FailureKind.NOT_FOUND))
    models = {
        sample.labels["model"]
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "multirouter_model_attempts_total"
    }
    assert models == {f"model-{number}" for number in range(MAX_MODELS)} | {OTHER}
    other = {"provider": "openai", "model": OTHER}
    assert value(registry, "model_attempts_total", **other, outcome="success") == 5
    failed = {**other, "outcome": "failure"}
    assert value(registry, "model_attempts_total", **failed) == MAX_MODELS + 5
    labels = {"provider": "openai", "model": "model-0", "outcome": "failure"}
    assert value(registry, "model_attempts_total", **labels) == 1


def test_keys_are_bounded(metrics, registry) -> None:
    """Of a router, `MAX_KEYS` have series of their own, and the others share one."""
    for number in range(MAX_KEYS + 5):
        outcome = call("success", priced(0.25, Usage(10, 2)))
        outcome.client_key = f"key-{number}"
        dispatch(metrics, "call_ended", outcome)
    dispatch(metrics, "call_ended", call("success", attempt()))
    own, other = {"key": "key-0"}, {"key": OTHER}
    assert value(registry, "key_calls_total", **own, outcome="success") == 1
    assert value(registry, "key_calls_total", **own, outcome="rejected") == 0
    assert value(registry, "key_calls_total", **other, outcome="success") == 5
    assert value(registry, "key_tokens_total", **other, kind="input") == 50
    assert value(registry, "key_tokens_total", **other, kind="output") == 10
    assert value(registry, "key_cost_usd_total", **other) == 1.25
    assert total(registry, "key_calls_total") == MAX_KEYS + 5


def test_each_token_is_counted_once(metrics, registry) -> None:
    """The kinds of tokens add up to input and output, and the cost to that of the attempts."""
    usage = Usage(100, 50, cached=40, written=5, reasoning=30)
    dispatch(metrics, "attempt_ended", priced(0.5, usage))
    dispatch(
        metrics,
        "attempt_ended",
        priced(0.25, Usage(10, 1, estimated=True), kind=FailureKind.TIMEOUT),
    )
    kinds = {
        kind: value(registry, "tokens_total", provider="openai", model="gpt-5", kind=kind)
        for kind in ("input", "cached", "output", "reasoning")
    }
    assert kinds == {"input": 70, "cached": 40, "output": 21, "reasoning": 30}
    labels = {"route": "default", "provider": "openai", "model": "gpt-5"}
    assert value(registry, "cost_usd_total", **labels) == 0.75
    assert value(registry, "estimated_cost_usd_total", provider="openai") == 0.25


def test_unpriced_attempts_and_shadow_copies_are_not_counted(metrics, registry) -> None:
    """Attempts without usage, and shadow copies, add neither cost nor tokens."""
    dispatch(metrics, "attempt_ended", attempt())
    dispatch(metrics, "attempt_ended", priced(0.5, Usage(1, 1), role="shadow"))
    assert total(registry, "cost_usd_total") == 0
    assert total(registry, "tokens_total") == 0


def test_failover_cost_and_savings(metrics, registry) -> None:
    """Extra cost and savings are separate counters, because counters cannot decrease."""
    for extra in (0.5, -0.25, 0.0, None):
        outcome = call("success", attempt())
        outcome.failover_cost = extra
        dispatch_call(metrics, outcome)
    assert value(registry, "failover_extra_cost_usd_total", route="default") == 0.5
    assert value(registry, "failover_saved_cost_usd_total", route="default") == 0.25


def test_budgets_are_counted_by_threshold(metrics, registry) -> None:
    """The warning threshold and the limit are counted separately."""
    for used_up in (False, True):
        event = BudgetReached("default", "route hard", 1.0, "day", 0.8, used_up=used_up)
        dispatch(metrics, "budget_reached", event)
    for threshold in ("warning", "limit"):
        assert (
            value(registry, "budgets_reached_total", owner="route hard", threshold=threshold) == 1
        )


def test_streams_are_timed(metrics, registry) -> None:
    """First content of every stream; duration and rate of complete ones; no estimated rate."""
    complete = priced(0.1, Usage(5, 60), seconds=4.0)
    estimated = priced(0.1, Usage(5, 60, estimated=True), seconds=4.0)
    free = attempt(seconds=4.0)
    at_once = priced(0.1, Usage(5, 60), seconds=1.0)
    cut = priced(0.1, Usage(5, 60), seconds=4.0, kind=FailureKind.INTERRUPTED)
    for record in (complete, estimated, free, at_once, cut):
        record.first_content = 1.0
        dispatch(metrics, "attempt_ended", record)
    dispatch(metrics, "attempt_ended", attempt())
    assert value(registry, "first_content_seconds_count", provider="openai") == 5
    assert value(registry, "first_content_seconds_sum", provider="openai") == 5.0
    assert value(registry, "stream_duration_seconds_count", provider="openai") == 4
    assert value(registry, "stream_tokens_per_second_count", provider="openai") == 1
    assert value(registry, "stream_tokens_per_second_sum", provider="openai") == 20.0
