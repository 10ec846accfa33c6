"""What a plan can say: ask this provider, wait, or it is over; and what all plans share."""

from __future__ import annotations

import math
from random import Random
from typing import TYPE_CHECKING, Any

from multirouter.core.circuit.permits import Permit
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.limits.rate_limits import RetryBudget
from multirouter.core.selection.candidate import Candidate
from multirouter.model import CallOutcome, Role

if TYPE_CHECKING:
    from multirouter.core.cost.metering import UsageMeter


class PlanContext:
    """What all plans of one router share: its name, chance, retry budget and newswire."""

    __slots__ = ("budget", "dispatcher", "rng", "router")

    def __init__(
        self, router: str, rng: Random, budget: RetryBudget, dispatcher: EventDispatcher
    ) -> None:
        self.router: str = router
        self.rng: Random = rng
        self.budget: RetryBudget = budget
        self.dispatcher: EventDispatcher = dispatcher


class AttemptStep:
    """Ask this provider now.

    Attributes:
        member: whom.
        permit: its permit; `record` or `abandon` gives it back.
        started: loop time at which it was chosen.
        deadline: loop time at which the attempt is cut off.
        role: whether it is the call's own attempt, a hedge or a probe.
        why: why this provider, in words.
        copies: attempts to make in the background beside it: trials that cost nobody anything.
        hedge_at: loop time at which the plan wants to be asked for a second attempt; infinite
            when this one is awaited alone.
        served_at: loop time of a stream's first content, or None.
        slow: whether that came so slowly that the provider counts as ill.
        meter: what counts the usage of a stream that somebody pays for, or None.
    """

    __slots__ = (
        "copies",
        "deadline",
        "hedge_at",
        "member",
        "meter",
        "permit",
        "role",
        "served_at",
        "slow",
        "started",
        "why",
    )

    def __init__(
        self,
        member: Candidate,
        permit: Permit,
        started: float,
        deadline: float,
        role: Role,
        why: str,
    ) -> None:
        self.member: Candidate = member
        self.permit: Permit = permit
        self.started: float = started
        self.deadline: float = deadline
        self.role: Role = role
        self.why: str = why
        self.copies: tuple[AttemptStep, ...] = ()
        self.hedge_at: float = math.inf
        self.served_at: float | None = None
        self.slow: bool = False
        self.meter: UsageMeter | None = None


class WaitStep:
    """Do nothing for a while.

    Attributes:
        until: loop time at which to ask again.
        for_room: whether to stand in the line of those who wait for a provider to become free.
    """

    __slots__ = ("for_room", "until")

    def __init__(self, until: float, *, for_room: bool) -> None:
        self.until: float = until
        self.for_room: bool = for_room


class ServeStep:
    """A stream has its first content: hand it to its consumer.

    Attributes:
        attempt: the attempt that serves, its permit kept.
    """

    __slots__ = ("attempt",)

    def __init__(self, attempt: AttemptStep) -> None:
        self.attempt: AttemptStep = attempt


Step = AttemptStep | ServeStep | WaitStep | CallOutcome[Any]
