"""Learned limits of one provider, by model: services limit each model by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from multirouter.core.limits.learned import LearnedLimits

MAX_MODELS = 64
"""Models of one provider whose limits are kept; beyond it, those of an idle one are dropped."""


class ModelLimits:
    """What the answers of one provider tell about its limits, for each model by itself.

    Models that share a limit are like several clients of it: the headers of each tell what the
    others have left. Without a name (""), an attempt is one of a model of its own; what is read
    without a name is that of the model that can start first.
    """

    __slots__ = ("_by_model",)

    def __init__(self) -> None:
        self._by_model: dict[str, LearnedLimits] = {}

    def of(self, model: str) -> LearnedLimits:
        """The limits of a model, which are new when it is."""
        found = self._by_model.get(model)
        if found is None:
            if len(self._by_model) >= MAX_MODELS:
                del self._by_model[min(self._by_model, key=self._in_flight)]
            found = self._by_model[model] = LearnedLimits()
        return found

    def rejection(self, size: int, now: float, model: str) -> str:
        """Why an attempt of `size` tokens cannot start at `now`, or an empty string."""
        found = [one.rejection(size, now) for one in self._read(model)]
        if not found or not all(found):
            return ""
        return f"{found[0]} for model {model}" if model and len(self._by_model) > 1 else found[0]

    def ready_in(self, size: int, now: float, model: str) -> float | None:
        """Seconds until an attempt can start; None when one in flight must end first."""
        waits = [one.ready_in(size, now) for one in self._read(model)]
        return min((wait for wait in waits if wait is not None), default=None) if waits else 0.0

    def release(self, model: str) -> None:
        """Counts the end of an attempt, unless it started before its model was known here."""
        found = self._by_model.get(model)
        if found is not None and found.in_flight:
            found.release()

    def snapshot(self, now: float) -> list[dict[str, Any]]:
        """What was learned of each model, as plain data; for any thread.

        Args:
            now: loop time, seconds.

        Returns:
            The dicts of `LearnedLimits.snapshot`, with `model`; None where calls name none.
        """
        return [
            {**limit, "model": model or None}
            for model, learned in sorted(self._by_model.copy().items())
            for limit in learned.snapshot(now)
        ]

    def forget_attempts(self) -> None:
        """Counts no attempt as in flight."""
        for learned in self._by_model.values():
            learned.forget_attempts()

    def shift(self, by: float) -> None:
        """Moves by `by` seconds, to the clock of another event loop."""
        for learned in self._by_model.values():
            learned.shift(by)

    def _read(self, model: str) -> Sequence[LearnedLimits]:
        own = self._by_model.get(model)
        if own is not None:
            return (own,)
        return () if model else tuple(self._by_model.values())

    def _in_flight(self, model: str) -> int:
        return self._by_model[model].in_flight
