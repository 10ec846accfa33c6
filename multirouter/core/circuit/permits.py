"""The right to make one attempt, carried from the door to the attempt's end."""

from __future__ import annotations

import math


class Permit:
    """The right to make one attempt.

    While a circuit is CLOSED all attempts of an era share one, which says no more than the era; a
    trial has its own, and ends once.

    Attributes:
        era: the circuit's era when it was given.
        given_at: loop time at which a trial began; -inf for any other attempt.
        trial: whether it is one of the few that HALF_OPEN lets out.
        lease_until: loop time after which a trial that has not settled is taken for lost.
    """

    __slots__ = ("generation", "given_at", "lease_until", "trial")

    def __init__(
        self,
        generation: int,
        lease_until: float = math.inf,
        *,
        trial: bool = False,
        given_at: float = -math.inf,
    ) -> None:
        self.generation: int = generation
        self.given_at: float = given_at
        self.lease_until: float = lease_until
        self.trial: bool = trial
