"""Metrics of calls, tokens and cost by the key of the client."""

from __future__ import annotations

from typing import Any, get_args

from multirouter.listeners.metrics.bounded_labels import MAX_KEYS, BoundedLabels
from multirouter.listeners.metrics.families import Families
from multirouter.model import CallOutcome, CallResult


class KeyMetrics:
    """Counts the calls of client keys, for a bounded number of keys.

    Args:
        router: value of the `router` label.
        families: the metric families.
    """

    __slots__ = ("_families", "_keys", "_router")

    def __init__(self, router: str, families: Families) -> None:
        self._router = router
        self._families = families
        self._keys = BoundedLabels(MAX_KEYS, self._create_series)

    def count_call(self, outcome: CallOutcome[Any]) -> None:
        """Counts a call of a key, with the tokens and the cost of all its attempts."""
        families = self._families
        labels = (self._router, self._keys.of("", outcome.client_key))
        families.key_calls.labels(*labels, outcome.result).inc()
        for record in outcome.attempts:
            usage = record.usage
            if usage is not None:
                families.key_tokens.labels(*labels, "input").inc(usage.input)
                families.key_tokens.labels(*labels, "output").inc(usage.output)
            if record.priced:
                families.key_cost.labels(*labels).inc(record.cost)

    def _create_series(self, _group: str, keys: tuple[str, ...]) -> None:
        """Creates the series of a new key at 0, so that `rate` includes its first failure."""
        for result in get_args(CallResult):
            self._families.key_calls.labels(self._router, keys[-1], result)
