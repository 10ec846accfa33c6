"""The permit of one attempt, carried from the gate to the attempt's end."""

from __future__ import annotations

import math


class Permit:
    """Permission to make one attempt.

    While a circuit is CLOSED all attempts of a generation share one permit, which holds only the
    generation. Each trial has its own permit, which is settled once.

    Attributes:
        generation: the circuit's generation when the permit was issued; -1 for an attempt that
            the circuit does not count.
        issued_at: loop time at which a trial began; -inf for any other attempt.
        trial: whether it is one of the trials of a half-open circuit.
        lease_until: loop time after which a trial that has not been settled counts as lost.
        delivering: whether it is a trial whose stream has delivered content.
    """

    __slots__ = ("delivering", "generation", "issued_at", "lease_until", "trial")

    def __init__(
        self,
        generation: int,
        lease_until: float = math.inf,
        *,
        trial: bool = False,
        issued_at: float = -math.inf,
    ) -> None:
        self.generation: int = generation
        self.issued_at: float = issued_at
        self.lease_until: float = lease_until
        self.trial: bool = trial
        self.delivering: bool = False

    def renew(self, now: float, lease: float) -> None:
        """Extends the lease of a trial to `lease` seconds from `now`."""
        self.lease_until = now + lease
