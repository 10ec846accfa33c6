"""What a policy under test is: it answers one request, and keeps a log of who it takes part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.outages.provider import Request, SimulatedProvider


@dataclass(frozen=True, slots=True)
class Asked:
    """One attempt in a call's trail.

    Attributes:
        provider: index of who was asked.
        role: `call`, `hedge` or `health_check`.
        kind: what it came to: `success`, `cancelled`, or the failure's kind.
        started: loop time, seconds.
        elapsed: seconds.
        why: why this provider, in words, where the policy says.
    """

    provider: int
    role: str
    kind: str
    started: float
    elapsed: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ended: who answered, or why nobody did, and the trail."""

    served: int | None
    error: str
    trail: Sequence[Asked]


@dataclass(frozen=True, slots=True)
class Turn:
    """A change in whether a provider takes part.

    Attributes:
        at: loop time, seconds.
        provider: its index.
        state: `closed`, `open`, `half_open`; or `cooldown`, beside which the circuit goes on.
        old: the circuit's state before.
        reason: why, in the policy's own words.
        seconds: how long it cools.
    """

    at: float
    provider: int
    state: str
    old: str
    reason: str
    seconds: float = 0.0


class Policy(Protocol):
    """A way of calling four providers.

    Attributes:
        turns: who was taken out and back in, in order; empty for policies without memory.
        background: attempts that no caller awaited.
    """

    turns: list[Turn]
    background: list[Asked]

    async def ask(self, request: Request) -> Ending:
        """Answers one request; never raises a provider's error."""
        ...

    async def aclose(self) -> None:
        """Ends what runs in the background."""
        ...


class PolicyMaker(Protocol):
    """Makes a policy in the running loop; it must survive pickling."""

    def __call__(self, providers: Sequence[SimulatedProvider], seed: int) -> Policy:
        """The policy over these providers, its chance drawn from the seed."""
        ...
