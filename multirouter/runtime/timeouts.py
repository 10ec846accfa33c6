"""Which limit ended an attempt: its own timeout, or the deadline of the whole call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import AttemptStep
from multirouter.errors import AttemptTimeout
from multirouter.model import FailureKind, Verdict

if TYPE_CHECKING:
    from multirouter.runtime.event_loops.deadline import Bound  # which loads asyncio

CALL_DEADLINE_PASSED = Verdict(FailureKind.CANCELLED, reason="the call's deadline passed")
"""An attempt that the call's own deadline ended; neutral for the provider."""


def timed_out(
    plan: Plan, step: AttemptStep, bound: Bound, keyword: str
) -> tuple[Verdict, BaseException | None]:
    """The result of an attempt whose deadline passed: the call's own deadline, or a timeout.

    When both passed, the call's own counts.
    """
    if bound.deadline >= plan.deadline and step.role != "trial":
        return CALL_DEADLINE_PASSED, None
    limit = step.deadline - step.started
    error = AttemptTimeout(step.member.name, keyword, limit)
    return Verdict(FailureKind.TIMEOUT, reason=f"{keyword} {limit:.3g} s"), error
