"""Steps that a plan returns (attempt, wait, serve), and the context that all plans share."""

from __future__ import annotations

import math
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from multirouter.core.circuit.model_circuits import ModelPermit
from multirouter.core.circuit.permits import Permit
from multirouter.core.cost.prompt_caches import PromptCaches
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.limits.retry_budget import RetryBudget
from multirouter.core.request_transform import Dropping
from multirouter.core.selection.candidate import Candidate
from multirouter.model import AttemptRecord, CallOutcome, Role, Verdict

if TYPE_CHECKING:
    from multirouter.core.cost.metering import UsageMeter


class CallTracer(Protocol):
    """Follows calls and their attempts while they run, for distributed tracing.

    It may keep what it needs in the attribute `observation` of a plan and of a step.
    """

    def attempt_started(self, plan: Any, step: AttemptStep, request: Any) -> None:
        """An attempt of a plan is about to start."""
        ...

    def enter(self, step: AttemptStep) -> None:
        """Makes the attempt the current one in the running context, until it ends."""
        ...

    def enter_copy(self, step: AttemptStep) -> None:
        """The same in a context that only the attempt's own code uses, and that is not left."""
        ...

    def attempt_ended(self, step: AttemptStep, record: AttemptRecord, value: object) -> None:
        """An attempt ended; its answer is `value`."""
        ...

    def call_ended(self, plan: Any, outcome: CallOutcome[Any]) -> None:
        """A call ended."""
        ...

    def copy_started(self, call: Any, step: AttemptStep, request: Any) -> None:
        """A shadow copy is about to start in the running context; `attempt_ended` ends it.

        Args:
            call: the `observation` of the plan whose call was copied.
            step: the copy.
            request: its request.
        """
        ...

    def check_started(self, member: Candidate) -> Any:
        """A health check is about to start in the running context; returns what ends it."""
        ...

    def check_ended(self, check: Any, verdict: Verdict) -> None:
        """A health check ended."""
        ...


class PlanContext:
    """Context that all plans of one router share.

    Attributes:
        router: the router's name.
        rng: the router's random number generator.
        budget: the router's retry budget.
        dispatcher: receives the events.
        prompt_caches: the prompts that providers hold, for sticky routes.
        tracer: follows the calls, or None.
        lost: whether the plans belong to an event loop that was closed, or to a parent process:
            they never end, and their attempts are counted as in flight no more.
    """

    __slots__ = ("budget", "dispatcher", "lost", "prompt_caches", "rng", "router", "tracer")

    def __init__(
        self, router: str, rng: Random, budget: RetryBudget, dispatcher: EventDispatcher
    ) -> None:
        self.router: str = router
        self.rng: Random = rng
        self.budget: RetryBudget = budget
        self.dispatcher: EventDispatcher = dispatcher
        self.prompt_caches: PromptCaches = PromptCaches()
        self.tracer: CallTracer | None = None
        self.lost: bool = False


class AttemptStep:
    """Step: attempt this provider now.

    Attributes:
        member: the provider on its route.
        permit: its permit; `record` or `abandon` returns it.
        started: loop time at which the provider was chosen, seconds.
        deadline: loop time at which the attempt is cut off, seconds.
        role: the call's own attempt, a hedge, or a trial.
        why: why this provider was chosen, as text for the trail.
        trials: attempts to run in the background beside this one. Each is the trial of a half-open
            circuit, and no caller waits for it.
        hedge_at: loop time at which the plan is asked for a hedge; infinite without hedging.
        served_at: loop time of a stream's first content, or None.
        slow: whether the first content came so slowly that the provider counts as unhealthy; None
            when its latency is not the provider's, because the event loop stalled meanwhile.
        stalled: whether the event loop stalled while the provider was awaited; in a stream, since
            its newest chunk. A timeout or a lost connection is then no failure of the provider.
        model: the permit of its model's circuit; None while the provider has no such circuits.
        limit_model: its model for what is learned of limits, "" where nothing is.
        meter: counts the usage of a priced stream, or None.
        dropped: fields of the request that were left out for this provider.
        observation: what a tracer keeps; unset without one.
    """

    __slots__ = (
        "deadline",
        "dropped",
        "hedge_at",
        "limit_model",
        "member",
        "meter",
        "model",
        "observation",
        "permit",
        "role",
        "served_at",
        "slow",
        "stalled",
        "started",
        "trials",
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
        self.trials: tuple[AttemptStep, ...] = ()
        self.hedge_at: float = math.inf
        self.served_at: float | None = None
        self.slow: bool | None = False
        self.stalled: bool = False
        self.model: ModelPermit | None = None
        self.limit_model: str = ""
        self.meter: UsageMeter | None = None
        self.dropped: tuple[str, ...] = ()

    def call_dropping(self, dropping: Dropping, request: Any) -> Any:
        """Calls the provider's function without the fields that the provider lacks.

        Raises:
            TransformFailed: see `Dropping.apply`.
            Exception: what the function raises.
        """
        sent, self.dropped = dropping.apply(request)
        return self.member.call(sent)

    observation: Any


class WaitStep:
    """Step: wait before asking the plan again.

    Attributes:
        until: loop time at which to ask again, seconds.
        for_capacity: whether to wait in the router's queue, which ends the wait early when a
            provider becomes available.
        max_waiting: calls that may wait in the queue at once for this one to join; None for no
            limit.
    """

    __slots__ = ("for_capacity", "max_waiting", "until")

    def __init__(self, until: float, *, for_capacity: bool, max_waiting: int | None = None) -> None:
        self.until: float = until
        self.for_capacity: bool = for_capacity
        self.max_waiting: int | None = max_waiting


class ServeStep:
    """Step: a stream has its first content, pass it to its consumer.

    Attributes:
        attempt: the attempt that serves; it keeps its permit.
    """

    __slots__ = ("attempt",)

    def __init__(self, attempt: AttemptStep) -> None:
        self.attempt: AttemptStep = attempt


Step = AttemptStep | ServeStep | WaitStep | CallOutcome[Any]
"""What `Plan.next_step` returns; a `CallOutcome` ends the call."""
