"""Limits that one process has read from a provider's headers, for the others of its fleet.

A process publishes what it read when little is left, at most once a second and not what another has
just said: nothing is sent while there is enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any
from weakref import WeakMethod

from multirouter.core.limit_report import LimitReport
from multirouter.core.registry.provider_state import ProviderStates
from multirouter.core.sharing.facts import (
    Fact,
    LimitReading,
    model_of_subject,
    model_subject,
)

APART = 1.0
"""Seconds between two facts about the limits of one model."""

Publish = Callable[..., None]
"""Publishes a fact: its kind, its subject, its value, and the seconds for which it stays true."""


class LearnedLimitFacts:
    """Publishes and follows what headers report.

    Args:
        states: the limits; they call `low` from here on.
        publish: see `Publish`.
    """

    def __init__(self, states: ProviderStates, publish: Publish) -> None:
        self._states = states
        self._publish = publish
        self._said: dict[str, float] = {}
        low = WeakMethod(self.low)

        def on_low(provider: str, model: str, now: float) -> None:
            method = low()
            if method is not None:
                method(provider, model, now)

        states.on_low_limit = on_low

    def low(self, provider: str, model: str, now: float) -> None:
        """Publishes what is left of a model's limits, of which one is nearly used up."""
        gate = self._states.gates.get(provider)
        learned = None if gate is None else gate.learned
        subject = model_subject(provider, model) if model else provider
        if learned is None or now < self._said.get(subject, -math.inf) + APART:
            return
        found = learned.of(model).reported(now)
        longest = max((left for *_, left in found), default=0.0)
        if longest <= 0.0:
            return
        self._said[subject] = now
        value: list[Any] = [[*reading, longest - left] for *reading, left in found]
        self._publish("limit", subject, value, longest)

    def follow(self, fact: Fact, now: float) -> None:
        """Applies what another process has read."""
        provider, model = fact.subject, ""
        if provider not in self._states.gates:
            provider, model = model_of_subject(provider)
        gate = self._states.gates.get(provider)
        learned = None if gate is None else gate.learned
        if learned is None:
            return
        self._said[fact.subject] = now
        for name, tokens, remaining, limit, sooner in map(LimitReading._make, fact.value):
            reset = fact.left - sooner
            if reset > 0.0:
                learned.of(model).follow(LimitReport(name, tokens, remaining, limit, reset), now)

    def shift(self, by: float) -> None:
        """Moves by `by` seconds, to the clock of another event loop."""
        self._said = {subject: at + by for subject, at in self._said.items()}
