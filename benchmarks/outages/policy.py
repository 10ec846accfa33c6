"""The interface of a policy under test: it answers requests and records state changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.outages.provider import Request, SimulatedProvider


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt in a call's trail.

    Attributes:
        provider: the provider's index.
        role: `call`, `hedge` or `trial`.
        kind: the result: `success`, `cancelled`, or the failure's kind.
        started: loop time, seconds.
        elapsed: seconds.
        why: why this provider was chosen, as text, where the policy tells.
    """

    provider: int
    role: str
    kind: str
    started: float
    elapsed: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class CallEnd:
    """The end of a call: the provider that answered, or the error, and the trail."""

    served: int | None
    error: str
    trail: Sequence[Attempt]


@dataclass(frozen=True, slots=True)
class StateChange:
    """A change of a provider's availability.

    Attributes:
        at: loop time, seconds.
        provider: its index.
        state: `closed`, `open`, `half_open`; or `cooling down`, which leaves the circuit as it is.
        old: the circuit's state before.
        reason: the policy's reason.
        seconds: length of the cooldown.
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
        changes: state changes of circuits and cooldowns, in order; empty for stateless policies.
        background: attempts that ran in the background.
    """

    changes: list[StateChange]
    background: list[Attempt]

    async def call(self, request: Request) -> CallEnd:
        """Answers one request; never raises a provider's error."""
        ...

    async def aclose(self) -> None:
        """Ends background tasks."""
        ...


class PolicyMaker(Protocol):
    """Makes a policy in the running loop; must be picklable."""

    def __call__(self, providers: Sequence[SimulatedProvider], seed: int) -> Policy:
        """The policy over these providers, with random numbers of this seed."""
        ...
