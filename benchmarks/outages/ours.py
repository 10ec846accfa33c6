"""The router under test, with whatever policies it is given."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from prometheus_client import CollectorRegistry

from benchmarks.outages.policy import Asked, Ending, Turn
from benchmarks.outages.provider import Request, SimulatedProvider, is_answer
from multirouter import MultiProviderRouter, Provider
from multirouter.core.events import CircuitChanged, CooldownStarted, Listener
from multirouter.model import AttemptRecord

_SILENT = logging.getLogger("benchmarks.outages")
_SILENT.setLevel(logging.CRITICAL + 1)
_SILENT.propagate = False


@dataclass(frozen=True)
class Ours:
    """Makes a `RouterUnderTest`.

    Attributes:
        settings: arguments of the router, such as `{"hedge": HedgePolicy(percentile=0.97)}`.
        probed: whether each provider has a `health_check=`.
    """

    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    probed: bool = False

    def __call__(self, providers: Sequence[SimulatedProvider], seed: int) -> RouterUnderTest:
        """The router over these providers."""
        return RouterUnderTest(providers, seed, self.settings, probed=self.probed)


class RouterUnderTest(Listener):
    """A `MultiProviderRouter`, and the news of it that the figures are made of."""

    def __init__(
        self,
        providers: Sequence[SimulatedProvider],
        seed: int,
        settings: Mapping[str, Any],
        *,
        probed: bool = False,
    ) -> None:
        self.turns: list[Turn] = []
        self.background: list[Asked] = []
        self._numbers = {p.spec.name: p.number for p in providers}
        self.router: MultiProviderRouter[Request, str] = MultiProviderRouter(
            [
                Provider(
                    p.spec.name,
                    p,
                    weight=p.spec.weight,
                    health_check=p.health_check if probed else None,
                )
                for p in providers
            ],
            accept=is_answer,
            registry=CollectorRegistry(),
            logger=_SILENT,
            listeners=[self],
            rng=Random(seed),
            **settings,
        )

    async def ask(self, request: Request) -> Ending:
        """One call."""
        outcome = await self.router.call_outcome(request)
        served = None if outcome.provider is None else self._numbers[outcome.provider]
        error = "" if outcome.error is None else f"{type(outcome.error).__name__}: {outcome.error}"
        return Ending(served, error, [self._asked(record) for record in outcome.attempts])

    async def aclose(self) -> None:
        """Closes the router."""
        await self.router.aclose()

    def attempt_ended(self, record: AttemptRecord) -> None:
        """Keeps the attempts that stand in no call's trail."""
        if record.role not in ("call", "hedge"):
            self.background.append(self._asked(record))

    def circuit_changed(self, news: CircuitChanged) -> None:
        """Keeps who left the draw, and who came back."""
        number = self._numbers[news.provider]
        self.turns.append(Turn(news.at, number, news.new, news.old, news.reason))

    def cooldown_started(self, news: CooldownStarted) -> None:
        """Keeps who rests after a 429."""
        number = self._numbers[news.provider]
        self.turns.append(Turn(news.at, number, "cooling down", "", "429", news.seconds))

    def _asked(self, record: AttemptRecord) -> Asked:
        return Asked(
            self._numbers[record.provider],
            record.role,
            record.verdict.kind.value,
            record.started,
            record.elapsed,
            record.why,
        )
