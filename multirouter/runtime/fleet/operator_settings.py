"""What operators set in one process of a fleet and all follow: holds, weights, revoked keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal
from weakref import WeakMethod

from multirouter.core.circuit.gate import Gate
from multirouter.core.sharing.beliefs import Beliefs
from multirouter.core.sharing.facts import Fact

SetWeight = Callable[[str, float], float]
"""A method that sets the weight of a provider, and returns the one before; it is held weakly."""

Publish = Callable[[Any, str, Any], None]
"""Publishes a fact: its kind, its subject and its value."""


class OperatorSettings:
    """Publishes and follows what operators set.

    Args:
        beliefs: returns the facts that are known.
        publish: see `Publish`.
        set_weight: see `SetWeight`.
    """

    def __init__(
        self, beliefs: Callable[[], Beliefs], publish: Publish, set_weight: SetWeight
    ) -> None:
        self._beliefs = beliefs
        self._publish = publish
        self._set_weight = WeakMethod(set_weight)
        self._configured: dict[str, float] = {}

    def value(self, kind: Literal["hold", "weight"], provider: str) -> Any:
        """The newest value that any process has set, or None."""
        fact = self._beliefs().setting(kind, provider)
        return None if fact is None else fact.value

    def hold_changed(self, provider: str, hold: str | None) -> None:
        """Publishes a hold, unless it follows another process's."""
        if hold != self.value("hold", provider):
            self._publish("hold", provider, hold)

    def weight_changed(self, provider: str, before: float, weight: float) -> None:
        """Publishes a weight that an operator set."""
        self._configured.setdefault(provider, before)
        if weight != self.value("weight", provider):
            self._publish("weight", provider, weight)

    def weights_reset(self) -> None:
        """The configuration was replaced: its weights are in force again, in the whole fleet."""
        self._configured.clear()
        for provider in self._beliefs().subjects("weight"):
            if self.value("weight", provider) is not None:
                self._publish("weight", provider, None)

    def revoke(self, key_id: str) -> None:
        """Publishes that a client's key is revoked."""
        if not self.is_revoked(key_id):
            self._publish("revoked", key_id, None)

    def is_revoked(self, key_id: str) -> bool:
        """Whether any process of the fleet has revoked a key."""
        return self._beliefs().setting("revoked", key_id) is not None

    def follow_all(self, gate: Gate, now: float) -> None:
        """Applies what was set for a provider before it was added."""
        for kind in ("hold", "weight"):
            fact = self._beliefs().setting(kind, gate.name)
            if fact is not None:
                self.follow(fact, gate, now)

    def follow(self, fact: Fact, gate: Gate, now: float) -> None:
        """Applies a hold or a weight that another process has set.

        Args:
            fact: the fact.
            gate: that of the provider.
            now: loop time, seconds.
        """
        if fact.kind == "hold":
            gate.set_hold(fact.value, now)
            return
        set_weight, weight = self._set_weight(), fact.value
        if weight is None:
            weight = self._configured.pop(fact.subject, None)
        if set_weight is not None and weight is not None:
            before = set_weight(fact.subject, weight)
            if fact.value is not None:
                self._configured.setdefault(fact.subject, before)
