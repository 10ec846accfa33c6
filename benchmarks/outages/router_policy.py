"""The router under test, with any settings."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from prometheus_client import CollectorRegistry

from benchmarks.outages.policy import Attempt, CallEnd, StateChange
from benchmarks.outages.provider import Request, SimulatedProvider, is_answer
from multirouter import RULES, CircuitEffect, FailureKind, MultiProviderRouter, Provider
from multirouter.core.events import CircuitChanged, CooldownStarted
from multirouter.core.listener import Listener
from multirouter.model import AttemptRecord

_SILENT = logging.getLogger("benchmarks.outages")
_SILENT.setLevel(logging.CRITICAL + 1)
_SILENT.propagate = False


@dataclass(frozen=True)
class RouterPolicy:
    """Makes a `RouterUnderTest`.

    Attributes:
        settings: arguments of the router, such as `{"hedge": HedgePolicy(percentile=0.97)}`.
        with_health_check: whether each provider has a `health_check=`.
    """

    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    with_health_check: bool = False

    def __call__(self, providers: Sequence[SimulatedProvider], seed: int) -> RouterUnderTest:
        """The router over these providers."""
        return RouterUnderTest(
            providers, seed, self.settings, with_health_check=self.with_health_check
        )


LIES_ARE_FAILURES = replace(RULES[FailureKind.INVALID], circuit=CircuitEffect.FAILURE)
"""A rejected answer counts against the provider: no call here asks for more than an answer."""


class RouterUnderTest(Listener):
    """A `MultiProviderRouter` that records the events that the figures are made of."""

    def __init__(
        self,
        providers: Sequence[SimulatedProvider],
        seed: int,
        settings: Mapping[str, Any],
        *,
        with_health_check: bool = False,
    ) -> None:
        self.changes: list[StateChange] = []
        self.background: list[Attempt] = []
        self._numbers = {p.spec.name: p.number for p in providers}
        self.router: MultiProviderRouter[Request, str] = MultiProviderRouter(
            [
                Provider(
                    p.spec.name,
                    p,
                    weight=p.spec.weight,
                    health_check=p.health_check if with_health_check else None,
                )
                for p in providers
            ],
            accept=is_answer,
            rules={FailureKind.INVALID: LIES_ARE_FAILURES},
            registry=CollectorRegistry(),
            logger=_SILENT,
            listeners=[self],
            rng=Random(seed),
            **settings,
        )

    async def call(self, request: Request) -> CallEnd:
        """One call."""
        outcome = await self.router.call_outcome(request)
        served = None if outcome.provider is None else self._numbers[outcome.provider]
        error = "" if outcome.error is None else f"{type(outcome.error).__name__}: {outcome.error}"
        return CallEnd(served, error, [self._attempt_of(record) for record in outcome.attempts])

    async def aclose(self) -> None:
        """Closes the router."""
        await self.router.aclose()

    def attempt_ended(self, record: AttemptRecord) -> None:
        """Records attempts that are in no call's trail."""
        if record.role not in ("call", "hedge"):
            self.background.append(self._attempt_of(record))

    def circuit_changed(self, event: CircuitChanged) -> None:
        """Records state changes of circuits."""
        number = self._numbers[event.provider]
        self.changes.append(StateChange(event.at, number, event.new, event.old, event.reason))

    def cooldown_started(self, event: CooldownStarted) -> None:
        """Records cooldowns after a 429."""
        number = self._numbers[event.provider]
        self.changes.append(StateChange(event.at, number, "cooling down", "", "429", event.seconds))

    def _attempt_of(self, record: AttemptRecord) -> Attempt:
        return Attempt(
            self._numbers[record.provider],
            record.role,
            record.verdict.kind.value,
            record.started,
            record.elapsed,
            record.why,
        )
