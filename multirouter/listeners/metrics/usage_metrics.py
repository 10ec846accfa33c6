"""Metrics of cost, tokens, models and streams of one router."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from multirouter.core.events import BudgetReached, ModelCircuitChanged
from multirouter.listeners.metrics.bounded_labels import ModelLabels
from multirouter.listeners.metrics.families import TRIP_REASONS, RegisteredFamilies
from multirouter.model import (
    AttemptRecord,
    CallOutcome,
    Usage,
)

Add = Callable[[float], None]


class UsageMetrics:
    """Counts attempts, cost and tokens by model, and measures streams.

    Args:
        router: value of the `router` label.
        registered: the metric families, and the gauges.
    """

    __slots__ = ("_bound", "_families", "_gauges", "_models", "_router")

    def __init__(self, router: str, registered: RegisteredFamilies) -> None:
        self._router = router
        self._families = registered.families
        self._gauges = registered.gauges
        self._bound: dict[tuple[str, str, str], tuple[Add, Add, Add, Add]] = {}
        self._models = ModelLabels(self._create_series)

    def count_model(self, record: AttemptRecord) -> None:
        """Counts an attempt under its model, and times it when it was answered."""
        labels = (self._router, record.provider, self._label(record))
        outcome, families = record.outcome, self._families
        families.model_attempts.labels(*labels, outcome).inc()
        if outcome == "success":
            families.model_seconds.labels(*labels).observe(record.elapsed)

    def count_usage(self, record: AttemptRecord, usage: Usage) -> None:
        """Counts an attempt's cost and tokens, each token under one kind (docs: cost)."""
        key = (record.route, record.provider, self._label(record))
        if record.priced:
            families = self._families
            families.cost.labels(self._router, *key).inc(record.cost)
        bound = self._bound.get(key)
        if bound is None:
            bound = self._bound[key] = self._bind(*key[1:])
        add_input, add_output, add_cached, add_reasoning = bound
        input_tokens, output_tokens, cached, _, reasoning, estimated = usage
        add_input(max(input_tokens - cached, 0) if cached else input_tokens)
        add_output(max(output_tokens - reasoning, 0) if reasoning else output_tokens)
        if cached:
            add_cached(cached)
        if reasoning:
            add_reasoning(reasoning)
        if estimated and record.priced:
            labels = (self._router, record.provider)
            self._families.estimated_cost.labels(*labels).inc(record.cost)

    def observe_stream(self, record: AttemptRecord, first_content: float) -> None:
        """Observes the time to first content, and duration and token rate of a complete stream."""
        labels = (self._router, record.provider)
        families = self._families
        families.first_content.labels(*labels).observe(first_content)
        if not record.ok:
            return
        families.stream_seconds.labels(*labels).observe(record.elapsed)
        seconds, usage = record.elapsed - first_content, record.usage
        if usage is not None and not usage.estimated and seconds > 0:
            families.token_rate.labels(*labels).observe(usage.output / seconds)

    def count_model_circuit(self, event: ModelCircuitChanged) -> None:
        """Counts a state change of a model's circuit; the gauge shows its state from then on."""
        model = self._models.of(event.provider, event.model)
        labels = (self._router, event.provider, model)
        self._families.model_transitions.labels(*labels, event.new, event.reason).inc()
        self._gauges.add_model(*labels)

    def count_failover_cost(self, outcome: CallOutcome[Any], extra: float) -> None:
        """Counts what a call cost above its first choice, or saved against it (`extra` < 0)."""
        families = self._families
        family = families.failover_extra if extra > 0 else families.failover_saved
        family.labels(self._router, outcome.route).inc(abs(extra))

    def count_budget(self, event: BudgetReached) -> None:
        """Counts a budget that reached its warning threshold or its limit."""
        threshold = "limit" if event.used_up else "warning"
        self._families.budgets_reached.labels(self._router, event.owner, threshold).inc()

    def _label(self, record: AttemptRecord) -> str:
        """The label value of an attempt's model; "" when the model is not known."""
        model = record.model
        if model is None:
            return ""
        return self._models.of_attempt(record, model)

    def _create_series(self, provider: str, models: tuple[str, ...]) -> None:
        """Creates the series of a new model at 0, so that `rate` includes the first failure.

        Models have circuits from a provider's second one on.
        """
        families = self._families
        for outcome in ("success", "failure", "cancelled"):
            families.model_attempts.labels(self._router, provider, models[-1], outcome)
        with_circuits = {1: (), 2: models}.get(len(models), models[-1:])
        for model in with_circuits:
            for reason in TRIP_REASONS:
                labels = (self._router, provider, model, "open", reason)
                families.model_transitions.labels(*labels)

    def _bind(self, provider: str, model: str) -> tuple[Add, Add, Add, Add]:
        tokens, labels = self._families.tokens, (self._router, provider, model)
        return (
            tokens.labels(*labels, "input").inc,
            tokens.labels(*labels, "output").inc,
            tokens.labels(*labels, "cached").inc,
            tokens.labels(*labels, "reasoning").inc,
        )
