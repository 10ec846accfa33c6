"""Series by their label values, bound at their first use, with or without exemplars."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Exemplar = Callable[[], dict[str, str] | None]
"""Returns the labels that link an observation to a trace (`{"trace_id": ...}`), or None."""

KeyT = TypeVar("KeyT")
Observe = Callable[[float], None]
"""Counts and times one event, with a given set of label values."""


class SeriesCache(dict[KeyT, Observe], Generic[KeyT]):
    """Series by label values, created at first use; after that one dictionary look-up."""

    def __init__(self, bind: Callable[[KeyT], Observe]) -> None:
        self._bind = bind

    def __missing__(self, key: KeyT) -> Observe:
        series = self[key] = self._bind(key)
        return series


def with_exemplar(observe: Callable[..., None], exemplar: Exemplar) -> Observe:
    """The same, with the labels of an exemplar at each observation."""

    def observe_linked(seconds: float) -> None:
        labels: dict[str, str] | None = None
        try:
            labels = exemplar()
        finally:  # if the hook raises, the observation is made without an exemplar
            observe(seconds, labels)

    return observe_linked
