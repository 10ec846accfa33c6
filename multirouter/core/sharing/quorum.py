"""Quorum: how many processes must see a provider fail before the others believe it."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from multirouter.core import validation as check
from multirouter.core.sharing.facts import Opening


@dataclass(frozen=True, slots=True, kw_only=True)
class Quorum:
    """When the opening of a circuit in other processes opens it in this one too.

    A failure that the provider itself answered (an HTTP 503, a 429) proves that it was reached: the
    word of one process is enough. A failure without an answer (a refused or lost connection, a
    timeout), one of credentials or quota, and slowness may be the fault of that process. It counts
    when enough processes agree. Until then the provider is suspected: the first own failure opens
    the circuit, instead of the third.

    Attributes:
        processes: processes that must agree, at least 1. Processes of one machine share its
            network, so in a fleet of several machines this number of machines must agree.
        share: share of the connected processes that must agree as well, 0 to 1. It does not count
            for a circuit that is not closed: few processes make a trial.
        answered: whether the word of one process is enough for failures that the provider answered.

    Raises:
        ConfigurationError: a setting is out of range.
    """

    processes: int = 2
    share: float = 0.05
    answered: bool = True

    def __post_init__(self) -> None:
        check.count("Quorum.processes", self.processes)
        check.share("Quorum.share", self.share)

    def reached(
        self, openings: Collection[Opening], processes: int, hosts: int, *, closed: bool
    ) -> bool:
        """Whether these openings, one of each process, are enough.

        Args:
            openings: what the processes say, the own one included.
            processes: connected processes.
            hosts: their machines.
            closed: whether the own circuit is closed.
        """
        if self.answered and any(opening.answered for opening in openings):
            return True
        if len(openings) < min(self.processes, max(1, processes)):
            return False
        machines = {opening.host for opening in openings}
        if hosts > 1 and len(machines) < min(self.processes, hosts):
            return False
        return not closed or len(openings) >= math.ceil(self.share * processes)
